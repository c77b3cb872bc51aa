"""Prices with a verdict: only what passes every gate flows on.

The gates look at one source alone (status, age, confidence, depth) and then at the sources
together. Nothing compares a price with its own past or with a peg: a crash that every source
shows is a real price.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import inf, isfinite
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.price_points import PricePoint

Verdict = Literal["accepted", "refused"]
_ORACLES = frozenset({"pyth_price_v2", "pyth_price_update_v2"})
_RATES = frozenset({"spl_stake_pool", "marinade_state"})
_REFERENCES = frozenset({"kamino_reserve", "reference"})


class GateSettings(BaseModel):
    """Thresholds of the gates."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_age_seconds: float = Field(default=120.0, gt=0)
    max_age_slots: int = Field(default=600, gt=0)
    max_future_seconds: float = Field(default=30.0, ge=0)
    max_confidence: float = Field(
        default=0.02, gt=0, description="Widest confidence, as a share of the price."
    )
    max_deviation: float = Field(
        default=0.05, gt=0, description="Largest gap between sources, as a share of their median."
    )
    min_depth: float = Field(
        default=100.0, ge=0, description="US dollars that must at least move the price by 1 %."
    )


@dataclass(frozen=True, slots=True)
class PriceVerdict:
    """A price, and whether it flows on.

    ``reasons`` is empty exactly when the verdict is ``accepted``. ``unit`` is ``usd``, or ``hub``
    where the price rests on the hub counting as one, because no price of the hub was accepted.
    ``depth`` is in the same unit.
    """

    mint: str
    source: str
    pubkey: str
    slot: int
    price: float | None
    confidence: float | None
    published_at: datetime | None
    age_slots: int | None
    age_seconds: float | None
    depth: float | None
    verdict: Verdict
    reasons: tuple[str, ...]
    sha256: str = ""
    unit: Literal["usd", "hub"] = "usd"


def judge(
    points: Iterable[PricePoint],
    settings: GateSettings,
    *,
    now: datetime,
    hub: str = programs.USDC,
    references: Mapping[str, float] | None = None,
    last_slots: Mapping[str, int] | None = None,
) -> list[PriceVerdict]:
    """A verdict for every point.

    Parameters
    ----------
    points : iterable of PricePoint
    settings : GateSettings
    now : datetime
        Time of the chain (not of this machine), against which ages are measured.
    hub : str
        Mint that everything is valued in. Its price is its oracle's, else 1.
    references : mapping of mint to float, optional
        Fresh prices of other venues in US dollars; they take part in the comparison only.
    last_slots : mapping of pubkey to int, optional
        Newest slot already stored per account; an older one is refused.
    """
    by_mint: dict[str, list[PricePoint]] = {}
    for one in points:
        by_mint.setdefault(one.mint, []).append(one)
    usd: dict[str, float] = {}
    answers: list[PriceVerdict] = []
    # The hub first, then SOL, because pools and stake pools are quoted in them.
    for mint in sorted(by_mint, key=lambda m: (m != hub, m != programs.WRAPPED_SOL, m)):
        verdicts = [_alone(one, settings, now, usd, hub, last_slots or {}) for one in by_mint[mint]]
        verdicts = _together(verdicts, settings, (references or {}).get(mint))
        answers += verdicts
        chosen = best(verdicts)
        if chosen is not None and chosen.price is not None:
            usd[mint] = chosen.price
    return answers


def _alone(
    point: PricePoint,
    settings: GateSettings,
    now: datetime,
    usd: Mapping[str, float],
    hub: str,
    last_slots: Mapping[str, int],
) -> PriceVerdict:
    """The gates that need nothing but the point itself."""
    reasons = list(point.problems)
    scale: float | None = 1.0
    if point.quote is not None:
        scale = usd.get(point.quote, 1.0 if point.quote == hub else None)
        if scale is None:
            reasons.append("quote_not_priced")
    price = point.price * scale if point.price is not None and scale is not None else None
    if price is not None and (not isfinite(price) or price <= 0):
        reasons.append("price_not_positive")
        price = None
    confidence = (
        point.confidence * scale if point.confidence is not None and scale is not None else None
    )
    if (
        price is not None
        and confidence is not None
        # Written so that a confidence that is not a number is refused as well.
        and not 0 <= confidence <= settings.max_confidence * price
    ):
        reasons.append("confidence_too_wide")
    age_seconds = None
    if point.has_clock:
        if point.published_at is None:
            reasons.append("timestamp_unknown")
        else:
            age_seconds = (now - point.published_at).total_seconds()
            if age_seconds > settings.max_age_seconds:
                reasons.append("too_old")
            elif age_seconds < -settings.max_future_seconds:
                reasons.append("published_in_future")
        if point.age_slots is not None and point.age_slots > settings.max_age_slots:
            reasons.append("slot_too_old")
    depth = point.depth * scale if point.depth is not None and scale is not None else None
    if (
        depth is not None
        and not settings.min_depth <= depth < inf
        and "zero_liquidity" not in reasons
    ):
        reasons.append("too_thin")
    if point.slot < last_slots.get(point.pubkey, 0):
        reasons.append("slot_went_back")
    if price is None and not reasons:
        reasons.append("no_price")
    return PriceVerdict(
        mint=point.mint,
        source=point.source,
        pubkey=point.pubkey,
        slot=point.slot,
        price=price,
        confidence=confidence,
        published_at=point.published_at,
        age_slots=point.age_slots,
        age_seconds=age_seconds,
        depth=depth,
        verdict="refused" if reasons else "accepted",
        reasons=tuple(reasons),
        sha256=point.sha256,
        unit="hub" if point.quote == hub and hub not in usd else "usd",
    )


def _together(
    verdicts: Sequence[PriceVerdict], settings: GateSettings, reference: float | None
) -> list[PriceVerdict]:
    """Refuse what the other sources contradict.

    With three or more voices the median decides. Two voices that disagree are both refused:
    nothing says which of them is right.
    """
    voices = [one.price for one in verdicts if one.verdict == "accepted" and one.price]
    if reference is not None and isfinite(reference) and reference > 0:
        voices.append(reference)
    if len(voices) < 2:
        return list(verdicts)
    middle = median(voices)
    answers = []
    for one in verdicts:
        if one.verdict == "accepted" and one.price is not None:
            gap = abs(one.price - middle) / middle
            if len(voices) == 2:
                gap = abs(voices[0] - voices[1]) / middle
            if gap > settings.max_deviation:
                reason = "sources_disagree" if len(voices) == 2 else "deviates_from_sources"
                one = replace(one, verdict="refused", reasons=(*one.reasons, reason))
        answers.append(one)
    return answers


def best(verdicts: Iterable[PriceVerdict]) -> PriceVerdict | None:
    """The accepted price that stands for a mint.

    Oracles first (the tightest confidence), then pools (the deepest), then exchange rates, then
    what a reserve holds.
    """

    def order(one: PriceVerdict) -> tuple[int, float, str]:
        if one.source in _ORACLES:
            return 0, (one.confidence or 0.0) / (one.price or 1.0), one.pubkey
        if one.source in _RATES:
            return 2, 0.0, one.pubkey
        if one.source in _REFERENCES:
            return 3, 0.0, one.pubkey
        return 1, -(one.depth or 0.0), one.pubkey

    accepted = [one for one in verdicts if one.verdict == "accepted"]
    return min(accepted, key=order, default=None)


def best_by_mint(verdicts: Iterable[PriceVerdict]) -> dict[str, PriceVerdict]:
    """The accepted price of every mint that has one."""
    grouped: dict[str, list[PriceVerdict]] = {}
    for one in verdicts:
        grouped.setdefault(one.mint, []).append(one)
    chosen = {mint: best(ones) for mint, ones in grouped.items()}
    return {mint: one for mint, one in chosen.items() if one is not None}
