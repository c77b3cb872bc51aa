"""Faults that the local chain injects: what RPC providers do, on demand and repeatable."""

from __future__ import annotations

import random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from solders.account import Account
from solders.pubkey import Pubkey

from portfolio_platform.localnet.errors import RpcError

# code -> (message, default data or None for a row that carries none).
ERROR_ROWS: dict[int, tuple[str, dict[str, Any] | None]] = {
    -32001: ("Block 1 cleaned up, does not exist on node. First available block: 2", None),
    -32002: (
        "Transaction simulation failed: Blockhash not found",
        {"err": "BlockhashNotFound", "logs": [], "accounts": None, "unitsConsumed": 0},
    ),
    -32003: ("Transaction signature verification failure", None),
    -32004: ("Block not available for slot 1", None),
    -32005: ("Node is behind by 42 slots", {"numSlotsBehind": 42}),
    -32006: ("Transaction precompile verification failure", None),
    -32007: ("Slot 1 was skipped, or missing due to ledger jump to recent snapshot", None),
    -32008: ("No snapshot", None),
    -32009: ("Slot 1 was skipped, or missing in long-term storage", None),
    -32010: ("this RPC method unavailable for key: excluded from account secondary indexes", None),
    -32011: ("Transaction history is not available from this node", None),
    -32012: ("scan error: The accumulated scan results exceeded the limit", None),
    -32013: ("Transaction signature length mismatch", None),
    -32014: ("Block status not yet available for slot 1", None),
    -32015: ("Transaction version (0) is not supported by the requesting client.", None),
    -32016: ("Minimum context slot has not been reached", {"contextSlot": 1}),
    -32017: ("Epoch rewards period still active at slot 1", {"currentBlockHeight": 1}),
    -32018: ("Rewards cannot be found because slot 1 is not the epoch boundary", {"slot": 1}),
    -32019: ("Failed to query long-term storage; please try again", None),
    -32020: ("Filter transaction not found", None),
    -32021: ("No slot history", None),
    -32029: ("Rate limit exceeded", None),
    -32429: ("Too many requests for a specific RPC call", None),
    -32601: ("Method not found", None),
    -32602: ("Too many inputs provided; max 100", None),
    -32603: ("Internal error", None),
    429: ("Too many requests", None),
}

AccountFault = Literal["missing_account", "wrong_length", "wrong_owner", "fork"]
TransportFault = Literal["http", "html", "truncated", "drop", "drop_body", "delay", "slow_body"]
RpcFault = Literal["rpc_error", "null_id", "slot_back", "signatures"]
StreamFault = Literal["ws_drop", "ws_duplicate", "ws_reorder", "ws_omit", "ws_oversize"]
TRANSPORT_KINDS = frozenset(TransportFault.__args__)  # type: ignore[attr-defined]
STREAM_KINDS = frozenset(StreamFault.__args__)  # type: ignore[attr-defined]


class Fault(BaseModel):
    """One misbehaviour.

    Attributes
    ----------
    kind
        - ``rpc_error``: JSON-RPC error `code` (`message`, `data`; ``with_data=False`` leaves the
          data out, ``data=None`` with ``null_data`` writes null). ``null_id``: the same, id null.
        - ``http``: HTTP `status` with an HTML body (or `body`) and `retry_after` seconds.
        - ``html``: 200 with HTML. ``truncated``: the first `part` of the answer.
        - ``drop``: the connection is reset before an answer; ``drop_body``: after `part` of it.
        - ``delay``: the answer starts after `seconds`; ``slow_body``: it dribbles over `seconds`.
        - ``slot_back``: the context slot is `slots` lower than the chain's.
        - ``missing_account``, ``wrong_length`` (to `length` bytes), ``wrong_owner`` (`owner`),
          ``fork`` (the bytes before the last step, under the present slot): for `pubkey`, or for
          the first account of the call.
        - ``signatures``: `mode` reorder (inside a slot), duplicate, or omit.
        - ``ws_drop`` (no close frame), ``ws_duplicate``, ``ws_reorder``, ``ws_omit``,
          ``ws_oversize`` (a frame over 1 MiB): on the next notification.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: AccountFault | TransportFault | RpcFault | StreamFault
    code: int = -32005
    message: str | None = None
    data: Any = None
    with_data: bool = True
    null_data: bool = False
    status: int = Field(default=429, ge=400, le=599)
    retry_after: float | None = None
    body: str | None = None
    part: float = Field(default=0.5, ge=0, le=1)
    seconds: float = Field(default=1.0, ge=0, le=600)
    slots: int = Field(default=10, ge=1)
    pubkey: str | None = None
    length: int | None = Field(default=None, ge=0)
    owner: str = "11111111111111111111111111111111"
    mode: Literal["reorder", "duplicate", "omit"] = "reorder"

    def error(self) -> RpcError:
        """The JSON-RPC error of this fault."""
        known, default = ERROR_ROWS.get(self.code, (f"error {self.code}", None))
        message = known if self.message is None else self.message
        if self.null_data:
            return RpcError(self.code, message, None)
        data = default if self.data is None else self.data
        if not self.with_data or data is None:
            return RpcError(self.code, message)
        return RpcError(self.code, message, data)

    def concerns(self, address: str, first: bool) -> bool:
        """Whether this fault bends the account at `address`."""
        return address == self.pubkey if self.pubkey is not None else first

    def bend(self, account: Account, before: bytes | None) -> Account | None:
        """The account as this fault shows it."""
        data, owner = bytes(account.data), account.owner
        if self.kind == "missing_account":
            return None
        if self.kind == "wrong_length":
            length = max(0, len(data) - 1) if self.length is None else self.length
            data = data[:length].ljust(length, b"\0")
        elif self.kind == "wrong_owner":
            owner = Pubkey.from_string(self.owner)
        elif self.kind == "fork" and before is not None:
            data = before
        return Account(account.lamports, data, owner, account.executable)

    def bend_signatures(self, rows: list[dict[str, Any]], rng: random.Random) -> list[Any]:
        """Signature rows as this fault shows them."""
        if self.mode == "duplicate":
            return [row for row in rows for _ in range(1 + (rng.random() < 0.5))]
        if self.mode == "omit":
            return [row for row in rows if rng.random() >= 0.3]
        shuffled = sorted(rows, key=lambda row: (-row["slot"], rng.random()))
        return list(shuffled)


class Trigger(BaseModel):
    """When a fault strikes.

    Attributes
    ----------
    method
        RPC method, UDF path (`/history`), `subscription` for notifications, `websocket` for
        handshakes (``drop`` resets them, any other kind refuses them with 403), or `*` for the
        first three.
    endpoint
        Only calls to ``/rpc/<endpoint>`` (the root path is the endpoint "").
    probability
        Chance per matching call.
    calls
        Only these matching calls, counted from 1 since the rule was set.
    times
        The rule ends after this many strikes.
    """

    model_config = ConfigDict(extra="forbid")

    fault: Fault
    method: str = "*"
    endpoint: str | None = None
    probability: float = Field(default=1.0, ge=0, le=1)
    calls: list[int] | None = None
    times: int | None = Field(default=None, ge=1)

    def matches(self, method: str, endpoint: str) -> bool:
        """Whether a call is of the kind this trigger watches."""
        if self.endpoint is not None and self.endpoint != endpoint:
            return False
        streams = self.fault.kind in STREAM_KINDS
        if streams != (method == "subscription"):
            return False
        # A handshake is refused only when it is meant: `*` is about calls.
        return self.method == method or (self.method == "*" and method != "websocket")


class FaultRequest(BaseModel):
    """Body of POST /faults: `queue` strikes the next matching calls once each, in order."""

    model_config = ConfigDict(extra="forbid")

    queue: list[Trigger] = []
    rules: list[Trigger] = []
    seed: int | None = None


class FaultPlan:
    """The faults in force, and a count of what was called and what was injected."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.clear()

    def clear(self) -> None:
        """Forget all faults and counts."""
        self._queue: list[Trigger] = []
        self._rules: list[list[Any]] = []
        self.calls: dict[str, int] = {}
        self.injected: dict[str, int] = {}

    def add(self, request: FaultRequest) -> None:
        """Put faults in force in addition to those already there."""
        if request.seed is not None:
            self.rng = random.Random(request.seed)
        self._queue.extend(request.queue)
        self._rules.extend([trigger, 0, 0] for trigger in request.rules)

    def strike(self, method: str, endpoint: str) -> Fault | None:
        """Count a call and return the fault that hits it, if any."""
        self.calls[method] = self.calls.get(method, 0) + 1
        found = self._from_queue(method, endpoint) or self._from_rules(method, endpoint)
        if found is not None:
            self.injected[found.kind] = self.injected.get(found.kind, 0) + 1
        return found

    def _from_queue(self, method: str, endpoint: str) -> Fault | None:
        for place, trigger in enumerate(self._queue):
            if trigger.matches(method, endpoint):
                del self._queue[place]
                return trigger.fault
        return None

    def _from_rules(self, method: str, endpoint: str) -> Fault | None:
        struck: Fault | None = None
        for state in self._rules:
            trigger: Trigger = state[0]
            if not trigger.matches(method, endpoint):
                continue
            state[1] += 1
            if struck is not None or (trigger.times is not None and state[2] >= trigger.times):
                continue
            if trigger.calls is not None and state[1] not in trigger.calls:
                continue
            if self.rng.random() < trigger.probability:
                state[2] += 1
                struck = trigger.fault
        return struck

    def report(self) -> dict[str, Any]:
        """Calls by method, injected faults by kind, and what is still waiting."""
        return {
            "calls": dict(self.calls),
            "injected": dict(self.injected),
            "queued": len(self._queue),
            "rules": len(self._rules),
        }
