"""Whether a portfolio must be moved."""

from __future__ import annotations

from datetime import datetime, timedelta
from fractions import Fraction

from portfolio_platform.amm.integers import BPS
from portfolio_platform.reallocation.reasons import Reason, Trigger
from portfolio_platform.reallocation.settings import PlanSettings
from portfolio_platform.reallocation.state import AssetState, PortfolioState


def triggers(
    state: PortfolioState, settings: PlanSettings
) -> tuple[tuple[Trigger, ...], Reason | None]:
    """Return what is outside the closed band, or the reason why nothing is.

    The portfolio is left alone when its deployment is inside ``[lower_band, upper_band]`` and
    each asset is inside the band, or within the absolute weight band (never for an exit), or
    closer to its target than the minimum notional.

    Raises
    ------
    ValueError
        The state has no value because a price is missing.
    """
    values, targets, nav = state.value_total, state.target_total, state.nav
    if values is None or targets is None or nav is None:
        raise ValueError("a state without all prices cannot be judged")
    found = []
    low, high = settings.lower_band, settings.upper_band
    if targets > 0 and not low * targets <= values <= high * targets:
        found.append(Trigger.DEPLOYMENT_UTILIZATION)
    silenced = False
    outside = False
    band = settings.abs_band_bps / BPS * nav
    for asset in state.assets:
        value, target = _values(asset)
        if low * target <= value <= high * target:
            continue
        gap = abs(value - target)
        if target > 0 and gap <= band:
            continue
        if gap < settings.min_notional:
            silenced = True
            continue
        outside = True
    if outside:
        found.append(Trigger.WEIGHT_BAND)
    if found:
        return tuple(found), None
    return (), Reason.BELOW_MIN_NOTIONAL if silenced else Reason.WITHIN_BAND


def _values(asset: AssetState) -> tuple[Fraction, Fraction]:
    if asset.value is None or asset.target_value is None:
        raise ValueError(f"{asset.mint} has no value")
    return asset.value, asset.target_value


def cooling_down(
    as_of: datetime, last_reallocation_at: datetime | None, settings: PlanSettings
) -> bool:
    """Tell whether the last reallocation is too recent for another one."""
    if last_reallocation_at is None or not settings.cooldown_seconds:
        return False
    return as_of < last_reallocation_at + timedelta(seconds=settings.cooldown_seconds)


def worth_it(benefit: Fraction | None, cost: Fraction) -> bool:
    """Tell whether an expected benefit exceeds a cost in the same unit; unknown is not enough."""
    return benefit is not None and benefit > cost
