"""Risk parity by Newton: min ½xᵀSx − Σ b_i ln x_i in y = x·σ (facts 3.6)."""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import OPTIMAL, UNDECIDED
from portfolio_platform.optimization.kernels.linear_algebra import cholesky_of, solve_cholesky
from portfolio_platform.optimization.kernels.rolling import (
    REBUILD,
    build_sums,
    finish_moments,
    move_sums,
    suspicious,
)

STOP = 1e-14
LIMIT = 200


@njit(cache=True)
def newton(C, budget, y, H, gradient, index):
    """Minimise ½yᵀCy − Σ b ln y from y > 0 in place; return iterations, −1 without convergence."""
    n = y.shape[0]
    for i in range(n):
        index[i] = i
    for iteration in range(LIMIT):
        worst = 0.0
        for i in range(n):
            value = 0.0
            for j in range(n):
                value += C[i, j] * y[j]
            value -= budget[i] / y[i]
            gradient[i] = -value
            worst = max(worst, abs(value * y[i]))
        if worst < STOP:
            return iteration
        for i in range(n):
            for j in range(i + 1):
                H[i, j] = C[i, j]
                H[j, i] = C[i, j]
            H[i, i] += budget[i] / (y[i] * y[i])
        cholesky_of(H, index, 0, n, H)
        solve_cholesky(H, n, gradient)
        relative = 0.0
        for i in range(n):
            relative = max(relative, abs(gradient[i] / y[i]))
        step = 1.0 if relative < 0.5 else 1.0 / (1.0 + relative)
        for i in range(n):
            y[i] += step * gradient[i]
        if relative < 1e-15:
            return iteration
    return -1


@njit(cache=True)
def walk_risk_parity(returns, starts, window, budget, weights, gaps, states):
    """Risk parity over many windows, moments rolled, each warm-started at the previous answer."""
    k, n = starts.shape[0], returns.shape[1]
    shift = returns[starts[0]].copy()
    total, product = np.zeros(n), np.zeros((n, n))
    mean, S = np.zeros(n), np.zeros((n, n))
    C, H = np.zeros((n, n)), np.zeros((n, n))
    y, gradient = np.sqrt(budget), np.zeros(n)
    sigma, index = np.zeros(n), np.zeros(n, dtype=np.int64)
    for w in range(k):
        sound = False
        if w % REBUILD != 0 and starts[w] - starts[w - 1] < window:
            sound = move_sums(returns, starts[w - 1], starts[w], window, shift, total, product, S)
        if not sound:
            build_sums(returns, starts[w], starts[w] + window, shift, total, product)
        finish_moments(total, product, window, shift, mean, S)
        if suspicious(S):
            states[w] = UNDECIDED
            continue
        for i in range(n):
            sigma[i] = np.sqrt(S[i, i])
        for i in range(n):
            for j in range(n):
                C[i, j] = S[i, j] / (sigma[i] * sigma[j])
        if newton(C, budget, y, H, gradient, index) < 0:
            states[w] = UNDECIDED
            y[:] = np.sqrt(budget)
            continue
        size = 0.0
        for i in range(n):
            size += y[i] / sigma[i]
        for i in range(n):
            weights[w, i] = y[i] / sigma[i] / size
        variance, worst = 0.0, 0.0
        for i in range(n):
            value = 0.0
            for j in range(n):
                value += C[i, j] * y[j]
            gradient[i] = value * y[i]
            variance += gradient[i]
        for i in range(n):
            worst = max(worst, abs(gradient[i] / variance - budget[i]) / budget[i])
        gaps[w] = worst
        states[w] = OPTIMAL
