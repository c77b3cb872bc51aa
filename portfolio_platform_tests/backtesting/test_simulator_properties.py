"""Accounting holds for any market, any targets, any costs and any rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.backtesting.market_path import build_path, forward_fill
from portfolio_platform.backtesting.simulator import (
    Schedule,
    State,
    Terms,
    Walker,
    simulate,
)
from portfolio_platform.backtesting.spec_parts import Rebalance
from portfolio_platform.optimization import PricePanel
from portfolio_platform.reallocation.costs import CostModel


@st.composite
def markets(draw):
    """A panel with gaps, listings, delistings, a dead token, and volumes."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    bars, n = draw(st.integers(2, 60)), draw(st.integers(1, 6))
    close = np.exp(np.cumsum(generator.standard_t(3, (bars, n)) * 0.06, axis=0))
    close *= 10.0 ** generator.integers(-6, 5, n)
    for column in range(n):
        kind = generator.integers(0, 5)
        cut = int(generator.integers(0, bars))
        if kind == 0:
            close[:cut, column] = np.nan
        elif kind == 1:
            close[cut:, column] = np.nan
        elif kind == 2:
            close[cut:, column] = 0.0
        elif kind == 3:
            close[cut : cut + 3, column] = np.nan
    times = np.datetime64("2022-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D")
    assets = tuple(f"A{column}" for column in range(n))
    yields = np.where(generator.random((bars, n)) < 0.5, 0.08, np.nan)
    panel = PricePanel(assets=assets, times=times, close=close, yields=yields)
    return panel, np.exp(generator.normal(12, 3, (bars, n))), generator


@st.composite
def terms_of_trade(draw, assets):
    convention = draw(st.sampled_from(["pro_rata", "pro_rata", "exact", "vectorbt"]))
    rates = {
        "fee_bps": draw(st.floats(0, 300)),
        "slippage_bps": draw(st.floats(0, 300)),
    }
    if convention == "pro_rata":
        rates |= {
            "fixed_fee": draw(st.sampled_from([0.0, 0.5, 40.0])),
            "min_trade": draw(st.sampled_from([0.0, 5.0, 200.0])),
            "participation_cap": draw(st.sampled_from([None, 0.02, 0.5])),
            "impact": draw(st.sampled_from(["none", "sqrt", "pool"])),
            "pool_depth": {asset: 10.0 ** draw(st.integers(2, 8)) for asset in assets},
        }
    rule = draw(
        st.sampled_from(
            [
                Rebalance(),
                Rebalance(rule="band", band=0.05),
                Rebalance(rule="utilization", abs_band=0.01),
            ]
        )
    )
    return Terms(
        costs=CostModel(**rates),
        convention=convention,
        rebalance=rule,
        cash_rate_per_bar=draw(st.sampled_from([0.0, 1e-4])),
        recovery=draw(st.sampled_from([0.0, 0.4, 1.0])),
    )


def case(data):
    panel, volumes, generator = data.draw(markets())
    terms = data.draw(terms_of_trade(panel.assets))
    path = build_path(
        panel,
        0,
        len(panel.times) - 1,
        costs=terms.costs,
        bars_per_year=365.0,
        settle_after=data.draw(st.sampled_from([None, 2])),
        accrue_yields=data.draw(st.booleans()),
        volumes=volumes,
    )
    fills = np.unique(generator.integers(0, len(path), 6))
    targets = generator.dirichlet(np.ones(len(panel.assets)) * 0.5, len(fills))
    targets *= generator.choice([1.0, 0.7], (len(fills), 1))
    return path, targets, Schedule.of(len(path), fills), terms


@given(st.data())
@settings(max_examples=150)
def test_nothing_is_created_and_nothing_is_lost(data):
    """cash + holdings + costs = capital + gains + income, at every bar, to 1e-9."""
    path, targets, schedule, terms = case(data)
    found = simulate(path, targets, schedule, terms, capital=10_000.0)
    assert found.accounting_error(path.price) <= 1e-9
    assert found.cash.min() >= 0.0
    assert found.units.min() >= 0.0
    assert found.flows.min() >= 0.0
    np.testing.assert_allclose(
        found.equity, found.cash + (found.units * path.price).sum(axis=1), rtol=1e-12, atol=1e-9
    )
    weights = found.weights(path.price)
    assert (weights.sum(axis=1) <= 1.0 + 1e-9).all()


@given(st.data())
@settings(max_examples=60)
def test_a_walk_that_stops_continues_to_the_bit(data):
    path, targets, schedule, terms = case(data)
    whole = simulate(path, targets, schedule, terms, capital=10_000.0)
    stop = data.draw(st.integers(0, len(path)))
    first = Walker(path, terms, capital=10_000.0)
    first.advance(stop, targets, schedule)
    second = Walker(path, terms, capital=10_000.0)
    second.state = State.from_json(first.state.to_json())
    second.advance(len(path), targets, schedule)
    assert np.array_equal(second.equity[stop:], whole.equity[stop:])
    assert np.array_equal(second.units[stop:], whole.units[stop:])
    assert np.array_equal(first.equity[:stop], whole.equity[:stop])


@given(st.data())
@settings(max_examples=60)
def test_higher_fees_never_pay(data):
    panel, _, generator = data.draw(markets())
    fee = data.draw(st.floats(0, 200))
    path = build_path(panel, 0, len(panel.times) - 1, costs=CostModel(), bars_per_year=365.0)
    targets = generator.dirichlet(np.ones(len(panel.assets)), 1)
    schedule = Schedule.of(len(path), np.array([0]))
    cheap, dear = (
        simulate(path, targets, schedule, Terms(CostModel(fee_bps=f))).equity[-1]
        for f in (fee, fee + 50.0)
    )
    assert dear <= cheap * (1 + 1e-12)


def test_gaps_are_marked_at_the_last_price():
    close = np.array([[np.nan, 1.0], [2.0, np.nan], [np.nan, np.nan], [3.0, 0.0]])
    assert forward_fill(close).tolist() == [[0.0, 1.0], [2.0, 1.0], [2.0, 1.0], [3.0, 0.0]]


def walk(close, targets, fills, **rules):
    panel = PricePanel(
        assets=tuple("abcdef"[: close.shape[1]]),
        times=np.datetime64("2022-01-01", "ns") + np.arange(len(close)) * np.timedelta64(1, "D"),
        close=close,
    )
    costs = rules.pop("costs", CostModel())
    settle = rules.pop("settle_after", None)
    volumes = rules.pop("volumes", None)
    path = build_path(
        panel,
        0,
        len(close) - 1,
        costs=costs,
        bars_per_year=365.0,
        settle_after=settle,
        volumes=volumes,
    )
    schedule = Schedule.of(len(path), np.array(fills))
    return simulate(path, np.array(targets), schedule, Terms(costs, **rules), capital=100.0)


def test_a_delisted_token_is_settled_at_its_last_price():
    close = np.array([[1.0, 1.0], [2.0, 1.0], [np.nan, 1.0], [np.nan, 1.0], [np.nan, 1.0]])
    held = walk(close, [[0.5, 0.5]], [0])
    assert held.equity.tolist() == [100.0, 150.0, 150.0, 150.0, 150.0]
    half = walk(close, [[0.5, 0.5]], [0], settle_after=2, recovery=0.5)
    assert half.equity.tolist() == [100.0, 150.0, 150.0, 100.0, 100.0]
    assert half.cash[-1] == 50.0
    assert half.flows[:, 4].sum() == 50.0


def test_a_token_that_goes_to_zero_takes_its_share_only():
    close = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.1]])
    found = walk(close, [[0.5, 0.5], [0.5, 0.5]], [0, 1])
    # Half of what is left is wanted in the dead token, cannot be bought, and stays in cash.
    assert found.equity.tolist() == pytest.approx([100.0, 50.0, 52.5])
    everything = walk(close, [[1.0, 0.0]], [0])
    assert everything.equity.tolist() == [100.0, 0.0, 0.0]
    assert everything.returns.tolist() == [-1.0, 0.0]


def test_trades_are_capped_by_volume_known_before():
    close = np.ones((4, 1))
    volumes = np.array([[100.0], [200.0], [1e9], [1e9]])
    costs = CostModel(participation_cap=0.1, adv_bars=1)
    found = walk(close, [[1.0]] * 4, [0, 1, 2, 3], costs=costs, volumes=volumes)
    assert found.flows[:, 5].tolist() == [0.0, 10.0, 20.0, 70.0]


def test_a_band_waits_and_a_utilization_band_watches_each_asset():
    close = np.array([[1.0, 1.0], [1.05, 1.0], [1.4, 1.0], [1.4, 1.0]])
    band = walk(close, [[0.5, 0.5]], [0], rebalance=Rebalance(rule="band", band=0.05))
    assert (band.flows[:, 5] > 0).tolist() == [True, False, True, False]
    rule = Rebalance(rule="utilization", lower=0.95, upper=1.05)
    per_asset = walk(close, [[0.5, 0.5]], [0], rebalance=rule)
    assert (per_asset.flows[:, 5] > 0).tolist() == [True, False, True, False]


def test_pool_impact_is_the_loss_of_a_constant_product_pool():
    costs = CostModel(impact="pool", pool_depth={"a": 900.0})
    found = walk(np.ones((1, 1)), [[0.5]], [0], costs=costs)
    size = found.flows[0, 5]
    assert found.flows[0, 2] == pytest.approx(size * size / (900.0 + size))
    assert costs.trade_cost(size, mint="a").impact == pytest.approx(found.flows[0, 2])


def test_cash_earns_its_rate():
    found = walk(np.ones((3, 1)), [[0.0]], [0], cash_rate_per_bar=0.01)
    assert found.equity.tolist() == pytest.approx([100.0, 101.0, 102.01])
    assert found.flows[:, 6].tolist() == pytest.approx([0.0, 1.0, 1.01])
