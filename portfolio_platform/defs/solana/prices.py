"""Prices of a stored fetch: collected part by part, judged together, stored with their verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from psycopg import Connection

from portfolio_platform.defs.solana.references import venue_prices
from portfolio_platform.defs.solana.stored import Landed, StoredFetch
from portfolio_platform.settings import Settings
from portfolio_platform.solana.price_points import PricePoint, collect
from portfolio_platform.solana.prices import GateSettings, PriceVerdict, judge
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import ingest, latest
from portfolio_platform.store.facts import save_facts

Ids = Mapping[tuple[str, int], int]
_CONTRADICTED = {"sources_disagree", "deviates_from_sources"}


def gates(settings: Settings) -> GateSettings:
    """Thresholds of the price gates from the platform's settings."""
    return GateSettings(
        max_age_seconds=settings.max_price_age_seconds,
        max_age_slots=settings.max_price_age_slots,
        max_confidence=settings.max_price_confidence,
        max_deviation=settings.max_price_deviation,
        min_depth=settings.min_price_depth,
    )


def points_of(stored: StoredFetch) -> tuple[list[PricePoint], dict[tuple[str, int], int]]:
    """Every price that a fetch can give, with the ids of the accounts that say so."""
    points: list[PricePoint] = []
    ids = {}
    for part in stored.parts():
        for one in collect(part.snapshot, stored.universe):
            # An account that is not there is in quarantine by name; no bytes stand behind it.
            if (one.pubkey, one.slot) in part.ids:
                points.append(one)
                ids[one.pubkey, one.slot] = part.id_of(one.pubkey, one.slot)
    return points, ids


def judge_points(
    conn: Connection,
    points: Iterable[PricePoint],
    stored: StoredFetch,
    settings: Settings,
) -> list[PriceVerdict]:
    """Pass points through the gates, as of the moment at which `stored` was learnt."""
    head = stored.head
    listed = list(points)
    last_slots = latest.judged_slots(
        conn, {one.pubkey for one in listed}, head.numbering, head.recorded_at
    )

    def judged(references: Mapping[str, float] | None) -> list[PriceVerdict]:
        return judge(
            listed,
            gates(settings),
            now=head.observed_at,
            hub=stored.universe.hub,
            references=references,
            last_slots=last_slots,
        )

    alone = judged(None)
    venues = venue_prices(conn, settings, head.observed_at, head.recorded_at)
    voices = heard(alone, venues, settings.max_reference_deviation)
    return judged(voices) if voices else alone


def heard(
    verdicts: Iterable[PriceVerdict], venues: Mapping[str, float], max_deviation: float
) -> dict[str, float]:
    """Venues' closes that are a voice beside the sources of the chain.

    Where a token has several sources, the close decides between them. Where it has one, a close
    of an hour ago must not refute a crash: it is heard only when the two lie so far apart that
    one of them must be wrong.
    """
    sources: dict[str, list[float]] = {}
    for one in verdicts:
        if one.price is not None and set(one.reasons) <= _CONTRADICTED:
            sources.setdefault(one.mint, []).append(one.price)
    return {
        mint: venue
        for mint, venue in venues.items()
        if len(prices := sources.get(mint, [])) > 1
        or (prices and abs(prices[0] / venue - 1) > max_deviation)
    }


def save_prices(conn: Connection, stored: StoredFetch, settings: Settings) -> Landed[PriceVerdict]:
    """Judge every price of the fetch and store it with its verdict.

    A refused oracle is quarantined with the reasons as well.
    """
    points, ids = points_of(stored)
    verdicts = judge_points(conn, points, stored, settings)
    return save_verdicts(conn, verdicts, ids, stored.universe, stored.block_time)


def save_verdicts(
    conn: Connection,
    verdicts: Iterable[PriceVerdict],
    ids: Ids,
    universe: Universe,
    observed_at: datetime,
    *,
    mints: Collection[str] | None = None,
) -> Landed[PriceVerdict]:
    """Store verdicts; of some `mints` only where a stream asked for these alone."""
    judged = [one for one in verdicts if mints is None or one.mint in mints]
    known = {token.mint for token in universe.tokens}
    for one in judged:
        if one.mint not in known:
            ingest.register_token(conn, one.mint, one.mint[:6])
    saved = save_facts(
        conn,
        "token_prices",
        [
            {
                "mint": one.mint,
                "source": one.source,
                "pubkey": one.pubkey,
                "snapshot_id": ids[one.pubkey, one.slot],
                "slot": one.slot,
                "price": one.price,
                "confidence": one.confidence,
                "published_at": one.published_at,
                "age_slots": one.age_slots,
                "age_seconds": one.age_seconds,
                "depth": one.depth,
                "verdict": one.verdict,
                "reasons": list(one.reasons),
                "whole": mints is None,
                "observed_at": observed_at,
            }
            for one in judged
        ],
    )
    oracles = {one.pubkey for one in universe.by_role("oracle")}
    save_facts(
        conn,
        "quarantine",
        [
            {
                "snapshot_id": ids[one.pubkey, one.slot],
                "pubkey": one.pubkey,
                "owner": None,
                "slot": one.slot,
                "sha256": one.sha256,
                "reason": f"price refused: {', '.join(one.reasons)}",
                "observed_at": observed_at,
            }
            for one in judged
            if one.verdict == "refused" and one.pubkey in oracles
        ],
    )
    return Landed(judged, saved.written)
