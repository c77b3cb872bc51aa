"""Point-in-time moments: what a strategy may know at a time, ready for a solver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.optimization import estimators
from portfolio_platform.optimization.panel import FloatArray, Instant, PricePanel, instant
from portfolio_platform.optimization.solution import MomentsMeta, NoAnswer
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.universe import Window, window

#: Negative eigenvalues down to this share of the largest are rounding and are left alone.
ROUNDING_EIGENVALUE = 1e-13


@dataclass(frozen=True)
class Moments:
    """Inputs of one optimisation; n assets sorted by id, T returns, figures per bar.

    Attributes
    ----------
    cash
        Stablecoins that share ``1 - budget`` equally, outside the optimisation.
    returns
        (T, n) scenarios.
    mean
        (n,) expected return.
    covariance
        (n, n) positive semidefinite covariance.
    risk_free
        Risk-free return of one bar.
    current
        (n + cash,) current weights, or None; weight held outside the universe is `outside`.
    """

    assets: tuple[str, ...]
    cash: tuple[str, ...]
    returns: FloatArray
    mean: FloatArray
    covariance: FloatArray
    risk_free: float
    stable: NDArray[np.bool_]
    groups: tuple[str | None, ...]
    current: FloatArray | None
    outside: float
    excluded: dict[str, str]
    factors: FloatArray | None
    meta: MomentsMeta


def covariance_method(spec: StrategySpec, rows: int, count: int) -> str:
    """Resolve ``auto``: ``hist`` with at least three returns per asset, else ``ledoit``."""
    method = spec.covariance.method
    if method != "auto":
        return method
    return "hist" if rows >= 3 * count or count == 1 else "ledoit"


def estimate_moments(
    spec: StrategySpec,
    panel: PricePanel,
    as_of: Instant,
    *,
    current: Mapping[str, float] | None = None,
) -> Moments:
    """Estimate the moments a decision at `as_of` may use; later rows are never looked at.

    Parameters
    ----------
    spec
        The strategy.
    panel
        Prices, of which only rows known at `as_of` count.
    as_of
        Time of the decision: aware datetime, or naive UTC ``datetime64``.
    current
        Weights held now, for turnover and cost.

    Raises
    ------
    NoAnswer
        ``insufficient_history``, ``empty_universe`` or ``numerical``.
    """
    known = panel.until(instant(as_of))
    return moments_of(spec, window(spec, known), current=current)


def moments_of(
    spec: StrategySpec, chosen: Window, *, current: Mapping[str, float] | None = None
) -> Moments:
    """Estimate the moments of one window of returns."""
    rows, count = chosen.returns.shape
    notes: list[str] = []
    if np.isnan(chosen.returns).any():
        method = "hist"
        covariance = estimators.pairwise_covariance(chosen.returns)
        if np.isnan(covariance).any():
            raise NoAnswer(
                "insufficient_history",
                "two assets share fewer than two returns",
                universe=chosen.assets,
                excluded=chosen.excluded,
            )
        notes.append("covariance estimated pair by pair")
        counts = (~np.isnan(chosen.returns)).sum(axis=0)
        effective = float(counts.min())
    else:
        method = covariance_method(spec, rows, count)
        if rows < 2:
            raise NoAnswer(
                "insufficient_history",
                f"{rows} common returns",
                universe=chosen.assets,
                excluded=chosen.excluded,
            )
        covariance = _covariance(spec, chosen, method)
        effective = estimators.effective_observations(rows, spec.covariance, method)
    covariance = 0.5 * (covariance + covariance.T)
    covariance, repair = _repair(covariance, certain=method in {"hist", "ledoit"} and not notes)
    try:
        mean = estimators.mean_vector(chosen.returns, spec.mean)
    except NoAnswer as failure:
        if uses_mean(spec):
            raise
        mean = chosen.returns.mean(axis=0)
        notes.append(f"historical mean reported: {failure.reason}")
    if spec.mean.yields:
        mean = mean + chosen.yields / spec.bars_per_year
        notes.append("yields added to the expected return")
    if spec.winsorize is not None:
        notes.append(f"returns clipped at quantile {spec.winsorize:g}")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise NoAnswer(
            "numerical",
            f"estimators {spec.mean.method}/{method} gave non-finite moments",
            universe=chosen.assets,
            excluded=chosen.excluded,
        )
    held, outside = _current(chosen.assets + chosen.cash, current)
    return Moments(
        assets=chosen.assets,
        cash=chosen.cash,
        returns=chosen.returns,
        mean=mean,
        covariance=covariance,
        risk_free=spec.risk_free_rate / spec.bars_per_year,
        stable=chosen.stable,
        groups=chosen.groups,
        current=held,
        outside=outside,
        excluded=chosen.excluded,
        factors=chosen.factors,
        meta=MomentsMeta(
            mean_method=spec.mean.method,
            covariance_method=method,
            observations=rows,
            effective_observations=effective,
            psd_repair=repair,
            covariance=covariance,
            first=chosen.first,
            last=chosen.last,
            notes=tuple(notes),
        ),
    )


def _covariance(spec: StrategySpec, chosen: Window, method: str) -> FloatArray:
    try:
        return estimators.covariance_matrix(
            chosen.returns, spec.covariance, method, spec.time_limit
        )
    except NoAnswer as failure:
        raise NoAnswer(
            failure.status, failure.reason, universe=chosen.assets, excluded=chosen.excluded
        ) from failure


def uses_mean(spec: StrategySpec) -> bool:
    """Whether the expected returns decide anything, beyond being reported."""
    if spec.model in {"BL", "BLB", "FM"} or spec.rm in {"MAD", "MSV"}:
        return True
    return spec.obj in {"Sharpe", "Utility", "MaxRet"}


def _repair(covariance: FloatArray, *, certain: bool) -> tuple[FloatArray, str | None]:
    """Clip negative eigenvalues and say so; `certain` estimators have none by construction."""
    if certain:
        return covariance, None
    values, vectors = np.linalg.eigh(covariance)
    if values[0] >= -ROUNDING_EIGENVALUE * max(values[-1], 0.0):
        return covariance, None
    clipped = (vectors * np.maximum(values, 0.0)) @ vectors.T
    count = int((values < 0).sum())
    text = f"clipped {count} negative eigenvalues, smallest {values[0]:.3g} of {values[-1]:.3g}"
    return 0.5 * (clipped + clipped.T), text


def _current(
    assets: tuple[str, ...], current: Mapping[str, float] | None
) -> tuple[FloatArray | None, float]:
    if current is None:
        return None, 0.0
    held = np.array([float(current.get(asset, 0.0)) for asset in assets])
    inside = set(assets)
    outside = sum(abs(float(weight)) for asset, weight in current.items() if asset not in inside)
    if not np.isfinite(held).all() or not np.isfinite(outside):
        raise NoAnswer("infeasible", "the current holding has a weight that is not finite")
    return held, outside
