"""Recursive bisection of hierarchical risk parity (facts 3.7)."""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit

from portfolio_platform.optimization.kernels.active_set import OPTIMAL, UNDECIDED
from portfolio_platform.optimization.kernels.dendrogram import leaf_order, single_linkage
from portfolio_platform.optimization.kernels.rolling import (
    REBUILD,
    build_sums,
    finish_moments,
    move_sums,
    suspicious,
)


@njit(cache=True)
def bisect(covariance, order, deviation, weights, bounds):
    """Split the ordered leaves in halves, weighting each half by the other's risk.

    Cluster weights are inverse variances (inverse deviations with `deviation`), cluster risk the
    variance (deviation) of that mix. The left half is the smaller one. Fills weights (n,);
    `bounds` (2n, 2) is workspace.
    """
    n = order.shape[0]
    for i in range(n):
        weights[i] = 1.0
    bounds[0, 0], bounds[0, 1] = 0, n
    head, tail = 0, 1
    while head < tail:
        start, stop = bounds[head % (2 * n), 0], bounds[head % (2 * n), 1]
        head += 1
        if stop - start < 2:
            continue
        middle = start + (stop - start) // 2
        left = cluster_risk(covariance, order, start, middle, deviation)
        right = cluster_risk(covariance, order, middle, stop, deviation)
        share = 1.0 - left / (left + right)
        for k in range(start, middle):
            weights[order[k]] *= share
        for k in range(middle, stop):
            weights[order[k]] *= 1.0 - share
        bounds[tail % (2 * n), 0], bounds[tail % (2 * n), 1] = start, middle
        bounds[(tail + 1) % (2 * n), 0], bounds[(tail + 1) % (2 * n), 1] = middle, stop
        tail += 2


@njit(cache=True)
def cluster_risk(covariance, order, start, stop, deviation):
    """Return the risk of the inverse-risk mix of order[start:stop]."""
    total, value = 0.0, 0.0
    for a in range(start, stop):
        i = order[a]
        own = covariance[i, i]
        total += 1.0 / (np.sqrt(own) if deviation else own)
    for a in range(start, stop):
        i = order[a]
        mine = 1.0 / (np.sqrt(covariance[i, i]) if deviation else covariance[i, i])
        inner = 0.0
        for b in range(start, stop):
            j = order[b]
            other = 1.0 / (np.sqrt(covariance[j, j]) if deviation else covariance[j, j])
            inner += covariance[i, j] * other
        value += mine * inner
    value /= total * total
    return np.sqrt(value) if deviation else value


@njit(cache=True)
def correlation_distance(covariance, condensed):
    """Fill the condensed (n(n−1)/2,) distances √clip((1 − ρ)/2, 0, 1)."""
    n = covariance.shape[0]
    place = 0
    for i in range(n):
        for j in range(i + 1, n):
            rho = covariance[i, j] / (np.sqrt(covariance[i, i]) * np.sqrt(covariance[j, j]))
            condensed[place] = np.sqrt(min(max((1.0 - rho) / 2.0, 0.0), 1.0))
            place += 1


@njit(cache=True)
def walk_hierarchical(returns, starts, window, deviation, weights, states):
    """Hierarchical risk parity over many windows: single linkage, ordered leaves."""
    k, n = starts.shape[0], returns.shape[1]
    shift = returns[starts[0]].copy()
    total, product = np.zeros(n), np.zeros((n, n))
    mean, S, distance = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    children, order = np.zeros((n - 1, 2), dtype=np.int64), np.zeros(n, dtype=np.int64)
    bounds, sigma = np.zeros((2 * n, 2), dtype=np.int64), np.zeros(n)
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
            for j in range(i):
                rho = S[i, j] / (sigma[i] * sigma[j])
                value = np.sqrt(min(max((1.0 - rho) / 2.0, 0.0), 1.0))
                distance[i, j] = value
                distance[j, i] = value
        single_linkage(distance, children)
        leaf_order(distance, children, order)
        bisect(S, order, deviation, weights[w], bounds)
        states[w] = OPTIMAL
