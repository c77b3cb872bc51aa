"""Minimum CVaR by a bounded revised simplex on the dual (facts 3.5).

max γ over 0 <= u_t <= c with Σu = 1 and Σ_t(−R_tj)u_t − γ − s_j = 0, s >= 0. The prices of the
asset rows are the weights, the price of the budget row is the value at risk.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import OPTIMAL, UNDECIDED

REFACTOR = 50
PIVOTS = 2000
#: Reduced costs below this share of the largest return are zero.
PRICE = 1e-13


@njit(cache=True)
def _column(kind, returns, start, n, column):
    """Write the column of variable `kind`: −1 is γ, 0..n−1 is s_j, n + t is u_t."""
    if kind < 0:
        for j in range(n):
            column[j] = -1.0
        column[n] = 0.0
    elif kind < n:
        for j in range(n + 1):
            column[j] = 0.0
        column[kind] = -1.0
    else:
        t = start + kind - n
        for j in range(n):
            column[j] = -returns[t, j]
        column[n] = 1.0


@njit(cache=True)
def _invert(basis, returns, start, n, inverse, work, column):
    """Invert the basis by Gauss-Jordan with row pivoting; False when it is singular."""
    m = n + 1
    for k in range(m):
        _column(basis[k], returns, start, n, column)
        for i in range(m):
            work[i, k] = column[i]
    for i in range(m):
        for k in range(m):
            inverse[i, k] = 0.0
        inverse[i, i] = 1.0
    for k in range(m):
        pivot = k
        for i in range(k + 1, m):
            if abs(work[i, k]) > abs(work[pivot, k]):
                pivot = i
        if abs(work[pivot, k]) < 1e-14:
            return False
        if pivot != k:
            for j in range(m):
                work[k, j], work[pivot, j] = work[pivot, j], work[k, j]
                inverse[k, j], inverse[pivot, j] = inverse[pivot, j], inverse[k, j]
        scale = 1.0 / work[k, k]
        for j in range(m):
            work[k, j] *= scale
            inverse[k, j] *= scale
        for i in range(m):
            if i != k:
                factor = work[i, k]
                if factor != 0.0:
                    for j in range(m):
                        work[i, j] -= factor * work[k, j]
                        inverse[i, j] -= factor * inverse[k, j]
    return True


@njit(cache=True)
def _values(returns, start, T, n, c, place, inverse, right, x):
    """Compute the basic values from the bounds the nonbasic scenarios sit at."""
    m = n + 1
    for i in range(n):
        right[i] = 0.0
    right[n] = 1.0
    for t in range(T):
        if place[t] == 1:
            for j in range(n):
                right[j] += returns[start + t, j] * c
            right[n] -= c
    for k in range(m):
        value = 0.0
        for i in range(m):
            value += inverse[k, i] * right[i]
        x[k] = value


@njit(cache=True)
def minimum_cvar(returns, across, start, T, alpha, w, losses, place, basis, inverse, work, vectors):
    """Minimise CVaR over Σw = 1, w >= 0, on rows [start, start + T), starting from `w` (n,).

    `across` is the transpose of `returns`, contiguous, for pricing. Overwrites `w`; returns
    (state, pivots, gap). ``place`` (T,) is 0 or 1 for a scenario at its
    lower or upper bound and 2 for a basic one.
    """
    n = returns.shape[1]
    m = n + 1
    c = 1.0 / (alpha * T)
    column, direction, right, x, y = vectors[0], vectors[1], vectors[2], vectors[3], vectors[4]
    largest = 0.0
    _losses(across, start, T, n, w, losses)
    for t in range(T):
        place[t] = 0
    for j in range(n):
        for t in range(start, start + T):
            largest = max(largest, abs(across[j, t]))
    order = np.argsort(losses, kind="mergesort")
    whole = int(np.floor(alpha * T))
    if whole >= T:
        return UNDECIDED, 0, np.inf
    for k in range(whole):
        place[order[T - 1 - k]] = 1
    last = order[T - 1 - whole]
    place[last] = 2
    rest = 1.0 - whole * c
    least, chosen = np.inf, 0
    for j in range(n):
        value = -returns[start + last, j] * rest
        for k in range(whole):
            value -= returns[start + order[T - 1 - k], j] * c
        if value < least:
            least, chosen = value, j
    basis[0], basis[1] = -1, n + last
    count = 2
    for j in range(n):
        if j != chosen:
            basis[count] = j
            count += 1
    if not _invert(basis, returns, start, n, inverse, work, column):
        return UNDECIDED, 0, np.inf
    _values(returns, start, T, n, c, place, inverse, right, x)

    since, stalled, tolerance = 0, 0, PRICE * largest
    for pivots in range(PIVOTS):
        for i in range(m):
            y[i] = inverse[0, i]
        for k in range(1, m):
            if basis[k] < 0:
                for i in range(m):
                    y[i] = inverse[k, i]
        bland = stalled > 3 * m
        best, entering, upwards = tolerance, -2, True
        for j in range(n):
            if y[j] > best and not (bland and entering != -2):
                basic = False
                for k in range(m):
                    basic = basic or basis[k] == j
                if not basic:
                    best, entering, upwards = y[j], j, True
        _losses(across, start, T, n, y, losses)
        for t in range(T):
            if place[t] == 2 or (bland and entering != -2):
                continue
            value = -losses[t] - y[n]
            if place[t] == 1:
                value = -value
            if value > best:
                best, entering, upwards = value, n + t, place[t] == 0
        if entering == -2:
            return _finish(returns, start, T, n, c, y, x, basis, place, losses, w, pivots)
        _column(entering, returns, start, n, column)
        for k in range(m):
            value = 0.0
            for i in range(m):
                value += inverse[k, i] * column[i]
            direction[k] = value if upwards else -value
        step = c if entering >= n else np.inf
        leaving, to_upper, size = -1, False, 0.0
        for k in range(m):
            if basis[k] < 0:
                continue
            slope = direction[k]
            if slope > 1e-11:
                ratio = max(x[k], 0.0) / slope
                if ratio < step or (ratio == step and abs(slope) > size):
                    step, leaving, to_upper, size = ratio, k, False, abs(slope)
            elif slope < -1e-11 and basis[k] >= n:
                ratio = max(c - x[k], 0.0) / -slope
                if ratio < step or (ratio == step and abs(slope) > size):
                    step, leaving, to_upper, size = ratio, k, True, abs(slope)
        if step == np.inf:
            return UNDECIDED, pivots, np.inf
        stalled = stalled + 1 if step <= 1e-14 * c else 0
        for k in range(m):
            x[k] -= step * direction[k]
        if leaving < 0:
            place[entering - n] = 1 if upwards else 0
            continue
        if entering >= n:
            value = step if upwards else c - step
            place[entering - n] = 2
        else:
            value = step
        gone = basis[leaving]
        if gone >= n:
            place[gone - n] = 1 if to_upper else 0
        basis[leaving] = entering
        x[leaving] = value
        since += 1
        if since >= REFACTOR:
            since = 0
            if not _invert(basis, returns, start, n, inverse, work, column):
                return UNDECIDED, pivots, np.inf
            _values(returns, start, T, n, c, place, inverse, right, x)
            continue
        pivot = direction[leaving] if upwards else -direction[leaving]
        for i in range(m):
            inverse[leaving, i] /= pivot
        for k in range(m):
            if k != leaving:
                factor = direction[k] if upwards else -direction[k]
                if factor != 0.0:
                    for i in range(m):
                        inverse[k, i] -= factor * inverse[leaving, i]
    return UNDECIDED, PIVOTS, np.inf


@njit(cache=True)
def _losses(across, start, T, n, w, losses):
    """Write the losses −R·w of the window, asset by asset so that the loop is vectorised."""
    losses[:] = 0.0
    for j in range(n):
        factor = w[j]
        if factor != 0.0:
            for t in range(T):
                losses[t] -= across[j, start + t] * factor


@njit(cache=True)
def _finish(returns, start, T, n, c, y, x, basis, place, losses, w, pivots):
    """Read the weights off the prices and certify them with the scenario prices u."""
    total = 0.0
    for j in range(n):
        w[j] = -y[j] if y[j] < 0.0 else 0.0
        if w[j] < 1e-14:
            w[j] = 0.0
        total += w[j]
    for j in range(n):
        w[j] /= total
    risk = y[n]
    for t in range(T):
        value = 0.0
        for j in range(n):
            value -= returns[start + t, j] * w[j]
        losses[t] = value
        if value > y[n]:
            risk += c * (value - y[n])
    mass, bound = 0.0, np.inf
    for t in range(T):
        if place[t] == 1:
            mass += c
    for k in range(n + 1):
        if basis[k] >= n:
            mass += min(max(x[k], 0.0), c)
    for j in range(n):
        value = 0.0
        for t in range(T):
            if place[t] == 1:
                value -= returns[start + t, j] * c
        for k in range(n + 1):
            if basis[k] >= n:
                value -= returns[start + basis[k] - n, j] * min(max(x[k], 0.0), c)
        bound = min(bound, value / mass)
    if mass > 1.0 + 1e-9 or mass < 1.0 - 1e-9:
        return UNDECIDED, pivots, np.inf
    scale = max(abs(risk), 1e-300)
    return OPTIMAL, pivots, max(0.0, risk - bound) / scale


@njit(cache=True)
def walk_cvar(returns, starts, window, alpha, weights, gaps, states, pivots):
    """Minimum CVaR over many windows, each started from the tail of the previous weights."""
    k, n = starts.shape[0], returns.shape[1]
    across = np.ascontiguousarray(returns.T)
    m = n + 1
    w = np.full(n, 1.0 / n)
    losses, place = np.zeros(window), np.zeros(window, dtype=np.int64)
    basis = np.zeros(m, dtype=np.int64)
    inverse, work, vectors = np.zeros((m, m)), np.zeros((m, m)), np.zeros((5, m))
    for i in range(k):
        state, used, gap = minimum_cvar(
            returns,
            across,
            starts[i],
            window,
            alpha,
            w,
            losses,
            place,
            basis,
            inverse,
            work,
            vectors,
        )
        states[i], pivots[i], gaps[i] = state, used, gap
        if state == OPTIMAL:
            weights[i] = w
        else:
            w[:] = 1.0 / n
