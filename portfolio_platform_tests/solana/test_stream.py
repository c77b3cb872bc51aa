"""A stream that is cut, doubled, reordered and emptied ends in the state of the chain."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import websockets

from portfolio_platform.solana.layouts import InvalidPubkey, programs, sysvar
from portfolio_platform.solana.rpc import InvalidEndpoint, PoolSettings, RpcPool
from portfolio_platform.solana.stream import AccountStream, Change, StreamSettings
from portfolio_platform_tests.solana.conftest import LocalChain

QUICK = StreamSettings(poll_seconds=0.5, backoff_seconds=0.005, backoff_limit_seconds=0.02)
SLOW_POLL = QUICK.model_copy(update={"poll_seconds": 60})


def watched(chain: LocalChain) -> list[str]:
    universe = chain.universe
    ones = (*universe.by_role("oracle")[:4], *universe.by_role("pool")[:1])
    return [one.pubkey for one in ones]


async def advance(chain: LocalChain) -> None:
    async with httpx.AsyncClient() as client:
        reply = await client.post(f"{chain.rpc_url}/advance", json={"seconds": 30, "slots": 2})
        reply.raise_for_status()


async def injected(chain: LocalChain, kind: str) -> int:
    async with httpx.AsyncClient() as client:
        report = (await client.get(f"{chain.rpc_url}/faults")).json()
    return int(report["injected"].get(kind, 0))


async def truth(pool: RpcPool, keys: list[str]) -> dict[str, bytes]:
    _, accounts = await pool.get_multiple_accounts(keys)
    return {key: one.data for key, one in zip(keys, accounts, strict=True)}


def play(
    chain: LocalChain,
    impatient: PoolSettings,
    settings: StreamSettings,
    script: Callable[[AccountStream, list[Change]], Awaitable[None]],
) -> tuple[AccountStream, list[Change], dict[str, bytes]]:
    """Run a stream beside a script; what it knew at the end, and what the chain knows."""
    keys = watched(chain)
    changes: list[Change] = []

    async def sink(change: Change) -> None:
        changes.append(change)

    async def main() -> tuple[AccountStream, dict[str, bytes]]:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            stream = AccountStream(pool, chain.ws_url, keys, sink, settings)
            stop = asyncio.Event()
            task = asyncio.ensure_future(stream.run(stop))
            try:
                async with asyncio.timeout(60):
                    while stream.counters.polls < 2:
                        await asyncio.sleep(0.01)
                    await script(stream, changes)
                    # Dependencies of pools are watched too; all of them fit into one call.
                    end = await truth(pool, sorted(stream.newest))
                    while any(stream.newest[key].data != end[key] for key in end):
                        assert not task.done()
                        await asyncio.sleep(0.02)
            finally:
                stop.set()
                await task
            return stream, end

    stream, end = asyncio.run(main())
    return stream, changes, end


def assert_in_order(changes: list[Change]) -> None:
    """No account goes back in time, and none is handed out twice with the same bytes."""
    seen: dict[str, tuple[int, str]] = {}
    for change in changes:
        for record in change.records:
            slot, sha256 = seen.get(record.pubkey, (0, ""))
            assert record.slot >= slot
            assert record.sha256 != sha256
            seen[record.pubkey] = (record.slot, record.sha256)


def test_the_stream_brings_changes_without_a_poll(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    async def script(stream: AccountStream, changes: list[Change]) -> None:
        for _ in range(5):
            await advance(chain)

    stream, changes, _ = play(chain, impatient, SLOW_POLL, script)
    # One to learn what the pools depend on, one to close the gap after subscribing.
    assert stream.counters.polls == 2
    assert stream.counters.applied > 0
    assert {one.origin for one in changes} == {"poll", "stream"}
    assert_in_order(changes)


def test_fifty_cuts_end_in_the_state_of_the_chain(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    chain.faults({"fault": {"kind": "ws_drop"}, "method": "subscription", "times": 50})

    async def script(stream: AccountStream, changes: list[Change]) -> None:
        while await injected(chain, "ws_drop") < 50:
            await advance(chain)
            await asyncio.sleep(0.005)
        await advance(chain)

    stream, changes, end = play(chain, impatient, SLOW_POLL, script)
    assert stream.counters.drops >= 25
    # Every connection polled before it trusted the stream.
    assert stream.counters.polls >= stream.counters.connections - 1
    assert_in_order(changes)
    last = {record.pubkey: record.data for change in changes for record in change.records}
    assert last == end


@pytest.mark.parametrize("kind", ["ws_duplicate", "ws_reorder", "ws_omit", "ws_oversize"])
def test_noise_on_the_stream_does_not_reach_the_sink(
    chain: LocalChain, impatient: PoolSettings, kind: str
) -> None:
    chain.faults({"fault": {"kind": kind}, "method": "subscription", "probability": 0.3}, seed=5)

    async def script(stream: AccountStream, changes: list[Change]) -> None:
        for _ in range(12):
            await advance(chain)
            await asyncio.sleep(0.01)
        assert await injected(chain, kind) > 0

    _, changes, end = play(chain, impatient, QUICK, script)
    assert_in_order(changes)
    last = {record.pubkey: record.data for change in changes for record in change.records}
    assert last == end


def test_what_the_stream_omits_a_poll_finds_and_counts(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    chain.faults({"fault": {"kind": "ws_omit"}, "method": "subscription"})

    async def script(stream: AccountStream, changes: list[Change]) -> None:
        await advance(chain)

    stream, _, _ = play(chain, impatient, QUICK, script)
    assert stream.counters.applied == 0
    assert stream.counters.missed_by_stream > 0


def test_an_unreachable_socket_is_tried_again_until_stopped(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    async def sink(_: Change) -> None:
        pytest.fail("nothing can change")

    said: list[str] = []

    async def main() -> AccountStream:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            url = "ws://127.0.0.1:9/?api-key=secret"
            stream = AccountStream(pool, url, watched(chain), sink, QUICK, on_drop=said.append)
            stop = asyncio.Event()
            task = asyncio.ensure_future(stream.run(stop))
            while stream.counters.drops < 3:
                await asyncio.sleep(0.01)
            stop.set()
            await task
            return stream

    assert asyncio.run(main()).counters.connections == 0
    assert set(said) == {"ConnectionRefusedError"}


def test_a_sink_that_fails_ends_the_stream(chain: LocalChain, impatient: PoolSettings) -> None:
    """Going on would move past data that was never committed."""

    class NotCommitted(Exception):
        pass

    async def sink(_: Change) -> None:
        raise NotCommitted

    async def main() -> None:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            stream = AccountStream(pool, chain.ws_url, watched(chain), sink, QUICK)
            async with asyncio.timeout(10):
                await stream.run(asyncio.Event())

    with pytest.raises(NotCommitted):
        asyncio.run(main())


def test_notifications_are_dated_by_the_clock_and_bad_ones_are_left_out(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    """Against a socket of our own, which says what a local chain never would."""
    oracle = chain.universe.by_role("oracle")[0].pubkey
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    clock = sysvar.CLOCK.pack(unix_timestamp=int(moment.timestamp()), slot=9, epoch=1)

    async def serve(socket: Any) -> None:
        numbers: dict[str, int] = {}

        async def notify(key: str, data: str, owner: str, slot: int, **more: Any) -> None:
            value = {"owner": owner, "lamports": 1, "data": [data, "base64"]} | more
            result = {"context": {"slot": slot}, "value": value}
            params = {"subscription": numbers[key], "result": result}
            await socket.send(
                json.dumps({"jsonrpc": "2.0", "method": "accountNotification", "params": params})
            )

        async for text in socket:
            call = json.loads(text)
            key = call["params"][0]
            numbers[key] = 100 + len(numbers)
            await socket.send(
                json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": numbers[key]})
            )
            if key == programs.CLOCK:
                new = base64.b64encode(b"new bytes").decode()
                future = 10**12
                await socket.send("<html>")
                await notify(oracle, "%%%", programs.PYTH_RECEIVER, future)
                await notify(oracle, new, "nonsense", future)
                await notify(oracle, new, programs.PYTH_RECEIVER, 1)
                await notify(
                    programs.CLOCK, base64.b64encode(clock).decode(), programs.SYSVAR_OWNER, future
                )
                await notify(oracle, new, programs.PYTH_RECEIVER, future)

    changes: list[Change] = []

    async def main() -> AccountStream:
        stop = asyncio.Event()

        async def sink(change: Change) -> None:
            changes.append(change)
            if change.origin == "stream":
                stop.set()

        async with (
            websockets.serve(serve, "127.0.0.1", 0) as server,
            RpcPool([chain.rpc_url], impatient) as pool,
        ):
            port = next(iter(server.sockets)).getsockname()[1]
            stream = AccountStream(pool, f"ws://127.0.0.1:{port}", [oracle], sink, SLOW_POLL)
            async with asyncio.timeout(20):
                await stream.run(stop)
            return stream

    stream = asyncio.run(main())
    (streamed,) = [one for one in changes if one.origin == "stream"]
    assert streamed.records[0].data == b"new bytes"
    assert streamed.block_time == moment
    assert stream.counters.malformed == 3
    assert stream.counters.out_of_order == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", ""])
def test_what_is_no_socket_url_is_refused(url: str, impatient: PoolSettings) -> None:
    async def sink(_: Change) -> None:
        return None

    async def main(**more: Any) -> None:
        async with RpcPool(["http://127.0.0.1:1"], impatient) as pool:
            AccountStream(pool, more.get("url", url), more.get("keys", []), sink)

    with pytest.raises(InvalidEndpoint, match=r"ws\(s\).*SOLANA_WS_URL"):
        asyncio.run(main())
    with pytest.raises(InvalidPubkey):
        asyncio.run(main(url="ws://127.0.0.1:1", keys=["nonsense"]))
