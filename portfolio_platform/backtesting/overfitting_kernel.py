# mypy: disable-error-code="no-untyped-def"
"""Compiled inner loop of CSCV: score both halves of each split, rank both winners."""

import numpy as np
from numba import njit


@njit(cache=True)
def score_splits(
    first, second, counts, total_first, total_second, rows, shift, omega, inside, outside
):
    """Fill (2·C) relative ranks, in-sample and out-of-sample Sharpe ratios of the winners.

    ``first`` and ``second`` (C, N) are sums of x and x², centred by ``shift``, over one half of
    each split; the other half is the total minus it. Strategies are compared by ``m·|m|/v``, which
    orders like the Sharpe ratio ``m/√v`` and needs no root.
    """
    splits, n = first.shape
    one = np.empty(n)
    other = np.empty(n)
    for c in range(splits):
        size = counts[c]
        rest = rows - size
        inverse = 1.0 / size
        inverse_rest = 1.0 / rest
        for j in range(n):
            a = first[c, j]
            b = total_first[j] - a
            variance = second[c, j] - a * a * inverse
            variance_rest = total_second[j] - second[c, j] - b * b * inverse_rest
            mean = a * inverse + shift[j]
            mean_rest = b * inverse_rest + shift[j]
            still = variance <= 1e-24 * size
            still_rest = variance_rest <= 1e-24 * rest
            one[j] = 0.0 if still else mean * abs(mean) / variance * (size - 1.0)
            other[j] = (
                0.0 if still_rest else mean_rest * abs(mean_rest) / variance_rest * (rest - 1.0)
            )
        for side in range(2):
            fit = one if side == 0 else other
            test = other if side == 0 else one
            winner = 0
            best = fit[0]
            for j in range(1, n):
                if fit[j] > best:
                    best = fit[j]
                    winner = j
            score = test[winner]
            less = 0
            equal = 0
            for j in range(n):
                less += test[j] < score
                equal += test[j] == score
            place = c + side * splits
            omega[place] = (less + (equal + 1) / 2.0) / (n + 1)
            inside[place] = np.sqrt(abs(best)) * np.sign(best)
            outside[place] = np.sqrt(abs(score)) * np.sign(score)
