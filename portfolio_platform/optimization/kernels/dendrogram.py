"""Single linkage and optimal leaf order, the order of scipy's ``linkage(optimal_ordering=True)``.

The tree is Prim's minimum spanning tree merged by increasing distance. Flips follow Bar-Joseph,
Gifford and Jaakkola (2001) as scipy has it: the least sum of neighbour distances for every pair of
end leaves, in single precision, each node's best ends deciding the flips of its children. That is
not always the least sum over all flips of the tree, but it is the order HRP is defined with.
"""

# mypy: allow-untyped-defs, allow-untyped-decorators

import numpy as np
from numba import njit


@njit(cache=True)
def single_linkage(distance, children):
    """Fill children (n − 1, 2) of the merges, clusters numbered from n on, smaller id first."""
    n = distance.shape[0]
    near, parent = np.full(n, np.inf), np.zeros(n, dtype=np.int64)
    done = np.zeros(n, dtype=np.bool_)
    ends, lengths = np.zeros((n - 1, 2), dtype=np.int64), np.zeros(n - 1)
    at = 0
    for step in range(n - 1):
        done[at] = True
        best, following = np.inf, -1
        for j in range(n):
            if done[j]:
                continue
            if distance[at, j] < near[j]:
                near[j] = distance[at, j]
                parent[j] = at
            if near[j] < best:
                best, following = near[j], j
        ends[step, 0], ends[step, 1], lengths[step] = parent[following], following, best
        at = following
    root = np.arange(2 * n - 1)
    order = np.argsort(lengths, kind="mergesort")
    for step in range(n - 1):
        a, b = ends[order[step], 0], ends[order[step], 1]
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        while root[b] != b:
            root[b] = root[root[b]]
            b = root[b]
        children[step, 0], children[step, 1] = min(a, b), max(a, b)
        root[a] = n + step
        root[b] = n + step


@njit(cache=True)
def leaf_order(distance, children, order):
    """Fill order (n,) with the leaves from left to right."""
    n = distance.shape[0]
    nodes = 2 * n - 1
    size, first = np.ones(nodes, dtype=np.int64), np.zeros(nodes, dtype=np.int64)
    line, flipped = np.zeros(n, dtype=np.int64), np.zeros(nodes, dtype=np.bool_)
    for step in range(n - 1):
        size[n + step] = size[children[step, 0]] + size[children[step, 1]]
    for step in range(n - 2, -1, -1):
        first[children[step, 0]] = first[n + step]
        first[children[step, 1]] = first[n + step] + size[children[step, 0]]
    for leaf in range(n):
        line[first[leaf]] = leaf
    cost = np.zeros((n, n), dtype=np.float32)
    for step in range(n - 1):
        a, b = children[step, 0], children[step, 1]
        least, start, stop = np.float32(np.inf), -1, -1
        for p in range(first[a], first[a] + size[a]):
            m_from, m_to = _other_end(a, p, n, children, first, size)
            for q in range(first[b], first[b] + size[b]):
                k_from, k_to = _other_end(b, q, n, children, first, size)
                best = np.float32(np.inf)
                for m in range(m_from, m_to):
                    for k in range(k_from, k_to):
                        value = np.float32((cost[p, m] + cost[q, k]) + distance[line[m], line[k]])
                        if value < best:
                            best = value
                cost[p, q] = best
                cost[q, p] = best
                if best < least:
                    least, start, stop = best, p, q
        if a >= n:
            flipped[a] = start >= first[children[a - n, 1]]
        if b >= n:
            flipped[b] = stop < first[children[b - n, 1]]
    # a flip turns its whole subtree round, so flips below undo or repeat it
    for step in range(n - 2, -1, -1):
        if flipped[n + step]:
            for side in range(2):
                flipped[children[step, side]] = not flipped[children[step, side]]
    stack = np.zeros(2 * n, dtype=np.int64)
    stack[0] = nodes - 1
    depth, place = 1, 0
    while depth > 0:
        depth -= 1
        v = stack[depth]
        if v < n:
            order[place] = v
            place += 1
            continue
        a, b = children[v - n, 0], children[v - n, 1]
        if flipped[v]:
            a, b = b, a
        stack[depth], stack[depth + 1] = b, a
        depth += 2


@njit(cache=True)
def _other_end(v, position, n, children, first, size):
    """Return the positions that may stand at the other end of cluster v from `position`."""
    if v < n:
        return first[v], first[v] + 1
    a, b = children[v - n, 0], children[v - n, 1]
    if position < first[b]:
        return first[b], first[b] + size[b]
    return first[a], first[a] + size[a]
