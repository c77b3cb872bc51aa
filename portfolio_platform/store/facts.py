"""Facts decoded from account bytes: appended once per reading of the same bytes.

Storing the same decode of the same bytes again writes nothing; a decoder that now reads them
differently adds a row with a later ``recorded_at`` and the same ``observed_at``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection, sql

from portfolio_platform.store import bulk


@dataclass(frozen=True)
class FactTable:
    """A table of facts: where it is, its identity, and what makes two rows the same fact."""

    schema: str
    identity: str
    key: tuple[str, ...]
    nullable: tuple[str, ...] = ()


FACT_TABLES = {
    "token_prices": FactTable("public", "price_id", ("snapshot_id", "pubkey", "source", "mint")),
    "pool_states": FactTable("public", "pool_state_id", ("snapshot_id", "pubkey")),
    "lending_reserves": FactTable("public", "reserve_id", ("snapshot_id", "pubkey")),
    "stake_pool_rates": FactTable("public", "rate_id", ("snapshot_id", "pubkey")),
    "wallet_holdings": FactTable("public", "holding_id", ("snapshot_id", "token_account")),
    "quarantine": FactTable("chain", "quarantine_id", ("pubkey", "reason"), ("slot",)),
}


@dataclass(frozen=True)
class Saved:
    """Identity of each fact, in the order given, and how many of them are new."""

    ids: list[int]
    written: int


def save_facts(conn: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> Saved:
    """Append facts with one statement; one that is stored already is not written again.

    A fact is compared with the newest row about the same bytes, so that a decoder which returns
    to an earlier reading is recorded as well. Of two rows of one load about the same fact the
    later one counts.

    Parameters
    ----------
    table : str
        One of `FACT_TABLES`.
    rows : sequence of mappings
        Column names to values, the same columns in each; jsonb values as plain dict.
    """
    if not rows:
        return Saved([], 0)
    shape = FACT_TABLES[table]
    target = sql.Identifier(shape.schema, table)
    with bulk.staged(conn, f"{shape.schema}.{table}", rows) as (incoming, columns):
        same_fact = sql.SQL(" and ").join(
            [sql.SQL("t.{0} = i.{0}").format(sql.Identifier(name)) for name in shape.key]
            + [
                sql.SQL("t.{0} is not distinct from i.{0}").format(sql.Identifier(name))
                for name in shape.nullable
            ]
        )
        parts = {
            "target": target,
            "incoming": incoming,
            "identity": sql.Identifier(shape.identity),
            "names": sql.SQL(", ").join(map(sql.Identifier, columns)),
            "key": sql.SQL(", ").join(sql.Identifier("i", k) for k in shape.key + shape.nullable),
            "same_fact": same_fact,
            "given": sql.SQL("row({})").format(
                sql.SQL(", ").join(sql.Identifier("i", name) for name in columns)
            ),
            "stored": sql.SQL("row({})").format(
                sql.SQL(", ").join(sql.Identifier("t", name) for name in columns)
            ),
        }
        written = conn.execute(
            sql.SQL(
                """
                insert into {target} ({names})
                select {names} from (
                    select distinct on ({key}) i.* from {incoming} as i
                    order by {key}, i.copied_row desc
                ) as i
                where not exists (
                    select 1 from (
                        select {stored} is not distinct from {given} as unchanged
                        from {target} as t where {same_fact}
                        order by t.recorded_at desc, t.{identity} desc limit 1
                    ) as newest where newest.unchanged)
                order by i.copied_row
                """
            ).format(**parts)
        ).rowcount
        found = conn.execute(
            sql.SQL(
                """
                select n.id from {incoming} as i
                cross join lateral (
                    select t.{identity} as id from {target} as t where {same_fact}
                    order by t.recorded_at desc, t.{identity} desc limit 1
                ) as n
                order by i.copied_row
                """
            ).format(**parts)
        ).fetchall()
    return Saved([int(row[0]) for row in found], written)
