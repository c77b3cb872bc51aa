"""Rules against stored facts: alerts, their deliveries, and who is told what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from portfolio_platform.defs.monitoring.evaluate import evaluate
from portfolio_platform.store.secrets import cipher, seal
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture
def world(fresh_database: Database) -> World:
    return World.make(fresh_database)


def add_rule(world: World, kind: str, cooldown: int = 0, **params: Any) -> str:
    ((key,),) = world.execute(
        "insert into public.alert_rules (user_id, name, kind, params, cooldown_seconds) "
        "values (%s, %s, %s, %s, %s) returning rule_id::text",
        world.user,
        kind,
        kind,
        Jsonb(params),
        cooldown,
    )
    return key


def price(world: World, value: float, at: datetime, symbol: str = "SOL") -> None:
    world.execute(
        "insert into public.token_prices (mint, source, pubkey, snapshot_id, slot, price, verdict, "
        "observed_at) values ('mint' || %s, 'pyth', 'p', 1, 1, %s, 'accepted', %s)",
        symbol,
        value,
        at,
    )


def depth(world: World, value: float, at: datetime) -> None:
    world.execute(
        "insert into public.pool_states (pubkey, kind, mint_a, mint_b, snapshot_id, account_ids, "
        "slot, depth_100bps, observed_at) "
        "values ('pool', 'k', 'mintSOL', 'mintJUP', 1, '{1}', 1, %s, %s)",
        value,
        at,
    )


def run(world: World, now: datetime) -> list[tuple[str, str]]:
    """Kind and event of what happened."""
    with world.database.connect(autocommit=False) as connection:
        rows = evaluate(connection, now, "run")
        connection.commit()
    return [(row["kind"], row["event"]) for row in rows if row["event"]]


def test_a_price_that_moves_raises_and_one_that_calms_down_clears(world: World) -> None:
    world.execute("delete from public.market_bars")
    add_rule(world, "price_move", mint="mintSOL", threshold=0.05, window_hours=24)
    price(world, 100.0, NOW - timedelta(hours=30))
    price(world, 104.0, NOW - timedelta(hours=1))
    assert run(world, NOW) == []
    price(world, 106.0, NOW)
    assert run(world, NOW) == [("price_move", "raised")]
    assert run(world, NOW + timedelta(minutes=5)) == []
    price(world, 106.1, NOW + timedelta(hours=25))
    assert run(world, NOW + timedelta(hours=25)) == [("price_move", "cleared")]
    ((kind, subject, value, message, cleared),) = world.execute(
        "select kind, subject, value, message, cleared_at is not null from public.alerts"
    )
    assert (kind, subject, cleared) == ("price_move", "mintSOL", True)
    assert value == pytest.approx(0.06)
    assert "SOL moved +6.00%" in message


def test_depeg_drawdown_liquidity_and_staleness_are_noticed(world: World) -> None:
    world.execute("delete from public.market_bars")
    add_rule(world, "depeg", mint="mintJUP", threshold=0.01)
    add_rule(world, "drawdown", mint="mintSOL", threshold=0.2, window_days=30)
    add_rule(world, "liquidity_drop", mint="mintSOL", threshold=0.5)
    add_rule(world, "stale_data", source="prices", max_age_seconds=600)
    price(world, 200.0, NOW - timedelta(days=10))
    price(world, 170.0, NOW)
    price(world, 0.995, NOW, "JUP")
    depth(world, 1000.0, NOW - timedelta(hours=3))
    depth(world, 600.0, NOW)
    assert run(world, NOW) == []
    later = NOW + timedelta(minutes=2)
    price(world, 150.0, later)
    price(world, 0.985, later, "JUP")
    depth(world, 400.0, later)
    assert run(world, later) == [
        ("depeg", "raised"),
        ("drawdown", "raised"),
        ("liquidity_drop", "raised"),
    ]
    assert run(world, later + timedelta(minutes=20)) == [("stale_data", "raised")]


def test_portfolios_are_watched_for_their_owner_only(world: World) -> None:
    ((portfolio,),) = world.execute(
        "insert into public.portfolios (user_id, name, wallet, hub_mint) "
        "values (%s, 'p', 'w', 'mintSOL') returning portfolio_id::text",
        world.user,
    )
    assets = [
        {"symbol": "SOL", "weight": "0.5", "target_weight": "0.4", "utilization": "5/4"},
        {"symbol": "JUP", "weight": "0.5", "target_weight": "0.6", "utilization": "5/6"},
    ]

    def publish(kind: str, table: str, columns: str, *values: Any) -> None:
        ((version,),) = world.execute(
            "insert into public.versions (kind, subject, user_id, content_hash, inputs, "
            "code_version, as_of) values (%s, %s, %s, gen_random_uuid()::text, '[]', 'c', %s) "
            "returning version",
            kind,
            portfolio,
            world.user,
            NOW,
        )
        world.execute(
            f"insert into public.{table} (version, portfolio_id, {columns}) "
            f"values (%s, %s, {', '.join('%s' for _ in values)})",
            version,
            portfolio,
            *values,
        )

    publish("portfolio_state", "portfolio_states", "nav, state", 100, Jsonb({"assets": assets}))
    publish(
        "plan",
        "reallocation_plans",
        "outcome, reasons, plan, plan_inputs",
        "failed",
        ["insufficient_liquidity"],
        Jsonb({}),
        Jsonb({}),
    )
    add_rule(world, "weight_drift", portfolio_id=portfolio, threshold=0.1)
    add_rule(world, "utilization", portfolio_id=portfolio)
    add_rule(world, "failed_plan")
    stranger = World(world.database, world.database.add_user())
    foreign = add_rule(stranger, "weight_drift", portfolio_id=portfolio, threshold=0.01)
    assert run(world, NOW) == [
        ("weight_drift", "raised"),
        ("utilization", "raised"),
        ("failed_plan", "raised"),
        ("weight_drift", "refused"),
    ]
    ((problem,),) = world.execute(
        "select problem from public.alert_rules where rule_id::text = %s", foreign
    )
    assert problem == f"portfolio_id: no portfolio {portfolio} of yours"
    with world.database.acting_as("authenticated", stranger.user) as connection:
        assert connection.execute("select * from public.alerts").fetchall() == []
    with world.database.acting_as("authenticated", world.user) as connection:
        assert len(connection.execute("select * from public.alerts").fetchall()) == 3


def test_a_rule_that_cannot_be_evaluated_says_why_and_stops_no_other(world: World) -> None:
    broken = add_rule(world, "price_move", mint="nobody", threshold=0.1)
    malformed = add_rule(world, "drawdown", threshold=7)
    add_rule(world, "stale_data", source="bars", max_age_seconds=1)
    assert run(world, datetime.now(UTC)) == [
        ("price_move", "refused"),
        ("drawdown", "refused"),
        ("stale_data", "raised"),
    ]
    problems = dict(
        world.execute("select rule_id::text, problem from public.alert_rules where problem <> ''")
    )
    assert problems[broken] == "mint: no token nobody is known"
    assert problems[malformed].startswith("params.threshold: ")
    world.execute(
        "update public.alert_rules set params = params || %s where rule_id::text = %s",
        Jsonb({"mint": "mintSOL"}),
        broken,
    )
    run(world, datetime.now(UTC))
    assert world.execute(
        "select problem from public.alert_rules where rule_id::text = %s", broken
    ) == [(None,)]


def test_switching_a_rule_off_clears_its_alert(world: World) -> None:
    key = add_rule(world, "stale_data", source="bars", max_age_seconds=1)
    assert run(world, datetime.now(UTC)) == [("stale_data", "raised")]
    world.execute("update public.alert_rules set enabled = false where rule_id::text = %s", key)
    assert run(world, datetime.now(UTC)) == [("stale_data", "cleared")]
    assert run(world, datetime.now(UTC)) == []


def test_each_channel_is_told_once_about_what_it_takes(world: World, tmp_path: Any) -> None:
    sealed = seal(cipher(tmp_path), {"url": "https://example.com/hook", "secret": "s"})
    for name, severity, enabled in (
        ("all", "info", True),
        ("worst", "critical", True),
        ("off", "info", False),
    ):
        world.execute(
            "insert into public.notification_channels "
            "(user_id, name, kind, secret, min_severity, enabled) "
            "values (%s, %s, 'webhook', %s, %s, %s)",
            world.user,
            name,
            sealed,
            severity,
            enabled,
        )
    key = add_rule(world, "stale_data", source="bars", max_age_seconds=1)
    for _ in range(3):
        run(world, datetime.now(UTC))
    world.execute("update public.alert_rules set enabled = false where rule_id::text = %s", key)
    run(world, datetime.now(UTC))
    assert world.execute(
        "select c.name, d.event from public.notification_deliveries as d "
        "join public.notification_channels as c using (channel_id) order by d.created_at"
    ) == [("all", "raised"), ("all", "cleared")]


def test_plain_text_secrets_do_not_enter_and_stored_ones_are_not_read_back(
    world: World, tmp_path: Any
) -> None:
    import psycopg

    with (
        world.database.acting_as("authenticated", world.user) as connection,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        connection.execute(
            "insert into public.notification_channels (user_id, name, kind, secret) "
            "values (%s, 'c', 'webhook', 'https://user:password@example.com')",
            [world.user],
        )
    with world.database.acting_as("authenticated", world.user) as connection:
        connection.execute(
            "insert into public.notification_channels (user_id, name, kind, secret) "
            "values (%s, 'c', 'webhook', %s)",
            [world.user, seal(cipher(tmp_path), {"url": "https://example.com"})],
        )
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select secret from public.notification_channels")
