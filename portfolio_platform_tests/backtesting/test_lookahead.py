"""Nothing after t may change anything up to t; a strategy that peeks is caught."""

import numpy as np
import pytest

from portfolio_platform.backtesting import BacktestSpec, check_lookahead
from portfolio_platform.optimization import decide
from portfolio_platform_tests.backtesting.conftest import price_panel


@pytest.fixture(scope="module")
def market():
    generator = np.random.default_rng(4)
    returns = generator.standard_t(4, (420, 1)) * 0.01 + generator.standard_t(4, (420, 5)) * 0.02
    panel = price_panel(returns, yields=np.full((421, 5), 0.05))
    close = panel.close.copy()
    close[:150, 4] = np.nan
    object.__setattr__(panel, "close", close)
    return panel, np.exp(generator.normal(14, 1, close.shape))


def test_the_platform_does_not_peek(market):
    panel, volumes = market
    spec = BacktestSpec.model_validate(
        {
            "strategies": [
                {"name": "calm", "spec": {"lookback": 60}},
                {"name": "greedy", "spec": {"lookback": 60, "obj": "Sharpe"}},
                {"name": "patient", "spec": {"lookback": 60, "turnover": 0.3}},
                {"name": "tree", "spec": {"lookback": 60, "model": "HRP"}},
            ],
            "costs": {"fee_bps": 10, "impact": "sqrt", "participation_cap": 0.1},
            "rebalance": {"rule": "band", "band": 0.03, "every": 10},
        }
    )
    found = check_lookahead(spec, panel, volumes=volumes, cuts=4)
    assert found.clean, found.leaks
    assert found.comparisons == 4 * (4 + 3 + 2 + 1 + 4)


@pytest.mark.parametrize("ahead", [1, 5])
def test_a_strategy_that_peeks_is_caught(market, ahead):
    panel, _ = market

    def peeking(spec, prices, as_of):
        row = int(np.searchsorted(prices.times, as_of)) + ahead
        return decide(spec, prices, prices.times[min(row, len(prices.times) - 1)])

    spec = BacktestSpec.model_validate({"strategies": [{"name": "x", "spec": {"lookback": 60}}]})
    found = check_lookahead(spec, panel, peeking, cuts=4)
    assert not found.clean
    assert {leak.what for leak in found.leaks} == {"decision"}
    assert all(leak.decided_at == leak.future_from for leak in found.leaks)


def test_peeking_at_a_statistic_of_the_whole_sample_is_caught(market):
    """The usual mistake: choosing assets by their fate."""
    panel, _ = market

    def survivor(spec, prices, as_of):
        with np.errstate(all="ignore"):
            final = np.nan_to_num(prices.close[-1] / prices.close[200], posinf=0.0)
        best = [a for a, f in zip(prices.assets, final, strict=True) if f >= np.median(final)]
        rule = spec.universe.model_copy(update={"assets": tuple(best)})
        return decide(spec.model_copy(update={"universe": rule}), prices, as_of)

    spec = BacktestSpec.model_validate({"strategies": [{"name": "x", "spec": {"lookback": 60}}]})
    assert not check_lookahead(spec, panel, survivor, cuts=4).clean
