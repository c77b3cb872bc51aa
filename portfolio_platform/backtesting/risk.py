"""Simulated futures of an equity path: stationary bootstrap and filtered historical simulation."""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined

#: Quantiles of the fan.
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
#: Points of the fan at most.
POINTS = 120
#: Shortest series to resample.
LEAST = 30


def stationary_paths(
    returns: FloatArray, paths: int, horizon: int, block: float, seed: int
) -> FloatArray:
    """(horizon, paths) resampled returns (Politis and Romano 1994): blocks of geometric length.

    Parameters
    ----------
    block
        Mean block length in bars.
    """
    _check(returns)
    generator = np.random.default_rng(seed)
    rows = np.empty((horizon, paths), dtype=np.int64)
    rows[0] = generator.integers(0, len(returns), paths)
    fresh = generator.random((horizon, paths)) < 1.0 / block
    starts = generator.integers(0, len(returns), (horizon, paths))
    for bar in range(1, horizon):
        follow = rows[bar - 1] + 1
        follow[follow == len(returns)] = 0
        rows[bar] = np.where(fresh[bar], starts[bar], follow)
    return returns[rows]


def filtered_paths(
    returns: FloatArray,
    paths: int,
    horizon: int,
    seed: int,
    *,
    decay: float = 0.94,
    persistence: float = 0.98,
) -> FloatArray:
    """(horizon, paths) returns by filtered historical simulation (Barone-Adesi et al. 1999).

    Returns are standardised by the volatility ``σ²_{t+1} = (1 − p)·V + p·(λσ²_t + (1 − λ)r²_t)``, a
    GARCH(1,1) that targets the sample variance V with persistence p. The standardised residuals,
    scaled to variance 1, are drawn with replacement and multiplied by a volatility that starts at
    today's and reacts to what it draws. Without the pull towards V (p = 1) a year of simulated
    volatility wanders off to any level. A return below −1 is total loss, −1.
    """
    _check(returns)
    mean = float(returns.mean())
    centred = returns - mean
    target = float(np.var(returns))
    variance = np.empty(len(returns) + 1)
    variance[0] = target
    for bar, value in enumerate(centred):
        recent = decay * variance[bar] + (1.0 - decay) * value * value
        variance[bar + 1] = (1.0 - persistence) * target + persistence * recent
    # A long quiet stretch would otherwise let one ordinary return count as a thousand sigmas.
    floor = 1e-4 * target
    residuals = centred / np.sqrt(np.maximum(variance[:-1], floor))
    residuals /= np.sqrt(np.mean(residuals**2))
    generator = np.random.default_rng(seed)
    draws = residuals[generator.integers(0, len(residuals), (horizon, paths))]
    current = np.full(paths, max(variance[-1], floor))
    simulated = np.empty((horizon, paths))
    for bar in range(horizon):
        shock = np.sqrt(current) * draws[bar]
        simulated[bar] = np.maximum(mean + shock, -1.0)
        recent = decay * current + (1.0 - decay) * shock * shock
        current = np.maximum((1.0 - persistence) * target + persistence * recent, floor)
    return simulated


def summarise(simulated: FloatArray, *, confidence: float, ruin: float) -> dict[str, Any]:
    """Figures at the horizon of (horizon, paths) simulated returns.

    Value at risk and expected shortfall are losses of capital at the horizon; ruin is a fall below
    ``1 − ruin`` of the capital at any bar.
    """
    wealth = np.cumprod(1.0 + simulated, axis=0)
    horizon, paths = wealth.shape
    final = np.sort(wealth[-1])
    loss = 1.0 - final
    # 1 − 0.95 is a little more than 0.05: without rounding it takes one path too many.
    tail = max(1, int(np.ceil(round((1.0 - confidence) * paths, 9))))
    high = np.maximum(np.maximum.accumulate(wealth, axis=0), 1.0)
    deepest = (wealth / high - 1.0).min(axis=0)
    bars = np.unique(np.linspace(0, horizon - 1, min(horizon, POINTS)).astype(np.int64))
    quantiles = np.quantile(wealth[bars], LEVELS, axis=1)
    return {
        "horizon": horizon,
        "paths": paths,
        "confidence": confidence,
        "value_at_risk": float(np.quantile(loss, confidence)),
        "expected_shortfall": float(loss[:tail].mean()),
        "probability_of_loss": float((final < 1.0).mean()),
        "probability_of_ruin": float((wealth.min(axis=0) < 1.0 - ruin).mean()),
        "ruin": ruin,
        "drawdown": {
            "median": float(np.median(deepest)),
            "worst": float(np.quantile(deepest, 1.0 - confidence)),
        },
        "bars": [0, *(bars + 1).tolist()],
        "quantiles": {
            str(level): [1.0, *np.maximum(row, 1e-12).tolist()]
            for level, row in zip(LEVELS, quantiles, strict=True)
        },
    }


def _check(returns: FloatArray) -> None:
    if len(returns) < LEAST:
        raise NotDefined(f"{len(returns)} returns: at least {LEAST} are needed to resample")
    if not np.isfinite(returns).all():
        raise NotDefined("a return is not finite")
    if float(np.std(returns)) <= 1e-15:
        raise NotDefined("the returns have zero variance")
