"""run_backtest through its own door: determinism, resume, changing universes, bad input."""

import json
import shlex
from datetime import date

import numpy as np
import pytest

from portfolio_platform.backtesting import (
    BacktestSpec,
    Cancelled,
    TrialFamily,
    chain_hash,
    planned_trials,
    run_backtest,
)
from portfolio_platform.optimization import PricePanel, StrategySpec
from portfolio_platform_tests.backtesting.conftest import price_panel

MIN_VARIANCE = {"name": "calm", "spec": {"lookback": 60}}
QUICK = {
    "validation": {"bootstraps": 100, "cscv_blocks": 8, "cpcv": None},
    "risk_simulation": {"paths": 100, "horizon": 30},
}


def spec_of(*strategies, **fields):
    return BacktestSpec.model_validate(
        {"strategies": list(strategies) or [MIN_VARIANCE], **QUICK, **fields}
    )


def codes(result):
    return [reason.code for reason in result.reasons]


def test_the_same_request_gives_the_same_hash(noise):
    spec = spec_of(MIN_VARIANCE, {"name": "greedy", "spec": {"lookback": 60, "obj": "Sharpe"}})
    first = run_backtest(spec, noise, code_version="v1")
    assert first.outcome in {"complete", "partial"}
    again = run_backtest(spec, noise, code_version="v1")
    assert first.content_hash == again.content_hash
    json.dumps(first.to_json(), allow_nan=False)
    other = run_backtest(spec.model_copy(update={"seed": 1}), noise, code_version="v1")
    assert other.content_hash != first.content_hash


def test_a_repeated_configuration_is_not_a_new_trial(noise):
    """Registered before the run, finished after it, run again: still one trial, and one hash."""
    spec = spec_of()
    planned = planned_trials(spec, noise)
    waiting = [
        {"config_hash": trial.config_hash, "config": trial.config, "sharpe": None}
        for trial in planned
    ]
    first = run_backtest(spec, noise, trials=TrialFamily.from_rows("default", waiting))
    done = [{**trial.row(), "config": trial.config} for trial in first.trials]
    again = run_backtest(spec, noise, trials=TrialFamily.from_rows("default", done))
    assert [trial.config_hash for trial in planned] == [t.config_hash for t in first.trials]
    assert first.document["validation"]["family"]["count"] == 1
    assert again.content_hash == first.content_hash


def test_other_trials_of_the_family_deflate(noise):
    spec = spec_of()
    alone = run_backtest(spec, noise)
    generator = np.random.default_rng(5)
    tried = [
        {
            "config_hash": f"{number:064d}",
            "config": {"bars_per_year": 365.0, "start": None},
            "sharpe": float(generator.normal(0.0, 0.05)),
        }
        for number in range(30)
    ]
    crowd = run_backtest(spec, noise, trials=TrialFamily.from_rows("default", tried))
    one, many = (r.document["strategies"]["calm"]["validation"] for r in (alone, crowd))
    assert crowd.document["validation"]["family"]["count"] == 31
    assert many["deflated_sharpe"] < one["deflated_sharpe"] == one["probabilistic_sharpe"]
    assert crowd.document["strategies"]["calm"]["trial"] == {
        "number": 31,
        "of": 31,
        "family": "default",
    }


@pytest.mark.parametrize("fields", [{}, {"turnover": 0.3}])
def test_a_killed_run_continues_to_the_bit(noise, fields):
    """Also for a strategy whose decisions depend on what it holds."""
    spec = spec_of({"name": "calm", "spec": {"lookback": 60, **fields}}, rebalance={"every": 5})
    whole = run_backtest(spec, noise)
    blocks = []

    def keep(step):
        if step.block is not None:
            blocks.append(json.loads(json.dumps(step.block)))

    with pytest.raises(Cancelled) as stopped:
        run_backtest(spec, noise, progress=keep, cancelled=lambda: len(blocks) == 2)
    assert stopped.value.state["blocks"] == blocks
    steps = []
    resumed = run_backtest(spec, noise, resume=blocks, progress=steps.append)
    assert resumed.content_hash == whole.content_hash
    assert steps[0].done > sum(len(block["decisions"]) for block in blocks)
    assert steps[-1].done == steps[-1].total


def test_blocks_of_another_configuration_are_ignored(noise):
    blocks = []
    run_backtest(
        spec_of(rebalance={"every": 5}),
        noise,
        progress=lambda step: blocks.append(step.block) if step.block else None,
    )
    other = spec_of(rebalance={"every": 5}, execution_lag=2)
    assert (
        run_backtest(other, noise, resume=blocks).content_hash
        == run_backtest(other, noise).content_hash
    )


def test_listings_and_delistings_without_survivorship():
    """An asset that dies is held until it dies; one that comes later is not known before."""
    generator = np.random.default_rng(3)
    panel = price_panel(generator.normal(0.0005, 0.02, (400, 4)))
    close = panel.close.copy()
    close[:200, 3] = np.nan
    close[300:, 0] = np.nan
    panel = PricePanel(assets=panel.assets, times=panel.times, close=close)
    spec = spec_of({"name": "even", "spec": {"lookback": 30, "model": "equal_weight"}})
    result = run_backtest(spec, panel)
    section = result.document["strategies"]["even"]
    events = {(event["kind"], event["asset"]) for event in section["events"]}
    assert ("delisted", "A00") in events
    assert "delisted" in codes(result)
    held = section["weights"]
    rows = dict(zip(held["times"], held["weights"], strict=True))
    column = {asset: place for place, asset in enumerate(held["assets"])}
    before, after = rows["2022-07-01T00:00:00Z"], rows["2023-01-30T00:00:00Z"]
    assert before[column["A03"]] == 0.0 < before[column["A00"]]
    assert after[column["A00"]] == 0.0 < after[column["A03"]]
    assert section["accounting_error"] <= 1e-9


def test_prices_missing_in_the_middle_are_held_and_marked(noise):
    close = noise.close.copy()
    close[500:503, 2] = np.nan
    panel = PricePanel(assets=noise.assets, times=noise.times, close=close)
    spec = spec_of({"name": "even", "spec": {"lookback": 30, "model": "equal_weight"}})
    result = run_backtest(spec, panel)
    section = result.document["strategies"]["even"]
    gap = [event for event in section["events"] if event["asset"] == "A02"]
    assert gap == [
        {"time": "2023-05-16T00:00:00Z", "kind": "prices_missing", "asset": "A02", "bars": 3}
    ]
    assert all(np.isfinite(section["equity"]))


def test_a_token_that_goes_to_zero_is_reported(noise):
    close = noise.close.copy()
    close[700:, 1] = 0.0
    panel = PricePanel(assets=noise.assets, times=noise.times, close=close)
    spec = spec_of({"name": "even", "spec": {"lookback": 30, "model": "equal_weight"}})
    result = run_backtest(spec, panel)
    assert "worthless_token" in codes(result)
    section = result.document["strategies"]["even"]
    assert min(section["equity"]) > 0.0
    assert section["metrics"]["worst_bar"] == pytest.approx(-1 / 6, abs=0.05)


def test_infeasible_periods_are_reported_and_weights_held(noise):
    """A 40 % cap cannot be met while fewer than three assets have their history."""
    close = noise.close[:400].copy()
    close[:250, 2:] = np.nan
    panel = PricePanel(assets=noise.assets, times=noise.times[:400], close=close)
    spec = spec_of({"name": "capped", "spec": {"lookback": 60, "bounds": {"upper": 0.4}}})
    result = run_backtest(spec, panel)
    assert result.outcome == "partial"
    assert "infeasible_periods" in codes(result)
    section = result.document["strategies"]["capped"]
    assert section["unanswered"][0]["status"] == "infeasible"
    assert section["unanswered"][0]["action"] == "weights held"
    start = section["equity"][0]
    assert section["equity"][100] == start
    assert section["equity"][-1] != start


def failed_with(spec, panel, code, **more):
    result = run_backtest(spec, panel, **more)
    assert result.outcome == "failed"
    assert codes(result) == [code]
    assert result.document["verdict"]["sentence"].startswith("There is no result")
    return result


def test_data_that_cannot_carry_the_request(noise):
    failed_with(spec_of(start="2031-01-01"), noise, "no_data_in_period")
    failed_with(spec_of(end="2019-01-01"), noise, "no_data_in_period")
    failed_with(
        spec_of(window={"kind": "rolling", "bars": 5000}), noise, "window_longer_than_history"
    )
    failed_with(spec_of("gone"), noise, "strategy_missing")
    failed_with(spec_of(costs={"participation_cap": 0.1}), noise, "volume_missing")
    failed_with(
        spec_of(costs={"impact": "pool", "pool_depth": {"A00": 1.0}}), noise, "pool_depth_missing"
    )
    failed_with(spec_of(validation={"variants": {"lokback": [1]}}), noise, "invalid_variant")
    short = StrategySpec.model_validate({"lookback": 60, "bounds": {"lower": -0.2}})
    failed_with(spec_of("bold"), noise, "short_positions", strategies={"bold": short})


def test_costs_that_need_volumes_do_not_take_unknown_ones_for_zero(noise):
    """Oracle prices have no volume: nothing would ever be bought, or bought at any price."""
    spec = spec_of(
        {"name": "even", "spec": {"lookback": 60, "model": "equal_weight"}},
        costs={"impact": "sqrt", "participation_cap": 0.1},
        initial_capital=1000.0,
    )
    unknown = np.full(noise.close.shape, np.nan)
    failed_with(spec, noise, "volume_missing", volumes=unknown)
    some = np.full(noise.close.shape, 1e6)
    some[:, 2] = np.nan
    result = run_backtest(spec, noise, volumes=some)
    assert result.outcome == "partial"
    assert codes(result) == ["volume_missing"]
    assert "A02" in result.reasons[0].message
    weights = result.document["strategies"]["even"]["weights"]
    assert "A02" not in weights["assets"]
    assert weights["cash"][-1] == pytest.approx(1 / 6, abs=0.02)


def test_a_period_longer_than_the_prices_says_so(noise):
    result = run_backtest(spec_of(start="2019-01-01", end="2031-12-31"), noise)
    assert result.outcome == "partial"
    assert [(r.code, r.field) for r in result.reasons][:2] == [
        ("period_cut", "start"),
        ("period_cut", "end"),
    ]
    whole = run_backtest(
        spec_of(start=result.document["times"][60], end=result.document["times"][-1]), noise
    )
    assert whole.outcome == "complete"


def test_a_missing_benchmark_leaves_the_rest(noise):
    spec = spec_of(
        benchmarks=[
            {"kind": "hold", "mint": "nowhere"},
            {"kind": "equal_weight"},
            {"kind": "previous"},
            {"kind": "strategy", "slug": "gone"},
        ]
    )
    result = run_backtest(spec, noise)
    assert result.outcome == "partial"
    assert codes(result) == ["benchmark_missing"] * 3
    assert [r.field for r in result.reasons] == ["benchmarks.0", "benchmarks.2", "benchmarks.3"]
    assert list(result.document["benchmarks"]) == ["equal weight"]


def test_every_kind_of_benchmark(noise):
    spec = spec_of(
        benchmarks=[
            {"kind": "hold", "mint": "A00"},
            {"kind": "inverse_volatility"},
            {"kind": "mix", "weights": {"A00": 0.6, "A01": 0.4}, "name": "60/40"},
            {"kind": "previous"},
            {"kind": "strategy", "slug": "stored"},
        ],
        costs={},
    )
    stored = {"stored": StrategySpec.model_validate({"lookback": 60, "model": "RP"})}
    before = StrategySpec.model_validate({"lookback": 40, "bounds": {"upper": 0.5}})
    result = run_backtest(spec, noise, strategies=stored, previous=before)
    found = result.document["benchmarks"]
    assert list(found) == ["hold A00", "inverse volatility", "60/40", "previous version", "stored"]
    alone = run_backtest(
        spec_of({"name": "b", "spec": before}, costs={}, start=result.document["times"][0]), noise
    )
    assert found["previous version"]["equity"] == alone.document["strategies"]["b"]["equity"]
    first = 61  # one bar after the first decision, which needs 60 returns
    growth = noise.close[-1, 0] / noise.close[first, 0]
    assert found["hold A00"]["metrics"]["total_return"] == pytest.approx(growth - 1.0)


def test_a_benchmark_without_answers_is_reported(noise):
    stored = {
        "capped": StrategySpec.model_validate({"lookback": 60, "bounds": {"upper": 0.1}}),
        "short": StrategySpec.model_validate({"lookback": 60, "bounds": {"lower": -0.2}}),
    }
    benchmarks = [{"kind": "strategy", "slug": slug} for slug in stored]
    result = run_backtest(spec_of(benchmarks=benchmarks), noise, strategies=stored)
    assert result.outcome == "partial"
    assert [(r.code, r.field) for r in result.reasons] == [
        ("infeasible_periods", "benchmarks.0"),
        ("short_positions", "benchmarks.1"),
    ]


def test_purged_bars_are_not_seen(noise):
    """With 5 bars purged, what happens in them changes no decision; without, it does."""

    def decided(close, purge):
        panel = PricePanel(assets=noise.assets, times=noise.times, close=close)
        spec = spec_of(rebalance={"every": 50}, window={"purge": purge}, start="2022-06-01")
        taken = []
        run_backtest(
            spec, panel, progress=lambda s: taken.extend(s.block["decisions"] if s.block else [])
        )
        return taken

    other = noise.close.copy()
    first = int(np.searchsorted(noise.times, np.datetime64("2022-06-01")))
    for bar in range(first, len(other), 50):
        other[bar - 4 : bar + 1, 0] *= [1.3, 0.8, 1.2, 0.9, 1.4]
    before, after = decided(noise.close, 0), decided(other, 0)
    assert before[0]["weights"] != after[0]["weights"]
    assert decided(noise.close, 5)[0] == decided(other, 5)[0]
    unpurged = spec_of()
    period = run_backtest(unpurged, noise).document["period"]
    later = run_backtest(spec_of(window={"purge": 5}), noise).document["period"]
    assert period["bars"] - later["bars"] == 5


def test_the_command_of_the_report_asks_for_the_same(noise):
    spec = spec_of({"name": "it's calm", "spec": {"lookback": 60}}, start="2023-01-01")
    command = run_backtest(spec, noise).document["provenance"]["command"]
    words = shlex.split(command)
    assert words[:2] == ["printf", "%s"]
    assert words[3:] == ["|", "portfolio-platform", "backtest", "-", "--json"]
    assert BacktestSpec.model_validate_json(words[2]) == spec


def test_a_registry_that_was_tampered_with_is_named(noise):
    rows, previous = [], "0" * 64
    for number in range(3):
        config = {"bars_per_year": 365.0, "start": None, "n": number, "depth": 1e16}
        row = {"family": "default", "config_hash": f"{number:064d}", "sharpe": 0.01 * number}
        row |= {"previous_hash": previous, "config": config}
        previous = row["row_hash"] = chain_hash(previous, "default", row["config_hash"], config)
        row["config"] = {**config, "bars_per_year": 365, "depth": 10**16}
        rows.append(row)
    whole = run_backtest(spec_of(), noise, trials=TrialFamily.from_rows("default", rows))
    assert "trials_altered" not in codes(whole)
    del rows[1]
    cut = run_backtest(spec_of(), noise, trials=TrialFamily.from_rows("default", rows))
    assert cut.outcome == "partial"
    assert codes(cut) == ["trials_altered"]
    assert "trial 2 of family 'default'" in cut.reasons[0].message


def test_one_day(noise):
    day = noise.times[700].astype("datetime64[D]").item()
    result = run_backtest(spec_of(start=day, end=day), noise)
    assert result.outcome == "partial"
    assert "too_few_observations" in codes(result)
    section = result.document["strategies"]["calm"]
    assert section["metrics"]["sharpe"] is None
    assert "sharpe" in section["undefined"]
    assert isinstance(day, date)


def test_variants_are_trials(noise):
    spec = spec_of(validation={**QUICK["validation"], "variants": {"lookback": [40, 60, 80, 100]}})
    result = run_backtest(spec, noise)
    assert len(result.trials) == 4
    assert result.document["validation"]["family"]["count"] == 4
    assert result.document["validation"]["pbo"]["strategies"] == 4
    assert result.document["validation"]["pbo"]["coarse"]
    assert len(planned_trials(spec, noise)) == 4


def test_an_expanding_window_and_hourly_bars(noise):
    hours = PricePanel(
        assets=noise.assets,
        times=noise.times[0] + np.arange(len(noise.times)) * np.timedelta64(1, "h"),
        close=noise.close,
    )
    spec = spec_of(
        {"name": "calm", "spec": {"lookback": 60, "bar_interval": "1h"}},
        interval="1h",
        window={"kind": "expanding", "bars": 200},
        rebalance={"every": 48},
    )
    result = run_backtest(spec, hours)
    assert result.document["period"]["bars_per_year"] == 8760.0
    assert result.document["period"]["bars"] == len(hours.times) - 200
    assert not result.document["strategies"]["calm"]["unanswered"]
