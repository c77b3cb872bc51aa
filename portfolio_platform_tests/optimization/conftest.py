"""Panels and the oracle of the optimisation tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from portfolio_platform.optimization import PricePanel, StrategySpec, warm


@pytest.fixture(scope="session")
def sp20() -> PricePanel:
    """Twenty S&P 500 stocks, 1990 to 2022, from the data that ships inside skfolio."""
    from skfolio.datasets import load_sp500_dataset

    frame = load_sp500_dataset()
    energy, tech = {"CVX", "XOM", "RRC"}, {"AAPL", "MSFT", "AMD"}
    groups = {
        name: "energy" if name in energy else "tech" if name in tech else "rest"
        for name in frame.columns
    }
    return PricePanel.from_frame(frame, groups=groups)


@pytest.fixture(scope="session")
def compiled() -> dict[str, float]:
    """The kernels, compiled or loaded."""
    return warm.warm()


@pytest.fixture(scope="session")
def spec() -> Callable[..., StrategySpec]:
    """Build a spec from fields."""
    return lambda **fields: StrategySpec.model_validate(fields)


def make_panel(
    count: int,
    rows: int,
    *,
    seed: int = 0,
    stable: tuple[str, ...] = (),
    names: tuple[str, ...] | None = None,
    **parts: Any,
) -> PricePanel:
    """Return a seeded panel of one-factor prices; stablecoins move by a hundred-thousandth."""
    generator = np.random.default_rng(seed)
    names = names or tuple(f"M{place:02d}" for place in range(count))
    market = generator.standard_t(5, rows - 1) * 0.01
    own = generator.standard_t(5, (rows - 1, count)) * 0.02
    returns = 0.0005 + market[:, None] * generator.uniform(0.5, 1.5, count) + own
    for place, name in enumerate(names):
        if name in stable:
            returns[:, place] = generator.normal(0, 1e-5, rows - 1)
    close = 100 * np.vstack([np.ones(count), np.cumprod(1 + np.clip(returns, -0.5, 0.5), axis=0)])
    times = np.datetime64("2024-01-01", "ns") + np.arange(rows) * np.timedelta64(1, "D")
    return PricePanel(names, times, close, stable=frozenset(stable), **parts)


@pytest.fixture(scope="session")
def panel_of() -> Callable[..., PricePanel]:
    """Build a seeded panel."""
    return make_panel


def sample(panel: PricePanel, end: int, window: int = 252) -> pd.DataFrame:
    """Return the simple returns of the window that ends at row `end`, as riskfolio wants them."""
    close = panel.close[end - window : end + 1]
    return pd.DataFrame(close[1:] / close[:-1] - 1.0, columns=list(panel.assets))


def oracle(
    frame: pd.DataFrame, *, model: str = "Classic", tight: bool = False, **asked: Any
) -> np.ndarray | None:
    """Return riskfolio's own weights for `frame` (T, n), None where it has none."""
    import riskfolio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _ask(riskfolio, frame, model, tight, asked)


def _statistics(portfolio: Any) -> None:
    """Let riskfolio estimate; LAPACK's default driver failed once on a healthy matrix."""
    try:
        portfolio.assets_stats()
    except np.linalg.LinAlgError:
        portfolio.assets_stats()


def _ask(
    riskfolio: Any, frame: pd.DataFrame, model: str, tight: bool, asked: dict[str, Any]
) -> np.ndarray | None:
    if model == "HRP":
        weights = riskfolio.HCPortfolio(returns=frame).optimization(
            model="HRP", codependence="pearson", linkage="single", leaf_order=True, **asked
        )
    else:
        portfolio = riskfolio.Portfolio(returns=frame)
        portfolio.solvers = ["CLARABEL"]
        portfolio.upperlng = asked.pop("cap", 1)
        if tight:
            limit = 1e-12
            portfolio.sol_params = {
                "CLARABEL": {"tol_gap_abs": limit, "tol_gap_rel": limit, "tol_feas": limit}
            }
        _statistics(portfolio)
        portfolio.cov = frame.cov()
        if model == "RP":
            weights = portfolio.rp_optimization(**asked)
        else:
            weights = portfolio.optimization(**asked)
    return None if weights is None else weights.to_numpy().ravel()


@pytest.fixture(scope="session")
def riskfolio_weights() -> Callable[..., np.ndarray | None]:
    """riskfolio's own weights for a window of returns."""
    return oracle


@pytest.fixture(scope="session")
def window_of() -> Callable[..., pd.DataFrame]:
    """Returns of a window of a panel."""
    return sample
