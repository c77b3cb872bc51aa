"""One local chain for the whole room, and one that a module may break."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.jsonrpc import JsonRpcRequest

from portfolio_platform.localnet.demo import DemoChain
from portfolio_platform.localnet.market import Market
from portfolio_platform_tests.localnet.launch import Launched, launched

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def localnet() -> Iterator[Launched]:
    """A local chain over real sockets; its clock moves, so tests must not assume a slot."""
    with launched(seed=7, now=NOW) as running:
        yield running


@pytest.fixture
def http(localnet: Launched) -> Iterator[httpx.Client]:
    """A plain HTTP client; faults that the test set are removed afterwards."""
    with httpx.Client(base_url=localnet.rpc_url, timeout=20) as client:
        yield client
        client.delete("/faults")


@pytest.fixture(scope="session")
def call(localnet: Launched) -> Iterator[Callable[..., Any]]:
    """Call one RPC method through solana-py's transport, without retries."""
    loop = asyncio.new_event_loop()
    client = AsyncClient(localnet.rpc_url, timeout=10, max_transport_retries=0)

    def send(method: str, *params: Any) -> Any:
        request = JsonRpcRequest(method=method, params=list(params))
        return loop.run_until_complete(client.send_rpc_request(request, Any))

    yield send
    loop.run_until_complete(client.close())
    loop.close()


@pytest.fixture(scope="session")
def universe(localnet: Launched) -> dict[str, Any]:
    """What the local chain says it holds."""
    return dict(httpx.get(localnet.universe).json())


def accounts_of(universe: dict[str, Any], role: str) -> list[str]:
    """Addresses with one role."""
    return [one["pubkey"] for one in universe["accounts"] if one["role"] == role]


@pytest.fixture
def demo() -> DemoChain:
    """A demo chain in this process with an hour of past."""
    return DemoChain(Market(7, 120, NOW), past_seconds=3600)
