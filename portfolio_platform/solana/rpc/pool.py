"""The endpoint pool: one call, several endpoints, one deadline."""

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from portfolio_platform.solana.rpc.call import Call
from portfolio_platform.solana.rpc.endpoint import (
    BLOCKED_SECONDS,
    Endpoint,
    EndpointFailure,
    Reply,
)
from portfolio_platform.solana.rpc.error_table import Action
from portfolio_platform.solana.rpc.errors import (
    DeadlineExceeded,
    InvalidCall,
    InvalidEndpoint,
    NativePanic,
    PermanentFailure,
    ScanTooWide,
    Unavailable,
)
from portfolio_platform.solana.rpc.replies import (
    BadBody,
    FetchedAccount,
    parse_accounts,
    parse_any,
)
from portfolio_platform.solana.rpc.settings import PoolSettings

KEYS_PER_REQUEST = 100
T = TypeVar("T")


class RpcPool:
    """Several endpoints behind one door. Use as an async context manager, in one event loop.

    Parameters
    ----------
    urls : sequence of str
        Best first; the order breaks ties between equally healthy endpoints.
    settings : PoolSettings
    headers : mapping, optional
        Sent with every request, e.g. an authorization.
    """

    def __init__(
        self,
        urls: Sequence[str],
        settings: PoolSettings | None = None,
        *,
        headers: dict[str, str] | None = None,
        seed: int | None = None,
    ) -> None:
        if not urls:
            raise InvalidEndpoint("a pool needs at least one endpoint: SOLANA_RPC_URLS")
        self.settings = settings or PoolSettings()
        self.endpoints = [
            Endpoint(
                url,
                limits=self.settings.limits,
                headers=headers,
                timeout=self.settings.request_timeout_seconds,
            )
            for url in urls
        ]
        _name_apart(self.endpoints)
        self.newest_slot = 0
        self._random = random.Random(seed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every endpoint."""
        await asyncio.gather(*(one.close() for one in self.endpoints))

    def metrics(self) -> list[dict[str, Any]]:
        """Counters per endpoint, JSON-safe."""
        newest = max(self.newest_slot, *(one.metrics.slot for one in self.endpoints))
        return [one.metrics.to_json(newest) for one in self.endpoints]

    async def call(
        self, method: str, params: list[Any], *, deadline_seconds: float | None = None
    ) -> Any:
        """The result of a call as plain Python objects.

        Raises
        ------
        RpcError
            One of its subclasses; see their docstrings.
        """
        return await self._run(method, params, parse_any, deadline_seconds)

    async def call_parsed(
        self,
        method: str,
        params: list[Any],
        parse: Callable[[msgspec.Raw], T],
        *,
        deadline_seconds: float | None = None,
    ) -> T:
        """The result of a call through a parser of one's own.

        Where ``parse`` raises :class:`BadBody`, the reply counts as malformed and another
        endpoint is asked.
        """
        answer: T = await self._run(method, params, parse, deadline_seconds)
        return answer

    async def get_multiple_accounts(
        self,
        keys: Sequence[str],
        *,
        min_context_slot: int | None = None,
        deadline_seconds: float | None = None,
    ) -> tuple[int, list[FetchedAccount]]:
        """Up to 100 accounts that share one slot, never older than what was read before.

        Returns
        -------
        slot : int
        accounts : list of FetchedAccount
            In the order of ``keys``; a missing account carries an ``error``.
        """
        if not 0 < len(keys) <= KEYS_PER_REQUEST:
            raise InvalidCall(
                f"{len(keys)} keys, expected 1 to {KEYS_PER_REQUEST}",
                method="getMultipleAccounts",
                action=Action.CALLER,
            )
        floor = max(self.newest_slot, min_context_slot or 0)
        options: dict[str, Any] = {"encoding": "base64", "commitment": self.settings.commitment}
        if floor:
            options["minContextSlot"] = floor

        def parse(result: Any) -> tuple[int, list[FetchedAccount]]:
            slot, accounts = parse_accounts(result, len(keys))
            if slot < floor:
                # A node that ignores minContextSlot would let time run backwards.
                raise BadBody(f"slot {slot} is older than the {floor} asked for")
            return slot, accounts

        slot, accounts = await self._run(
            "getMultipleAccounts", [list(keys), options], parse, deadline_seconds
        )
        self.newest_slot = max(self.newest_slot, slot)
        return slot, accounts

    async def get_slot(self) -> int:
        """The newest finalized slot that an endpoint knows."""
        slot = await self.call("getSlot", [{"commitment": self.settings.commitment}])
        if isinstance(slot, bool) or not isinstance(slot, int) or slot < 0:
            raise Unavailable(f"getSlot answered {slot!r}", method="getSlot")
        return slot

    async def get_block_time(self, slot: int) -> int | None:
        """Unix seconds of a slot; None when the network does not know."""
        answer = await self.call("getBlockTime", [slot])
        return answer if isinstance(answer, int) and not isinstance(answer, bool) else None

    # -- one call -----------------------------------------------------------------------------

    async def _run(
        self, method: str, params: list[Any], parse: Any, deadline_seconds: float | None
    ) -> Any:
        seconds = deadline_seconds or self.settings.deadline_seconds
        state = Call(method, asyncio.get_running_loop().time() + seconds)
        try:
            async with asyncio.timeout(seconds):
                return await self._attempts(method, params, parse, state)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no answer within {seconds:g} s; last: {state.last or 'no reply yet'}",
                method=method,
                endpoint=state.last.endpoint if state.last else "",
                code=state.last.code if state.last else None,
                attempts=state.sent,
            ) from None

    async def _attempts(self, method: str, params: list[Any], parse: Any, state: Call) -> Any:
        while True:
            candidates = self._candidates(state)
            if not candidates:
                raise state.verdict()
            if state.sent >= self.settings.attempts * len(self.endpoints):
                raise state.exhausted()
            try:
                endpoint, reply = await self._hedged(candidates, method, params, state)
            except EndpointFailure as failure:
                await self._after_failure(failure, state)
                continue
            except NativePanic as panic:
                state.note(panic)
                await self._pause(state)
                continue
            try:
                answer = parse(reply.result)
            except BadBody as error:
                await self._after_failure(endpoint.malformed_result(method, str(error)), state)
                continue
            self._note_slot(endpoint, method, answer)
            return answer

    def _note_slot(self, endpoint: Endpoint, method: str, answer: Any) -> None:
        slot = answer if method == "getSlot" else None
        if isinstance(answer, tuple):
            slot = answer[0]
        elif hasattr(answer, "slot"):
            slot = answer.slot
        elif isinstance(answer, dict) and isinstance(answer.get("context"), dict):
            slot = answer["context"].get("slot")
        if isinstance(slot, int) and not isinstance(slot, bool):
            endpoint.metrics.slot = max(endpoint.metrics.slot, slot)

    def _candidates(self, state: Call) -> list[Endpoint]:
        """Endpoints that may still be asked for this call, the most promising first."""
        now = asyncio.get_running_loop().time()
        open_ = [one for one in self.endpoints if one.name not in state.closed]

        fastest = min(
            (one.metrics.latency_seconds for one in open_ if one.metrics.latency_seconds),
            default=0.0,
        )

        def order(one: Endpoint) -> tuple[float, int, float, tuple[int, bool], int]:
            return (
                max(one.resting_until - now, 0.0),
                state.asked.get(one.name, 0),
                one.throttle.wait_seconds(state.method, now),
                one.health(now, fastest),
                self.endpoints.index(one),
            )

        return sorted(open_, key=order)

    async def _hedged(
        self, candidates: list[Endpoint], method: str, params: list[Any], state: Call
    ) -> tuple[Endpoint, Reply]:
        """Ask the first candidate, and the second as well when the first is slow."""
        loop = asyncio.get_running_loop()
        first = candidates[0]
        rest = first.resting_until - loop.time()
        if rest > 0:
            if loop.time() + rest > state.deadline:
                # Waiting for the deadline would only hide why nothing can be asked.
                raise Unavailable(
                    f"{first.name} rests for {rest:.0f} s more after {first.rest_reason}",
                    method=method,
                    endpoint=first.name,
                    code=first.rest_code,
                    attempts=state.sent,
                )
            await asyncio.sleep(rest)
        tasks = {asyncio.ensure_future(self._ask(first, method, params, state))}
        try:
            delay = self.settings.hedge_after_seconds
            if delay is not None and len(candidates) > 1:
                done, _ = await asyncio.wait(tasks, timeout=delay)
                second = candidates[1]
                if not done and second.resting_until <= loop.time():
                    second.metrics.hedges += 1
                    tasks.add(asyncio.ensure_future(self._ask(second, method, params, state)))
            return await self._first_success(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @staticmethod
    async def _first_success(
        tasks: "set[asyncio.Task[tuple[Endpoint, Reply]]]",
    ) -> tuple[Endpoint, Reply]:
        pending, failure = set(tasks), None
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is None:
                    return task.result()
                failure = error
        assert failure is not None
        raise failure

    async def _ask(
        self, endpoint: Endpoint, method: str, params: list[Any], state: Call
    ) -> tuple[Endpoint, Reply]:
        if state.sent:
            endpoint.metrics.retries += 1
        state.sent += 1
        state.asked[endpoint.name] = state.asked.get(endpoint.name, 0) + 1
        return endpoint, await endpoint.send(method, params)

    async def _after_failure(self, failure: EndpointFailure, state: Call) -> None:
        """Apply the error table: raise, close an endpoint for this call, or wait."""
        state.note(failure)
        endpoint = next(one for one in self.endpoints if one.name == failure.endpoint)
        if failure.action is Action.CALLER:
            raise state.error(InvalidCall)
        if failure.action is Action.PERMANENT:
            raise state.error(PermanentFailure)
        if failure.action is Action.NARROWER:
            raise state.error(ScanTooWide)
        if failure.action is Action.PERMANENT_ON_NODE:
            state.closed.add(endpoint.name)
            state.permanent += 1
            if failure.blocks_endpoint:
                endpoint.rest(BLOCKED_SECONDS, failure)
            return
        if failure.action is Action.AMBIGUOUS:
            state.closed.add(endpoint.name)
            state.skipped += 1
            return
        endpoint.failed()
        if failure.blocks_endpoint:
            endpoint.rest(BLOCKED_SECONDS, failure)
            state.closed.add(endpoint.name)
            return
        if failure.action is Action.RATE_LIMIT:
            endpoint.rest(
                failure.retry_after
                if failure.retry_after is not None
                else self._backoff(endpoint.failures),
                failure,
            )
            return
        if failure.retry_after is not None:
            endpoint.rest(failure.retry_after, failure)
        if failure.action is Action.RETRY or not self._fresh(state):
            await self._pause(state)

    def _fresh(self, state: Call) -> bool:
        """Whether an endpoint has not been asked for this call yet."""
        return any(
            one.name not in state.asked and one.name not in state.closed for one in self.endpoints
        )

    def _backoff(self, failures: int) -> float:
        ceiling = min(
            self.settings.backoff_seconds * 2 ** min(failures, 16),
            self.settings.backoff_limit_seconds,
        )
        return ceiling * (0.5 + 0.5 * self._random.random())

    async def _pause(self, state: Call) -> None:
        state.pauses += 1
        await asyncio.sleep(self._backoff(state.pauses - 1))


def _name_apart(endpoints: list[Endpoint]) -> None:
    """Number endpoints of one host, so that counters and closings do not mix."""
    seen: dict[str, int] = {}
    for one in endpoints:
        seen[one.name] = seen.get(one.name, 0) + 1
        if seen[one.name] > 1:
            one.name = one.metrics.name = f"{one.name}#{seen[one.name]}"
