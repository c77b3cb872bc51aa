"""Watching accounts over a WebSocket, with polling as the only proof of completeness.

A stream is freshness: it may drop, repeat, reorder and omit. So every connection first
subscribes, then polls everything once, and only then lets notifications through; a poll at a
fixed pace finds what the stream left out. Whatever order the answers come in, the newest slot of
an account wins.
"""

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.layouts import key_bytes, programs
from portfolio_platform.solana.rpc import InvalidEndpoint, RpcError, RpcPool
from portfolio_platform.solana.rpc.replies import (
    BadBody,
    FetchedAccount,
    SocketMessage,
    parse_account_entry,
    parse_socket_message,
)
from portfolio_platform.solana.snapshot import AccountRecord, Snapshot, fetch_snapshot
from portfolio_platform.solana.universe import Universe

Origin = Literal["poll", "stream"]


class StreamSettings(BaseModel):
    """How a stream is kept alive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_seconds: float = Field(default=30.0, gt=0)
    backoff_seconds: float = Field(default=0.25, gt=0)
    backoff_limit_seconds: float = Field(default=15.0, gt=0)
    open_timeout_seconds: float = Field(default=10.0, gt=0)
    subscribe_timeout_seconds: float = Field(default=15.0, gt=0)
    ping_seconds: float = Field(default=20.0, gt=0)
    largest_message: int = Field(default=16 * 1024 * 1024, gt=0)


@dataclass(frozen=True, slots=True)
class Change:
    """New bytes of some accounts.

    ``snapshot`` is set for a poll: the accounts of a pool in it share a slot, and prices and pool
    states are judged from it. A streamed change is one account alone. ``block_time`` is the
    chain's: of the poll, or of the newest clock account that the stream has shown (a notification
    carries no time of its own).
    """

    origin: Origin
    records: tuple[AccountRecord, ...]
    block_time: datetime
    snapshot: Snapshot | None = None


@dataclass(slots=True)
class StreamCounters:
    """What happened to a stream."""

    connections: int = 0
    drops: int = 0
    notifications: int = 0
    applied: int = 0
    repeated: int = 0
    out_of_order: int = 0
    malformed: int = 0
    polls: int = 0
    missed_by_stream: int = 0
    errors: list[str] = field(default_factory=list)

    def note(self, error: str) -> None:
        """Keep the newest few errors."""
        self.errors = [*self.errors[-9:], error]


class SubscriptionRefused(RuntimeError):
    """The endpoint does not accept a subscription."""


Sink = Callable[[Change], Awaitable[None]]


class AccountStream:
    """Keeps the newest bytes of a set of accounts and hands every change to a sink.

    Parameters
    ----------
    pool : RpcPool
        Polls; its commitment is also that of the subscriptions.
    ws_url : str
    watched : Universe or iterable of str
    sink : async callable
        Given each :class:`Change`; an exception of it ends the stream (fail closed).
    on_drop : callable
        Told why a connection ended or never came about.
    """

    def __init__(
        self,
        pool: RpcPool,
        ws_url: str,
        watched: Universe | Iterable[str],
        sink: Sink,
        settings: StreamSettings | None = None,
        *,
        on_drop: Callable[[str], object] = lambda why: None,
    ) -> None:
        if not ws_url.startswith(("ws://", "wss://")):
            raise InvalidEndpoint("a stream needs a ws(s) URL: SOLANA_WS_URL")
        self._watched: Universe | tuple[str, ...]
        if isinstance(watched, Universe):
            self._watched = watched
        else:
            self._watched = tuple(dict.fromkeys(watched))
            for key in self._watched:
                key_bytes(key)
        self._pool = pool
        self._url = ws_url
        self._sink = sink
        self._settings = settings or StreamSettings()
        self._on_drop = on_drop
        self._random = random.Random()
        self._now = datetime.fromtimestamp(0, UTC)
        self.newest: dict[str, AccountRecord] = {}
        self.counters = StreamCounters()

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until ``stop`` is set. Reconnects for ever; each connection closes its own gap."""
        import websockets

        failures = 0
        while not stop.is_set():
            try:
                async with websockets.connect(
                    self._url,
                    open_timeout=self._settings.open_timeout_seconds,
                    ping_interval=self._settings.ping_seconds,
                    close_timeout=1,
                    max_size=self._settings.largest_message,
                ) as socket:
                    self.counters.connections += 1
                    before = self.counters.polls
                    try:
                        await self._connected(socket, stop)
                    finally:
                        # A connection that got as far as its poll was a good one.
                        failures = 0 if self.counters.polls > before else failures
            except (
                OSError,
                TimeoutError,
                websockets.WebSocketException,
                SubscriptionRefused,
                RpcError,
            ) as error:
                if stop.is_set():
                    return
                failures += 1
                self.counters.drops += 1
                self.counters.note(type(error).__name__)
                self._on_drop(_why(error))
                await self._rest(failures, stop)

    async def _rest(self, failures: int, stop: asyncio.Event) -> None:
        ceiling = min(
            self._settings.backoff_seconds * 2 ** min(failures - 1, 16),
            self._settings.backoff_limit_seconds,
        )
        try:
            async with asyncio.timeout(ceiling * (0.5 + 0.5 * self._random.random())):
                await stop.wait()
        except TimeoutError:
            return

    async def _connected(self, socket: Any, stop: asyncio.Event) -> None:
        """Subscribe, poll, then follow; the order is what leaves no gap."""
        keys = await self._keys()
        session = _Session(socket, self._pool.settings.commitment)
        async with asyncio.timeout(self._settings.subscribe_timeout_seconds):
            early = await session.subscribe([*keys, programs.CLOCK])
        await self._poll()
        for message in early:
            await self._notified(session, message)
        tasks = [
            asyncio.ensure_future(self._follow(session)),
            asyncio.ensure_future(self._poll_at_pace(session)),
            asyncio.ensure_future(stop.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keys(self) -> list[str]:
        # What a pool depends on is watched as well, and only its bytes say what that is.
        if not self.newest:
            await self._poll()
        return list(self.newest)

    async def _poll_at_pace(self, session: "_Session") -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            missed = await self._poll()
            self.counters.missed_by_stream += missed
            # Around a moved price there are other tick arrays.
            await session.request([key for key in self.newest if key not in session.requested])

    async def _poll(self) -> int:
        """Read everything; the number of accounts whose newer bytes the stream had not shown."""
        snapshot = await fetch_snapshot(self._pool, self._watched)
        changed = []
        for record in snapshot.accounts:
            known = self.newest.get(record.pubkey)
            if known is not None and known.slot > record.slot:
                continue
            self.newest[record.pubkey] = record
            if known is None or known.sha256 != record.sha256 or known.owner != record.owner:
                changed.append(record)
        self.counters.polls += 1
        self._now = max(self._now, snapshot.block_time)
        await self._sink(Change("poll", tuple(changed), snapshot.block_time, snapshot))
        return len(changed)

    async def _follow(self, session: "_Session") -> None:
        while True:
            await self._notified(session, await session.receive())

    async def _notified(self, session: "_Session", message: SocketMessage | None) -> None:
        if message is None:
            self.counters.malformed += 1
            return
        if message.params is None or message.method != "accountNotification":
            session.acknowledge(message)
            return
        self.counters.notifications += 1
        key = session.key_of(message.params.subscription)
        if key is None:
            self.counters.malformed += 1
            return
        result = message.params.result
        record = _record(key, result.context.slot, parse_account_entry(result.value))
        if record.error is not None:
            # Half an account is no fact; the next poll brings the whole one.
            self.counters.malformed += 1
            return
        if key == programs.CLOCK:
            self._tick(record)
        else:
            await self._apply(record)

    def _tick(self, clock: AccountRecord) -> None:
        answer = clock.decode()
        if isinstance(answer, Decoded):
            moment = datetime.fromtimestamp(answer.values["unix_timestamp"], UTC)
            self._now = max(self._now, moment)

    async def _apply(self, record: AccountRecord) -> None:
        known = self.newest.get(record.pubkey)
        if known is not None and record.slot < known.slot:
            self.counters.out_of_order += 1
            return
        if known is not None and known.sha256 == record.sha256 and known.owner == record.owner:
            self.counters.repeated += 1
            self.newest[record.pubkey] = record
            return
        self.newest[record.pubkey] = record
        self.counters.applied += 1
        await self._sink(Change("stream", (record,), self._now))


def _why(error: Exception) -> str:
    """A drop in words that never hold the address: keys hide in it."""
    from websockets.exceptions import InvalidStatus

    if isinstance(error, InvalidStatus):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, RpcError | SubscriptionRefused):
        return str(error)
    return type(error).__name__


class _Session:
    """The subscriptions of one connection."""

    def __init__(self, socket: Any, commitment: str) -> None:
        self._socket = socket
        self._commitment = commitment
        self._ids = count(1)
        self._asked: dict[int, str] = {}
        self._subscribed: dict[int, str] = {}
        self.requested: set[str] = set()

    async def request(self, keys: Sequence[str]) -> None:
        """Ask for subscriptions; their acknowledgements come between notifications."""
        for key in keys:
            request_id = next(self._ids)
            self._asked[request_id] = key
            self.requested.add(key)
            await self._socket.send(
                json.dumps(
                    {
                        "jsonrpc": "2.0",
                        "id": request_id,
                        "method": "accountSubscribe",
                        "params": [key, {"encoding": "base64", "commitment": self._commitment}],
                    }
                )
            )

    async def subscribe(self, keys: Sequence[str]) -> list[SocketMessage | None]:
        """Subscribe and wait for every acknowledgement; what else arrived meanwhile."""
        await self.request(keys)
        early: list[SocketMessage | None] = []
        while self._asked:
            message = await self.receive()
            if message is None or message.params is not None:
                early.append(message)
            else:
                self.acknowledge(message)
        return early

    async def receive(self) -> SocketMessage | None:
        """The next message; None for one that is malformed."""
        try:
            return parse_socket_message(await self._socket.recv())
        except BadBody:
            return None

    def acknowledge(self, message: SocketMessage) -> None:
        """Note the subscription number of a request.

        Raises
        ------
        SubscriptionRefused
            When the endpoint answers with an error.
        """
        if message.error is not None:
            raise SubscriptionRefused(f"accountSubscribe: {message.error.message[:200]}")
        if isinstance(message.id, int) and isinstance(message.result, int):
            key = self._asked.pop(message.id, None)
            if key is not None:
                self._subscribed[message.result] = key

    def key_of(self, subscription: int) -> str | None:
        """The account of a subscription number."""
        return self._subscribed.get(subscription)


def _record(key: str, slot: int, account: FetchedAccount) -> AccountRecord:
    return AccountRecord(
        pubkey=key,
        owner=account.owner,
        lamports=account.lamports,
        data=account.data,
        sha256=hashlib.sha256(account.data).hexdigest(),
        slot=slot,
        error=account.error,
    )
