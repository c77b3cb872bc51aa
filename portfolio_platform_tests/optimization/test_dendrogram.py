"""The compiled tree is scipy's: same merges, same leaf order."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.mark.parametrize("count", [2, 3, 4, 7, 12, 20, 33])
def test_order_equals_scipy(count):
    from scipy.cluster import hierarchy
    from scipy.spatial.distance import squareform

    from portfolio_platform.optimization.kernels.dendrogram import leaf_order, single_linkage

    generator = np.random.default_rng(count)
    children = np.zeros((count - 1, 2), dtype=np.int64)
    order = np.zeros(count, dtype=np.int64)
    for _ in range(150):
        rows = generator.normal(size=(3 * count + 5, count))
        rows += generator.normal(size=(3 * count + 5, 1)) * generator.uniform(0, 1)
        distance = np.sqrt(np.clip((1 - np.corrcoef(rows.T)) / 2, 0, 1))
        np.fill_diagonal(distance, 0.0)
        distance = 0.5 * (distance + distance.T)
        condensed = squareform(distance, checks=False)
        plain = hierarchy.linkage(condensed, "single")
        single_linkage(distance, children)
        assert (children == plain[:, :2].astype(int)).all()
        ordered = hierarchy.linkage(condensed, "single", optimal_ordering=True)
        leaf_order(distance, children, order)
        assert (order == hierarchy.leaves_list(ordered)).all()
