"""What a mint's own account says about its token: program, decimals, extensions."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from portfolio_platform.defs.solana.stored import Landed, StoredFetch
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.decoders.tokens import transfer_fee_at
from portfolio_platform.store import ingest

_MINTS = ("spl_mint", "token_2022_mint")


def save_mints(conn: Connection, stored: StoredFetch) -> Landed[dict[str, Any]]:
    """Keep with each token what its mint account says.

    Extensions that make a displayed or received amount differ from the raw one are kept by name:
    ``transfer_fee`` as ``{"bps", "max"}`` of the present epoch, ``interest_bearing`` and
    ``scaled_ui_amount`` with their parameters, and ``notices`` in words.
    """
    found = []
    names = {token.mint: token for token in stored.universe.tokens}
    for part in stored.parts():
        for (pubkey, _), answer in part.decoded.items():
            if isinstance(answer, Decoded) and answer.kind in _MINTS:
                listed = names.get(pubkey)
                found.append(
                    {
                        "mint": pubkey,
                        "symbol": listed.symbol if listed else pubkey[:6],
                        "decimals": answer.values["decimals"],
                        "token_program": answer.kind.removesuffix("_mint"),
                        "extensions": extensions_of(answer, stored.head.epoch),
                    }
                )
    return Landed(found, ingest.describe_mints(conn, found))


def extensions_of(mint: Decoded, epoch: int | None) -> dict[str, Any]:
    """Extensions of a mint as ``tokens.extensions`` holds them; null where it has none."""
    if mint.kind == "spl_mint":
        return {}
    held = mint.values["extensions"]
    fee = transfer_fee_at(held, epoch)
    interest, scaled = held.get("interest_bearing_config"), held.get("scaled_ui_amount")
    return {
        "transfer_fee": None if fee is None else {"bps": fee[0], "max": fee[1]},
        "interest_bearing": None
        if interest is None
        else {"rate_bps": interest["current_rate_bps"]},
        "scaled_ui_amount": None
        if scaled is None
        else {
            "multiplier": scaled["multiplier"],
            "new_multiplier": scaled["new_multiplier"],
            "new_multiplier_at": scaled["new_multiplier_effective_timestamp"],
        },
        "notices": mint.derived["notices"],
        "listed": sorted(held),
    }
