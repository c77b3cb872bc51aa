"""EVaR, semivariance and second lower partial moment: minimum variance, repeated.

For a risk ρ that is convex and homogeneous of degree one, Newton's step for ½ρ² at w is the
minimum-variance problem with M = ρ∇²ρ + ∇ρ∇ρᵀ in place of the covariance: the linear term vanishes.
Semivariances end after finitely many steps, EVaR converges quadratically.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import (
    NO_EXCESS,
    OPTIMAL,
    UNDECIDED,
    nonnegative_quadratic,
)

ENTROPIC, SEMI = 0, 1
STEPS = 100
GAP = 1e-12


@njit(cache=True)
def entropic_scale(losses, alpha, z):
    """Return the minimiser z of z·ln(Σ exp(L/z)/(αT)) and the value, by Newton in ln z."""
    T = losses.shape[0]
    worst = losses[0]
    for t in range(T):
        worst = max(worst, losses[t])
    shift = -np.log(alpha * T)
    low, high = -np.inf, np.inf
    value = np.inf
    for _ in range(100):
        total, first, second = 0.0, 0.0, 0.0
        for t in range(T):
            gap = losses[t] - worst
            weight = np.exp(gap / z)
            total += weight
            first += weight * gap
            second += weight * gap * gap
        mean = first / total
        variance = max(second / total - mean * mean, 0.0)
        level = np.log(total) + shift
        value = worst + z * level
        slope = level - mean / z
        if slope > 0.0:
            high = z
        else:
            low = z
        if abs(slope) <= 1e-15 * max(1.0, abs(level)):
            break
        rate = variance / (z * z)
        exponent = -slope / rate if rate > 1e-300 else -np.sign(slope) * 2.0
        moved = z * np.exp(min(max(exponent, -2.0), 2.0))
        if low > -np.inf and high < np.inf and not low < moved < high:
            moved = 0.5 * (low + high)
        if abs(moved - z) <= 1e-15 * z or moved < 1e-12:
            break
        z = moved
    return z, value


@njit(cache=True)
def risk_and_curvature(mode, across, alpha, w, z, losses, prices, g, M, image):
    """Return (ρ(w), z); fill the gradient g and, for n > 0, M = ρ∇²ρ + ∇ρ∇ρᵀ."""
    n, T = across.shape
    losses[:] = 0.0
    for j in range(n):
        factor = w[j]
        if factor != 0.0:
            for t in range(T):
                losses[t] -= across[j, t] * factor
    if mode == SEMI:
        total = 0.0
        for t in range(T):
            prices[t] = 1.0 / (T - 1) if losses[t] > 0.0 else 0.0
            total += prices[t] * losses[t] * losses[t]
        risk = np.sqrt(total)
    else:
        z, risk = entropic_scale(losses, alpha, z)
        worst, total = losses.max(), 0.0
        for t in range(T):
            prices[t] = np.exp((losses[t] - worst) / z)
            total += prices[t]
        for t in range(T):
            prices[t] /= total
    for i in range(n):
        value = 0.0
        for t in range(T):
            if mode == SEMI:
                value -= across[i, t] * prices[t] * losses[t]
            else:
                value -= across[i, t] * prices[t]
        g[i] = value / risk if mode == SEMI else value
    weighted = np.empty(T)
    for i in range(n):
        for t in range(T):
            weighted[t] = across[i, t] * prices[t]
        for j in range(i + 1):
            value = 0.0
            for t in range(T):
                value += weighted[t] * across[j, t]
            M[i, j] = value
            M[j, i] = value
    if mode == ENTROPIC:
        spread = 0.0
        for i in range(n):
            for j in range(n):
                M[i, j] -= g[i] * g[j]
        for i in range(n):
            value = 0.0
            for j in range(n):
                value += M[i, j] * w[j]
            image[i] = value
            spread += value * w[i]
        for i in range(n):
            for j in range(n):
                curved = M[i, j]
                if spread > 0.0:
                    curved -= image[i] * image[j] / spread
                M[i, j] = risk / z * curved + g[i] * g[j]
    return risk, z


@njit(cache=True)
def walk_smooth(
    mode, returns, starts, window, alpha, centre, level, sharpe, risk_free, weights, gaps, states
):
    """Minimum risk, or best ratio to it, over many windows, each started from the one before."""
    k, n = starts.shape[0], returns.shape[1]
    across, losses, prices = np.empty((n, window)), np.empty(window), np.empty(window)
    w, trial, best = np.full(n, 1.0 / n), np.zeros(n), np.zeros(n)
    g, M, image = np.zeros(n), np.zeros((n, n)), np.zeros(n)
    free, x, L = np.zeros(n, dtype=np.bool_), np.zeros(n), np.zeros((n, n))
    index, room, a = np.zeros(n, dtype=np.int64), np.zeros(n), np.ones(n)
    z = 1.0
    for i in range(k):
        size = 0.0
        positive = not sharpe
        for j in range(n):
            mean = 0.0
            for t in range(window):
                value = returns[starts[i] + t, j]
                across[j, t] = value - level
                mean += value
                size += abs(value) / (n * window)
            mean /= window
            if centre:
                for t in range(window):
                    across[j, t] -= mean
            if sharpe:
                a[j] = mean - risk_free
                positive = positive or a[j] > 0.0
        if not positive:
            states[i] = NO_EXCESS
            continue
        for j in range(n):
            for t in range(window):
                across[j, t] /= size
        largest = 0.0
        for j in range(n):
            largest = max(largest, abs(a[j]))
        gap, reached = np.inf, np.inf
        state = UNDECIDED
        for _ in range(STEPS):
            risk, z = risk_and_curvature(mode, across, alpha, w, z, losses, prices, g, M, image)
            if not risk > 0.0:
                break
            net = 0.0
            for j in range(n):
                net += w[j] * (a[j] / largest if sharpe else 1.0)
            score = risk / net if net > 0.0 else np.inf
            if score > reached * (1.0 + 1e-14):
                for j in range(n):
                    w[j] = 0.5 * (w[j] + best[j])
                moved = 0.0
                for j in range(n):
                    moved = max(moved, abs(w[j] - best[j]))
                if moved < 1e-15:
                    break
                continue
            reached = score
            best[:] = w
            if net > 0.0:
                top = -np.inf
                for j in range(n):
                    target = a[j] / largest if sharpe else 1.0
                    if g[j] > 0.0:
                        top = max(top, target / g[j])
                    elif target > 0.0:
                        top = np.inf
                gap = max(0.0, top * risk / net - 1.0)
                if gap <= GAP:
                    state = OPTIMAL
                    break
            for j in range(n):
                trial[j] = a[j] / largest if sharpe else 1.0
            if nonnegative_quadratic(M, trial, free, x, L, index, room) < 0:
                break
            total = 0.0
            for j in range(n):
                total += x[j]
            if not total > 0.0:
                break
            for j in range(n):
                w[j] = x[j] / total
        if reached < np.inf:
            w[:] = best
        gaps[i] = gap
        if state == OPTIMAL or gap <= 1e-10:
            states[i] = OPTIMAL
            weights[i] = w
        else:
            states[i] = UNDECIDED
            w[:] = 1.0 / n
