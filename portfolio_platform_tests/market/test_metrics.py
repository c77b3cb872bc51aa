"""Metrics against pandas, their reasons where undefined, and what they may not know."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.market import (
    ChainInputs,
    MetricsSettings,
    build_panel,
    clean,
    compute_metrics,
)
from portfolio_platform.market.errors import MetricsError
from portfolio_platform_tests.market.synthetic import bars, changed, priced, without

SOL = "So11111111111111111111111111111111111111112"
PRICE_METRICS = (
    "price",
    "volatility",
    "downside_volatility",
    "ewma_volatility",
    "max_drawdown",
    "current_drawdown",
    "correlation_to_sol",
    "beta_to_sol",
    "volume_mean",
    "volume_median",
    "amihud",
)


def panel_of(*series):
    return build_panel(clean(series).series, prefer=("perp", "oracle"))


def metrics_of(asset, *series, as_of, chain=None, **options):
    found = compute_metrics(panel_of(*series), as_of, chain, **options)
    return next(one for one in found if one.asset == asset)


def test_every_figure_against_pandas():
    sol, jup = bars(n=200, mint=SOL), bars("JUPUSDT", n=200, seed=3)
    as_of = datetime(2024, 6, 29, 12, tzinfo=UTC)  # day 180: known are 180 closes
    found = metrics_of("bybit:JUPUSDT", sol, jup, as_of=as_of)
    frame = pd.DataFrame({"sol": sol.close, "jup": jup.close}).iloc[:180]
    moves = np.log(frame).diff().iloc[-90:]
    year = np.sqrt(365)
    assert found.price == frame.jup.iloc[-1]
    assert found.price_at == np.datetime64("2024-06-29")
    for days in (1, 7, 30, 90):
        expected = frame.jup.pct_change(days).iloc[-1]
        assert found.returns[f"{days}d"] == pytest.approx(expected, rel=1e-12)
    assert found.volatility == pytest.approx(moves.jup.std() * year)
    down = moves.jup.clip(upper=0)
    assert found.downside_volatility == pytest.approx(np.sqrt((down**2).mean()) * year)
    ewma = (moves.jup**2).ewm(alpha=0.06, adjust=True).mean().iloc[-1]
    assert found.ewma_volatility == pytest.approx(np.sqrt(ewma) * year)
    depth = frame.jup / frame.jup.cummax() - 1
    assert found.max_drawdown == pytest.approx(depth.min())
    assert found.current_drawdown == pytest.approx(depth.iloc[-1])
    assert found.correlation_to_sol == pytest.approx(moves.corr().loc["jup", "sol"])
    assert found.beta_to_sol == pytest.approx(moves.cov().loc["jup", "sol"] / moves.sol.var())
    traded = pd.Series(jup.close * jup.volume).iloc[150:180]
    assert found.volume_mean == pytest.approx(traded.mean())
    assert found.volume_median == pytest.approx(traded.median())
    illiquidity = (frame.jup.pct_change().abs().iloc[-30:] / traded).mean() * 1e6
    assert found.amihud == pytest.approx(illiquidity)
    assert found.days_of_history == 180
    assert found.missing_share == 0
    own = metrics_of(SOL, sol, jup, as_of=as_of)
    assert own.correlation_to_sol == pytest.approx(1.0)
    assert own.beta_to_sol == pytest.approx(1.0)


def test_holes_give_no_returns_but_do_not_undefine_the_rest():
    sol = bars(n=100, mint=SOL)
    holed = without(sol, [60, 92])
    as_of = datetime(2024, 4, 10, tzinfo=UTC)  # all 100 closes
    found = metrics_of(SOL, holed, as_of=as_of)
    close = pd.Series(sol.close)
    close.iloc[[60, 92]] = np.nan
    moves = np.log(close).diff().iloc[-90:]
    assert moves.isna().sum() == 4
    assert found.volatility == pytest.approx(moves.std() * np.sqrt(365))
    assert found.returns["7d"] is None
    assert "2024-04-03" in found.undefined["return_7d"]
    assert found.returns["1d"] is not None
    assert found.missing_share == pytest.approx(0.02)
    assert found.days_of_history == 98


def test_a_short_history_says_what_is_short():
    found = metrics_of(SOL, bars(n=15, mint=SOL), as_of=datetime(2024, 1, 16, tzinfo=UTC))
    assert found.price is not None
    assert found.max_drawdown is not None
    assert found.undefined["volatility"] == "14 returns, 20 are needed"
    assert found.undefined["correlation_to_sol"] == "14 common returns, 20 are needed"
    assert found.undefined["return_30d"] == "history is shorter than 30d"
    assert found.returns["7d"] is not None


def test_a_token_that_ended_has_no_price_metrics():
    ended = bars("FTTUSDT", n=40)
    as_of = datetime(2024, 2, 29, tzinfo=UTC)
    found = metrics_of("bybit:FTTUSDT", bars(mint=SOL), ended, as_of=as_of)
    assert all(getattr(found, name) is None for name in PRICE_METRICS)
    assert "2024-02-10" in found.undefined["price"]
    assert found.days_of_history == 40
    before = metrics_of(
        "bybit:FTTUSDT", bars(mint=SOL), ended, as_of=datetime(2024, 2, 10, tzinfo=UTC)
    )
    assert before.price == ended.close[-1]


def test_an_old_panel_is_stale_although_no_row_says_so():
    found = metrics_of(SOL, bars(n=60, mint=SOL), as_of=datetime(2024, 6, 1, tzinfo=UTC))
    assert found.price is None
    assert "bars before as_of" in found.undefined["price"]
    assert found.missing_share == pytest.approx(1 - 60 / 152)


def test_without_bars_or_volume_or_market():
    oracle = bars("Crypto.SOL/USD", venue="pyth", kind="oracle", mint=SOL)
    as_of = datetime(2024, 3, 1, tzinfo=UTC)
    found = metrics_of(SOL, oracle, as_of=as_of)
    assert found.volume_mean is found.amihud is None
    assert found.undefined["amihud"] == "no traded volume recorded"
    lone = metrics_of("bybit:JUPUSDT", bars("JUPUSDT"), as_of=as_of)
    assert lone.undefined["beta_to_sol"] == f"{SOL} is not in the panel"
    early = metrics_of(SOL, oracle, as_of=datetime(2020, 1, 1, tzinfo=UTC))
    assert early.undefined["price"] == "no usable bar up to as_of"
    assert early.missing_share is None
    unknown = metrics_of("X", oracle, as_of=as_of, chain={"X": ChainInputs(pool_fee=0.003)})
    assert unknown.pool_fee == 0.003
    assert unknown.price is None


def test_a_price_that_never_moves_has_no_correlation():
    flat = bars("USDYUSDT")
    flat = replace(flat, **{name: np.ones(60) for name in ("open", "high", "low", "close")})
    as_of = datetime(2024, 3, 1, tzinfo=UTC)
    found = metrics_of("bybit:USDYUSDT", bars(mint=SOL), flat, as_of=as_of)
    assert found.volatility == 0.0
    assert found.correlation_to_sol is None
    assert found.undefined["correlation_to_sol"] == "returns without variance"
    assert found.beta_to_sol == 0.0
    against = metrics_of(SOL, bars(mint=SOL), flat, as_of=as_of, market_asset="bybit:USDYUSDT")
    assert against.undefined["beta_to_sol"] == "market returns without variance"


def test_chain_inputs_pass_through_and_are_checked():
    as_of = datetime(2024, 3, 1, tzinfo=UTC)
    chain = {SOL: ChainInputs(stake_rate=0.07, supply_rate=0.02, lending_utilization=0.0)}
    found = metrics_of(SOL, bars(mint=SOL), as_of=as_of, chain=chain)
    assert found.total_yield == pytest.approx(0.09)
    assert found.lending_utilization == 0.0
    assert "lending_utilization" not in found.undefined
    assert found.undefined["pool_fee"] == "no chain input"
    none = metrics_of(SOL, bars(mint=SOL), as_of=as_of)
    assert none.total_yield is None
    for bad in ({"pool_fee": float("nan")}, {"supply_rate": float("inf")}, {"pool_fee": -0.1}):
        with pytest.raises(MetricsError, match=next(iter(bad))):
            ChainInputs(**bad)


@given(
    holes=st.lists(st.integers(0, 119), max_size=40),
    day=st.integers(0, 130),
    kind=st.sampled_from(["perp", "oracle"]),
)
def test_none_has_a_reason_and_nothing_is_nan(holes, day, kind):
    series = without(bars(n=120, mint=SOL, kind=kind), holes)
    as_of = np.datetime64("2024-01-01", "ns") + np.timedelta64(day, "D")
    found = compute_metrics(panel_of(series, bars("JUPUSDT", n=120)), as_of)
    for one in found:
        shown = one.to_json()
        text = json.dumps(shown, allow_nan=False)
        assert "NaN" not in text
        empty = {name for name, value in shown.items() if value is None}
        assert empty == set(one.undefined)


@given(
    day=st.integers(1, 119),
    hours=st.integers(0, 23),
    factor=st.floats(0.01, 100),
    cut=st.booleans(),
)
def test_the_future_changes_no_metric(day, hours, factor, cut):
    as_of = np.datetime64("2024-01-01", "ns") + np.timedelta64(24 * day + hours, "h")
    market = [
        changed(bars(n=120, mint=SOL), 30, high=1e-9),
        without(bars("JUPUSDT", n=120, seed=2), [20, 40]),
        bars("JUPUSDT", n=120, seed=2, venue="pyth", kind="oracle"),
    ]
    other = []
    for series in market:
        later = np.flatnonzero(series.known_at > as_of)
        if cut:
            other.append(series.take(series.known_at <= as_of))
            continue
        for row in later:
            series = priced(series, row, series.close[row] * factor)
        other.append(series)
    # A series that has not begun is not in the cut market: compare what exists in both.
    left = {one.asset: one.to_json() for one in compute_metrics(panel_of(*market), as_of)}
    right = {one.asset: one.to_json() for one in compute_metrics(panel_of(*other), as_of)}
    assert right == {asset: left[asset] for asset in right}
    assert right


def test_windows_are_settings():
    sol = bars(n=60, mint=SOL)
    settings = MetricsSettings(return_horizons=(5,), volatility_window=10, min_observations=5)
    found = metrics_of(SOL, sol, as_of=datetime(2024, 3, 1, tzinfo=UTC), settings=settings)
    assert list(found.returns) == ["5d"]
    moves = np.diff(np.log(sol.close))[-10:]
    assert found.volatility == pytest.approx(moves.std(ddof=1) * np.sqrt(365))
