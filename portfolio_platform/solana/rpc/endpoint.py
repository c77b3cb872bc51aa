"""One endpoint: its connection, its limits, its health, and how its failures are classified."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import msgspec

from portfolio_platform.solana.retry_after import retry_after
from portfolio_platform.solana.rpc.error_table import Action, http_row, row_of
from portfolio_platform.solana.rpc.errors import InvalidEndpoint, RpcError
from portfolio_platform.solana.rpc.limits import Limits, Throttle
from portfolio_platform.solana.rpc.metrics import EndpointMetrics
from portfolio_platform.solana.rpc.native import contained_panics
from portfolio_platform.solana.rpc.replies import BadBody, parse_envelope

BLOCKED_SECONDS = 60.0
FORGIVEN_AFTER_SECONDS = 30.0


class EndpointFailure(RpcError):
    """One request to one endpoint that failed; the pool decides what follows."""

    retry_after: float | None = None
    blocks_endpoint: bool = False
    malformed: bool = False
    data: Any = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful reply: the unparsed result and what it cost."""

    result: msgspec.Raw
    endpoint: str
    seconds: float
    size: int


def endpoint_name(url: str) -> str:
    """Host and port of a URL: what may be shown of it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidEndpoint("an endpoint's URL has a broken host or port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidEndpoint("an endpoint is an http(s) URL with a host: SOLANA_RPC_URLS")
    return parts.hostname if port is None else f"{parts.hostname}:{port}"


class Endpoint:
    """A JSON-RPC endpoint over solana-py's transport, asked with raw requests.

    The typed responses of the transport library are not used: they return error codes as values,
    panic on missing error data and lose whole blocks over one unknown variant.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        name: str | None = None,
    ) -> None:
        from solana.rpc.async_http_provider import AsyncHTTPProvider

        limits = limits or Limits()
        self.name = name or endpoint_name(url)
        self.metrics = EndpointMetrics(self.name)
        self.throttle = Throttle(limits)
        self.timeout = timeout
        self.failures = 0
        self._failed_at = self._answered_at = float("-inf")
        self.resting_until = 0.0
        self.rest_reason = ""
        self.rest_code: int | None = None
        self._ids = count(1)
        self._provider = AsyncHTTPProvider(
            url,
            timeout=timeout,
            extra_headers=dict(headers or {}),
            max_connections=limits.connections,
            max_transport_retries=0,
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._provider.close()

    def rest(self, seconds: float, failure: RpcError) -> None:
        """Leave the endpoint alone for a while, and remember why."""
        until = asyncio.get_running_loop().time() + seconds
        self.resting_until = max(self.resting_until, until)
        self.rest_reason, self.rest_code = failure.message, failure.code

    def failed(self) -> None:
        """Count a failure against its health."""
        self.failures = self._failures_at(now := asyncio.get_running_loop().time()) + 1
        self._failed_at = now

    def _failures_at(self, now: float) -> int:
        # Without this, an endpoint that once failed would never be asked again.
        return self.failures if now - self._failed_at < FORGIVEN_AFTER_SECONDS else 0

    def health(self, now: float, fastest: float) -> tuple[int, bool]:
        """Recent failures, and whether it is lately much slower than the fastest endpoint."""
        latency = self.metrics.latency_seconds
        recent = now - self._answered_at < FORGIVEN_AFTER_SECONDS
        slow = latency is not None and recent and latency > max(3 * fastest, 0.05)
        return self._failures_at(now), slow

    async def send(self, method: str, params: list[Any], timeout: float | None = None) -> Reply:
        """One request, one reply.

        Raises
        ------
        EndpointFailure
            With the action that the error table prescribes.
        """
        from solana.exceptions import SolanaRpcException
        from solana.rpc.jsonrpc import JsonRpcRequest

        self.metrics.throttled_seconds += await self.throttle.acquire(method)
        loop = asyncio.get_running_loop()
        began = loop.time()
        request_id = f"{next(self._ids)}"
        request = JsonRpcRequest(id=request_id, method=method, params=params)
        self.metrics.requests += 1
        try:
            with contained_panics(method):
                async with asyncio.timeout(timeout or self.timeout):
                    body = await self._provider.make_request_unparsed(request)
        except TimeoutError:
            raise self._failure(method, "no reply in time", "timeout") from None
        except SolanaRpcException as error:
            # The text and the chained exception hold the URL, and so perhaps a key.
            raise self._transport_failure(method, error.__cause__) from None
        self.metrics.answered(loop.time() - began, len(body))
        try:
            envelope = parse_envelope(body, request_id)
        except BadBody as error:
            raise self._malformed(method, str(error)) from None
        if envelope.error is not None:
            raise self._rpc_failure(method, envelope.error)
        self.failures = 0
        self._answered_at = loop.time()
        assert isinstance(envelope.result, msgspec.Raw)
        return Reply(envelope.result, self.name, loop.time() - began, len(body))

    def _failure(
        self,
        method: str,
        message: str,
        counted: str,
        *,
        code: int | None = None,
        action: Action = Action.OTHER_ENDPOINT,
    ) -> EndpointFailure:
        self.metrics.errors[counted] += 1
        return EndpointFailure(
            message, method=method, endpoint=self.name, code=code, action=action, attempts=1
        )

    def _malformed(self, method: str, reason: str) -> EndpointFailure:
        failure = self._failure(method, reason, "malformed")
        failure.malformed = True
        return failure

    def malformed_result(self, method: str, reason: str) -> EndpointFailure:
        """The failure for a well-formed reply whose result is not what the method documents."""
        return self._malformed(method, reason)

    def _transport_failure(self, method: str, cause: BaseException | None) -> EndpointFailure:
        response = getattr(cause, "response", None)
        if response is None:
            kind = type(cause).__name__ if cause is not None else "transport error"
            return self._failure(method, f"connection failed ({kind})", "transport")
        status = int(response.status_code)
        row = http_row(status)
        failure = self._failure(
            method, f"HTTP {status}", f"http_{status}", code=status, action=row.action
        )
        failure.blocks_endpoint = row.blocks_endpoint
        if row.action is Action.RATE_LIMIT:
            self.metrics.rate_limited += 1
        failure.retry_after = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
        return failure

    def _rpc_failure(self, method: str, error: Any) -> EndpointFailure:
        row = row_of(error.code)
        failure = self._failure(
            method,
            f"{row.name}: {error.message[:200]}; {row.remedy}",
            f"rpc_{error.code}",
            code=error.code,
            action=row.action,
        )
        failure.data = error.data
        if row.action is Action.RATE_LIMIT:
            self.metrics.rate_limited += 1
        return failure
