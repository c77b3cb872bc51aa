"""Rows that sensors react to: a small market, strategies, portfolios, requests."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from portfolio_platform_tests.store.postgres import Database

EQUAL_WEIGHT = {"version": 1, "model": "equal_weight", "lookback": 30}
SYMBOLS = ("SOL", "JUP", "BONK", "JTO")


@dataclass(frozen=True)
class World:
    """A user in a database with clean daily bars of four tokens."""

    database: Database
    user: UUID

    @classmethod
    def make(cls, database: Database, days: int = 60) -> World:
        """Bars are a seeded walk that ends yesterday."""
        with database.connect() as connection:
            connection.execute(
                "insert into public.tokens (mint, symbol, decimals) "
                "select 'mint' || s, s, 6 from unnest(%s::text[]) as s",
                [list(SYMBOLS)],
            )
            connection.execute(
                "insert into public.bar_series (mint, venue, symbol, instrument) "
                "select 'mint' || s, 'test', s, 'spot' from unnest(%s::text[]) as s",
                [list(SYMBOLS)],
            )
            connection.execute(
                """
                insert into public.market_bars
                    (series_id, bar_interval, observed_at, open, high, low, close, volume)
                select series_id, '1d', date_trunc('day', now()) - make_interval(days => d),
                       p, p, p, p, 1
                from public.bar_series,
                     generate_series(1, %s) as d,
                     lateral (select exp(0.03 * sin(d * (series_id + 1.7)) + 0.01 * d) as p) as w
                """,
                [days],
            )
        return cls(database, database.add_user(f"{uuid.uuid4().hex}@test"))

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and commit."""
        with self.database.connect() as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def strategy(self, slug: str, **spec: Any) -> str:
        """Store a strategy of the user."""
        ((key,),) = self.execute(
            "insert into public.strategies (user_id, slug, name, spec) values (%s, %s, %s, %s) "
            "returning strategy_id::text",
            self.user,
            slug,
            slug,
            Jsonb({**EQUAL_WEIGHT, **spec}),
        )
        return key

    def touch(self, strategy: str, lookback: int) -> None:
        """Change a strategy's spec."""
        self.execute(
            "update public.strategies set spec = spec || %s where strategy_id::text = %s",
            Jsonb({"lookback": lookback}),
            strategy,
        )

    def optimization(self, **spec: Any) -> str:
        """Store an optimization request of the user."""
        ((key,),) = self.execute(
            "insert into public.optimization_requests (user_id, spec) values (%s, %s) "
            "returning request_id::text",
            self.user,
            Jsonb({**EQUAL_WEIGHT, **spec}),
        )
        return key

    def request(self, key: str) -> dict[str, Any]:
        """State of an optimization request."""
        ((state, reason, progress, version),) = self.execute(
            "select state, reason, progress, version::text from public.optimization_requests "
            "where request_id::text = %s",
            key,
        )
        return {"state": state, "reason": reason, "progress": progress, "version": version}

    def weights_of(self, strategy: str) -> list[tuple[str, str]]:
        """Status and content hash of each version of a strategy's weights, oldest first."""
        return self.execute(
            "select s.status, v.content_hash from public.weight_sets as s "
            "join public.versions as v using (version) where s.strategy_id::text = %s "
            "order by v.recorded_at",
            strategy,
        )

    def cursor(self, consumer: str) -> tuple[int, int]:
        """Where a consumer's durable cursor stands."""
        ((xid, seq),) = self.execute(
            "select xid::text, seq from ops.feed_consumers where consumer = %s", consumer
        )
        return int(xid), seq

    def end(self) -> tuple[int, int]:
        """Position of the newest event."""
        ((xid, seq),) = self.execute(
            "select l.xid::text, l.seq from ops.change_log as l "
            "order by l.xid desc, l.seq desc limit 1"
        )
        return int(xid), seq

    def open_batches(self) -> int:
        """Batches that are not settled."""
        ((count,),) = self.execute("select count(*) from ops.feed_batches where closed_at is null")
        return count

    def refuse_publishing(self, subject: str) -> None:
        """A fault of the database: versions of this subject cannot be written."""
        self.execute(
            f"""
            create function ops.refuse() returns trigger language plpgsql as $$
            begin
                if new.subject in (select subject from ops.refused) then
                    raise exception 'disk of % is full', new.subject;
                end if;
                return new;
            end $$;
            create table ops.refused (subject text primary key);
            insert into ops.refused values ('{subject}');
            create trigger refuse before insert on public.versions
                for each row execute function ops.refuse();
            """
        )

    def allow_publishing(self) -> None:
        """The fault is gone."""
        self.execute("delete from ops.refused where true")
