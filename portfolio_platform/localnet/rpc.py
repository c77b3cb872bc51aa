"""JSON-RPC dispatch: one parsed call in, one answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from portfolio_platform.localnet import rpc_accounts, rpc_ledger
from portfolio_platform.localnet.errors import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    MIN_CONTEXT_SLOT_NOT_REACHED,
    RpcError,
)
from portfolio_platform.localnet.faults import Fault, FaultPlan
from portfolio_platform.localnet.node import Node, View
from portfolio_platform.localnet.rpc_params import Params

METHODS: dict[str, Callable[[View, Params], Any]] = {
    **rpc_accounts.METHODS,
    **rpc_ledger.METHODS,
}


def answer(node: Node, plan: FaultPlan, call: Any, fault: Fault | None) -> dict[str, Any]:
    """The response object for one call; `fault` is what the plan chose for it."""
    if not isinstance(call, dict) or not isinstance(call.get("method"), str):
        return _error(None, RpcError(INVALID_REQUEST, "Invalid request"))
    identity = call.get("id")
    if fault is not None and fault.kind == "rpc_error":
        return _error(identity, fault.error())
    if fault is not None and fault.kind == "null_id":
        return _error(None, fault.error())
    try:
        result = call_method(node, call["method"], call.get("params"), fault)
    except RpcError as error:
        return _error(identity, error)
    if fault is not None and fault.kind == "signatures" and isinstance(result, list):
        result = fault.bend_signatures(result, plan.rng)
    return {"jsonrpc": "2.0", "result": result, "id": identity}


def call_method(node: Node, name: str, params: Any, fault: Fault | None = None) -> Any:
    """Result of one method; raises RpcError."""
    method = METHODS.get(name)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {name}")
    view, parsed = View(node, fault), Params(params)
    wanted = parsed.min_context_slot()
    if wanted is not None and wanted > view.slot:
        raise RpcError(
            MIN_CONTEXT_SLOT_NOT_REACHED,
            "Minimum context slot has not been reached",
            {"contextSlot": view.slot},
        )
    return method(view, parsed)


def _error(identity: Any, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.body(), "id": identity}
