"""Markets the backtesting tests walk through."""

import numpy as np
import pytest
from hypothesis import settings

from portfolio_platform.optimization import PricePanel

settings.register_profile("compiled", deadline=None)  # a first call may compile
settings.load_profile("compiled")


def price_panel(returns: np.ndarray, start: str = "2022-01-01", **parts) -> PricePanel:
    """Daily panel from (T, n) returns; assets A00, A01, …; first price 1."""
    close = np.cumprod(np.vstack([np.ones((1, returns.shape[1])), 1.0 + returns]), axis=0)
    times = np.datetime64(start, "ns") + np.arange(len(close)) * np.timedelta64(1, "D")
    assets = tuple(f"A{column:02d}" for column in range(returns.shape[1]))
    return PricePanel(assets=assets, times=times, close=close, **parts)


@pytest.fixture(scope="session")
def sp20() -> PricePanel:
    """The first 8,000 daily prices of the 20 stocks that ship with skfolio."""
    from skfolio.datasets import load_sp500_dataset

    return PricePanel.from_frame(load_sp500_dataset().iloc[:8000])


@pytest.fixture
def noise() -> PricePanel:
    """Three years of 6 fat-tailed assets without any edge."""
    generator = np.random.default_rng(11)
    market = generator.standard_t(4, (1100, 1)) * 0.012
    own = generator.standard_t(4, (1100, 6)) * 0.02
    return price_panel(market + own)
