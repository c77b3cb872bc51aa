"""WebSocket subscriptions of one client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from portfolio_platform.localnet.encoding import account_json, matches, parse_filters, parse_key
from portfolio_platform.localnet.errors import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError, invalid
from portfolio_platform.localnet.node import Node, View
from portfolio_platform.localnet.rpc import call_method
from portfolio_platform.localnet.rpc_params import Params
from portfolio_platform.localnet.transactions import Record

_IDENTITIES = count(1)
_KINDS = ("account", "program", "slot", "signature", "logs")


@dataclass
class Subscription:
    """What a client wants to hear about."""

    identity: int
    kind: str
    target: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    filters: list[tuple[int, bytes] | int] = field(default_factory=list)


class Client:
    """Subscriptions of one socket; `emit` takes the notifications for it."""

    def __init__(self, node: Node, emit: Callable[[dict[str, Any]], None]) -> None:
        self.node = node
        self.emit = emit
        self.subscriptions: dict[int, Subscription] = {}
        self._slot = node.chain.slot

    def answer(self, call: Any) -> dict[str, Any]:
        """Answer one message of the client."""
        if not isinstance(call, dict) or not isinstance(call.get("method"), str):
            error = RpcError(-32600, "Invalid request")
            return {"jsonrpc": "2.0", "error": error.body(), "id": None}
        identity, name = call.get("id"), call["method"]
        try:
            result = self._call(name, Params(call.get("params")))
        except RpcError as error:
            return {"jsonrpc": "2.0", "error": error.body(), "id": identity}
        return {"jsonrpc": "2.0", "result": result, "id": identity}

    def _call(self, name: str, params: Params) -> Any:
        kind = name.removesuffix("Unsubscribe")
        if kind != name and kind in _KINDS:
            wanted = params.required(0, "subscription id")
            if self.subscriptions.pop(wanted, None) is None:
                raise RpcError(INVALID_PARAMS, "Invalid subscription id.")
            return True
        kind = name.removesuffix("Subscribe")
        if kind != name:
            if kind not in _KINDS:
                raise RpcError(METHOD_NOT_FOUND, f"Method not found: {name}")
            return self._subscribe(kind, params)
        return call_method(self.node, name, params.values)

    def _subscribe(self, kind: str, params: Params) -> int:
        made = Subscription(next(_IDENTITIES), kind)
        if kind in ("account", "program"):
            made.target = parse_key(params.required(0, "pubkey"))
            made.config = {"encoding": "base64", **params.config(1)}
            made.filters = parse_filters(made.config)
        elif kind == "signature":
            made.target = str(params.required(0, "signature"))
        elif kind == "logs":
            wanted = params.required(0, "filter")
            if isinstance(wanted, dict):
                mentions = wanted.get("mentions")
                if not isinstance(mentions, list) or len(mentions) != 1:
                    raise invalid("mentions must list exactly one address")
                made.target = parse_key(mentions[0])
            elif wanted not in ("all", "allWithVotes"):
                raise invalid(f"unknown filter {wanted!r}")
        self.subscriptions[made.identity] = made
        return made.identity

    def after_answer(self, identity: Any) -> None:
        """Deliver at once what a new subscription has already missed (a known signature)."""
        made = self.subscriptions.get(identity) if isinstance(identity, int) else None
        if made is not None and made.kind == "signature":
            record = self.node.log.by_signature.get(made.target or "")
            if record is not None:
                self._signature(made, record)

    def changed(self, addresses: set[str], records: list[Record]) -> None:
        """Emit what one step of the chain means to this client."""
        slot, old = self.node.chain.slot, self._slot
        self._slot = slot
        for made in list(self.subscriptions.values()):
            if made.kind == "slot" and slot > old:
                self._notify(made, {"parent": slot - 1, "root": slot - 32, "slot": slot}, False)
            elif made.kind == "account" and made.target in addresses:
                self._account(made)
            elif made.kind == "program":
                self._program(made, addresses)
            else:
                self._records(made, records)

    def _records(self, made: Subscription, records: list[Record]) -> None:
        for record in records:
            if made.kind == "signature" and record.signature == made.target:
                self._signature(made, record)
            elif made.kind == "logs" and (made.target is None or made.target in record.addresses):
                value = {"signature": record.signature, "err": record.error, "logs": record.logs()}
                self._notify(made, value, True, record.slot)

    def _signature(self, made: Subscription, record: Record) -> None:
        self.subscriptions.pop(made.identity, None)
        self._notify(made, {"err": record.error}, True, record.slot)

    def _account(self, made: Subscription) -> None:
        account = self.node.chain.read(made.target or "")
        if account is None:
            value: dict[str, Any] = {
                "data": ["", "base64"],
                "executable": False,
                "lamports": 0,
                "owner": "11111111111111111111111111111111",
                "rentEpoch": 0,
                "space": 0,
            }
        else:
            value = account_json(account, made.config)
        self._notify(made, value, True)

    def _program(self, made: Subscription, addresses: set[str]) -> None:
        for address in sorted(addresses):
            account = self.node.chain.read(address)
            if account is None or str(account.owner) != made.target:
                continue
            if matches(bytes(account.data), made.filters):
                value = {"pubkey": address, "account": account_json(account, made.config)}
                self._notify(made, value, True)

    def _notify(
        self, made: Subscription, value: Any, context: bool, slot: int | None = None
    ) -> None:
        result = value
        if context:
            seen = View(self.node).context()
            result = {"context": seen if slot is None else {**seen, "slot": slot}, "value": value}
        self.emit(
            {
                "jsonrpc": "2.0",
                "method": f"{made.kind}Notification",
                "params": {"result": result, "subscription": made.identity},
            }
        )
