"""History by day and stored bytes decoded anew: resumable, idempotent, never mixed."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from dagster import BackfillPolicy, DagsterInstance, materialize

from portfolio_platform.backfill_definitions import defs
from portfolio_platform.defs.backfill import assets as backfill
from portfolio_platform.defs.backfill.history import fill_history
from portfolio_platform.defs.backfill.partitions import DAYS, DAYS_AND_TODAY, HOURS
from portfolio_platform.defs.market.service_history import MixedServices
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana import assets
from portfolio_platform.solana import decode as decoding
from portfolio_platform.solana import snapshot
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.layouts import pyth
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, metadata, world

__all__ = ["chain_process", "world"]


def midnight(days_ago: int) -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago)


def fill(world: World, first: int, last: int) -> list[str]:
    """Errors of filling the days from `first` to `last` days ago."""
    with world.database.connect(autocommit=False) as conn:
        found = fill_history(
            conn, world.settings, midnight(first), midnight(last - 1), datetime.now(UTC)
        )
        conn.commit()
    return [one.error for one in found if one.error]


def stored_opens(world: World) -> set[tuple[str, str, datetime]]:
    rows = world.rows(
        "select s.symbol, b.bar_interval, b.observed_at from price_bars as b "
        "join bar_series as s using (series_id)"
    )
    assert len(rows) == len(set(rows))
    return set(rows)


@pytest.fixture
def known_tokens(world: World) -> World:
    world.materialise(assets.ASSETS[:1])
    return world


def test_a_day_is_filled_once_and_only_what_is_missing_is_asked_for(known_tokens: World) -> None:
    world = known_tokens
    world.faults()
    assert fill(world, 3, 2) == []
    opens = stored_opens(world)
    assert {at for _, _, at in opens} >= {midnight(3) + timedelta(hours=hour) for hour in range(48)}
    # Each listed token has one daily and 24 hourly bars of either day.
    tokens = {symbol for symbol, _, _ in opens}
    assert len(opens) == len(tokens) * 2 * 25
    world.faults()
    assert fill(world, 4, 2) == []
    assert len(stored_opens(world)) == len(tokens) * 3 * 25
    # A day that is there is not asked for again: two requests per token for the new one.
    assert world.calls()["/history"] <= 2 * world.value(
        "select count(*) from tokens where history_symbol is not null"
    )


def test_a_run_that_was_cut_off_keeps_what_arrived_and_goes_on(known_tokens: World) -> None:
    world = known_tokens
    world.faults(
        {
            "fault": {"kind": "http", "status": 403},
            "method": "/history",
            "calls": list(range(6, 500)),
        }
    )
    errors = fill(world, 3, 3)
    assert errors
    assert all("PORTFOLIO_HISTORY_API_KEY" in error for error in errors)
    kept = stored_opens(world)
    assert kept
    world.faults()
    assert fill(world, 3, 3) == []
    whole = stored_opens(world)
    assert kept < whole
    assert fill(world, 3, 3) == []
    assert stored_opens(world) == whole


def test_bars_of_another_service_are_another_series(known_tokens: World) -> None:
    world = known_tokens
    fill(world, 2, 2)
    before = stored_opens(world)
    # The same service behind a name that is no loopback address.
    with world.connect() as connection:
        connection.execute(
            'update source_batches set report = report || \'{"service": "history.example"}\''
        )
    errors = fill(world, 3, 3)
    assert errors
    assert all("PORTFOLIO_HISTORY_VENUE" in error for error in errors)
    assert stored_opens(world) == before
    world.set(PORTFOLIO_HISTORY_VENUE="other")
    assert fill(world, 3, 3) == []
    assert world.value("select count(distinct venue) from bar_series") == 2
    assert issubclass(MixedServices, ValueError)


def test_every_asset_takes_a_range_in_one_run() -> None:
    for asset in backfill.ASSETS:
        assert asset.backfill_policy == BackfillPolicy.single_run()
        assert asset.partitions_def in (DAYS, HOURS, DAYS_AND_TODAY)
    jobs = {job.name for job in defs.resolve_all_job_defs()}
    assert jobs >= {"fill_history", "fill_hours", "redecode"}


def test_a_range_of_hours_is_filled_in_one_run(known_tokens: World) -> None:
    first, last = midnight(2) + timedelta(hours=3), midnight(2) + timedelta(hours=6)
    materialize(
        [backfill.price_history_by_hour],
        tags={
            "dagster/asset_partition_range_start": f"{first:%Y-%m-%d-%H:00}",
            "dagster/asset_partition_range_end": f"{last:%Y-%m-%d-%H:00}",
        },
        resources={"platform": Platform()},
        instance=DagsterInstance.ephemeral(),
    )
    opens = stored_opens(known_tokens)
    assert {interval for _, interval, _ in opens} == {"1h"}
    assert {at for _, _, at in opens} == {first + timedelta(hours=hour) for hour in range(4)}


def test_a_second_token_of_one_history_symbol_is_refused_by_name(known_tokens: World) -> None:
    world = known_tokens
    with world.connect() as connection:
        connection.execute(
            "insert into tokens (mint, symbol, history_symbol) values ('zzz', 'TWIN', "
            "(select min(history_symbol) from tokens))"
        )
    (error,) = fill(world, 2, 2)
    assert "holds bars of" in error
    assert "zzz" in error
    assert world.value("select count(*) from bar_series where mint = 'zzz'") == 0
    assert stored_opens(world)


def test_a_range_is_materialised_by_the_stock_command_line(
    known_tokens: World, tmp_path: Path
) -> None:
    days = f"{midnight(3):%Y-%m-%d}...{midnight(2):%Y-%m-%d}"
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in ("PATH", "HOME", "DATABASE_URL", "PORTFOLIO_HISTORY_BASE_URL")
    }
    command = [str(Path(sys.executable).parent / "dagster"), "asset", "materialize"]
    command += ["--select", "price_history_by_day", "--partition-range", days]
    subprocess.run(
        [*command, "-m", "portfolio_platform.backfill_definitions"],
        check=True,
        env=environment | {"DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"},
        capture_output=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert {at.date() for _, _, at in stored_opens(known_tokens)} == {
        midnight(3).date(),
        midnight(2).date(),
    }


def redecode(world: World) -> dict[str, int]:
    result = materialize(
        [backfill.redecoded_facts],
        partition_key=f"{midnight(0):%Y-%m-%d}",
        resources={"platform": Platform()},
        instance=DagsterInstance.ephemeral(),
    )
    return metadata(result, "redecoded_facts")


def test_stored_bytes_are_decoded_again_by_one_materialisation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.materialise(assets.ASSETS[:6])
    prices = world.rows("select pubkey, source, price, observed_at, recorded_at from token_prices")
    first = redecode(world)
    assert (first["fetches"], first["written"]) == (1, 0)

    plain = decoding.decode
    key = (pyth.PRICE_UPDATE_V2.kind, "confidence")

    def widened(owner: str | None, data: bytes, *rest: object) -> object:
        """A decoder that now reads the confidence of an oracle twice as wide."""
        answer = plain(owner, data)
        if isinstance(answer, Decoded) and answer.kind == key[0]:
            derived = answer.derived | {key[1]: answer.derived[key[1]] * 2}
            return Decoded(answer.kind, answer.values, derived)
        return answer

    monkeypatch.setattr(snapshot, "decode", widened)
    snapshot._decode_once.cache_clear()
    try:
        second = redecode(world)
        again = redecode(world)
    finally:
        snapshot._decode_once.cache_clear()
    oracles = len({pubkey for pubkey, source, *_ in prices if source == key[0]})
    assert second["written_token_prices"] == second["written"] == oracles > 5
    assert again["written"] == 0
    doubled = world.rows(
        "select pubkey, count(*), count(distinct observed_at), count(distinct recorded_at), "
        "max(confidence) / min(confidence) from token_prices group by pubkey, mint, source "
        "having count(*) > 1"
    )
    assert len(doubled) == oracles
    for _, rows, observed, recorded, ratio in doubled:
        assert (rows, observed, recorded) == (2, 1, 2)
        assert ratio == pytest.approx(2)
    # What was known before stays what was known before.
    assert set(prices) <= set(
        world.rows("select pubkey, source, price, observed_at, recorded_at from token_prices")
    )
    # The decoder returns to its first reading: that is news as well.
    monkeypatch.setattr(snapshot, "decode", plain)
    snapshot._decode_once.cache_clear()
    assert redecode(world)["written"] == oracles


def test_a_fetch_whose_bytes_were_pruned_is_named_and_left(world: World) -> None:
    world.materialise(assets.ASSETS[:1])
    with world.connect() as connection:
        connection.execute(
            "delete from chain.account_data where sha256 = "
            "(select min(sha256) from chain.account_data)"
        )
    done = redecode(world)
    assert (done["fetches"], done["without_bytes"], done["written"]) == (0, 1, 0)
    assert httpx.get(f"{world.chain.rpc_url}/health").status_code == 200
