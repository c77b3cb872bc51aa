"""Small dense linear algebra: Cholesky with guarded pivots, triangular solves."""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

#: Pivots below this share of the diagonal entry are lifted to it: the direction has no curvature,
#: and the long step it then takes is cut at the first bound.
PIVOT_GUARD = 1e-14


@njit(cache=True)
def cholesky_of(S, index, start, count, L):
    """Factor S[index, index] = LLᵀ into the lower triangle of L, rows `start` to `count`.

    The rows before `start` must hold the factor of the leading block already.
    """
    for i in range(start, count):
        row = index[i]
        for j in range(i):
            value = S[row, index[j]]
            for k in range(j):
                value -= L[i, k] * L[j, k]
            L[i, j] = value / L[j, j]
        value = S[row, row]
        for k in range(i):
            value -= L[i, k] * L[i, k]
        floor = PIVOT_GUARD * S[row, row]
        if value < floor:
            value = floor
        if value <= 0.0:
            value = 1e-300
        L[i, i] = np.sqrt(value)


@njit(cache=True)
def solve_cholesky(L, count, b):
    """Solve LLᵀz = b in place of b[:count]."""
    for i in range(count):
        value = b[i]
        for k in range(i):
            value -= L[i, k] * b[k]
        b[i] = value / L[i, i]
    for i in range(count - 1, -1, -1):
        value = b[i]
        for k in range(i + 1, count):
            value -= L[k, i] * b[k]
        b[i] = value / L[i, i]
