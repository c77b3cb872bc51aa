"""Problem: one optimisation in numbers, built from a spec and its moments, read by every engine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from portfolio_platform.optimization import names
from portfolio_platform.optimization.moments import Moments
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.solution import NoAnswer
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.universe import chooses_cash


@dataclass(frozen=True)
class Row:
    """``lower <= coefficients · w <= upper``, with the words that name it."""

    name: str
    coefficients: FloatArray
    lower: float
    upper: float


@dataclass(frozen=True)
class Problem:
    """Weights w (n,), Σw = 1, ``lower <= w <= upper``, rows, and an objective by riskfolio's names.

    All figures are per bar. `cost` is charged per unit of ``Σ|w − current|``.
    """

    spec: StrategySpec
    assets: tuple[str, ...]
    returns: FloatArray
    mean: FloatArray
    covariance: FloatArray
    risk_free: float
    lower: FloatArray
    upper: FloatArray
    rows: tuple[Row, ...]
    current: FloatArray | None
    turnover: float | None
    cost: float
    risk_budget: FloatArray | None
    factors: FloatArray | None
    excluded: dict[str, str]

    @property
    def size(self) -> int:
        """Number of assets."""
        return len(self.assets)

    @property
    def model(self) -> str:
        """Model name of the spec."""
        return self.spec.model

    @property
    def trades(self) -> bool:
        """Whether the distance to the current weights matters."""
        return self.current is not None and (self.turnover is not None or self.cost > 0)

    @property
    def combinatorial(self) -> bool:
        """Whether assets are chosen in or out: cardinality or minimum weight."""
        cardinality = self.spec.cardinality
        return (cardinality is not None and cardinality < self.size) or self.spec.minimum_weight > 0

    @property
    def plain(self) -> bool:
        """Whether the only constraints are Σw = 1 and w >= 0."""
        return (
            not self.rows
            and not self.trades
            and not self.combinatorial
            and bool((self.lower == 0).all() and (self.upper >= 1).all())
        )

    @property
    def box(self) -> bool:
        """Whether the only constraints are Σw = 1 and bounds."""
        return not self.rows and not self.trades and not self.combinatorial

    def with_(self, **changes: object) -> Problem:
        """Return a copy with some parts replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]


def build(spec: StrategySpec, moments: Moments) -> Problem:
    """Put the spec's constraints in numbers for the assets of `moments`.

    With a budget below 1 the weights of the problem are shares of the budget.

    Raises
    ------
    NoAnswer
        ``infeasible`` when a constraint names an asset that cannot be held.
    """
    scale = spec.budget
    count = len(moments.assets)
    position = {asset: place for place, asset in enumerate(moments.assets)}
    if scale < 1.0 and not moments.cash:
        raise infeasible(
            moments, f"budget {scale:g} leaves {1 - scale:g} for cash, and no stablecoin is held"
        )
    lower = np.full(count, spec.bounds.lower)
    upper = np.full(count, spec.bounds.upper)
    for asset, bound in sorted(spec.bounds.assets.items()):
        if asset in position:
            if bound.lower is not None:
                lower[position[asset]] = bound.lower
            if bound.upper is not None:
                upper[position[asset]] = bound.upper
        elif bound.lower is not None and bound.lower > 0 and asset not in moments.cash:
            why = moments.excluded.get(asset, "not in the price panel")
            raise infeasible(
                moments, f"lower bound {bound.lower:g} on {asset}, which cannot be held: {why}"
            )
    current, turnover = None, None
    if moments.current is not None:
        current = moments.current[:count] / scale
        cash_now = moments.current[count:]
        target = (1 - scale) / len(moments.cash) if moments.cash else 0.0
        spent = moments.outside + float(np.abs(cash_now - target).sum())
        if spec.turnover is not None:
            turnover = (spec.turnover - spent) / scale
            if turnover < 0:
                raise infeasible(
                    moments,
                    f"turnover limit {spec.turnover:g}, but {spent:g} must be traded outside the "
                    "universe of the model",
                )
    return Problem(
        spec=spec,
        assets=moments.assets,
        returns=moments.returns,
        mean=moments.mean,
        covariance=moments.covariance,
        risk_free=moments.risk_free,
        lower=lower / scale,
        upper=np.minimum(upper / scale, 1.0) if spec.long_only else upper / scale,
        rows=_rows(spec, moments, position),
        current=current,
        turnover=turnover,
        cost=spec.cost_bps * 1e-4 / spec.cost_horizon if current is not None else 0.0,
        risk_budget=_risk_budget(spec, moments),
        factors=moments.factors,
        excluded=moments.excluded,
    )


def infeasible(moments: Moments, reason: str) -> NoAnswer:
    """Return the outcome of constraints that no weights satisfy."""
    universe = tuple(sorted(moments.assets + moments.cash))
    return NoAnswer("infeasible", reason, universe=universe, excluded=moments.excluded)


def _rows(spec: StrategySpec, moments: Moments, position: dict[str, int]) -> tuple[Row, ...]:
    count, scale = len(moments.assets), spec.budget
    rows = []
    if chooses_cash(spec) and moments.stable.any() and spec.cash_cap < 1:
        rows.append(Row("stablecoins", moments.stable.astype(float), -np.inf, spec.cash_cap))
    for bound in spec.groups:
        coefficients = np.array([float(group == bound.group) for group in moments.groups])
        if not coefficients.any() and bound.lower > 0:
            raise infeasible(
                moments, f"group {bound.group} must hold {bound.lower:g} and has no asset"
            )
        if coefficients.any():
            low = bound.lower if bound.lower > 0 or not spec.long_only else -np.inf
            high = bound.upper if bound.upper < 1 or not spec.long_only else np.inf
            if np.isfinite(low) or np.isfinite(high):
                rows.append(Row(f"group {bound.group}", coefficients, low / scale, high / scale))
    for constraint in spec.linear:
        coefficients = np.zeros(count)
        shift = 0.0
        for asset, value in constraint.coefficients.items():
            if asset in position:
                coefficients[position[asset]] = value
            elif asset in moments.cash:
                shift += value * (1 - scale) / len(moments.cash)
        low = -np.inf if constraint.lower is None else (constraint.lower - shift) / scale
        high = np.inf if constraint.upper is None else (constraint.upper - shift) / scale
        if coefficients.any():
            rows.append(Row(f"constraint {constraint.name}", coefficients, low, high))
        elif low > 0 or high < 0:
            raise infeasible(moments, f"constraint {constraint.name} names no asset that is held")
    return tuple(rows)


def _risk_budget(spec: StrategySpec, moments: Moments) -> FloatArray | None:
    if spec.model not in {"RP", "RRP"}:
        return None
    count = len(moments.assets)
    if spec.risk_budget is None:
        return np.full(count, 1.0 / count)
    missing = [asset for asset in moments.assets if asset not in spec.risk_budget]
    if missing:
        raise infeasible(moments, f"the risk budget has no share for {missing[0]}")
    budget = np.array([spec.risk_budget[asset] for asset in moments.assets])
    return budget / budget.sum()


def needs_mean(problem: Problem) -> bool:
    """Whether the expected returns enter the objective."""
    return problem.spec.obj in {"Sharpe", "Utility", "MaxRet"} and (
        problem.model in names.PROGRAMME_MODELS or problem.model == "NCO"
    )
