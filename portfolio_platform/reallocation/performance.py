"""Expected return, volatility and Sharpe ratio of weights; shown, never decided on."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import fsum, sqrt
from typing import Any, NamedTuple

from portfolio_platform.reallocation.inputs import Outlook


class Performance(NamedTuple):
    """Annual figures; `sharpe` is None where the volatility is zero."""

    expected_return: float
    volatility: float
    sharpe: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures rounded to twelve significant digits."""
        return {
            name: None if value is None else float(f"{value:.12g}")
            for name, value in self._asdict().items()
        }


def expected_performance(weights: Mapping[str, Fraction], outlook: Outlook) -> Performance:
    """Return the annual outlook of holding `weights`, the rest of one in cash.

    Sums run in the order of `outlook.assets` with exact summation, so equal inputs give equal
    digits everywhere.
    """
    share = [float(weights.get(asset, Fraction(0))) for asset in outlook.assets]
    invested = fsum(share)
    years = outlook.periods_per_year
    earned = years * fsum(w * m for w, m in zip(share, outlook.mean, strict=True))
    earned += (1 - invested) * outlook.risk_free
    variance = years * fsum(
        wi * wj * cov
        for wi, row in zip(share, outlook.covariance, strict=True)
        for wj, cov in zip(share, row, strict=True)
    )
    volatility = sqrt(max(variance, 0.0))
    sharpe = (earned - outlook.risk_free) / volatility if volatility > 0 else None
    return Performance(earned, volatility, sharpe)
