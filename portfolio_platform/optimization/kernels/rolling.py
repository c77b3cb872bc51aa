"""Rolling sums of returns and their products, updated row by row (facts 3.1)."""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

#: Windows between two exact rebuilds of the sums.
REBUILD = 64
#: A leaving return whose square is this many variances forces a rebuild: it leaves a residue.
HUGE = 1e4


@njit(cache=True)
def build_sums(returns, start, stop, shift, total, product):
    """Compute Σ(x − shift) and Σ(x − shift)(x − shift)ᵀ over rows [start, stop)."""
    n = returns.shape[1]
    row = np.empty(n)
    total[:] = 0.0
    product[:, :] = 0.0
    for t in range(start, stop):
        for i in range(n):
            row[i] = returns[t, i] - shift[i]
        for i in range(n):
            total[i] += row[i]
            factor = row[i]
            for j in range(n):
                product[i, j] += factor * row[j]


@njit(cache=True)
def move_sums(returns, old, new, window, shift, total, product, covariance):
    """Move the sums from the window at row `old` to the one at `new`; False asks to rebuild."""
    n = returns.shape[1]
    sound = True
    out, add = np.empty(n), np.empty(n)
    for t in range(old, new):
        for i in range(n):
            out[i] = returns[t, i] - shift[i]
            add[i] = returns[t + window, i] - shift[i]
            total[i] += add[i] - out[i]
        for i in range(n):
            if out[i] * out[i] > HUGE * covariance[i, i]:
                sound = False
            leaving, entering = out[i], add[i]
            for j in range(n):
                product[i, j] += entering * add[j] - leaving * out[j]
    return sound


@njit(cache=True)
def finish_moments(total, product, window, shift, mean, covariance):
    """Turn the sums into the mean (n,) and the symmetric covariance (n, n), ddof 1."""
    n = total.shape[0]
    scale = 1.0 / (window - 1)
    for i in range(n):
        mean[i] = shift[i] + total[i] / window
        factor = total[i] / window
        for j in range(n):
            covariance[i, j] = (product[i, j] - factor * total[j]) * scale


@njit(cache=True)
def suspicious(covariance):
    """Whether a column is constant or two have equal variance: the data rules must look at it."""
    n = covariance.shape[0]
    for i in range(n):
        if not covariance[i, i] > 0.0:
            return True
        for j in range(i):
            gap = abs(covariance[i, i] - covariance[j, j])
            if gap <= 2e-9 * covariance[i, i]:
                return True
    return False


@njit(cache=True)
def rolling_covariances(returns, starts, window):
    """Return (k, n, n) covariances of the windows beginning at rows `starts`."""
    n, k = returns.shape[1], starts.shape[0]
    result = np.empty((k, n, n))
    shift = returns[starts[0]].copy()
    total, product, mean = np.zeros(n), np.zeros((n, n)), np.zeros(n)
    for w in range(k):
        sound = False
        if w % REBUILD != 0 and starts[w] - starts[w - 1] < window:
            sound = move_sums(
                returns, starts[w - 1], starts[w], window, shift, total, product, result[w - 1]
            )
        if not sound:
            build_sums(returns, starts[w], starts[w] + window, shift, total, product)
        finish_moments(total, product, window, shift, mean, result[w])
    return result
