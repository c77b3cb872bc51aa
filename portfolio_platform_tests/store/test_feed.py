"""Consumers of the change feed: cursor, lease, redelivery, dead letters, restore, retention."""

import itertools
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.store import feed, floor
from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.store.postgres import Database, scratch

_ids = itertools.count()


@pytest.fixture
def transport(fresh_database: Database):
    with feed.SqlTransport(fresh_database.url()) as opened:
        yield opened


def add_tokens(database: Database, count: int = 1) -> list[str]:
    """One statement, `count` rows."""
    mints = [f"mint{next(_ids)}" for _ in range(count)]
    with database.connect() as connection:
        connection.execute(
            "insert into public.tokens (mint, symbol) select m, 'T' from unnest(%s::text[]) as m",
            [mints],
        )
    return mints


events = st.builds(
    lambda xid, seq, table, keys: feed.Event(
        feed.Position(xid, seq),
        table,
        "INSERT",
        3,
        None,
        keys,
        datetime(2026, 1, 1, tzinfo=UTC),
    ),
    st.integers(1, 2**63),
    st.integers(1, 2**62),
    st.sampled_from(["tokens", "versions"]),
    st.none() | st.lists(st.text("abc", min_size=1), max_size=4).map(tuple),
)


@given(st.lists(events, unique_by=lambda event: event.position), st.randoms())
def test_folding_a_burst_does_not_depend_on_order_or_repetition(burst, dice) -> None:
    shuffled = burst + dice.sample(burst, k=len(burst) // 2)
    dice.shuffle(shuffled)
    folded = feed.coalesce(shuffled)
    assert folded == feed.coalesce(burst)
    assert sum(change.events for change in folded.values()) == len(burst)
    for change in folded.values():
        own = [event for event in burst if event.table == change.table]
        assert change.last == max(event.position for event in own)
        if any(event.keys is None for event in own):
            assert change.keys is None
        else:
            assert change.keys == {key for event in own for key in event.keys or ()}


@given(events)
def test_an_event_survives_json(event: feed.Event) -> None:
    assert feed.Event.of(event.to_json()) == event
    assert feed.Position.parse(str(event.position)) == event.position


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "-1.2", "1.2.3", "a.b", "١.x"])
def test_a_position_is_parsed_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        feed.Position.parse(text)


def test_what_was_not_advanced_over_comes_again(fresh_database: Database, transport) -> None:
    first, second = add_tokens(fresh_database), add_tokens(fresh_database)
    with feed.Consumer(transport, "metrics") as consumer:
        batch = consumer.poll()
        assert [event.keys for event in batch] == [tuple(first), tuple(second)]
        assert consumer.poll() == []
        assert consumer.advance(batch[0].position)
    with feed.Consumer(transport, "metrics") as consumer:  # as after a crash
        assert [event.keys for event in consumer.poll()] == [tuple(second)]
        consumer.rewind()
        assert [event.keys for event in consumer.poll()] == [tuple(second)]
        assert consumer.advance()
        assert not consumer.advance(), "a cursor only moves forward"
    with feed.Consumer(transport, "metrics") as consumer:
        assert consumer.poll() == []


def test_two_processes_do_not_consume_under_one_name(fresh_database: Database, transport) -> None:
    add_tokens(fresh_database)
    first = feed.Consumer(transport, "weights", lease_seconds=1)
    second = feed.Consumer(transport, "weights", lease_seconds=1)
    other_name = feed.Consumer(transport, "plans")
    batch = first.poll()
    assert len(batch) == 1
    assert len(other_name.poll()) == 1
    with pytest.raises(feed.LeaseHeld, match=first.owner):
        second.poll()
    with fresh_database.connect() as connection:
        connection.execute("update ops.feed_consumers set lease_expires_at = now() where true")
    assert len(second.poll()) == 1, "the work of a dead consumer is taken over"
    with pytest.raises(feed.FeedError, match="not leased"):
        first.advance()
    second.advance()
    second.release()
    assert first.acquire() == batch[0].position


def test_a_new_consumer_may_start_at_the_end(fresh_database: Database, transport) -> None:
    add_tokens(fresh_database)
    with feed.Consumer(transport, "late", start_at_end=True) as consumer:
        assert consumer.poll() == []
        mints = add_tokens(fresh_database)
        assert [event.keys for event in consumer.poll()] == [tuple(mints)]


def test_poison_is_set_aside_and_can_be_replayed(fresh_database: Database, transport) -> None:
    add_tokens(fresh_database, 2)
    with feed.Consumer(transport, "alerts") as consumer:
        (event,) = consumer.poll()
        consumer.dead_letter(event, "no such rule")
        consumer.dead_letter(event, "still no such rule")
        consumer.advance()
        (letter,) = consumer.dead_letters()
        assert letter.event == event
        assert letter.reason == "still no such rule"
        (lag,) = feed.lag(transport)
        assert (lag.events, lag.dead_letters) == (0, 1)
        assert consumer.replayed(letter)
        assert not consumer.replayed(letter)
        assert consumer.dead_letters() == []


def test_every_kind_of_statement_is_logged_once_and_empty_ones_are_not(
    fresh_database: Database, transport
) -> None:
    with fresh_database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('a', 'A'), ('b', 'B')")
        connection.execute(
            "insert into public.tokens (mint, symbol) values ('b', 'BB'), ('c', 'C') "
            "on conflict (mint) do update set symbol = excluded.symbol"
        )
        connection.execute("delete from public.tokens where mint = 'a'")
        connection.execute("delete from public.tokens where mint = 'nobody'")
        connection.execute("truncate public.user_settings")
        connection.execute("insert into public.tokens (mint, symbol) values ('x', 'X')")
        connection.autocommit = False
        connection.execute("insert into public.tokens (mint, symbol) values ('gone', 'G')")
        connection.rollback()
    seen = [(e.table, e.operation, e.n_rows, e.keys) for e in feed.read(transport)]
    assert seen == [
        ("tokens", "INSERT", 2, ("a", "b")),
        ("tokens", "INSERT", 1, ("c",)),
        ("tokens", "UPDATE", 1, ("b",)),
        ("tokens", "DELETE", 1, ("a",)),
        ("user_settings", "TRUNCATE", 0, None),
        ("tokens", "INSERT", 1, ("x",)),
    ] or seen[1:3] == [
        ("tokens", "UPDATE", 1, ("b",)),
        ("tokens", "INSERT", 1, ("c",)),
    ]


def test_keys_are_listed_as_long_as_they_are_few(fresh_database: Database, transport) -> None:
    add_tokens(fresh_database, 200)
    add_tokens(fresh_database, 201)
    few, many = feed.read(transport)
    assert (few.n_rows, len(few.keys or ())) == (200, 200)
    assert (many.n_rows, many.keys) == (201, None)


def test_owners_are_kept_apart(fresh_database: Database, transport) -> None:
    users = [fresh_database.add_user(), fresh_database.add_user()]
    with fresh_database.connect() as connection:
        connection.execute(
            "insert into public.strategies (user_id, slug, name, spec) "
            "select u, 's' || n, 'n', '{}' "
            "from unnest(%s::uuid[]) as u, generate_series(1, 2) as n",
            [users],
        )
    seen = feed.read(transport)
    assert {event.user_id for event in seen} == set(users)
    assert all(event.n_rows == 2 and len(event.keys or ()) == 2 for event in seen)
    assert isinstance(seen[0].user_id, UUID)


def test_an_open_writer_delays_the_feed_and_shows_in_the_lag(
    fresh_database: Database, transport
) -> None:
    consumer = feed.Consumer(transport, "metrics")
    consumer.acquire()
    with fresh_database.connect(autocommit=False) as writer:
        writer.execute("insert into public.tokens (mint, symbol) values ('slow', 'S')")
        add_tokens(fresh_database)
        assert consumer.poll() == []
        (lag,) = feed.lag(transport)
        assert lag.held_events == 1
        assert lag.held_seconds > 0
        assert lag.lease_owner == consumer.owner
        writer.commit()
    assert next(event.keys for event in consumer.poll()) == ("slow",)
    (lag,) = feed.lag(transport)
    assert (lag.held_events, lag.events) == (0, 2)


def test_retention_never_overtakes_the_slowest_consumer(
    fresh_database: Database, transport
) -> None:
    for _ in range(3):
        add_tokens(fresh_database)
    slow, fast = feed.Consumer(transport, "slow"), feed.Consumer(transport, "fast")
    with slow, fast:
        fast.poll()
        fast.advance()
        assert feed.prune(transport, keep_days=0) == 0
        batch = slow.poll()
        slow.advance(batch[0].position)
        assert feed.prune(transport, keep_days=1) == 0, "younger than what is kept"
        assert feed.prune(transport, keep_days=0) == 1
        slow.rewind()
        assert [event.position for event in slow.poll()] == [e.position for e in batch[1:]]


@pytest.mark.parametrize("how", ["identity", "numbers"])
def test_a_restore_into_another_cluster_means_reconcile(
    fresh_database: Database, transport, how: str
) -> None:
    add_tokens(fresh_database)
    consumer = feed.Consumer(transport, "metrics")
    consumer.poll()
    consumer.advance()
    consumer.release()
    with fresh_database.connect() as connection:  # what a logical restore leaves behind
        if how == "identity":
            connection.execute("update ops.feed_epoch set cluster_identity = 'old' where true")
        connection.execute(
            "insert into ops.change_log (xid, relname, op, n_rows) "
            "values ('9999999', 'tokens', 'INSERT', 1)"
        )
        connection.execute("update ops.feed_consumers set xid = '9999999' where true")
    consumer = feed.Consumer(transport, "metrics")
    with pytest.raises(feed.MustReconcile):
        consumer.poll()
    watermark = consumer.begin_reconcile()
    during = add_tokens(fresh_database)
    consumer.reconciled(watermark)
    after = add_tokens(fresh_database)
    assert [event.keys for event in consumer.poll()] == [tuple(during), tuple(after)]
    assert consumer.advance()


def test_only_the_service_role_may_touch_the_feed(database: Database) -> None:
    with database.connect() as connection:
        found = connection.execute(
            "select p.oid::regprocedure::text, "
            "  array(select r from unnest(array['anon', 'authenticated', 'service_role']) as r "
            "        where has_function_privilege(r, p.oid, 'execute')) "
            "from pg_proc as p where p.pronamespace = 'public'::regnamespace "
            "and (p.proname = 'change_feed' or p.proname like 'feed%')"
        ).fetchall()
    assert len(found) == 12
    assert {tuple(roles) for _, roles in found} == {("service_role",)}
    with (
        database.acting_as("authenticated", uuid4()) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("select * from public.change_feed('0', 0)")


def test_an_unreachable_database_is_named_without_its_password() -> None:
    transport = feed.SqlTransport("postgresql://postgres:s3cret@127.0.0.1:1/postgres")
    with pytest.raises(feed.FeedUnreachable, match=r"127\.0\.0\.1:1/postgres") as caught:
        feed.read(transport)
    assert "s3cret" not in str(caught.value)


def test_the_transport_reconnects_after_its_backend_is_terminated(
    fresh_database: Database, transport
) -> None:
    add_tokens(fresh_database)
    assert len(feed.read(transport)) == 1
    with fresh_database.connect("supabase_admin") as connection:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'portfolio_platform feed' and datname = current_database()"
        )
    with pytest.raises(feed.FeedUnreachable):
        feed.read(transport)
    assert len(feed.read(transport)) == 1


@pytest.mark.nightly
def test_a_dump_restored_into_a_new_cluster_is_noticed_and_reconciled(
    fresh_database: Database, transport
) -> None:
    """The real thing: pg_dump here, psql there, where transactions are numbered anew."""
    add_tokens(fresh_database, 2)
    with fresh_database.connect() as connection:  # numbers far ahead of a young cluster's
        for _ in range(3000):
            connection.execute("select pg_current_xact_id()")
    add_tokens(fresh_database)
    with feed.Consumer(transport, "metrics") as consumer:
        assert len(consumer.poll()) == 2
        consumer.advance()
    old = fresh_database.server
    home = Path(tempfile.mkdtemp(prefix="pp-home-", dir=scratch()))
    home.chmod(0o755)
    new = EmbeddedServer.ensure(home, sync=False)
    try:
        floor.lay_in(new)
        schemas = [f"--schema={name}" for name in ("public", "chain", "ops", "partitions")]
        dump = subprocess.run(
            [old.binary("pg_dump"), *schemas, "--no-owner", fresh_database.url()],
            capture_output=True,
            check=True,
        )
        subprocess.run(
            [new.binary("psql"), "-q", new.url(driver=None)],
            input=dump.stdout,
            capture_output=True,
            check=True,
        )
        restored = Database(new, "postgres")
        with feed.SqlTransport(restored.url()) as there:
            consumer = feed.Consumer(there, "metrics")
            with pytest.raises(feed.MustReconcile):
                consumer.poll()
            (lag,) = feed.lag(there)
            assert lag.must_reconcile
            watermark = consumer.begin_reconcile()
            with restored.connect() as connection:
                found = connection.execute("select count(*) from public.tokens").fetchone()
            assert found == (3,)
            consumer.reconciled(watermark)
            mints = add_tokens(restored)
            assert [event.keys for event in consumer.poll()] == [tuple(mints)]
    finally:
        new.shutdown()
        shutil.rmtree(home)
