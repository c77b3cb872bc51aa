"""Whatever the strategy and the prices: a typed outcome, and weights that hold what was asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from portfolio_platform.optimization import PricePanel, StrategySpec, decide
from portfolio_platform.optimization.solution import STATUSES

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
MEASURES = [
    "MV",
    "CVaR",
    "MAD",
    "WR",
    "FLPM",
    "RG",
    "CVRG",
    "MDD",
    "ADD",
    "CDaR",
    "EVaR",
    "MSV",
    "SLPM",
    "UCI",
    "EDaR",
    "GMD",
    "TG",
    "KT",
    "EM",
    "SKT",
    "ESM",
]


def spoil(close, generator):
    """Put missing, late, delisted, constant, worthless, doubled and jumping prices in."""
    rows, count = close.shape
    stable = set()
    for place in range(count):
        draw, row = generator.random(), generator.integers(rows)
        if draw < 0.05:
            close[row, place] = np.nan
        elif draw < 0.08:
            close[:row, place] = np.nan
        elif draw < 0.10:
            close[row:, place] = np.nan
        elif draw < 0.12:
            close[:, place] = 3.0
        elif draw < 0.14:
            close[row, place] = 0.0
        elif draw < 0.16:
            close[:, place] = 2 * close[:, generator.integers(count)]
        elif draw < 0.24:
            close[:, place] = np.cumprod(1 + generator.normal(0, 1e-5, rows))
            stable.add(place)
        elif draw < 0.26:
            close[row:, place] *= 51
    return stable


@st.composite
def worlds(draw):
    """A spoiled panel, a random strategy on it, a current holding."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pick = generator.choice
    count, rows = int(pick([1, 2, 3, 5, 8, 12])), int(pick([8, 15, 30, 60, 130]))
    returns = generator.standard_t(4, (rows, count)) * 10 ** generator.uniform(-4, -1)
    returns += generator.normal(0, 0.01, (rows, 1))
    close = np.vstack([np.ones(count), np.cumprod(1 + np.clip(returns, -0.8, 2.0), axis=0)])
    stable = spoil(close, generator)
    names = [f"M{place:02d}" for place in range(count)]
    panel = PricePanel(
        tuple(names),
        np.datetime64("2024-01-01", "ns") + np.arange(rows + 1) * np.timedelta64(1, "D"),
        close,
        stable=frozenset(names[place] for place in stable),
        groups={name: str(pick(["a", "b", "c"])) for name in names},
    )
    lookback = int(pick([rows, rows, max(2, rows // 2), rows + 5]))
    fields = {"lookback": lookback, "model": str(pick(["Classic"] * 6 + ["RP", "HRP", "BL"]))}
    chance = generator.random
    if chance() < 0.4:
        fields["universe"] = {"min_history": max(2, min(lookback, rows) // 3)}
    if fields["model"] in {"Classic", "BL"}:
        fields["rm"] = str(pick(MEASURES))
        fields["obj"] = str(pick(["MinRisk", "Sharpe", "Utility", "MaxRet"]))
        fields["tail"] = {"alpha": float(pick([0.05, 0.2]))}
        if chance() < 0.2:
            fields["turnover"] = float(pick([0.1, 0.5, 1.5]))
        if chance() < 0.15:
            fields["cost_bps"] = 30
        if chance() < 0.1:
            fields["cardinality"] = int(pick([1, 2, 4]))
        if chance() < 0.3:
            low = float(pick([-0.2, 0.0, 0.01]))
            fields["bounds"] = {"lower": low, "upper": float(pick([0.1, 0.3, 0.6]))}
        if chance() < 0.3:
            fields["groups"] = [{"group": "a", "lower": float(pick([0, 0.2, 0.5])), "upper": 0.6}]
    if fields["model"] == "BL":
        view = float(generator.uniform(-1, 2))
        fields["views"] = [{"weights": {str(pick(names)): 1}, "annual_return": view}]
    if chance() < 0.15:
        fields["budget"] = 0.7
    if chance() < 0.3:
        fields["covariance"] = {"method": str(pick(["hist", "ledoit", "ewma1", "semi"]))}
    if chance() < 0.1:
        fields["mean"] = {"method": str(pick(["ewma1", "JS", "BS", "BOP"]))}
    if chance() < 0.1:
        fields["returns"] = "log"
    if chance() < 0.2:
        fields["risk_free_rate"] = float(pick([0.05, 2.0]))
    current = None
    if chance() < 0.6:
        current = dict(zip(names, generator.dirichlet(np.ones(count)).tolist(), strict=True))
    return panel, fields, current


def check(world):
    """Check one world; return the errors of a refused spec that carry no path."""
    panel, fields, current = world
    try:
        strategy = StrategySpec.model_validate(fields)
    except ValidationError as refused:
        return [error for error in refused.errors() if not error["loc"]]
    answer = decide(strategy, panel, panel.times[-1], current=current)
    assert answer.status in STATUSES
    if not answer.ok:
        assert answer.reason
        assert not answer.weights
        return None
    weights = np.array(list(answer.weights.values()))
    assert abs(weights.sum() - 1) <= 1e-9
    assert answer.violation <= 1e-9
    bounds = strategy.bounds
    risky = [weight for name, weight in answer.weights.items() if name not in panel.stable]
    assert min(risky, default=0.0) >= min(bounds.lower, 0.0) - 1e-9
    assert max(risky, default=0.0) <= bounds.upper + 1e-9
    stable = sum(answer.weights.get(name, 0.0) for name in panel.stable)
    assert stable <= max(strategy.cash_cap, 1 - strategy.budget) + 1e-9
    if strategy.cardinality is not None:
        assert (weights[weights > 0]).size <= strategy.cardinality + len(panel.stable)
    if strategy.turnover is not None and current is not None:
        names = set(current) | set(answer.weights)
        traded = sum(abs(answer.weights.get(name, 0.0) - current.get(name, 0.0)) for name in names)
        assert traded <= strategy.turnover + 1e-8
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=QUIET, database=None)
@given(worlds())
def test_typed_outcome_and_constraints_hold(world):
    assert not check(world)


@pytest.mark.nightly
@settings(max_examples=3000, deadline=None, suppress_health_check=QUIET, database=None)
@given(worlds())
def test_typed_outcome_and_constraints_hold_long(world):
    assert not check(world)
