"""RPC methods about slots, blocks and transactions."""

from __future__ import annotations

from typing import Any

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from portfolio_platform.localnet.chain import SLOTS_PER_EPOCH
from portfolio_platform.localnet.encoding import from_base58, from_base64, parse_key
from portfolio_platform.localnet.errors import (
    BLOCK_CLEANED_UP,
    BLOCK_NOT_AVAILABLE,
    INVALID_PARAMS,
    PREFLIGHT_FAILURE,
    SLOT_SKIPPED,
    UNSUPPORTED_TRANSACTION_VERSION,
    RpcError,
    invalid,
    transaction_error_json,
)
from portfolio_platform.localnet.node import View
from portfolio_platform.localnet.rpc_params import Params
from portfolio_platform.localnet.tokens import demo_key
from portfolio_platform.localnet.transactions import Record

_MAX_BLOCK_RANGE = 500_000
_MAX_SIGNATURES = 1000
_TRANSACTION_ENCODINGS = ("json", "base58", "base64")


def _encoding(config: dict[str, Any]) -> str:
    encoding = config.get("encoding", "json")
    if encoding not in _TRANSACTION_ENCODINGS:
        raise invalid(
            f"encoding {encoding!r} is not served by the local chain, "
            f"use one of {_TRANSACTION_ENCODINGS}"
        )
    return str(encoding)


def _check_version(record: Record, config: dict[str, Any]) -> None:
    if record.version != "legacy" and config.get("maxSupportedTransactionVersion") is None:
        raise RpcError(
            UNSUPPORTED_TRANSACTION_VERSION,
            f"Transaction version ({record.version}) is not supported by the requesting client. "
            "Please try the request again with the following configuration parameter: "
            f'"maxSupportedTransactionVersion": {record.version}',
        )


def signature_row(record: Record) -> dict[str, Any]:
    """One entry of getSignaturesForAddress."""
    return {
        "signature": record.signature,
        "slot": record.slot,
        "err": record.error,
        "memo": None,
        "blockTime": record.time_ms // 1000,
        "confirmationStatus": "finalized",
    }


def get_signatures_for_address(view: View, params: Params) -> Any:
    address = parse_key(params.required(0, "address"))
    config = params.config(1)
    limit = config.get("limit")
    limit = _MAX_SIGNATURES if limit is None else limit
    if not isinstance(limit, int) or not 1 <= limit <= _MAX_SIGNATURES:
        raise RpcError(INVALID_PARAMS, f"Invalid limit; max {_MAX_SIGNATURES}")
    edges = [config.get(name) for name in ("before", "until")]
    if not all(edge is None or isinstance(edge, str) for edge in edges):
        raise invalid("before and until must be signatures")
    before, until = edges
    records = view.node.log.signatures_for(address, before=before, until=until, limit=limit)
    return [signature_row(record) for record in records]


def get_transaction(view: View, params: Params) -> Any:
    signature = params.text(0, "signature")
    config = params.values[1] if len(params.values) > 1 else {}
    config = {"encoding": config} if isinstance(config, str) else params.config(1)
    record = view.node.log.by_signature.get(signature)
    if record is None:
        return None
    encoding = _encoding(config)
    _check_version(record, config)
    return {
        "slot": record.slot,
        "blockTime": record.time_ms // 1000,
        **record.render(encoding),
    }


def get_signature_statuses(view: View, params: Params) -> Any:
    wanted = params.required(0, "signatures")
    if not isinstance(wanted, list) or len(wanted) > 256:
        raise RpcError(INVALID_PARAMS, "Too many inputs provided; max 256")
    values = []
    for signature in wanted:
        if not isinstance(signature, str):
            raise invalid(f"a signature must be a string, got {type(signature).__name__}")
        record = view.node.log.by_signature.get(signature)
        values.append(
            None
            if record is None
            else {
                "slot": record.slot,
                "confirmations": None,
                "err": record.error,
                "status": {"Ok": None} if record.error is None else {"Err": record.error},
                "confirmationStatus": "finalized",
            }
        )
    return {"context": view.context(), "value": values}


def _require_block(view: View, slot: int) -> None:
    chain = view.node.chain
    if slot > chain.slot:
        raise RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    if slot < chain.first_slot:
        raise RpcError(
            BLOCK_CLEANED_UP,
            f"Block {slot} cleaned up, does not exist on node. "
            f"First available block: {chain.first_slot}",
        )
    if chain.skipped(slot):
        raise RpcError(
            SLOT_SKIPPED,
            f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot",
        )


def blockhash(slot: int) -> str:
    """The hash of the block made in `slot` (deterministic; LiteSVM has none per slot)."""
    return str(Hash(bytes(demo_key("blockhash", str(slot)))))


def get_block(view: View, params: Params) -> Any:
    slot = params.integer(0, "slot")
    _require_block(view, slot)
    config = params.config(1)
    encoding = _encoding(config)
    details = config.get("transactionDetails", "full")
    parent = slot - 1
    while view.node.chain.skipped(parent):
        parent -= 1
    out: dict[str, Any] = {
        "blockhash": blockhash(slot),
        "previousBlockhash": blockhash(parent),
        "parentSlot": parent,
        "blockHeight": slot - slot // 97,
        "blockTime": (view.node.chain.time_of(slot) or 0) // 1000,
    }
    records = view.node.log.by_slot.get(slot, [])
    if details == "full":
        for record in records:
            _check_version(record, config)
        out["transactions"] = [record.render(encoding) for record in records]
    elif details == "signatures":
        out["signatures"] = [record.signature for record in records]
    elif details != "none":
        raise invalid(f"transactionDetails {details!r} is not served by the local chain")
    if config.get("rewards", True):
        out["rewards"] = []
    return out


def get_blocks(view: View, params: Params) -> Any:
    first = params.integer(0, "start slot")
    last = view.slot
    if len(params.values) > 1 and isinstance(params.values[1], int):
        last = min(last, params.integer(1, "end slot"))
    return _blocks(view, first, last)


def get_blocks_with_limit(view: View, params: Params) -> Any:
    first, limit = params.integer(0, "start slot"), params.integer(1, "limit")
    return _blocks(view, first, view.slot, limit)


def _blocks(view: View, first: int, last: int, limit: int | None = None) -> list[int]:
    if last - first > _MAX_BLOCK_RANGE and limit is None:
        raise RpcError(INVALID_PARAMS, f"Slot range too large; max {_MAX_BLOCK_RANGE}")
    chain = view.node.chain
    slots: list[int] = []
    for slot in range(max(first, chain.first_slot), last + 1):
        if limit is not None and len(slots) >= limit:
            break
        if not chain.skipped(slot):
            slots.append(slot)
    return slots


def get_block_time(view: View, params: Params) -> Any:
    slot = params.integer(0, "slot")
    _require_block(view, slot)
    time_ms = view.node.chain.time_of(slot)
    return None if time_ms is None else time_ms // 1000


def get_latest_blockhash(view: View, _: Params) -> Any:
    value = {
        "blockhash": str(view.node.chain.svm.latest_blockhash()),
        "lastValidBlockHeight": view.slot + 150,
    }
    return {"context": view.context(), "value": value}


def get_epoch_info(view: View, _: Params) -> Any:
    return {
        "absoluteSlot": view.slot,
        "blockHeight": view.slot - view.slot // 97,
        "epoch": view.slot // SLOTS_PER_EPOCH,
        "slotIndex": view.slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": len(view.node.log.by_signature),
    }


def _parse_transaction(params: Params) -> VersionedTransaction:
    text, config = params.text(0, "transaction"), params.config(1)
    encoding = config.get("encoding", "base58")
    if encoding == "base64":
        raw = from_base64(text)
    elif encoding == "base58":
        raw = from_base58(text)
    else:
        raise invalid(f"encoding {encoding!r}: use base58 or base64")
    try:
        return VersionedTransaction.from_bytes(raw)
    except ValueError as error:
        raise invalid(f"failed to deserialize transaction: {error}") from error


def send_transaction(view: View, params: Params) -> Any:
    transaction = _parse_transaction(params)
    if not params.config(1).get("skipPreflight"):
        dry = view.node.simulate(transaction)
        if isinstance(dry, FailedTransactionMetadata):
            error = transaction_error_json(dry.err())
            raise RpcError(
                PREFLIGHT_FAILURE,
                f"Transaction simulation failed: {error}",
                {
                    "err": error,
                    "logs": dry.meta().logs(),
                    "accounts": None,
                    "unitsConsumed": dry.meta().compute_units_consumed(),
                },
            )
    return view.node.execute(transaction).signature


def simulate_transaction(view: View, params: Params) -> Any:
    dry = view.node.simulate(_parse_transaction(params))
    failed = isinstance(dry, FailedTransactionMetadata)
    meta = dry.meta()
    value = {
        "err": transaction_error_json(dry.err()) if failed else None,
        "logs": meta.logs(),
        "accounts": None,
        "unitsConsumed": meta.compute_units_consumed(),
        "returnData": None,
    }
    return {"context": view.context(), "value": value}


def request_airdrop(view: View, params: Params) -> Any:
    address = parse_key(params.required(0, "pubkey"))
    lamports = params.integer(1, "lamports")
    return view.node.airdrop(Pubkey.from_string(address), lamports)


METHODS = {
    "getHealth": lambda view, params: "ok",
    "getVersion": lambda view, params: {"solana-core": "2.3.0", "feature-set": 0},
    "getGenesisHash": lambda view, params: blockhash(0),
    "getSlot": lambda view, params: view.slot,
    "getBlockHeight": lambda view, params: view.slot - view.slot // 97,
    "getFirstAvailableBlock": lambda view, params: view.node.chain.first_slot,
    "minimumLedgerSlot": lambda view, params: view.node.chain.first_slot,
    "getEpochInfo": get_epoch_info,
    "getBlock": get_block,
    "getBlocks": get_blocks,
    "getBlocksWithLimit": get_blocks_with_limit,
    "getBlockTime": get_block_time,
    "getLatestBlockhash": get_latest_blockhash,
    "getSignaturesForAddress": get_signatures_for_address,
    "getTransaction": get_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "requestAirdrop": request_airdrop,
}
