"""Real PostgREST serves the schema to supabase-py with row security, and the feed over HTTPS."""

import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass

import jwt
import pytest
from postgrest.exceptions import APIError

from portfolio_platform.store import feed
from portfolio_platform_tests.contract import supabase_parts as parts
from portfolio_platform_tests.store.postgres import Database, clone, cluster, drop
from supabase import Client, create_client

__all__ = ["cluster"]
pytestmark = pytest.mark.npm


@dataclass(frozen=True)
class Project:
    """A database behind real PostgREST and the emulated gateway."""

    database: Database
    url: str
    signer: parts.Signer
    alice: uuid.UUID
    bob: uuid.UUID

    def client(self, key: str = parts.PUBLISHABLE_KEY, token: str | None = None) -> Client:
        client = create_client(self.url, key)
        if token is not None:
            client.postgrest.auth(token)
        return client

    def as_user(self, user: uuid.UUID) -> Client:
        return self.client(token=self.signer.token("authenticated", user))


@pytest.fixture(scope="module")
def project(cluster, tmp_path_factory: pytest.TempPathFactory):
    binaries = parts.install()
    database = clone(cluster, f"t_rest_{uuid.uuid4().hex[:8]}")
    signer = parts.Signer()
    scratch = tmp_path_factory.mktemp("postgrest")
    with (
        parts.postgrest(binaries["postgrest"], database, signer, scratch) as rest,
        parts.emulated_gateway(rest, signer) as url,
    ):
        yield Project(database, url, signer, database.add_user(), database.add_user())
    drop(database)


def strategy(owner: uuid.UUID, slug: str) -> dict:
    return {"user_id": str(owner), "slug": slug, "name": slug, "spec": {"version": 1}}


def test_users_write_and_read_their_own_rows_only(project: Project) -> None:
    alice, bob = project.as_user(project.alice), project.as_user(project.bob)
    alice.table("strategies").insert(strategy(project.alice, "mine")).execute()
    assert [row["slug"] for row in alice.table("strategies").select("*").execute().data] == ["mine"]
    assert bob.table("strategies").select("*").execute().data == []
    with pytest.raises(APIError) as refused:
        bob.table("strategies").insert(strategy(project.alice, "forged")).execute()
    assert refused.value.code == "42501"
    changed = bob.table("strategies").update({"name": "x"}).eq("slug", "mine").execute()
    assert changed.data == []
    for body in ({"settings": {"a": 1}}, {"settings": {"a": 2}}):
        alice.table("user_settings").upsert(
            {"user_id": str(project.alice), **body}, on_conflict="user_id"
        ).execute()
    stored = alice.table("user_settings").select("settings").execute().data
    assert stored == [{"settings": {"a": 2}}]


def test_without_a_user_nothing_is_granted(project: Project) -> None:
    for table in ("tokens", "versions", "strategies"):
        with pytest.raises(APIError) as refused:
            project.client().table(table).select("*").execute()
        assert refused.value.code == "42501"


@pytest.mark.parametrize("attack", ["expired", "foreign key", "none", "hs256"])
def test_bad_tokens_are_refused_by_real_verification(project: Project, attack: str) -> None:
    claims = {"role": "service_role", "exp": int(time.time()) + 600}
    token = {
        "expired": project.signer.token("authenticated", project.alice, seconds=-120),
        "foreign key": parts.Signer().token("service_role"),
        "none": jwt.encode(claims, None, algorithm="none"),
        "hs256": jwt.encode(claims, "x" * 32, algorithm="HS256", headers={"kid": "k1"}),
    }[attack]
    with pytest.raises(APIError) as refused:
        project.client(token=token).table("tokens").select("*").execute()
    assert refused.value.code in ("PGRST301", "PGRST303")


def test_the_service_key_sees_all_and_counts(project: Project) -> None:
    client = project.client(parts.SECRET_KEY)
    rows = [{"mint": f"m{n}", "symbol": "M", "decimals": n % 9} for n in range(25)]
    client.table("tokens").upsert(rows, on_conflict="mint").execute()
    found = (
        client.table("tokens").select("mint", count="exact").lt("decimals", 3).limit(2).execute()
    )
    assert found.count == sum(row["decimals"] < 3 for row in rows)
    assert len(found.data) == 2


def test_the_feed_over_the_data_api_is_the_feed_over_sql(project: Project) -> None:
    with project.database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('f1', 'F')")
        connection.execute("update public.tokens set symbol = 'G' where mint = 'f1'")
    over_http = feed.RpcTransport.open(project.url, parts.SECRET_KEY)
    with feed.SqlTransport(project.database.url()) as over_sql:
        assert feed.read(over_http) == feed.read(over_sql)
        consumer = feed.Consumer(over_http, "http")
        with consumer:
            events = list(consumer.poll())
            assert events[-1].keys == ("f1",)
            with pytest.raises(feed.LeaseHeld, match=consumer.owner):
                feed.Consumer(over_sql, "http").poll()
            consumer.dead_letter(events[0], "bad")
            (letter,) = consumer.dead_letters()
            assert letter.event == events[0]
            assert consumer.replayed(letter)
            assert consumer.advance()
            assert not consumer.advance()
        assert {lag.consumer: lag.events for lag in feed.lag(over_http)} == {"http": 0}
        with feed.Consumer(over_sql, "http") as taken_over:
            assert taken_over.poll() == []
        assert feed.prune(over_http, keep_days=30) == 0


def test_the_publishable_key_cannot_read_the_feed(project: Project) -> None:
    transport = feed.RpcTransport.open(project.url, parts.PUBLISHABLE_KEY)
    with pytest.raises(feed.FeedError, match="permission denied for function change_feed"):
        feed.read(transport)


def test_a_dead_data_api_is_told_apart_from_a_refusal() -> None:
    transport = feed.RpcTransport.open(f"http://127.0.0.1:{parts.free_port()}", parts.SECRET_KEY)
    with pytest.raises(feed.FeedUnreachable):
        feed.read(transport)


def test_nothing_is_lost_over_the_data_api_while_writers_race(project: Project) -> None:
    transport = feed.RpcTransport.open(project.url, parts.SECRET_KEY)
    consumer = feed.Consumer(transport, "race", start_at_end=True)
    consumer.acquire()
    committed: set[str] = set()

    def write(writer: int) -> None:
        with project.database.connect(autocommit=False) as connection:
            for number in range(40):
                mint = f"race{writer}-{number}"
                connection.execute(
                    "insert into public.tokens (mint, symbol) values (%s, 'R')", [mint]
                )
                time.sleep(0.005 * (number % 4 == writer % 4))
                if number % 10 == writer:
                    connection.rollback()
                    continue
                connection.commit()
                committed.add(mint)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    seen: Counter[str] = Counter()
    final = False
    while not final:
        final = not any(writer.is_alive() for writer in writers)
        for batch in consumer.drain(limit=50):
            for event in batch:
                seen.update(event.keys or ())
            consumer.advance()
    assert set(seen) == committed
    assert max(seen.values()) == 1
