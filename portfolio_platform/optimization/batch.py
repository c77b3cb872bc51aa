"""Which walk-forwards the compiled kernels cover, and how they are called."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.optimization.checks import VIOLATION_LIMIT
from portfolio_platform.optimization.moments import Moments
from portfolio_platform.optimization.ordered import ORDERED, POLYHEDRAL, order_weights, owa_vector
from portfolio_platform.optimization.panel import FloatArray, PricePanel
from portfolio_platform.optimization.problem import build
from portfolio_platform.optimization.solution import MomentsMeta
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.universe import chooses_cash

#: States written by the kernels.
OPTIMAL, UNDECIDED, NO_EXCESS = 0, 1, 2
_CHUNK = 512


def kind(spec: StrategySpec, count: int, *, has_cash: bool) -> str | None:
    """Return the kernel that covers `spec` on `count` assets, or None.

    Parameters
    ----------
    count
        Assets the model would weigh.
    has_cash
        Whether stablecoins are among the candidates.
    """
    choice = (
        spec.cardinality is None
        and spec.minimum_weight == 0
        and spec.turnover is None
        and spec.cost_bps == 0
        and spec.risk_budget is None
    )
    data = (
        spec.winsorize is None
        and spec.universe.overlap == "common"
        and "previous" not in spec.fallback
        and spec.kelly is None
    )
    if not (choice and data) or count < 2:
        return None
    capped = spec.model == "Classic" and spec.budget == 1 and has_cash
    plain = not capped and not (
        spec.groups
        or spec.linear
        or spec.bounds.assets
        or spec.bounds.lower != 0
        or spec.bounds.upper != 1
    )
    sample = spec.covariance.method == "hist" or (
        spec.covariance.method == "auto" and spec.lookback >= 3 * count
    )
    if spec.model == "Classic" and spec.rm == "MV" and sample:
        if spec.obj == "MinRisk":
            return "min_variance" if plain else "programme_min_variance"
        if spec.obj == "Sharpe" and spec.mean.method == "hist" and not spec.mean.yields:
            return "max_sharpe" if plain else "programme_max_sharpe"
        return None
    if not plain:
        return None
    if spec.model == "Classic" and spec.rm == "CVaR" and spec.obj == "MinRisk":
        if spec.lookback * count <= 100_000 and spec.tail.alpha * spec.lookback >= 1:
            return "cvar"
        return None
    smooth = spec.model == "Classic" and spec.rm in {"EVaR", "MSV", "SLPM"}
    if spec.rm == "EVaR" and spec.tail.alpha * spec.lookback <= 1:
        return None
    if smooth and spec.obj in {"MinRisk", "Sharpe"}:
        needed = spec.obj == "Sharpe" or spec.rm == "MSV"
        if not needed or (spec.mean.method == "hist" and not spec.mean.yields):
            return "smooth"
    plain_mean = spec.mean.method == "hist" and not spec.mean.yields
    if spec.obj == "MinRisk" or (spec.obj == "Utility" and plain_mean):
        if spec.model == "OWA":
            return "polyhedral"
        if spec.model == "Classic" and spec.rm in POLYHEDRAL and (plain_mean or spec.rm != "MAD"):
            return "polyhedral"
    if spec.model == "RP" and spec.rm == "MV" and sample:
        return "risk_parity"
    shape = spec.hierarchy
    if spec.model == "HRP" and spec.rm in {"MV", "vol"} and sample:
        plain_tree = shape.codependence == "pearson" and shape.linkage != "DBHT"
        return "hrp" if plain_tree else None
    return None


def is_ready(name: str) -> bool:
    """Whether the kernel runs without compiling: loaded here, or cached on disk for this CPU."""
    from portfolio_platform.optimization.kernels.ready import ready

    return ready(*_dispatchers(name))


@dataclass(frozen=True)
class Batch:
    """Answers of one kernel call: weights (k, n), gaps (k,), states (k,)."""

    weights: FloatArray
    gaps: FloatArray
    states: NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Constraints in columns: C (n, m) and sides (m,), ``Cᵀw >= sides``, the budget first."""

    columns: FloatArray
    sides: FloatArray

    def hold(self, weights: FloatArray) -> NDArray[np.bool_]:
        """Return (k,) whether each row of `weights` holds the constraints."""
        with np.errstate(invalid="ignore"):
            slack = weights @ self.columns - self.sides
            return (np.abs(slack[:, 0]) <= VIOLATION_LIMIT) & (slack >= -VIOLATION_LIMIT).all(1)


def constraints(spec: StrategySpec, panel: PricePanel, assets: tuple[str, ...]) -> Rows:
    """Return the constraints of `spec` on these assets, which must be all it may hold.

    Raises
    ------
    NoAnswer
        ``infeasible`` when a constraint names an asset that cannot be held.
    """
    apart = not chooses_cash(spec)
    cash = tuple(asset for asset in assets if asset in panel.stable) if apart else ()
    inside = tuple(asset for asset in assets if asset not in cash)
    n = len(inside)
    blank = Moments(
        assets=inside,
        cash=cash,
        returns=np.zeros((2, n)),
        mean=np.zeros(n),
        covariance=np.eye(n),
        risk_free=0.0,
        stable=np.array([asset in panel.stable for asset in inside]),
        groups=tuple(panel.groups.get(asset) for asset in inside),
        current=None,
        outside=0.0,
        excluded={},
        factors=None,
        meta=MomentsMeta("", "", 0, 0.0, None, np.eye(n)),
    )
    problem = build(spec, blank)
    columns, sides = [np.ones(n)], [1.0]
    identity = np.eye(n)
    for place in range(n):
        columns.append(identity[place])
        sides.append(float(problem.lower[place]))
        if problem.upper[place] < 1 or not spec.long_only:
            columns.append(-identity[place])
            sides.append(-float(problem.upper[place]))
    for row in problem.rows:
        if np.isfinite(row.lower):
            columns.append(row.coefficients)
            sides.append(row.lower)
        if np.isfinite(row.upper):
            columns.append(-row.coefficients)
            sides.append(-row.upper)
    return Rows(np.ascontiguousarray(np.array(columns).T), np.array(sides))


def run(
    name: str,
    spec: StrategySpec,
    returns: FloatArray,
    starts: NDArray[np.int64],
    rows: Rows | None = None,
) -> Batch:
    """Run one kernel over the windows of `returns` (R, n) that begin at `starts` (k,).

    `rows` are the constraints of the ``programme_`` kernels.
    """
    k, n, window = len(starts), returns.shape[1], spec.lookback
    weights, gaps = np.full((k, n), np.nan), np.full(k, np.nan)
    states = np.full(k, UNDECIDED, dtype=np.int64)
    if name in {"min_variance", "max_sharpe"}:
        from portfolio_platform.optimization.kernels.active_set import walk_mean_variance

        rate = spec.risk_free_rate / spec.bars_per_year
        walk_mean_variance(
            returns, starts, window, rate, name == "max_sharpe", weights, gaps, states
        )
    elif name.startswith("programme") and rows is not None:
        from portfolio_platform.optimization.kernels.dual_active_set import walk_programme

        walk_programme(
            returns,
            starts,
            window,
            spec.risk_free_rate / spec.bars_per_year,
            name == "programme_max_sharpe",
            rows.columns,
            rows.sides,
            weights,
            gaps,
            states,
        )
    elif name == "risk_parity":
        from portfolio_platform.optimization.kernels.risk_parity import walk_risk_parity

        walk_risk_parity(returns, starts, window, np.full(n, 1.0 / n), weights, gaps, states)
    elif name == "smooth":
        from portfolio_platform.optimization.kernels import smooth

        rate = spec.risk_free_rate / spec.bars_per_year
        smooth.walk_smooth(
            smooth.ENTROPIC if spec.rm == "EVaR" else smooth.SEMI,
            returns,
            starts,
            window,
            spec.tail.alpha,
            spec.rm == "MSV",
            rate if spec.rm == "SLPM" else 0.0,
            spec.obj == "Sharpe",
            rate,
            weights,
            gaps,
            states,
        )
    elif name == "polyhedral":
        _walk_polyhedral(spec, returns, starts, weights, gaps, states)
    elif name == "cvar":
        from portfolio_platform.optimization.kernels.tail_simplex import walk_cvar

        pivots = np.zeros(k, dtype=np.int64)
        walk_cvar(returns, starts, window, spec.tail.alpha, weights, gaps, states, pivots)
    else:
        _walk_hrp(spec, returns, starts, weights, states)
    return Batch(weights, gaps, states)


def _walk_polyhedral(
    spec: StrategySpec,
    returns: FloatArray,
    starts: NDArray[np.int64],
    weights: FloatArray,
    gaps: FloatArray,
    states: NDArray[np.int64],
) -> None:
    from portfolio_platform.optimization.kernels.polyhedral import walk_polyhedral

    if spec.model == "OWA":
        mode, vector = ORDERED, np.sort(owa_vector(spec, spec.lookback))
    else:
        mode, vector = order_weights(spec.rm, spec.lookback, spec.tail)
    level = spec.risk_free_rate / spec.bars_per_year if spec.rm == "FLPM" else 0.0
    walk_polyhedral(
        mode,
        returns,
        starts,
        spec.lookback,
        spec.rm == "MAD",
        spec.risk_aversion if spec.obj == "Utility" else 0.0,
        level,
        np.ascontiguousarray(vector),
        weights,
        gaps,
        states,
        np.zeros(len(starts), dtype=np.int64),
    )


def _walk_hrp(
    spec: StrategySpec,
    returns: FloatArray,
    starts: NDArray[np.int64],
    weights: FloatArray,
    states: NDArray[np.int64],
) -> None:
    from portfolio_platform.optimization.kernels import hierarchy as tree
    from portfolio_platform.optimization.kernels.rolling import rolling_covariances, suspicious

    n = returns.shape[1]
    if spec.hierarchy.linkage == "single" and spec.hierarchy.leaf_order:
        tree.walk_hierarchical(returns, starts, spec.lookback, spec.rm == "vol", weights, states)
        return
    from scipy.cluster import hierarchy

    distance = np.empty(n * (n - 1) // 2)
    bounds = np.zeros((2 * n, 2), dtype=np.int64)
    shape, deviation = spec.hierarchy, spec.rm == "vol"
    for first in range(0, len(starts), _CHUNK):
        chunk = starts[first : first + _CHUNK]
        covariances = rolling_covariances(returns, chunk, spec.lookback)
        for place, covariance in enumerate(covariances):
            if suspicious(covariance):
                continue
            tree.correlation_distance(covariance, distance)
            links = hierarchy.linkage(
                distance, method=shape.linkage, optimal_ordering=shape.leaf_order
            )
            order = hierarchy.leaves_list(links).astype(np.int64)
            tree.bisect(covariance, order, deviation, weights[first + place], bounds)
            states[first + place] = OPTIMAL


def _dispatchers(name: str) -> tuple[object, ...]:
    if name in {"min_variance", "max_sharpe"}:
        from portfolio_platform.optimization.kernels.active_set import walk_mean_variance

        return (walk_mean_variance,)
    if name.startswith("programme"):
        from portfolio_platform.optimization.kernels.dual_active_set import walk_programme

        return (walk_programme,)
    if name == "risk_parity":
        from portfolio_platform.optimization.kernels.risk_parity import walk_risk_parity

        return (walk_risk_parity,)
    if name == "smooth":
        from portfolio_platform.optimization.kernels.smooth import walk_smooth

        return (walk_smooth,)
    if name == "polyhedral":
        from portfolio_platform.optimization.kernels.polyhedral import walk_polyhedral

        return (walk_polyhedral,)
    if name == "cvar":
        from portfolio_platform.optimization.kernels.tail_simplex import walk_cvar

        return (walk_cvar,)
    from portfolio_platform.optimization.kernels import hierarchy as tree
    from portfolio_platform.optimization.kernels.rolling import rolling_covariances, suspicious

    return (
        tree.walk_hierarchical,
        tree.correlation_distance,
        tree.bisect,
        rolling_covariances,
        suspicious,
    )
