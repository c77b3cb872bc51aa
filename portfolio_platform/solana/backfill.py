"""Asking again for slots that could not be read, until each is served or settled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from portfolio_platform.solana.ledger import (
    CLAIM_OF_CODE,
    Claim,
    Gap,
    GapState,
    observe,
    to_revisit,
)
from portfolio_platform.solana.rpc.endpoint import Endpoint, EndpointFailure
from portfolio_platform.solana.rpc.pool import RpcPool
from portfolio_platform.solana.rpc.replies import BadBody, parse_any


@dataclass(frozen=True, slots=True)
class Settled:
    """One round over the gap table: what was served, and what stays a gap."""

    blocks: dict[int, Any]
    gaps: dict[int, Gap]


async def revisit(pool: RpcPool, gaps: Mapping[int, Gap], *, details: str = "none") -> Settled:
    """Ask every endpoint for every open gap, oldest slot first.

    "Skipped" is a claim: it is confirmed by a second endpoint, or by the endpoint's own list of
    blocks. A slot that any endpoint serves is no gap any more.

    Parameters
    ----------
    details : str
        ``transactionDetails`` of getBlock: ``none``, ``signatures`` or ``full``.
    """
    blocks: dict[int, Any] = {}
    left = dict(gaps)
    for slot in to_revisit(gaps):
        gap: Gap | None = left[slot]
        for endpoint in pool.endpoints:
            assert gap is not None
            claim, block = await _ask(pool, endpoint, slot, details)
            if claim is Claim.SERVED:
                blocks[slot] = block
            gap = observe(gap, endpoint.name, claim)
            if gap is None or gap.state is GapState.SKIPPED_CONFIRMED:
                break
            if claim is Claim.SKIPPED and await _absent(pool, endpoint, slot):
                gap = observe(gap, endpoint.name, Claim.ABSENT_FROM_BLOCKS)
                break
        if gap is None:
            del left[slot]
        else:
            left[slot] = gap
    return Settled(blocks, left)


async def _ask(pool: RpcPool, endpoint: Endpoint, slot: int, details: str) -> tuple[Claim, Any]:
    """One endpoint's answer about a slot; the pool would hide who said what."""
    options = {
        "encoding": "json",
        "transactionDetails": details,
        "rewards": False,
        "commitment": pool.settings.commitment,
        "maxSupportedTransactionVersion": 0,
    }
    try:
        reply = await endpoint.send("getBlock", [slot, options])
        block = parse_any(reply.result)
    except EndpointFailure as failure:
        known = failure.code if failure.code is not None else 0
        return CLAIM_OF_CODE.get(known, Claim.FAILED), None
    except BadBody:
        return Claim.FAILED, None
    return (Claim.SERVED, block) if isinstance(block, dict) else (Claim.NOT_AVAILABLE, None)


async def _absent(pool: RpcPool, endpoint: Endpoint, slot: int) -> bool:
    """Whether the endpoint lists its neighbours, but not this slot."""
    try:
        reply = await endpoint.send(
            "getBlocks", [max(slot - 1, 0), slot + 1, {"commitment": pool.settings.commitment}]
        )
        listed = parse_any(reply.result)
    except (EndpointFailure, BadBody):
        return False
    # An empty list proves nothing: the node may not hold this range at all.
    return isinstance(listed, list) and bool(listed) and slot not in listed
