"""Every row of the error table, asked of a real client over a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from portfolio_platform.solana.rpc import (
    DeadlineExceeded,
    InvalidCall,
    InvalidEndpoint,
    MalformedReply,
    NativePanic,
    PermanentFailure,
    PoolSettings,
    RpcError,
    RpcPool,
    ScanTooWide,
    SlotSkipped,
    Unavailable,
)
from portfolio_platform.solana.rpc.error_table import ERROR_TABLE, Action, ErrorRow, row_of
from portfolio_platform.solana.rpc.native import contained_panics
from portfolio_platform_tests.solana.conftest import LocalChain

T = TypeVar("T")
RAISES: dict[Action, type[RpcError]] = {
    Action.CALLER: InvalidCall,
    Action.PERMANENT: PermanentFailure,
    Action.PERMANENT_ON_NODE: PermanentFailure,
    Action.NARROWER: ScanTooWide,
    Action.AMBIGUOUS: SlotSkipped,
}
PASSING = (Action.RETRY, Action.OTHER_ENDPOINT, Action.RATE_LIMIT)
ROWS = list(ERROR_TABLE.values())


def run(
    urls: list[str], settings: PoolSettings, ask: Callable[[RpcPool], Awaitable[T]]
) -> tuple[T, list[dict[str, Any]]]:
    """Ask a fresh pool; its counters come with the answer."""

    async def main() -> tuple[T, list[dict[str, Any]]]:
        async with RpcPool(urls, settings, seed=1) as pool:
            return await ask(pool), pool.metrics()

    return asyncio.run(main())


def rule(fault: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"fault": fault, **more}


def slot(pool: RpcPool) -> Awaitable[int]:
    return pool.get_slot()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.code))
@pytest.mark.parametrize("shape", ["data", "no_data", "null_data"])
def test_one_strike_at_the_only_endpoint(
    chain: LocalChain, impatient: PoolSettings, row: ErrorRow, shape: str
) -> None:
    fault: dict[str, Any] = {"kind": "rpc_error", "code": row.code}
    fault |= {"no_data": {"with_data": False}, "null_data": {"null_data": True}}.get(shape, {})
    chain.faults(rule(fault, method="getSlot", times=1))
    if row.action in PASSING:
        answer, (metrics,) = run([chain.rpc_url], impatient, slot)
        assert answer >= 440_000_000
        assert metrics["errors"] == {f"rpc_{row.code}": 1}
        assert metrics["requests"] == 2
        assert metrics["rate_limited"] == (row.action is Action.RATE_LIMIT)
        return
    with pytest.raises(RAISES[row.action]) as raised:
        run([chain.rpc_url], impatient, slot)
    assert raised.value.code == row.code
    assert chain.calls()["getSlot"] == 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.code))
def test_a_broken_endpoint_beside_a_good_one(
    chain: LocalChain, impatient: PoolSettings, row: ErrorRow
) -> None:
    chain.faults(rule({"kind": "rpc_error", "code": row.code}, endpoint="broken"))
    urls = [chain.endpoint("broken"), chain.endpoint("good")]
    if row.action in (Action.CALLER, Action.PERMANENT, Action.NARROWER):
        # The same request fails everywhere: nobody else is bothered with it.
        with pytest.raises(RAISES[row.action]):
            run(urls, impatient, slot)
        assert chain.calls()["getSlot"] == 1
        return
    answer, metrics = run(urls, impatient, slot)
    assert answer >= 440_000_000
    assert metrics[1]["errors"] == {}
    assert metrics[1]["requests"] == 1


def test_two_endpoints_confirm_a_skipped_slot(chain: LocalChain, impatient: PoolSettings) -> None:
    chain.faults(rule({"kind": "rpc_error", "code": -32007}))
    with pytest.raises(SlotSkipped) as raised:
        run([chain.endpoint("a"), chain.endpoint("b")], impatient, slot)
    assert raised.value.confirmed_by == 2
    with pytest.raises(SlotSkipped) as raised:
        run([chain.endpoint("a")], impatient, slot)
    assert raised.value.confirmed_by == 1


def test_an_unknown_code_is_asked_elsewhere_and_counted(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    assert row_of(-31999).action is Action.OTHER_ENDPOINT
    chain.faults(rule({"kind": "rpc_error", "code": -31999}, endpoint="odd"))
    _, metrics = run([chain.endpoint("odd"), chain.endpoint("good")], impatient, slot)
    assert metrics[0]["errors"] == {"rpc_-31999": 1}


TRANSPORT: list[dict[str, Any]] = [
    {"kind": "http", "status": 429},
    {"kind": "http", "status": 429, "retry_after": 0},
    {"kind": "http", "status": 500},
    {"kind": "http", "status": 502},
    {"kind": "http", "status": 503, "retry_after": 0},
    {"kind": "html"},
    {"kind": "truncated", "part": 0.5},
    {"kind": "truncated", "part": 0.0},
    {"kind": "drop"},
    {"kind": "drop_body", "part": 0.3},
    {"kind": "null_id", "code": 429},
]


@pytest.mark.parametrize("fault", TRANSPORT, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_transport_fault_is_retried_and_counted(
    chain: LocalChain, impatient: PoolSettings, fault: dict[str, Any]
) -> None:
    chain.faults(rule(fault, method="getSlot", times=2))
    answer, (metrics,) = run([chain.rpc_url], impatient, slot)
    assert answer >= 440_000_000
    assert metrics["requests"] == 3
    assert metrics["retries"] == 2
    assert sum(metrics["errors"].values()) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_blocked_endpoint_is_left_alone(
    chain: LocalChain, impatient: PoolSettings, status: int
) -> None:
    chain.faults(rule({"kind": "http", "status": status}, endpoint="blocked"))

    async def thrice(pool: RpcPool) -> list[int]:
        return [await pool.get_slot() for _ in range(3)]

    urls = [chain.endpoint("blocked"), chain.endpoint("good")]
    _, metrics = run(urls, impatient, thrice)
    assert metrics[0]["requests"] == 1
    assert metrics[1]["requests"] == 3


def test_all_blocked_says_so_without_waiting(chain: LocalChain, impatient: PoolSettings) -> None:
    chain.faults(rule({"kind": "http", "status": 403}))

    async def twice(pool: RpcPool) -> str:
        with pytest.raises(Unavailable, match="403"):
            await pool.get_slot()
        with pytest.raises(Unavailable, match="rests for") as raised:
            await pool.get_slot()
        return str(raised.value)

    text, metrics = run([chain.rpc_url], impatient, twice)
    assert "HTTP 403" in text
    assert metrics[0]["requests"] == 1


def test_retry_after_is_honoured(chain: LocalChain, impatient: PoolSettings) -> None:
    chain.faults(rule({"kind": "http", "status": 429, "retry_after": 1}, method="getSlot", times=1))

    async def timed(pool: RpcPool) -> float:
        began = asyncio.get_running_loop().time()
        await pool.get_slot()
        return asyncio.get_running_loop().time() - began

    seconds, (metrics,) = run([chain.rpc_url], impatient, timed)
    assert 1.0 <= seconds < 3.0
    assert metrics["rate_limited"] == 1


def test_a_call_ends_at_its_deadline(chain: LocalChain, impatient: PoolSettings) -> None:
    chain.faults(rule({"kind": "rpc_error", "code": -32005}))

    async def timed(pool: RpcPool) -> tuple[float, RpcError]:
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded) as raised:
            await pool.call("getSlot", [], deadline_seconds=0.3)
        return asyncio.get_running_loop().time() - began, raised.value

    patient = impatient.model_copy(update={"attempts": 10_000})
    (seconds, error), _ = run([chain.rpc_url], patient, timed)
    assert 0.25 < seconds < 1.5
    assert error.code == -32005
    assert error.attempts > 1


def test_attempts_end_a_call_before_its_deadline(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    chain.faults(rule({"kind": "html"}))
    settings = impatient.model_copy(update={"attempts": 3})
    with pytest.raises(MalformedReply) as raised:
        run([chain.rpc_url], settings, slot)
    assert raised.value.attempts == 3
    assert not isinstance(raised.value, DeadlineExceeded)


def test_a_slow_body_does_not_outlast_the_request(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    """A body that dribbles never trips a read timeout; the request as a whole has one."""
    settings = impatient.model_copy(update={"request_timeout_seconds": 0.3})
    chain.faults(rule({"kind": "slow_body", "seconds": 5}, method="getSlot", times=1))
    _, (metrics,) = run([chain.rpc_url], settings, slot)
    assert metrics["errors"] == {"timeout": 1}


def test_a_slow_endpoint_is_hedged(chain: LocalChain, impatient: PoolSettings) -> None:
    settings = impatient.model_copy(update={"hedge_after_seconds": 0.1})
    chain.faults(rule({"kind": "delay", "seconds": 1.5}, endpoint="slow"))

    async def timed(pool: RpcPool) -> float:
        began = asyncio.get_running_loop().time()
        await pool.get_slot()
        return asyncio.get_running_loop().time() - began

    seconds, metrics = run([chain.endpoint("slow"), chain.endpoint("fast")], settings, timed)
    assert seconds < 1.0
    assert metrics[1]["hedges"] == 1


def test_a_slow_endpoint_is_asked_last_next_time(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    async def several(pool: RpcPool) -> list[int]:
        slow, fast = pool.endpoints
        await fast.send("getSlot", [])
        # However busy this machine is, the slow one is slow beside the other.
        seconds = 0.3 + 4 * (fast.metrics.latency_seconds or 0.0)
        chain.faults(rule({"kind": "delay", "seconds": seconds}, endpoint="slow"))
        await slow.send("getSlot", [])
        return [await pool.get_slot() for _ in range(3)]

    _, metrics = run([chain.endpoint("slow"), chain.endpoint("fast")], impatient, several)
    assert [one["requests"] for one in metrics] == [1, 4]


def test_reads_never_go_back_in_time(chain: LocalChain, impatient: PoolSettings) -> None:
    key = chain.universe.accounts[0].pubkey

    async def twice(pool: RpcPool) -> tuple[int, int]:
        first, _ = await pool.get_multiple_accounts([key])
        second, _ = await pool.get_multiple_accounts([key])
        return first, second

    urls = [chain.endpoint("lagging"), chain.endpoint("good")]
    chain.faults(
        rule(
            {"kind": "slot_back", "slots": 1000},
            method="getMultipleAccounts",
            endpoint="lagging",
            calls=[2],
        )
    )
    (first, second), metrics = run(urls, impatient, twice)
    assert second >= first
    assert sum(metrics[0]["errors"].values()) == 1
    assert metrics[1]["requests"] == 1


def test_a_node_that_ignores_min_context_slot_is_not_believed(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    key = chain.universe.accounts[0].pubkey
    chain.faults(
        rule({"kind": "slot_back", "slots": 50}, method="getMultipleAccounts", endpoint="old")
    )

    async def ask(pool: RpcPool) -> int:
        floor = await pool.get_slot()
        found, _ = await pool.get_multiple_accounts([key], min_context_slot=floor)
        assert found >= floor
        return found

    run([chain.endpoint("old"), chain.endpoint("good")], impatient, ask)


def test_slot_lag_is_measured_against_the_newest_endpoint(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    key = chain.universe.accounts[0].pubkey
    chain.faults(
        rule({"kind": "slot_back", "slots": 7}, method="getMultipleAccounts", endpoint="behind")
    )

    async def ask(pool: RpcPool) -> int:
        await pool.get_multiple_accounts([key])
        _, ahead = pool.endpoints
        pool.endpoints.reverse()
        assert pool.metrics()[0]["slot_lag"] is None
        slot = await pool.get_slot()
        assert ahead.metrics.slot == slot
        return slot

    urls = [chain.endpoint("behind"), chain.endpoint("ahead")]
    slot, metrics = run(urls, impatient, ask)
    assert [(one["slot"], one["slot_lag"]) for one in metrics] == [(slot, 0), (slot - 7, 7)]


def test_too_many_keys_are_refused_before_any_request(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    keys = [chain.universe.accounts[0].pubkey] * 101
    with pytest.raises(InvalidCall, match="101 keys"):
        run([chain.rpc_url], impatient, lambda pool: pool.get_multiple_accounts(keys))
    assert "getMultipleAccounts" not in chain.calls()


def test_errors_carry_no_url(impatient: PoolSettings) -> None:
    """Keys hide in paths and queries of endpoints."""
    secret = "http://127.0.0.1:9/v2/s3cr3t-key?api-key=s3cr3t-key"
    settings = impatient.model_copy(update={"attempts": 2})
    with pytest.raises(Unavailable) as raised:
        run([secret], settings, slot)
    error: BaseException | None = raised.value
    while error is not None:
        assert "s3cr3t" not in f"{error!s}{error!r}"
        error = error.__cause__
    assert "127.0.0.1:9" in str(raised.value)


def test_limits_hold_in_every_window(chain: LocalChain, impatient: PoolSettings) -> None:
    settings = impatient.model_copy(
        update={"requests_per_method": 5, "requests_per_period": 8, "period_seconds": 0.4}
    )

    async def burst(pool: RpcPool) -> list[float]:
        loop = asyncio.get_running_loop()
        times: list[float] = []

        async def one() -> None:
            await pool.get_slot()
            times.append(loop.time())

        await asyncio.gather(*(one() for _ in range(15)))
        return sorted(times)

    times, (metrics,) = run([chain.rpc_url], settings, burst)
    # Fifteen calls at five per window need at least two full windows after the first.
    assert times[-1] - times[0] >= 0.75
    assert metrics["throttled_seconds"] > 0
    assert metrics["requests"] == 15


def test_a_native_panic_becomes_an_ordinary_error() -> None:
    """-32005 without data panics in the typed responses of the transport library."""
    from solders.rpc.responses import GetSlotResp

    body = '{"jsonrpc":"2.0","error":{"code":-32005,"message":"Node is unhealthy"},"id":1}'
    with pytest.raises(NativePanic) as raised, contained_panics("getSlot"):
        GetSlotResp.from_json(body)
    assert isinstance(raised.value, Exception)


def test_other_interruptions_pass_the_panic_guard() -> None:
    with pytest.raises(KeyboardInterrupt), contained_panics("getSlot"):
        raise KeyboardInterrupt


def test_the_typed_client_still_hides_errors(chain: LocalChain) -> None:
    """Why the raw path is used; looked at again whenever the pinned pair moves."""
    from solana.rpc.async_api import AsyncClient

    chain.faults(rule({"kind": "rpc_error", "code": -32019}, method="getSlot", times=1))

    async def ask() -> object:
        async with AsyncClient(chain.rpc_url, max_transport_retries=0) as client:
            return await client.get_slot()

    assert asyncio.run(ask()) == -32019


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(InvalidEndpoint, match=r"http\(s\) URL.*SOLANA_RPC_URLS"):
        RpcPool(["localhost:8899"])
    for broken in ("http://host:99999/key", "http://[::1/key"):
        with pytest.raises(InvalidEndpoint, match="broken host or port") as raised:
            RpcPool([broken])
        assert "key" not in str(raised.value)
    with pytest.raises(InvalidEndpoint, match="at least one"):
        RpcPool([])
