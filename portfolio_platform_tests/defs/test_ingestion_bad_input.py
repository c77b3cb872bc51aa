"""Bad input: said clearly, the rest kept, nothing half-written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from portfolio_platform.defs.solana import assets, snapshots
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.rpc import RpcError
from portfolio_platform.solana.universe import UniverseError
from portfolio_platform_tests.defs.ingestion_dumps import Dumps, key
from portfolio_platform_tests.defs.ingestion_world import (
    World,
    chain_process,
    metadata,
    serving,
    world,
)

__all__ = ["chain_process", "world"]

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
SOL, USDC = programs.WRAPPED_SOL, programs.USDC
STORED = ("chain.account_data", "chain.account_snapshots", "chain.fetches", "chain.quarantine")


def fetch(world: World) -> snapshots.Fetch:
    """What `account_snapshots` does, without Dagster's retries."""
    universe = snapshots.read_universe(world.settings.resolve_universe())
    with world.database.connect(autocommit=False) as conn:
        snapshots.store_universe(conn, universe)
        done = snapshots.fetch_accounts(conn, world.settings, universe)
        conn.commit()
        return done


def stored_rows(world: World) -> int:
    return sum(world.value(f"select count(*) from {name}") for name in STORED)


def test_an_unreachable_endpoint_is_named_without_its_key(world: World) -> None:
    world.set(SOLANA_RPC_URLS="http://user:secret@127.0.0.1:9/?api-key=hidden")
    with pytest.raises(RpcError) as caught:
        fetch(world)
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert stored_rows(world) == 0
    # A run that failed has asked all the same.
    assert world.rows("select endpoint, requests > 0, errors <> '{}' from ops.rpc_counters") == [
        ("127.0.0.1:9", True, True)
    ]


def test_a_fetch_that_breaks_off_stores_nothing_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "ANCHORS_PER_PART", 10)
    broken = {"fault": {"kind": "http", "status": 500}, "method": "getMultipleAccounts"}
    world.faults(broken | {"calls": list(range(6, 400))})
    with pytest.raises(RpcError, match="getMultipleAccounts"):
        fetch(world)
    assert world.calls()["getMultipleAccounts"] > 6
    assert stored_rows(world) == 0
    world.faults()
    fetch(world)
    assert stored_rows(world) > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pubkey": "not-base58-0OIl"}, "accounts.0.pubkey"),
        ({"pubkey": "abc"}, "accounts.0.pubkey"),
        ({"role": "king"}, "accounts.0.role"),
    ],
)
def test_nonsense_in_a_universe_file_is_refused_before_any_request(
    world: World, tmp_path: Path, change: dict[str, str], said: str
) -> None:
    whole = httpx.get(world.chain.universe).json()
    whole["accounts"][0] |= change
    file = tmp_path / "universe.json"
    file.write_text(json.dumps(whole))
    world.set(PORTFOLIO_UNIVERSE=file)
    world.faults()
    with pytest.raises(UniverseError, match=str(file)) as caught:
        fetch(world)
    assert said in str(caught.value)
    assert world.calls() == {}
    assert stored_rows(world) == 0


def test_what_no_decoder_reads_is_quarantined_and_the_rest_is_priced(
    world: World, tmp_path: Path
) -> None:
    dumps = Dumps(tmp_path, NOW)
    dumps.token(SOL)
    good = dumps.oracle(SOL, 150.0)
    dumps.oracle(USDC, 1.0)
    cut = dumps.oracle(SOL, 150.0, name="cut off")
    dumps.write(cut, programs.PYTH_RECEIVER, b"\x22\xf1\x23\x63\x9d\x7e\xf4\xcd" + bytes(70))
    strange = dumps.watch(key("of an unknown program"), "oracle", SOL)
    dumps.write(strange, key("a program nobody knows"), b"\1" * 300)
    absent = dumps.watch(key("absent"), "oracle", SOL)
    empty = dumps.pool(SOL, 150.0, whole=0.0)
    with serving(world, dumps):
        result = world.materialise(assets.ASSETS[:6])
    assert result.success
    reasons: dict[str, str] = {}
    for pubkey, reason in world.rows("select pubkey, reason from chain.quarantine"):
        reasons[pubkey] = reasons.get(pubkey, "") + reason
    assert reasons.keys() >= {cut, strange, absent}
    assert "78" in reasons[cut]
    assert "does not exist" in reasons[absent]
    verdicts = dict(world.rows("select pubkey, verdict from token_prices"))
    assert verdicts[good] == "accepted"
    assert {verdicts[one] for one in (cut, strange, empty)} == {"refused"}
    assert absent not in verdicts
    assert metadata(result, "account_snapshots")["unreadable"] == 1
    # The bytes are kept beside the reason.
    assert world.value(
        "select count(*) from chain.quarantine as q join chain.account_snapshots as s "
        "using (snapshot_id) join chain.account_data as d on d.sha256 = s.sha256 "
        "where q.pubkey in (%s, %s) and length(d.data) > 0",
        cut,
        strange,
    )


def test_slots_never_go_back_unless_they_began_again(world: World) -> None:
    first = fetch(world)
    # The network answers for an older slot at an older time: that is no answer.
    with world.connect() as connection:
        connection.execute(
            "update chain.fetches set slot = slot + 1000, "
            "observed_at = observed_at + interval '1 day'"
        )
    before = stored_rows(world)
    with pytest.raises(RpcError, match="32016"):
        fetch(world)
    assert stored_rows(world) == before
    # An older slot at a later time: another network, or a chain made anew.
    with world.connect() as connection:
        connection.execute("update chain.fetches set observed_at = observed_at - interval '2 days'")
    again = fetch(world)
    assert (first.numbering, again.numbering) == (0, 1)
    assert fetch(world).numbering == 1
