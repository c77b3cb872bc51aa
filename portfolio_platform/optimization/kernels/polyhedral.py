"""Minimum of a polyhedral risk over the simplex: a revised simplex that prices with subgradients.

Every measure here is f(w) = max gᵀw over a polytope of prices g. Its dual is max γ with
``Σ u_k g_k − γ − s = 0``, Σu = 1, u >= 0, s >= 0; the column to enter is a subgradient of f at the
current prices w, so that the polytope is never written down. Exact after finitely many pivots.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import OPTIMAL, UNDECIDED

ORDERED, DRAWDOWN, SHORTFALL = 0, 1, 2
PIVOTS = 3000
REFACTOR = 60
#: The search ends when the subgradient column gains less than this share of the risk.
GAP = 2e-13


@njit(cache=True)
def subgradient(mode, across, start, T, w, order_weights, x, work, g):
    """Write a subgradient g (n,) of the measure at `w` and return f(w) = g·w.

    ORDERED: Σ v_i x_(i) over returns sorted upwards (``order_weights`` v, (T,)). DRAWDOWN: the same
    over drawdowns of the uncompounded path. SHORTFALL: the mean of max(−x, 0).
    """
    n = w.shape[0]
    x[:] = 0.0
    for j in range(n):
        factor = w[j]
        if factor != 0.0:
            for t in range(T):
                x[t] += across[j, start + t] * factor
    if mode == SHORTFALL:
        for t in range(T):
            work[t] = -1.0 / T if x[t] < 0.0 else 0.0
    elif mode == ORDERED:
        order = np.argsort(x, kind="mergesort")
        for i in range(T):
            work[order[i]] = order_weights[i]
    else:
        path, peak, at = 0.0, 0.0, -1
        depth, since = np.empty(T), np.empty(T, dtype=np.int64)
        for t in range(T):
            path += x[t]
            if path > peak:
                peak, at = path, t
            depth[t] = peak - path
            since[t] = at
        order = np.argsort(depth, kind="mergesort")
        work[:] = 0.0
        for i in range(T):
            weight = order_weights[i]
            if weight != 0.0:
                t = order[i]
                if since[t] < t:
                    # minus the returns after the peak up to t: a difference of two steps
                    work[t] -= weight
                    if since[t] >= 0:
                        work[since[t]] += weight
        running = 0.0
        for t in range(T - 1, -1, -1):
            running += work[t]
            work[t] = running
    value = 0.0
    for j in range(n):
        total = 0.0
        for t in range(T):
            if work[t] != 0.0:
                total += across[j, start + t] * work[t]
        g[j] = total
        value += total * w[j]
    return value


@njit(cache=True)
def _invert(columns, m, inverse, work):
    for i in range(m):
        for k in range(m):
            work[i, k] = columns[k, i]
            inverse[i, k] = 1.0 if i == k else 0.0
    for k in range(m):
        pivot = k
        for i in range(k + 1, m):
            if abs(work[i, k]) > abs(work[pivot, k]):
                pivot = i
        if abs(work[pivot, k]) < 1e-13:
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
            if i != k and work[i, k] != 0.0:
                factor = work[i, k]
                for j in range(m):
                    work[i, j] -= factor * work[k, j]
                    inverse[i, j] -= factor * inverse[k, j]
    return True


@njit(cache=True)
def minimise(mode, across, start, T, tilt, order_weights, w, size, space, square, kinds):
    """Minimise f(w) + tilt·w over Σw = 1, w >= 0, from `w`; return (state, pivots, gap).

    `size` scales the columns to one. Basis columns are stored in ``square[2]``: γ first, then slack
    columns (kind j) and subgradients (kind n).
    """
    n = w.shape[0]
    m = n + 1
    inverse, dense, columns = square[0], square[1], square[2]
    x, work = space[0], space[1]
    g, column = np.empty(n), np.empty(m)
    direction, values, y = np.empty(m), np.empty(m), np.empty(m)
    subgradient(mode, across, start, T, w, order_weights, x, work, g)
    least, chosen = np.inf, 0
    for j in range(n):
        g[j] = (g[j] + tilt[j]) / size
        if g[j] < least:
            least, chosen = g[j], j
    kinds[0], kinds[1] = -1, n
    for j in range(n):
        columns[0, j] = -1.0
        columns[1, j] = g[j]
    columns[0, n], columns[1, n] = 0.0, 1.0
    count = 2
    for j in range(n):
        if j != chosen:
            kinds[count] = j
            columns[count, :] = 0.0
            columns[count, j] = -1.0
            count += 1
    if not _invert(columns, m, inverse, dense):
        return UNDECIDED, 0, np.inf
    for k in range(m):
        values[k] = inverse[k, n]
    since, best_bound = 0, -np.inf
    for pivots in range(PIVOTS):
        for i in range(m):
            y[i] = inverse[0, i]
        worst, entering = 1e-13, -1
        for j in range(n):
            if y[j] > worst:
                basic = False
                for k in range(m):
                    basic = basic or kinds[k] == j
                if not basic:
                    worst, entering = y[j], j
        if entering >= 0:
            column[:] = 0.0
            column[entering] = -1.0
        else:
            mass = 0.0
            for j in range(n):
                w[j] = -y[j] if y[j] < 0.0 else 0.0
                mass += w[j]
            for j in range(n):
                w[j] /= mass
            value = subgradient(mode, across, start, T, w, order_weights, x, work, g)
            for j in range(n):
                value += tilt[j] * w[j]
                column[j] = (g[j] + tilt[j]) / size
            value /= size
            column[n] = 1.0
            best_bound = max(best_bound, values[0])
            scale = max(abs(value), 1e-9)
            if value - best_bound <= GAP * scale:
                return OPTIMAL, pivots, max(0.0, value - best_bound) / scale
            entering = n
        for k in range(m):
            total = 0.0
            for i in range(m):
                total += inverse[k, i] * column[i]
            direction[k] = total
        step, leaving, slope = np.inf, -1, 0.0
        for k in range(1, m):
            if direction[k] > 1e-11:
                ratio = max(values[k], 0.0) / direction[k]
                if ratio < step * (1.0 - 1e-12) or (
                    ratio <= step * (1.0 + 1e-12) and direction[k] > slope
                ):
                    step, leaving, slope = ratio, k, direction[k]
        if leaving < 0:
            return UNDECIDED, pivots, np.inf
        for k in range(m):
            values[k] -= step * direction[k]
        values[leaving] = step
        kinds[leaving] = entering
        for i in range(m):
            columns[leaving, i] = column[i]
        since += 1
        if since >= REFACTOR:
            since = 0
            if not _invert(columns, m, inverse, dense):
                return UNDECIDED, pivots, np.inf
            for k in range(m):
                values[k] = inverse[k, n]
        else:
            for i in range(m):
                inverse[leaving, i] /= direction[leaving]
            for k in range(m):
                if k != leaving:
                    factor = direction[k]
                    if factor != 0.0:
                        for i in range(m):
                            inverse[k, i] -= factor * inverse[leaving, i]
    return UNDECIDED, PIVOTS, np.inf


@njit(cache=True)
def walk_polyhedral(
    mode,
    returns,
    starts,
    window,
    centre,
    aversion,
    level,
    order_weights,
    weights,
    gaps,
    states,
    pivots,
):
    """Minimum polyhedral risk (``aversion`` 0), or best utility, over many windows.

    `centre` subtracts each window's mean from the returns (MAD); `level` subtracts a fixed rate
    (FLPM). Each window starts from the weights of the one before.
    """
    k, n = starts.shape[0], returns.shape[1]
    m = n + 1
    across = np.empty((n, window))
    w, tilt = np.full(n, 1.0 / n), np.zeros(n)
    space, square = np.zeros((2, window)), np.zeros((3, m, m))
    kinds = np.zeros(m, dtype=np.int64)
    for i in range(k):
        start, size = starts[i], 0.0
        for j in range(n):
            mean = 0.0
            for t in range(window):
                value = returns[start + t, j]
                across[j, t] = value - level
                mean += value
                size += abs(value)
            mean /= window
            if centre:
                for t in range(window):
                    across[j, t] -= mean
            tilt[j] = -mean / aversion if aversion > 0.0 else 0.0
        state, used, gap = minimise(
            mode,
            across,
            0,
            window,
            tilt,
            order_weights,
            w,
            size / (n * window),
            space,
            square,
            kinds,
        )
        states[i], pivots[i], gaps[i] = state, used, gap
        if state == OPTIMAL:
            weights[i] = w
        else:
            w[:] = 1.0 / n
