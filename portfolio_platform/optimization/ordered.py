"""Ordered weighted averages: measures that weigh returns by their rank (Cajas 2021).

A weight vector v (T,) belongs to returns sorted upwards; the measure is Σ v_i x_(i). It is convex
when v does not decrease.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.solution import NoAnswer
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.spec_parts import OwaWeights, Tail

#: Modes of the polyhedral kernel and of the cutting planes.
ORDERED, DRAWDOWN, SHORTFALL = 0, 1, 2
_ORDERED = frozenset({"CVaR", "CVRG", "WR", "RG", "GMD", "TG", "TGRG"})
_DRAWDOWN = frozenset({"MDD", "ADD", "CDaR"})
_SHORTFALL = frozenset({"MAD", "FLPM"})
#: Measures that are a maximum of linear functions of the weights.
POLYHEDRAL = _ORDERED | _DRAWDOWN | _SHORTFALL


def tail_weights(rows: int, alpha: float) -> FloatArray:
    """Return v of the CVaR at `alpha`: −1/(αT) on the worst, the rest on the next."""
    weights = np.zeros(rows)
    whole = min(int(np.floor(alpha * rows)), rows - 1)
    weights[:whole] = -1.0 / (alpha * rows)
    weights[whole] = -(1.0 - whole / (alpha * rows))
    return weights


def gini_weights(rows: int) -> FloatArray:
    """Return v of the Gini mean difference: 2(2i − 1 − T)/(T(T − 1))."""
    ranks = np.arange(1, rows + 1)
    return 2.0 * (2 * ranks - 1 - rows) / (rows * (rows - 1))


def tail_gini_weights(rows: int, alpha: float, points: int) -> FloatArray:
    """Return v of the tail Gini: CVaRs at `points` levels below alpha, by the trapezium rule.

    The measure is 2/α² ∫ₐ a·CVaRₐ da over (0, α] (Ogryczak and Ruszczyński 2002), on the grid and
    with the end weights of riskfolio's ``owa_tg``.
    """
    levels = np.linspace(alpha, 1e-4, points)[::-1]
    if points == 1:
        return tail_weights(rows, alpha)
    share = np.empty(points)
    share[0] = levels[1] * levels[0] / alpha**2
    share[1:-1] = (levels[2:] - levels[:-2]) * levels[1:-1] / alpha**2
    share[-1] = (levels[-1] - levels[-2]) / alpha
    return sum(
        (weight * tail_weights(rows, level) for weight, level in zip(share, levels, strict=True)),
        np.zeros(rows),
    )


def order_weights(rm: str, rows: int, tail: Tail) -> tuple[int, FloatArray]:
    """Return the mode and v (T,) of a polyhedral measure.

    Raises
    ------
    KeyError
        For a measure that is not polyhedral.
    """
    beta = tail.alpha if tail.beta is None else tail.beta
    if rm in _SHORTFALL:
        return SHORTFALL, np.zeros(rows)
    if rm in _DRAWDOWN:
        if rm == "ADD":
            return DRAWDOWN, np.full(rows, 1.0 / rows)
        if rm == "CDaR":
            return DRAWDOWN, -tail_weights(rows, tail.alpha)[::-1]
        return DRAWDOWN, _last(rows)
    if rm in {"CVaR", "CVRG"}:
        weights = tail_weights(rows, tail.alpha)
        return ORDERED, weights if rm == "CVaR" else weights - tail_weights(rows, beta)[::-1]
    if rm in {"WR", "RG"}:
        weights = -_last(rows)[::-1]
        return ORDERED, weights if rm == "WR" else weights + _last(rows)
    if rm in {"TG", "TGRG"}:
        weights = tail_gini_weights(rows, tail.alpha, tail.a_sim)
        if rm == "TG":
            return ORDERED, weights
        points = tail.a_sim if tail.b_sim is None else tail.b_sim
        return ORDERED, weights - tail_gini_weights(rows, beta, points)[::-1]
    if rm == "GMD":
        return ORDERED, gini_weights(rows)
    raise KeyError(rm)


def owa_vector(spec: StrategySpec, rows: int) -> FloatArray:
    """Return v (T,) of the OWA model; the linear moments are asked of riskfolio.

    Raises
    ------
    NoAnswer
        ``time_limit`` or ``numerical`` when riskfolio gives no linear moments.
    """
    owa = spec.owa
    if owa.measure in {"l_moment", "l_moment_crm"}:
        return _linear_moments(owa, rows, spec.time_limit)
    names = {"gmd": "GMD", "cvar": "CVaR", "tg": "TG", "wr": "WR", "rg": "RG"}
    names |= {"cvrg": "CVRG", "tgrg": "TGRG"}
    return order_weights(names[owa.measure], rows, spec.tail)[1]


@lru_cache(maxsize=64)
def _linear_moments(owa: OwaWeights, rows: int, limit: float) -> FloatArray:
    from portfolio_platform.optimization.engines import worker

    request = {"measure": owa.measure, "order": owa.order, "method": owa.method, "rows": rows}
    try:
        vector: FloatArray = worker.ask("linear_moments", request, limit)
    except worker.Overdue as overdue:
        raise NoAnswer("time_limit", f"ordered weights of {owa.measure}: {overdue}") from None
    except worker.Broken as broken:
        raise NoAnswer("numerical", f"ordered weights of {owa.measure}: {broken}") from broken
    vector.setflags(write=False)
    return vector


def convex(weights: FloatArray) -> bool:
    """Whether the ordered weights do not decrease, up to rounding."""
    return bool((np.diff(weights) >= -1e-9 * np.abs(weights).max()).all())


def scenario_prices(mode: int, x: FloatArray, weights: FloatArray) -> FloatArray:
    """Return p (T,) with f = p·x and p·R a subgradient at these portfolio returns x (T,)."""
    if mode == SHORTFALL:
        return np.where(x < 0, -1.0 / len(x), 0.0)
    prices = np.zeros(len(x))
    if mode == ORDERED:
        prices[np.argsort(x, kind="stable")] = weights
        return prices
    path = np.concatenate([[0.0], np.cumsum(x)])
    peak = np.maximum.accumulate(path)
    depth = (peak - path)[1:]
    since = np.maximum.accumulate(np.where(path >= peak, np.arange(len(path)), 0))[1:]
    charge = np.zeros(len(x))
    charge[np.argsort(depth, kind="stable")] = weights
    steps = np.zeros(len(x) + 1)
    np.add.at(steps, np.arange(1, len(x) + 1), -charge)
    np.add.at(steps, since, charge)
    return np.cumsum(steps[::-1])[::-1][1:]


def _last(rows: int) -> FloatArray:
    weights = np.zeros(rows)
    weights[-1] = 1.0
    return weights
