"""Statistics of one-bar log returns with holes: NaN is "no return", never zero."""

from __future__ import annotations

import numpy as np


def log_returns(close: np.ndarray) -> np.ndarray:
    """One-bar log returns down the first axis, shape (T - 1, ...).

    A return exists only between two neighbouring closes; over a hole there is none.
    """
    moves: np.ndarray = np.diff(np.log(close), axis=0)
    return moves


def volatility(moves: np.ndarray, periods_per_year: int) -> float:
    """Annualised sample standard deviation (ddof 1) of existing returns, shape (m,)."""
    return float(np.std(moves, ddof=1) * np.sqrt(periods_per_year))


def downside_volatility(moves: np.ndarray, periods_per_year: int) -> float:
    """Annualised root mean square of returns below zero, over all returns (Sortino 1994)."""
    return float(np.sqrt(np.mean(np.minimum(moves, 0.0) ** 2)) * np.sqrt(periods_per_year))


def ewma_volatility(moves: np.ndarray, decay: float, periods_per_year: int) -> float:
    """Annualised exponentially weighted volatility around zero (RiskMetrics 1996, eq. 5.3).

    Parameters
    ----------
    moves : ndarray, shape (m,)
        On the bar grid, oldest first; NaN holes keep their place in time and their weight is
        shared by the others.
    decay : float
        Weight of a return `k` bars old is `decay**k`.
    """
    age = np.arange(len(moves) - 1, -1, -1)
    there = np.isfinite(moves)
    weight = np.where(there, decay ** age.astype(np.float64), 0.0)
    square = np.where(there, moves, 0.0) ** 2
    return float(np.sqrt((weight * square).sum() / weight.sum() * periods_per_year))


def drawdowns(close: np.ndarray) -> tuple[float, float]:
    """Maximum and current drawdown as fractions ≤ 0 of the running peak, of existing closes."""
    peak = np.maximum.accumulate(close)
    depth = close / peak - 1.0
    return float(depth.min()), float(depth[-1])


def correlation_and_beta(
    moves: np.ndarray, market: np.ndarray
) -> tuple[float | None, float | None]:
    """Pearson correlation with, and regression slope on, the market; None without variance.

    Parameters
    ----------
    moves, market : ndarray, shape (m,)
        Returns of the same bars, all existing.
    """
    own = moves - moves.mean()
    other = market - market.mean()
    scale = np.abs(market).max(initial=0.0)
    own_square, other_square = float(own @ own), float(other @ other)
    flat = len(moves) * (1e-12 * max(scale, 1e-300)) ** 2
    if other_square <= flat:
        return None, None
    covariance = float(own @ other)
    beta = covariance / other_square
    own_scale = np.abs(moves).max(initial=0.0)
    if own_square <= len(moves) * (1e-12 * max(own_scale, 1e-300)) ** 2:
        return None, beta
    return float(np.clip(covariance / np.sqrt(own_square * other_square), -1.0, 1.0)), beta


def amihud(simple: np.ndarray, traded: np.ndarray) -> float | None:
    """Mean |simple return| per million quote units traded; None where no bar has both.

    Parameters
    ----------
    simple, traded : ndarray, shape (m,)
        Return and traded value of the same bars.

    References
    ----------
    Amihud, Y. (2002), Illiquidity and stock returns, J. Financial Markets 5(1), eq. 1.
    """
    both = np.isfinite(simple) & np.isfinite(traded) & (traded > 0)
    if not both.any():
        return None
    return float(np.mean(np.abs(simple[both]) / traded[both]) * 1e6)
