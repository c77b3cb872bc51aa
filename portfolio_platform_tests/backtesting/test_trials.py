"""The registry's pure part: a chain that shows what is missing, and an honest count."""

import numpy as np
import pytest

from portfolio_platform.backtesting import Trial, TrialFamily, chain_hash, verify_chain
from portfolio_platform.backtesting.outcomes import NotDefined
from portfolio_platform.backtesting.trials import GENESIS


def chained(count):
    rows, previous = [], GENESIS
    for number in range(count):
        config = {"number": number}
        row = {
            "family": "f",
            "config_hash": f"{number:064d}",
            "config": config,
            "previous_hash": previous,
        }
        row["row_hash"] = previous = chain_hash(previous, "f", row["config_hash"], config)
        rows.append(row)
    return rows


def test_a_removed_or_altered_trial_breaks_the_chain():
    rows = chained(6)
    assert verify_chain(rows) is None
    assert verify_chain(rows[1:]) == 0
    assert verify_chain(rows[:3] + rows[4:]) == 3
    altered = [dict(row) for row in rows]
    altered[2]["config"] = {"number": 99}
    assert verify_chain(altered) == 2


def test_failed_and_unfinished_trials_count():
    trials = (Trial("a", sharpe=0.1), Trial("b"), Trial("c", sharpe=0.3))
    found = TrialFamily("f", trials).statistics(365.0)
    assert (found.count, found.finished, found.effective) == (3, 2, 3.0)
    assert found.variance == pytest.approx(0.02)


def test_copies_of_one_strategy_are_one_effective_trial():
    generator = np.random.default_rng(0)
    base = generator.standard_normal(500) * 0.01
    copies = [
        Trial(str(k), sharpe=0.05, returns=tuple(base + generator.normal(0, 1e-5, 500)))
        for k in range(20)
    ]
    assert TrialFamily("f", tuple(copies)).statistics(365.0).effective == pytest.approx(1, abs=0.01)
    others = [
        Trial(f"o{k}", sharpe=0.0, returns=tuple(generator.standard_normal(500))) for k in range(20)
    ]
    assert TrialFamily("f", tuple(others)).statistics(365.0).effective > 15


def test_returns_of_different_periods_are_not_compared():
    base = tuple(np.random.default_rng(0).standard_normal(100))
    trials = (
        Trial("a", sharpe=0.1, returns=base, start="2022"),
        Trial("b", sharpe=0.1, returns=base, start="2023"),
    )
    assert TrialFamily("f", trials).statistics(365.0).average_correlation == 0.0


def test_sharpe_ratios_of_other_bars_are_brought_to_the_same_period():
    trials = (Trial("a", sharpe=0.1), Trial("b", sharpe=0.1 / np.sqrt(24), bars_per_year=8760.0))
    assert TrialFamily("f", trials).statistics(365.0).variance == pytest.approx(0.0, abs=1e-30)


def test_a_configuration_is_replaced_not_added():
    family = TrialFamily("f", (Trial("a"), Trial("b")))
    grown = family.with_trials([Trial("a", sharpe=0.2), Trial("c")])
    assert [trial.config_hash for trial in grown.trials] == ["a", "b", "c"]
    assert grown.trials[0].sharpe == 0.2
    assert grown.number_of("c") == 3
    with pytest.raises(NotDefined):
        grown.number_of("z")
    with pytest.raises(ValueError, match="twice"):
        TrialFamily("f", (Trial("a"), Trial("a")))
