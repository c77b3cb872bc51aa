"""Only prices that pass every gate flow on; crashes and depegs are prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from dagster import AssetCheckKey

from portfolio_platform.defs.solana import assets
from portfolio_platform.defs.solana.gate_checks import GATES, price_gates, read
from portfolio_platform.defs.solana.prices import heard
from portfolio_platform.solana.dumps import load_dump
from portfolio_platform.solana.layouts import programs, pyth
from portfolio_platform.store import bars
from portfolio_platform_tests.defs.ingestion_dumps import SLOT, Dumps
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, serving, world

__all__ = ["chain_process", "world"]

PRICES = [assets.account_snapshots, assets.token_prices, price_gates]
SOL, USDC = programs.WRAPPED_SOL, programs.USDC
FTX_DAY = datetime(2022, 11, 9, 18, 40, tzinfo=UTC)
DEPEG = datetime(2023, 3, 11, 14, 30, tzinfo=UTC)


def spot_close(world: World, mint: str, close: float, opened: datetime) -> None:
    """A clean hourly bar of a venue."""
    with world.connect() as connection:
        connection.execute(
            "insert into tokens (mint, symbol) values (%s, %s) on conflict do nothing",
            (mint, mint[:4]),
        )
        series = bars.save_series(
            connection, mint=mint, venue="binance", symbol=mint, instrument="spot", quote="USDT"
        )
        row = {"series_id": series, "bar_interval": "1h", "observed_at": [pd.Timestamp(opened)]}
        values = dict.fromkeys(("open", "high", "low", "close"), close)
        frame = pd.DataFrame(row | values | {"volume": 1.0, "state": "clean"})
        bars.append_clean(connection, frame.assign(flags=[[]]))


def verdicts(world: World) -> dict[str, tuple[str, tuple[str, ...]]]:
    return {
        pubkey: (verdict, tuple(reasons))
        for pubkey, verdict, reasons in world.rows(
            "select pubkey, verdict, reasons from token_prices"
        )
    }


def test_the_day_ftx_fell_is_priced(world: World, tmp_path: Path) -> None:
    dumps = Dumps(tmp_path, FTX_DAY)
    dumps.token(SOL)
    accounts = [dumps.oracle(SOL, 14.08), dumps.pool(SOL, 14.11), dumps.oracle(USDC, 1.0)]
    # What the last closed hour said, a quarter higher.
    spot_close(world, SOL, 18.2, datetime(2022, 11, 9, 17, tzinfo=UTC))
    with serving(world, dumps):
        result = world.materialise(PRICES)
    assert verdicts(world) == dict.fromkeys(accounts, ("accepted", ()))
    assert all(one.passed for one in result.get_asset_check_evaluations())


@pytest.mark.parametrize(
    ("price", "close", "verdict"),
    [(0.8371, 0.945, "accepted"), (0.8371, 0.9592, "accepted"), (0.60, 1.0, "refused")],
)
def test_the_usdc_depeg_is_priced_from_a_single_oracle(
    world: World, tmp_path: Path, price: float, close: float, verdict: str
) -> None:
    dumps = Dumps(tmp_path, DEPEG)
    oracle = dumps.oracle(USDC, price)
    spot_close(world, USDC, close, datetime(2023, 3, 11, 13, tzinfo=UTC))
    with serving(world, dumps):
        world.materialise(PRICES)
    assert verdicts(world)[oracle][0] == verdict


@pytest.mark.real_data
@pytest.mark.parametrize("honest", [False, True])
def test_the_recorded_stale_oracle_is_refused_although_its_timestamp_is_fresh(
    world: World, tmp_path: Path, real_data: Path, honest: bool
) -> None:
    recorded = load_dump(real_data / "accounts" / "marginfi" / "sol_pyth_oracle.json")
    assert recorded.pubkey is not None
    assert recorded.owner is not None
    dumps = Dumps(tmp_path, datetime(2024, 11, 2, 8, 7, 45, tzinfo=UTC))
    dumps.token(SOL)
    data = recorded.data
    if not honest:
        # Had it lied about its status and its last slot as well, the venue would still say no.
        data = pyth.PRICE_V2.patch(data, status=1, last_slot=SLOT - 1)
    dumps.write(recorded.pubkey, recorded.owner, data)
    dumps.watch(recorded.pubkey, "oracle", SOL)
    spot_close(world, SOL, 165.0, datetime(2024, 11, 2, 7, tzinfo=UTC))
    with serving(world, dumps):
        world.materialise(PRICES)
    price, age, verdict, reasons = world.rows(
        "select price, age_seconds, verdict, reasons from token_prices where mint = %s", SOL
    )[0]
    assert price == pytest.approx(119.23378)
    assert age < 60
    assert verdict == "refused"
    assert ("oracle_not_trading" if honest else "sources_disagree") in reasons
    kept = world.rows("select reason from chain.quarantine where pubkey = %s", recorded.pubkey)
    assert any("price refused" in reason for (reason,) in kept)


def test_the_venue_decides_between_a_pool_and_an_oracle(world: World, tmp_path: Path) -> None:
    dumps = Dumps(tmp_path, FTX_DAY)
    dumps.token(SOL)
    oracle, pool = dumps.oracle(SOL, 14.08), dumps.pool(SOL, 19.5)
    spot_close(world, SOL, 14.2, datetime(2022, 11, 9, 17, tzinfo=UTC))
    with serving(world, dumps):
        world.materialise(PRICES)
    found = verdicts(world)
    assert found[oracle] == ("accepted", ())
    assert found[pool] == ("refused", ("deviates_from_sources",))


@pytest.mark.parametrize(
    ("opened", "is_heard"),
    [
        (datetime(2022, 11, 9, 17, tzinfo=UTC), True),
        (datetime(2022, 11, 9, 16, tzinfo=UTC), True),
        (datetime(2022, 11, 9, 15, tzinfo=UTC), False),  # closed 2 h 40 min ago
        (datetime(2022, 11, 9, 18, tzinfo=UTC), False),  # has not closed yet
    ],
)
def test_only_a_fresh_closed_bar_is_a_voice(
    world: World, tmp_path: Path, opened: datetime, is_heard: bool
) -> None:
    from portfolio_platform.defs.solana.references import venue_prices

    spot_close(world, SOL, 14.2, opened)
    with world.connect() as connection:
        found = venue_prices(connection, world.settings, FTX_DAY, datetime.now(UTC))
        none_then = venue_prices(
            connection, world.settings, FTX_DAY, datetime.now(UTC) - timedelta(hours=1)
        )
    assert found == ({SOL: 14.2} if is_heard else {})
    assert none_then == {}


def test_perpetuals_and_pools_are_no_references(world: World) -> None:
    from portfolio_platform.defs.solana.references import venue_prices

    opened = datetime(2022, 11, 9, 17, tzinfo=UTC)
    spot_close(world, SOL, 14.2, opened)
    with world.connect() as connection:
        for instrument in ("perp", "pool"):
            connection.execute("update bar_series set instrument = %s", (instrument,))
            assert venue_prices(connection, world.settings, FTX_DAY, datetime.now(UTC)) == {}
        connection.execute("update bar_series set instrument = 'spot', quote = 'SOL'")
        assert venue_prices(connection, world.settings, FTX_DAY, datetime.now(UTC)) == {}
    assert heard([], {SOL: 14.2}, 0.25) == {}


BREAKING = {
    "age_seconds = 121": "price_age",
    "age_slots = 601": "price_age",
    "published_at = null, age_seconds = null": "price_age",
    "confidence = price * 0.021": "confidence_width",
    "depth = 99": "liquidity",
    "price = case when source like 'pyth%%' then price else price * 1.2 end": "sources_agree",
    "slot = slot - 1": "slots_go_forward",
}


def test_a_stored_price_that_breaks_a_gate_fails_its_check(world: World, tmp_path: Path) -> None:
    dumps = Dumps(tmp_path, FTX_DAY)
    dumps.token(SOL)
    oracle = dumps.oracle(SOL, 14.08)
    dumps.pool(SOL, 14.1)
    with serving(world, dumps):
        world.materialise(PRICES)
    with world.connect() as connection:
        # The same judgements as if of an hour ago.
        connection.execute(
            "insert into token_prices (mint, source, pubkey, snapshot_id, slot, price, verdict, "
            "observed_at) select mint, source, pubkey, snapshot_id, slot, price, verdict, "
            "observed_at - interval '1 hour' from token_prices"
        )
        assert violations(connection, world) == dict.fromkeys(GATES, 0)
        newest = "observed_at = (select max(observed_at) from token_prices)"
        for change, gate in BREAKING.items():
            with connection.transaction(force_rollback=True):
                connection.execute(f"update token_prices set {change} where {newest}", ())
                found = violations(connection, world)
                assert found.pop(gate) > 0, change
                assert not any(found.values()), change
        data = pyth.PRICE_UPDATE_V2.pack(verification=pyth.VERIFICATION_PARTIAL, exponent=-8)
        connection.execute(
            "update chain.account_data set data = %s where sha256 = "
            "(select sha256 from chain.account_snapshots where pubkey = %s)",
            (data, oracle),
        )
        assert violations(connection, world)["oracle_status"] == 1


def violations(connection: psycopg.Connection, world: World) -> dict[str, int]:
    stored = read(connection, world.settings)
    return {name: len(list(gate.violations(stored))) for name, gate in GATES.items()}


def test_every_gate_blocks_what_is_downstream() -> None:
    specs = {spec.name: spec for spec in price_gates.check_specs}
    assert specs.keys() == GATES.keys()
    assert all(spec.blocking for spec in specs.values())
    assert AssetCheckKey(assets.token_prices.key, "price_age") in price_gates.check_keys


def test_a_price_of_an_older_slot_is_refused(world: World, tmp_path: Path) -> None:
    dumps = Dumps(tmp_path, FTX_DAY)
    dumps.token(SOL)
    oracle = dumps.oracle(SOL, 14.08)
    with serving(world, dumps):
        world.materialise(PRICES)
        with world.connect() as connection:
            connection.execute("update token_prices set slot = slot + 5, recorded_at = recorded_at")
        world.materialise(PRICES[:2])
    newest = world.rows(
        "select verdict, reasons from token_prices where pubkey = %s order by price_id desc", oracle
    )[0]
    assert newest == ("refused", ["slot_went_back"])
