"""The gates once more, over what was stored: no price that flows on may break one of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from dagster import AssetCheckResult, AssetCheckSpec, multi_asset_check
from psycopg import Connection

from portfolio_platform.defs.metadata import table
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana.assets import token_prices
from portfolio_platform.defs.solana.references import venue_prices
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decode import decode
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.prices import GateSettings
from portfolio_platform.store import ingest, latest

Price = Mapping[str, Any]
_ORACLES = ("pyth_price_v2", "pyth_price_update_v2")
_SHOWN = ["symbol", "source", "pubkey", "price", "why"]
_FUTURE_SECONDS = GateSettings().max_future_seconds


@dataclass(frozen=True)
class Stored:
    """What the gates look at: newest prices of all sources, and what they are compared with."""

    conn: Connection
    settings: Settings
    prices: tuple[Price, ...]
    symbols: Mapping[str, str]

    @property
    def accepted(self) -> list[Price]:
        """Prices that flow on."""
        return [one for one in self.prices if one["verdict"] == "accepted"]


def read(conn: Connection, settings: Settings) -> Stored:
    """The newest prices with what is needed to check them."""
    symbols = {mint: token["symbol"] for mint, token in latest.tokens(conn).items()}
    return Stored(conn, settings, tuple(latest.prices(conn)), symbols)


def _oracle_status(stored: Stored) -> Iterator[tuple[Price, str]]:
    """Decoded from the bytes once more: a stored verdict proves nothing about the account."""
    oracles = {one["snapshot_id"]: one for one in stored.accepted if one["source"] in _ORACLES}
    for row in ingest.accounts_of(stored.conn, oracles):
        answer = decode(row["owner"], bytes(row["data"]))
        price = oracles[row["snapshot_id"]]
        if not isinstance(answer, Decoded):
            yield price, answer.reason
        elif answer.kind == "pyth_price_v2" and not answer.derived["trading"]:
            yield price, f"status {answer.values['status']}"
        elif answer.kind == "pyth_price_update_v2" and not answer.derived["fully_verified"]:
            yield price, "not fully verified"


def _age(stored: Stored) -> Iterator[tuple[Price, str]]:
    settings = stored.settings
    for one in stored.accepted:
        seconds, slots = one["age_seconds"], one["age_slots"]
        if one["source"] in _ORACLES and one["published_at"] is None:
            yield one, "nothing says when it was made"
        elif seconds is not None and not (
            -_FUTURE_SECONDS <= seconds <= settings.max_price_age_seconds
        ):
            yield one, f"{seconds:.0f} s old"
        elif slots is not None and slots > settings.max_price_age_slots:
            yield one, f"{slots} slots old"


def _confidence(stored: Stored) -> Iterator[tuple[Price, str]]:
    for one in stored.accepted:
        width = one["confidence"]
        if (
            width is not None
            and not 0 <= width <= stored.settings.max_price_confidence * (one["price"])
        ):
            yield one, f"confidence {width / one['price']:.2%} of the price"


def _liquidity(stored: Stored) -> Iterator[tuple[Price, str]]:
    for one in stored.accepted:
        if one["depth"] is not None and not one["depth"] >= stored.settings.min_price_depth:
            yield one, f"{one['depth']:.2f} US dollars move it by 1 %"


def _by_mint(prices: Iterable[Price]) -> dict[str, list[Price]]:
    found: dict[str, list[Price]] = {}
    for one in prices:
        found.setdefault(one["mint"], []).append(one)
    return found


def _contradicted(
    stored: Stored, venues: Mapping[str, float], limit: float
) -> Iterator[tuple[Price, str]]:
    for mint, ones in _by_mint(stored.accepted).items():
        voices = [one["price"] for one in ones] + ([venues[mint]] if mint in venues else [])
        if len(voices) < 2:
            continue
        middle = median(voices)
        for one in ones:
            gap = abs(one["price"] - middle) / middle
            if gap > limit:
                yield one, f"{gap:.1%} from the median of {len(voices)}"


def _sources(stored: Stored) -> Iterator[tuple[Price, str]]:
    yield from _contradicted(stored, {}, stored.settings.max_price_deviation)


def _venue(stored: Stored) -> Iterator[tuple[Price, str]]:
    """A token's only source against the venue; of several sources the majority has decided."""
    if not stored.prices:
        return
    now = max(one["observed_at"] for one in stored.prices)
    venues = venue_prices(stored.conn, stored.settings, now, datetime.now(UTC))
    for mint, ones in _by_mint(stored.accepted).items():
        limit = stored.settings.max_reference_deviation
        if mint in venues and len(ones) == 1 and abs(ones[0]["price"] / venues[mint] - 1) > limit:
            yield ones[0], f"the venue's close is {venues[mint]:.6g}"


def _slots(stored: Stored) -> Iterator[tuple[Price, str]]:
    newest = ingest.newest_fetch(stored.conn)
    if newest is None:
        return
    # A moment after every record: all that was ever judged counts.
    later = datetime.now(UTC) + timedelta(days=1)
    keys = {one["pubkey"] for one in stored.prices}
    slots = latest.judged_slots(stored.conn, keys, newest.numbering, later)
    for one in stored.accepted:
        if one["slot"] < slots.get(one["pubkey"], 0):
            yield one, f"slot {one['slot']} after {slots[one['pubkey']]}"


@dataclass(frozen=True)
class Gate:
    """A gate: which accepted prices break it, and the reasons for which prices were refused."""

    violations: Callable[[Stored], Iterator[tuple[Price, str]]]
    reasons: frozenset[str]
    about: str


GATES = {
    "oracle_status": Gate(
        _oracle_status,
        frozenset({"oracle_not_trading", "oracle_not_verified", "not_an_oracle"}),
        "No accepted price comes from an oracle that does not trade or is not verified.",
    ),
    "price_age": Gate(
        _age,
        frozenset({"too_old", "slot_too_old", "timestamp_unknown", "published_in_future"}),
        "No accepted price is older, in seconds or slots, than the settings allow.",
    ),
    "confidence_width": Gate(
        _confidence,
        frozenset({"confidence_too_wide"}),
        "No accepted price has a wider confidence than the settings allow.",
    ),
    "sources_agree": Gate(
        _sources,
        frozenset({"sources_disagree", "deviates_from_sources"}),
        "No accepted price lies further from the median of its token than the settings allow.",
    ),
    "venue_agrees": Gate(
        _venue,
        frozenset({"sources_disagree"}),
        "No token's only price contradicts a fresh clean close of a venue.",
    ),
    "liquidity": Gate(
        _liquidity,
        frozenset({"zero_liquidity", "too_thin", "never_traded", "swap_off"}),
        "No accepted price comes from a pool that little money moves.",
    ),
    "slots_go_forward": Gate(
        _slots,
        frozenset({"slot_went_back"}),
        "No accepted price is of an older slot than one judged before.",
    ),
}


def _rows(stored: Stored, found: Iterable[tuple[Price, str]]) -> list[dict[str, Any]]:
    return [
        {**one, "symbol": stored.symbols.get(one["mint"], one["mint"][:6]), "why": why}
        for one, why in found
    ]


@multi_asset_check(
    name="price_gates",
    specs=[
        AssetCheckSpec(name, asset=token_prices, blocking=True, description=gate.about)
        for name, gate in GATES.items()
    ],
)
def price_gates(platform: Platform) -> Iterator[AssetCheckResult]:
    """Each gate over the stored prices, with what it refused."""
    with platform.connect() as conn:
        stored = read(conn, platform.settings)
        for name, gate in GATES.items():
            broken = _rows(stored, gate.violations(stored))
            refused = _rows(
                stored,
                (
                    (one, ", ".join(one["reasons"]))
                    for one in stored.prices
                    if gate.reasons.intersection(one["reasons"])
                ),
            )
            yield AssetCheckResult(
                check_name=name,
                asset_key=token_prices.key,
                passed=not broken,
                metadata={
                    "accepted_that_break_it": table(broken, _SHOWN),
                    "refused_by_it": len(refused),
                    "refused": table(refused, _SHOWN),
                },
            )
