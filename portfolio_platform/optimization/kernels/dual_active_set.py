"""Mean-variance with bounds and rows: the dual active-set method of Goldfarb and Idnani (1983).

min ½xᵀSx over Cᵀx >= b, the first constraint an equation. Starts from the unconstrained minimum and
adds the most violated constraint until none is; exact after finitely many steps for regular S.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import NO_EXCESS, OPTIMAL, UNDECIDED
from portfolio_platform.optimization.kernels.rolling import (
    REBUILD,
    build_sums,
    finish_moments,
    move_sums,
    suspicious,
)

INFEASIBLE = 3


@njit(cache=True)
def _inverse_factor(S, J):
    """Write J = L⁻ᵀ with S = LLᵀ; False when S is not safely positive definite."""
    n = S.shape[0]
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            value = S[i, j]
            for k in range(j):
                value -= L[i, k] * L[j, k]
            if i == j:
                if value <= 1e-10 * S[i, i]:
                    return False
                L[i, i] = np.sqrt(value)
            else:
                L[i, j] = value / L[j, j]
    J[:, :] = 0.0
    for j in range(n):
        J[j, j] = 1.0 / L[j, j]
        for i in range(j + 1, n):
            value = 0.0
            for k in range(j, i):
                value -= L[i, k] * J[j, k]
            J[j, i] = value / L[i, i]
    return True


@njit(cache=True)
def _add(R, J, d, q):
    """Rotate d[q+1:] into d[q] and append it as a column of R; return the new size."""
    n = d.shape[0]
    for j in range(n - 1, q, -1):
        c, s = d[j - 1], d[j]
        h = np.hypot(c, s)
        if h == 0.0:
            continue
        c /= h
        s /= h
        d[j - 1], d[j] = h, 0.0
        for k in range(n):
            a, b = J[k, j - 1], J[k, j]
            J[k, j - 1] = c * a + s * b
            J[k, j] = c * b - s * a
    for i in range(q + 1):
        R[i, q] = d[i]
    return q + 1


@njit(cache=True)
def _drop(R, J, active, u, q, place):
    """Remove the active constraint at `place`, restoring R to a triangle; return the new size."""
    n = J.shape[0]
    for j in range(place, q - 1):
        active[j] = active[j + 1]
        u[j] = u[j + 1]
        for i in range(q):
            R[i, j] = R[i, j + 1]
    u[q - 1] = u[q]
    u[q] = 0.0
    for i in range(q):
        R[i, q - 1] = 0.0
    q -= 1
    for j in range(place, q):
        c, s = R[j, j], R[j + 1, j]
        h = np.hypot(c, s)
        if h == 0.0:
            continue
        c /= h
        s /= h
        for k in range(j, q):
            a, b = R[j, k], R[j + 1, k]
            R[j, k] = c * a + s * b
            R[j + 1, k] = c * b - s * a
        for k in range(n):
            a, b = J[k, j], J[k, j + 1]
            J[k, j] = c * a + s * b
            J[k, j + 1] = c * b - s * a
    return q


@njit(cache=True)
def dual_active_set(S, C, b, x, prices, J, R, work, active, u):
    """Solve min ½xᵀSx, C[:, 0]·x = b[0], C[:, i]·x >= b[i]; fill x (n,) and prices (m,).

    Returns OPTIMAL, INFEASIBLE, or UNDECIDED for a singular S or too many steps.
    """
    n, m = C.shape
    if not _inverse_factor(S, J):
        return UNDECIDED
    d, z, r, inside = work[0], work[1], work[2], np.zeros(m, dtype=np.bool_)
    x[:] = 0.0
    u[:] = 0.0
    q = 0
    for _ in range(20 * (n + m)):
        chosen, worst = -1, 0.0
        if not inside[0]:
            chosen = 0
            worst = -b[0]
            for k in range(n):
                worst += C[k, 0] * x[k]
        else:
            for i in range(1, m):
                if inside[i]:
                    continue
                slack, size = -b[i], abs(b[i])
                for k in range(n):
                    part = C[k, i] * x[k]
                    slack += part
                    size += abs(part)
                if slack < worst and slack < -1e-14 * (size + 1e-300):
                    chosen, worst = i, slack
            if chosen < 0:
                prices[:] = 0.0
                for k in range(q):
                    prices[active[k]] = u[k]
                return OPTIMAL
        sign = -1.0 if chosen == 0 and worst > 0.0 else 1.0
        slack = sign * worst
        u[q] = 0.0
        while True:
            for j in range(n):
                value = 0.0
                for k in range(n):
                    value += J[k, j] * C[k, chosen]
                d[j] = sign * value
            length, slope = 0.0, 0.0
            for k in range(n):
                value = 0.0
                for j in range(q, n):
                    value += J[k, j] * d[j]
                z[k] = value
                slope += sign * value * C[k, chosen]
            for j in range(n):
                length += d[j] * d[j]
            for i in range(q - 1, -1, -1):
                value = d[i]
                for j in range(i + 1, q):
                    value -= R[i, j] * r[j]
                r[i] = value / R[i, i]
            partial, leaving = np.inf, -1
            for k in range(q):
                if active[k] != 0 and r[k] > 0.0 and u[k] / r[k] < partial:
                    partial, leaving = u[k] / r[k], k
            full = -slack / slope if slope > 1e-14 * length else np.inf
            step = min(partial, full)
            if step == np.inf:
                return INFEASIBLE
            for k in range(q):
                u[k] -= step * r[k]
            u[q] += step
            if full < np.inf:
                for k in range(n):
                    x[k] += step * z[k]
                slack += step * slope
            if full <= partial:
                active[q] = chosen
                inside[chosen] = True
                q = _add(R, J, d, q)
                if q < n + 1 and u.shape[0] > q:
                    u[q] = 0.0
                break
            inside[active[leaving]] = False
            q = _drop(R, J, active, u, q, leaving)
            if full < np.inf:
                slack = -sign * b[chosen]
                for k in range(n):
                    slack += sign * C[k, chosen] * x[k]
    return UNDECIDED


@njit(cache=True)
def walk_programme(returns, starts, window, risk_free, sharpe, C, b, weights, gaps, states):
    """Minimum variance or maximum Sharpe under rows, over many windows with rolled moments.

    Column 0 of C (n, m) is the budget; the others are written for Σw = 1. For the ratio every row
    is made homogeneous in x = κw (κ = Σx) and the equation becomes excess·x = 1.
    """
    k, n, m = starts.shape[0], returns.shape[1], C.shape[1]
    shift = returns[starts[0]].copy()
    total, product = np.zeros(n), np.zeros((n, n))
    mean, S, J, R = np.zeros(n), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n + 1, n + 1))
    work, x, u = np.zeros((3, n)), np.zeros(n), np.zeros(n + 2)
    active, prices = np.zeros(n + 2, dtype=np.int64), np.zeros(m)
    scaled, D, side = np.zeros((n, n)), C.copy(), b.copy()
    if sharpe:
        for i in range(1, m):
            for j in range(n):
                D[j, i] = C[j, i] - b[i]
            side[i] = 0.0
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
        size = 0.0
        for i in range(n):
            size += S[i, i] / n
        for i in range(n):
            for j in range(n):
                scaled[i, j] = S[i, j] / size
        if sharpe:
            largest = 0.0
            for i in range(n):
                largest = max(largest, abs(mean[i] - risk_free))
            if largest == 0.0:
                states[w] = NO_EXCESS
                continue
            for i in range(n):
                D[i, 0] = (mean[i] - risk_free) / largest
            side[0] = 1.0
        state = dual_active_set(scaled, D, side, x, prices, J, R, work, active, u)
        if state != OPTIMAL:
            states[w] = UNDECIDED
            continue
        mass, variance, bound = 0.0, 0.0, 0.0
        for i in range(n):
            mass += x[i]
            for j in range(n):
                variance += x[i] * scaled[i, j] * x[j]
        for i in range(m):
            bound += prices[i] * side[i]
        # Lagrange: ½xᵀSx >= Σ prices·side − ½xᵀSx at a stationary x
        gaps[w] = abs(2.0 * (variance - bound)) / variance
        for i in range(n):
            weights[w, i] = x[i] / mass
        states[w] = OPTIMAL if mass > 0.0 else UNDECIDED
