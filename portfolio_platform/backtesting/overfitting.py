"""Probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

Bailey, Borwein, López de Prado and Zhu 2017, *The Probability of Backtest Overfitting*.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb, sqrt
from typing import Any

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined

#: Splits the report draws.
_SCATTER = 400


@dataclass(frozen=True)
class Overfitting:
    """Outcome of CSCV over all C(S, S/2) splits.

    Attributes
    ----------
    logits
        ln(ω/(1 − ω)) per split, ω the relative out-of-sample rank of the in-sample winner.
    in_sample, out_of_sample
        Sharpe ratio per period of the in-sample winner, per split.
    """

    blocks: int
    strategies: int
    observations: int
    logits: FloatArray
    in_sample: FloatArray
    out_of_sample: FloatArray

    @property
    def probability(self) -> float:
        """PBO: share of splits whose winner is at or below the median out of sample."""
        return float(np.mean(self.logits <= 0.0))

    @property
    def loss_probability(self) -> float:
        """Share of splits whose winner loses out of sample."""
        return float(np.mean(self.out_of_sample < 0.0))

    @property
    def slope(self) -> float | None:
        """Slope of the out-of-sample on the in-sample Sharpe of the winner; None when flat."""
        spread = self.in_sample - self.in_sample.mean()
        total = float(spread @ spread)
        return float(spread @ self.out_of_sample) / total if total > 0.0 else None

    def to_json(self, q: float) -> dict[str, Any]:
        """Return the figures and what the report draws; Sharpe ratios annual."""
        counts, edges = np.histogram(self.logits, bins=30)
        step = max(1, len(self.logits) // _SCATTER)
        scatter = np.column_stack([self.in_sample, self.out_of_sample])[::step] * sqrt(q)
        return {
            "pbo": self.probability,
            "loss_probability": self.loss_probability,
            "slope": self.slope,
            "blocks": self.blocks,
            "strategies": self.strategies,
            "observations": self.observations,
            "splits": len(self.logits),
            "logits": {"edges": edges.tolist(), "counts": counts.tolist()},
            "scatter": np.round(scatter, 6).tolist(),
        }


def backtest_overfitting(returns: FloatArray, blocks: int = 16) -> Overfitting:
    """Estimate the probability of backtest overfitting.

    Splits come in complementary pairs, so half of them is evaluated and in- and out-of-sample are
    swapped. Only block sums of x and x² enter: two matrix products. A strategy
    that stood still at 0 in a half has Sharpe ratio 0 there.

    Parameters
    ----------
    returns
        (T, N) returns per period of N strategies.
    blocks
        S, even; the first T mod S blocks get one row more.

    Raises
    ------
    NotDefined
        For fewer than 2 strategies, fewer than 2 rows per block, a value that is not finite, or a
        strategy that never varies.
    """
    observations, strategies = returns.shape
    if blocks < 2 or blocks % 2:
        raise NotDefined(f"{blocks} blocks: CSCV needs an even number")
    if strategies < 2:
        raise NotDefined(f"{strategies} strategy: CSCV needs at least 2 to choose from")
    if observations < 2 * blocks:
        raise NotDefined(f"{observations} observations for {blocks} blocks: at least 2 in each")
    if not np.isfinite(returns).all():
        raise NotDefined("a return is not finite")
    if (returns.max(axis=0) == returns.min(axis=0)).any():
        raise NotDefined("a strategy never varies")
    shift = returns.mean(axis=0)
    centred = returns - shift
    sizes = np.full(blocks, observations // blocks)
    sizes[: observations % blocks] += 1
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    first = np.add.reduceat(centred, starts, axis=0)
    second = np.add.reduceat(centred**2, starts, axis=0)
    from portfolio_platform.backtesting.overfitting_kernel import score_splits

    halves = _halves(blocks)
    splits = 2 * len(halves)
    omega, inside, outside = np.empty(splits), np.empty(splits), np.empty(splits)
    score_splits(
        halves @ first,
        halves @ second,
        halves @ sizes.astype(np.float64),
        first.sum(axis=0),
        second.sum(axis=0),
        float(observations),
        shift,
        omega,
        inside,
        outside,
    )
    logits = np.log(omega / (1.0 - omega))
    return Overfitting(blocks, strategies, observations, logits, inside, outside)


def _halves(blocks: int) -> FloatArray:
    """(C(S, S/2)/2, S) indicators of the halves that contain the first block."""
    rows = comb(blocks - 1, blocks // 2 - 1)
    picks = np.fromiter(
        (i for pick in combinations(range(1, blocks), blocks // 2 - 1) for i in pick),
        dtype=np.int64,
        count=rows * (blocks // 2 - 1),
    ).reshape(rows, blocks // 2 - 1)
    chosen = np.zeros((rows, blocks))
    chosen[:, 0] = 1.0
    np.put_along_axis(chosen, picks, 1.0, axis=1)
    return chosen
