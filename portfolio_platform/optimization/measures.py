"""Risk measures of a portfolio's returns, by riskfolio's names and conventions.

Each function takes x (T,), returns per bar, and gives a positive number for a loss. Drawdowns are
of uncompounded cumulative returns, as in riskfolio's optimisation.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.spec_parts import Tail


def conditional_value_at_risk(x: FloatArray, alpha: float) -> float:
    """Return the mean of the worst `alpha` share of losses, with a fractional last scenario.

    ``(Σ of the ⌊αT⌋ worst losses + (αT − ⌊αT⌋)·next)/(αT)`` (Rockafellar and Uryasev 2002).
    """
    tail = alpha * len(x)
    whole = int(np.floor(tail))
    losses = np.sort(-x)[::-1]
    if whole >= len(x):
        return float(losses.mean())
    return float((losses[:whole].sum() + (tail - whole) * losses[whole]) / tail)


def drawdowns(x: FloatArray) -> FloatArray:
    """Return (T,) drawdowns of the uncompounded cumulative return, starting from 0."""
    path = np.concatenate([[0.0], np.cumsum(x)])
    return (np.maximum.accumulate(path) - path)[1:]


def entropic(x: FloatArray, alpha: float) -> float:
    """Return the entropic value at risk ``min_z z·ln(Σ exp(−x/z)/(αT))`` (Ahmadi-Javid 2012)."""
    return entropic_with_scale(x, alpha)[0]


def entropic_with_scale(x: FloatArray, alpha: float) -> tuple[float, float]:
    """Return the entropic value at risk and its minimiser z, by safeguarded Newton in ln z.

    z is 0 where the measure has reached the worst loss: when αT losses tie or αT <= 1.
    """
    losses = -x
    worst = float(losses.max())
    gaps = losses - worst
    z = float(-gaps.mean())
    if z <= 0 or alpha * len(x) <= 1:
        return worst, 0.0
    least = 1e-12 * z
    shift = -np.log(alpha * len(x))
    low, high, level = 0.0, np.inf, 0.0
    for _ in range(200):
        weights = np.exp(gaps / z)
        total = float(weights.sum())
        mean = float(weights @ gaps) / total
        variance = max(float(weights @ gaps**2) / total - mean**2, 0.0)
        level = float(np.log(total)) + shift
        slope = level - mean / z
        low, high = (low, z) if slope > 0 else (z, high)
        rate = variance / z**2
        exponent = -slope / rate if rate > 1e-300 else -2.0 * np.sign(slope)
        moved = z * float(np.exp(min(max(exponent, -2.0), 2.0)))
        if low > 0 and high < np.inf and not low < moved < high:
            moved = 0.5 * (low + high)
        if abs(moved - z) <= 1e-15 * z:
            break
        if moved < least:
            return worst, 0.0
        z = moved
    return worst + z * level, z


def even_moment(deviations: FloatArray, order: int) -> float:
    """Return the root (mean of deviations^(2·order))^(1/order), in units of a square."""
    largest = float(np.abs(deviations).max())
    if largest <= 0:
        return 0.0
    return largest**2 * float(((deviations / largest) ** (2 * order)).mean()) ** (1 / order)


_SIMPLE: dict[str, Callable[[FloatArray, Tail], float]] = {
    "CVaR": lambda x, tail: conditional_value_at_risk(x, tail.alpha),
    "WR": lambda x, tail: float(-x.min()),
    "RG": lambda x, tail: float(x.max() - x.min()),
    "CVRG": lambda x, tail: (
        conditional_value_at_risk(x, tail.alpha)
        + conditional_value_at_risk(-x, tail.beta or tail.alpha)
    ),
    "EVaR": lambda x, tail: entropic(x, tail.alpha),
    "EVRG": lambda x, tail: entropic(x, tail.alpha) + entropic(-x, tail.beta or tail.alpha),
    "MDD": lambda x, tail: float(drawdowns(x).max()),
    "ADD": lambda x, tail: float(drawdowns(x).mean()),
    "UCI": lambda x, tail: float(np.sqrt((drawdowns(x) ** 2).mean())),
    "CDaR": lambda x, tail: conditional_value_at_risk(-drawdowns(x), tail.alpha),
    "EDaR": lambda x, tail: entropic(-drawdowns(x), tail.alpha),
}


def known(rm: str) -> bool:
    """Whether `risk` computes this measure."""
    return (
        rm in _SIMPLE
        or rm in {"GMD", "TG", "TGRG"}
        or rm in {"MV", "vol", "MAD", "MSV", "FLPM", "SLPM"}
        or rm in {"KT", "EM", "SKT", "ESM"}
    )


def risk(
    rm: str,
    x: FloatArray,
    tail: Tail,
    *,
    threshold: float = 0.0,
    variance: float | None = None,
    centre: float | None = None,
) -> float:
    """Return the risk measure `rm` of returns `x`.

    Parameters
    ----------
    rm
        Name of the measure; ``MV`` and ``vol`` give the standard deviation.
    threshold
        Minimum acceptable return per bar of FLPM and SLPM.
    variance
        Variance to use for ``MV`` in place of the sample's (other covariance estimators).
    centre
        Mean to measure MAD, MSV, EM and ESM from, in place of the sample's (other mean estimators).
    """
    if rm in {"MV", "vol"}:
        value = float(np.var(x, ddof=1)) if variance is None else variance
        return float(np.sqrt(max(value, 0.0)))
    middle = float(x.mean()) if centre is None else centre
    if rm == "MAD":
        return float(2 * np.maximum(middle - x, 0).mean())
    if rm == "MSV":
        return float(np.sqrt((np.maximum(middle - x, 0) ** 2).sum() / (len(x) - 1)))
    if rm in {"KT", "EM"}:
        away = x - (float(x.mean()) if rm == "KT" else middle)
        return even_moment(away, 2 if rm == "KT" else tail.p_em)
    if rm in {"SKT", "ESM"}:
        away = x - (float(x.mean()) if rm == "SKT" else middle)
        return even_moment(np.minimum(away, 0.0), 2 if rm == "SKT" else tail.p_esm)
    if rm == "FLPM":
        return float(np.maximum(threshold - x, 0).mean())
    if rm == "SLPM":
        return float(np.sqrt((np.maximum(threshold - x, 0) ** 2).sum() / (len(x) - 1)))
    if rm in {"GMD", "TG", "TGRG"}:
        from portfolio_platform.optimization.ordered import order_weights

        return float(order_weights(rm, len(x), tail)[1] @ np.sort(x))
    return _SIMPLE[rm](x, tail)
