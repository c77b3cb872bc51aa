"""Refusals that come before any trade is thought of."""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction

from portfolio_platform.amm.integers import U64_MAX
from portfolio_platform.reallocation.inputs import PlanInputs
from portfolio_platform.reallocation.reasons import Failure, Reason
from portfolio_platform.reallocation.settings import WRAPPED_SOL

_SUM_TOLERANCE = Fraction(1, 10**9)


def _failure(asset: str | None, reason: Reason, detail: str) -> Failure:
    return Failure(asset, None, None, None, reason, detail)


def problems(inputs: PlanInputs) -> list[Failure]:
    """Return every reason why the inputs cannot be planned on; empty when they can."""
    return [
        *_amounts(inputs),
        *_targets(inputs),
        *_tokens(inputs),
        *_ages(inputs),
    ]


def _relevant(inputs: PlanInputs) -> list[str]:
    held = {mint for mint, quantity in inputs.portfolio.assets.items() if quantity}
    wanted = {mint for mint, weight in inputs.targets.items() if weight}
    return sorted((held | wanted) - {inputs.portfolio.hub})


def _amounts(inputs: PlanInputs) -> list[Failure]:
    amounts = {**inputs.portfolio.assets, inputs.portfolio.hub: inputs.portfolio.total_cash}
    return [
        _failure(
            mint, Reason.AMOUNT_OUT_OF_RANGE, f"{amounts[mint]} is not an unsigned 64-bit amount"
        )
        for mint in sorted(amounts)
        if not 0 <= amounts[mint] <= U64_MAX
    ]


def _targets(inputs: PlanInputs) -> list[Failure]:
    found = [
        _failure(mint, Reason.TARGETS_NOT_NORMALISED, f"negative weight {inputs.targets[mint]}")
        for mint in sorted(inputs.targets)
        if inputs.targets[mint] < 0
    ]
    total = sum(inputs.targets.values(), Fraction(0))
    short = 1 - total
    if short < -_SUM_TOLERANCE or (
        short > _SUM_TOLERANCE and not inputs.settings.allow_cash_target
    ):
        found.append(
            _failure(
                None,
                Reason.TARGETS_NOT_NORMALISED,
                f"weights sum to {float(total):.12g}, not to one; give the hub its own weight to "
                "keep cash",
            )
        )
    return found


def _tokens(inputs: PlanInputs) -> list[Failure]:
    found = []
    hub = inputs.portfolio.hub
    for mint in sorted({*_relevant(inputs), hub}):
        token = inputs.tokens.get(mint)
        if token is None:
            found.append(_failure(mint, Reason.UNKNOWN_TOKEN, "the mint is not in the universe"))
        elif token.decimals is None:
            found.append(_failure(mint, Reason.DECIMALS_MISSING, "decimals are not known"))
        elif token.charged_fee and not inputs.settings.allow_transfer_fee_mints:
            found.append(
                _failure(
                    mint,
                    Reason.TRANSFER_FEE_MINT,
                    f"transfers withhold {token.charged_fee.bps} bps and "
                    "allow_transfer_fee_mints is off",
                )
            )
        price = inputs.prices.get(mint)
        if mint != hub and (price is None or price.value <= 0):
            found.append(_failure(mint, Reason.PRICE_MISSING, "no accepted price"))
    return found


def _age(moment: datetime | None, as_of: datetime, limit: int | None) -> str | None:
    if limit is None:
        return None
    if moment is None:
        return "its time is not known"
    seconds = (as_of - moment).total_seconds()
    if seconds < 0:
        return f"it is {-seconds:.0f} s later than as_of"
    if seconds > limit:
        return f"it is {seconds:.0f} s old, {limit} s are allowed"
    return None


def _ages(inputs: PlanInputs) -> list[Failure]:
    found = []
    settings = inputs.settings
    for mint in _relevant(inputs):
        price = inputs.prices.get(mint)
        age = price and _age(price.observed_at, inputs.as_of, settings.max_price_age_seconds)
        if age:
            found.append(_failure(mint, Reason.STALE_DATA, f"price: {age}"))
    snapshot = inputs.snapshot
    if snapshot is None:
        if settings.max_snapshot_age_seconds is not None:
            found.append(_failure(None, Reason.STALE_DATA, "no snapshot is named"))
        return found
    age = _age(snapshot.observed_at, inputs.as_of, settings.max_snapshot_age_seconds)
    if age:
        found.append(_failure(None, Reason.STALE_DATA, f"snapshot: {age}"))
    spread = snapshot.max_slot - snapshot.min_slot
    if not 0 <= spread <= settings.max_slot_spread:
        found.append(
            _failure(
                None,
                Reason.SNAPSHOT_INCOHERENT,
                f"accounts come from slots {snapshot.min_slot} to {snapshot.max_slot}, a spread "
                f"of {settings.max_slot_spread} is allowed",
            )
        )
    return found


def reserved_lamports(inputs: PlanInputs) -> int:
    """Lamports that are there to pay network fees: the reserve, or what is left of it."""
    held = inputs.portfolio.holdings.get(WRAPPED_SOL, 0) + (
        inputs.portfolio.cash if inputs.portfolio.hub == WRAPPED_SOL else 0
    )
    return min(inputs.settings.sol_fee_reserve, held)


def fee_reserve(inputs: PlanInputs) -> list[Failure]:
    """Say that no SOL is held where a reserve is wanted; asked only where something must move.

    A reserve that earlier fees have drawn on still pays until it is used up.
    """
    reserve = inputs.settings.sol_fee_reserve
    # An empty wallet is `empty_portfolio`, which says more than that it cannot pay its fees.
    empty = not inputs.portfolio.total_cash and not any(inputs.portfolio.assets.values())
    if not reserve or reserved_lamports(inputs) or empty:
        return []
    return [
        Failure(
            WRAPPED_SOL,
            None,
            reserve,
            0,
            Reason.FEE_RESERVE,
            f"no lamport is held to pay network fees, {reserve} are wanted in reserve",
        )
    ]
