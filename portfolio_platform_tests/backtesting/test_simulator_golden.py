"""Golden wealth figures and parity with peers (SP20, weekly Dirichlet targets, wealth from 1)."""

import numpy as np
import pytest

from portfolio_platform.backtesting.market_path import build_path
from portfolio_platform.backtesting.simulator import Schedule, Terms, simulate, simulate_many
from portfolio_platform.reallocation.costs import CostModel

GOLDEN = {
    ("exact", 0, 0): 143.292052175,
    ("exact", 10, 0): 30.028193141,
    ("exact", 10, 5): 13.7462177796,
    ("pro_rata", 0, 0): 143.292052175,
    ("pro_rata", 10, 0): 30.0733768605,
    ("pro_rata", 10, 5): 13.7880290395,
    ("vectorbt", 0, 0): 143.292052175,
    ("vectorbt", 10, 0): 30.0909439848,
    ("vectorbt", 10, 5): 13.8043847842,
}


@pytest.fixture(scope="module")
def market(sp20):
    path = build_path(sp20, 0, len(sp20.times) - 1, costs=CostModel(), bars_per_year=365.0)
    targets = np.random.default_rng(3).dirichlet(np.ones(20), 1600)
    return path, targets, Schedule.of(len(path), np.arange(0, 8000, 5))


@pytest.mark.parametrize(("convention", "fee", "slip"), GOLDEN)
def test_final_wealth(market, convention, fee, slip):
    path, targets, schedule = market
    terms = Terms(CostModel(fee_bps=fee, slippage_bps=slip), convention)
    simulation = simulate(path, targets, schedule, terms)
    assert simulation.equity[-1] == pytest.approx(GOLDEN[convention, fee, slip], rel=5e-11)
    assert simulation.accounting_error(path.price) <= 1e-12
    assert simulation.cash.min() >= 0.0
    assert simulation.units.min() >= 0.0


#: Equity of vectorbt 1.2.0 at some bars: fee 10 bps, slippage 5 bps, the same targets.
VECTORBT = {
    0: 0.9985017481269358,
    1: 1.0159417672034956,
    5: 0.9744571029868645,
    777: 1.8268876097323525,
    1500: 2.643380233013023,
    3000: 5.515404890494361,
    5001: 5.267725628698653,
    6543: 6.814112933771456,
    7999: 13.804384784168933,
}


def test_vectorbt_convention_is_vectorbt_as_recorded(market):
    path, targets, schedule = market
    terms = Terms(CostModel(fee_bps=10, slippage_bps=5), "vectorbt")
    ours = simulate(path, targets, schedule, terms)
    for bar, equity in VECTORBT.items():
        assert ours.equity[bar] == pytest.approx(equity, rel=1e-12)


@pytest.mark.nightly
def test_vectorbt_convention_is_vectorbt(market):
    """Every bar within 1e-12 of vectorbt run beside it; its first call compiles for a while."""
    import pandas as pd
    import vectorbt as vbt

    path, targets, _ = market
    bars = len(path)
    orders = np.full((bars, 20), np.nan)
    orders[::5] = targets[: bars // 5]
    reference = (
        vbt.Portfolio.from_orders(
            pd.DataFrame(path.price[:bars]),
            pd.DataFrame(orders),
            size_type="targetpercent",
            fees=0.001,
            slippage=0.0005,
            init_cash=1.0,
            group_by=True,
            cash_sharing=True,
            call_seq="auto",
        )
        .value()
        .to_numpy()
    )
    terms = Terms(CostModel(fee_bps=10, slippage_bps=5), "vectorbt")
    ours = simulate(path, targets, Schedule.of(len(path), np.arange(0, 8000, 5)), terms)
    assert np.abs(ours.equity[:bars] / reference - 1.0).max() <= 1e-12


def test_without_costs_every_convention_is_plain_drift(market):
    """An independent few lines of numpy: weights times gross returns between rebalances."""
    path, targets, schedule = market
    wealth = np.ones(len(path))
    held = None
    for bar in range(len(path)):
        if bar:
            held = held * path.price[bar] / path.price[bar - 1]
            wealth[bar] = held.sum()
        if bar % 5 == 0:
            held = targets[bar // 5] * wealth[bar]
    for convention in ("pro_rata", "exact", "vectorbt"):
        ours = simulate(path, targets, schedule, Terms(CostModel(), convention))
        assert np.abs(ours.equity / wealth - 1.0).max() <= 1e-12


def test_without_costs_a_drifting_peer_agrees(market):
    """skfolio's portfolios whose weights drift, one per holding period, over 2,000 bars."""
    import pandas as pd
    from skfolio import Portfolio

    path, targets, schedule = market
    returns = pd.DataFrame(path.price[:2000]).pct_change().iloc[1:]
    wealth = [1.0]
    for number, start in enumerate(range(0, 1999, 5)):
        held = Portfolio(returns.iloc[start : start + 5], targets[number], weight_drift=True)
        wealth.extend(wealth[-1] * np.cumprod(1.0 + held.returns))
    ours = simulate(path, targets, schedule, Terms(CostModel())).equity[:2000]
    assert np.abs(ours / wealth - 1.0).max() <= 1e-12


def test_many_strategies_at_once_equal_one_by_one(market):
    path, targets, schedule = market
    stacked = np.stack([np.roll(targets, shift, axis=1) for shift in range(4)])
    terms = Terms(CostModel(fee_bps=10, slippage_bps=5, min_trade=1e-4))
    equity, totals = simulate_many(path, stacked, schedule, terms)
    for row, one in enumerate(stacked):
        alone = simulate(path, one, schedule, terms)
        assert np.array_equal(alone.equity, equity[row])
        np.testing.assert_allclose(alone.flows.sum(axis=0), totals[row], rtol=1e-12)
