"""What a reallocation is expected to bring, in hub base units, without floats."""

from __future__ import annotations

from fractions import Fraction

from portfolio_platform.reallocation.inputs import Outlook
from portfolio_platform.reallocation.rationals import ratio
from portfolio_platform.reallocation.settings import PlanSettings
from portfolio_platform.reallocation.state import PortfolioState

_WEIGHT_SCALE = 10**12
_MOMENT_SCALE = 10**18
_DAYS_PER_YEAR = 365


def _scaled(value: Fraction, scale: int) -> int:
    return round(value * scale)


def _weights(state: PortfolioState, outlook: Outlook) -> list[int]:
    known = {asset.mint: asset.weight for asset in state.assets}
    return [_scaled(known.get(mint) or Fraction(0), _WEIGHT_SCALE) for mint in outlook.assets]


def annual_utility(weights: list[int], outlook: Outlook, risk_aversion: Fraction) -> Fraction:
    """Return the mean-variance utility ``r - a/2 * v`` of weights counted in 1e-12.

    The rest of one earns the riskless rate. Moments are rounded to eighteen places, so that the
    result is a matter of integers and the same on every machine.
    """
    years = ratio(outlook.periods_per_year)
    mean = [_scaled(ratio(m), _MOMENT_SCALE) for m in outlook.mean]
    earned = sum(w * m for w, m in zip(weights, mean, strict=True))
    variance = 0
    for weight, row in zip(weights, outlook.covariance, strict=True):
        if weight:
            inner = sum(
                other * _scaled(ratio(c), _MOMENT_SCALE)
                for other, c in zip(weights, row, strict=True)
            )
            variance += weight * inner
    cash = Fraction(_WEIGHT_SCALE - sum(weights), _WEIGHT_SCALE)
    return (
        years * Fraction(earned, _WEIGHT_SCALE * _MOMENT_SCALE)
        + cash * ratio(outlook.risk_free)
        - risk_aversion / 2 * years * Fraction(variance, _WEIGHT_SCALE**2 * _MOMENT_SCALE)
    )


def expected_benefit(
    before: PortfolioState,
    after: PortfolioState,
    outlook: Outlook | None,
    settings: PlanSettings,
    given: Fraction | None = None,
) -> Fraction | None:
    """Return the gain in utility over the horizon of the settings, times the net asset value.

    A benefit that the caller gives counts as it is; without one and without an outlook nothing
    is known.
    """
    if given is not None:
        return given
    if outlook is None or before.nav is None:
        return None
    gain = annual_utility(
        _weights(after, outlook), outlook, settings.risk_aversion
    ) - annual_utility(_weights(before, outlook), outlook, settings.risk_aversion)
    return before.nav * gain * settings.benefit_horizon_days / _DAYS_PER_YEAR
