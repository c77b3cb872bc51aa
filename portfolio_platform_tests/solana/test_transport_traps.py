"""Traps of the pinned transport pair. A test that fails here after a pin moved is good news:
the trap is gone, and what works around it can be looked at again."""

import asyncio
import inspect
from importlib.util import find_spec

import pytest

from portfolio_platform_tests.solana.conftest import LocalChain


def error(code: int, data: str = "") -> str:
    body = f'"code":{code},"message":"Node is unhealthy"{data}'
    return f'{{"jsonrpc":"2.0","error":{{{body}}},"id":1}}'


@pytest.mark.parametrize("code", [-32005, -32016])
@pytest.mark.parametrize("data", ["", ',"data":null'])
def test_missing_error_data_panics_past_every_except_exception(code: int, data: str) -> None:
    from solders.rpc.responses import GetSlotResp

    with pytest.raises(BaseException) as raised:
        GetSlotResp.from_json(error(code, data))
    assert type(raised.value).__name__ == "PanicException"
    assert not isinstance(raised.value, Exception)


def test_an_unknown_code_is_returned_as_a_value() -> None:
    from solders.rpc.responses import GetSlotResp

    assert GetSlotResp.from_json(error(-32429)) == -32429


def test_html_is_no_rpc_exception() -> None:
    from solana.rpc.core import RPCException
    from solders.errors import SerdeJSONError
    from solders.rpc.responses import GetSlotResp

    with pytest.raises(SerdeJSONError):
        GetSlotResp.from_json("<html></html>")
    assert not issubclass(SerdeJSONError, RPCException)


def test_an_http_status_is_only_in_the_cause(chain: LocalChain) -> None:
    from solana.exceptions import SolanaRpcException
    from solana.rpc.async_api import AsyncClient

    chain.faults({"fault": {"kind": "http", "status": 429, "retry_after": 7}})

    async def ask() -> SolanaRpcException:
        async with AsyncClient(chain.rpc_url, max_transport_retries=0) as client:
            with pytest.raises(SolanaRpcException) as raised:
                await client.get_slot()
            return raised.value

    raised = asyncio.run(ask())
    assert "429" not in str(raised)
    cause = raised.__cause__
    assert cause.response.status_code == 429  # type: ignore[union-attr]
    assert cause.response.headers["retry-after"] == "7"  # type: ignore[union-attr]


def test_a_dropped_connection_is_retried_unseen_by_default(chain: LocalChain) -> None:
    from solana.rpc.async_api import AsyncClient

    chain.faults({"fault": {"kind": "drop"}, "method": "getSlot", "times": 1})

    async def ask() -> None:
        async with AsyncClient(chain.rpc_url) as client:
            await client.get_slot()

    asyncio.run(ask())
    assert chain.calls()["getSlot"] == 2


def test_the_typed_client_cannot_ask_for_a_minimum_slot() -> None:
    from solana.rpc.async_api import AsyncClient

    for name in ("get_account_info", "get_multiple_accounts", "get_program_accounts"):
        assert "min_context_slot" not in inspect.signature(getattr(AsyncClient, name)).parameters


def test_there_is_no_synchronous_client() -> None:
    assert find_spec("solana.rpc.api") is None
