"""Long-only mean-variance by an active set: min ½xᵀSx − aᵀx, x >= 0 (facts 3.2, 3.4)."""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.linear_algebra import cholesky_of, solve_cholesky
from portfolio_platform.optimization.kernels.rolling import (
    REBUILD,
    build_sums,
    finish_moments,
    move_sums,
    suspicious,
)

OPTIMAL, UNDECIDED, NO_EXCESS = 0, 1, 2
#: A constraint is worth entering when its price exceeds this share of the largest |a|.
PRICE = 1e-11


@njit(cache=True)
def nonnegative_quadratic(S, a, free, x, L, index, z):
    """Solve min ½xᵀSx − aᵀx over x >= 0 from the free set `free`; return iterations, −1 if stuck.

    `free` (n,) bool and `x` (n,) are overwritten with the answer; L, index, z are workspace.
    """
    n = a.shape[0]
    largest = 0.0
    for i in range(n):
        x[i] = 0.0
        largest = max(largest, abs(a[i]))
    limit = 20 * n + 50
    iterations, count, factored = 0, 0, 0
    for i in range(n):
        if free[i]:
            index[count] = i
            count += 1
    while iterations < limit:
        iterations += 1
        if count > 0:
            for k in range(count):
                z[k] = a[index[k]]
            cholesky_of(S, index, factored, count, L)
            factored = count
            solve_cholesky(L, count, z)
            step = 1.0
            for k in range(count):
                if z[k] <= 0.0:
                    now = x[index[k]]
                    step = min(step, now / (now - z[k])) if now > 0.0 else 0.0
            kept = 0
            for k in range(count):
                i = index[k]
                if step < 1.0:
                    moved = x[i] + step * (z[k] - x[i])
                    gone = z[k] <= 0.0 and x[i] <= step * (x[i] - z[k]) * (1.0 + 1e-14)
                    gone = gone or moved <= 0.0
                else:
                    moved = z[k]
                    gone = moved <= 0.0
                if gone:
                    x[i] = 0.0
                    free[i] = False
                    factored = min(factored, kept)
                else:
                    x[i] = moved
                    index[kept] = i
                    kept += 1
            if kept < count or step < 1.0:
                count = kept
                continue
        best, entering = PRICE * largest, -1
        for i in range(n):
            if not free[i]:
                price = a[i]
                for k in range(count):
                    price -= S[i, index[k]] * x[index[k]]
                if price > best:
                    best, entering = price, i
        if entering < 0:
            return iterations
        free[entering] = True
        index[count] = entering
        count += 1
    return -1


@njit(cache=True)
def simplex_gap(S, weights, gradient):
    """Return 2(wᵀg − min g)/wᵀg with g = Sw: the certificate of minimum variance."""
    n = weights.shape[0]
    variance, least = 0.0, np.inf
    for i in range(n):
        value = 0.0
        for j in range(n):
            value += S[i, j] * weights[j]
        gradient[i] = value
        variance += value * weights[i]
        least = min(least, value)
    if variance <= 0.0:
        return np.inf
    return max(0.0, 2.0 * (variance - least) / variance)


@njit(cache=True)
def ratio_gap(S, weights, excess, gradient):
    """Return the relative distance to the best ratio (facts 3.8), infinite when uncertified.

    t = max mᵢ/gᵢ bounds the ratio when t·g >= m everywhere; a shortfall is added to the gap.
    """
    n = weights.shape[0]
    variance, net = 0.0, 0.0
    for i in range(n):
        value = 0.0
        for j in range(n):
            value += S[i, j] * weights[j]
        gradient[i] = value
        variance += value * weights[i]
        net += excess[i] * weights[i]
    if variance <= 0.0 or net <= 0.0:
        return np.inf
    best = 0.0
    for i in range(n):
        if excess[i] > 0.0:
            if gradient[i] <= 0.0:
                return np.inf
            best = max(best, excess[i] / gradient[i])
    short = 0.0
    for i in range(n):
        short = max(short, excess[i] - best * gradient[i])
    return max(0.0, best * variance / net - 1.0) + short / net


@njit(cache=True)
def walk_mean_variance(returns, starts, window, risk_free, sharpe, weights, gaps, states):
    """Minimum variance or maximum Sharpe over many windows, moments rolled, each warm-started.

    Parameters: returns (R, n) C-contiguous; starts (k,) first row of each window, increasing.
    Fills weights (k, n), gaps (k,), states (k,) with OPTIMAL, NO_EXCESS or UNDECIDED.
    """
    k, n = starts.shape[0], returns.shape[1]
    shift = returns[starts[0]].copy()
    total, product = np.zeros(n), np.zeros((n, n))
    mean, S, L = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    free, x = np.zeros(n, dtype=np.bool_), np.zeros(n)
    index, z = np.zeros(n, dtype=np.int64), np.zeros(n)
    a, gradient = np.ones(n), np.zeros(n)
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
        if sharpe:
            positive = False
            for i in range(n):
                a[i] = mean[i] - risk_free
                positive = positive or a[i] > 0.0
            if not positive:
                states[w] = NO_EXCESS
                continue
        if nonnegative_quadratic(S, a, free, x, L, index, z) < 0:
            states[w] = UNDECIDED
            free[:] = False
            continue
        size = 0.0
        for i in range(n):
            size += x[i]
        for i in range(n):
            weights[w, i] = x[i] / size
        if sharpe:
            gaps[w] = ratio_gap(S, weights[w], a, gradient)
        else:
            gaps[w] = simplex_gap(S, weights[w], gradient)
        states[w] = OPTIMAL
