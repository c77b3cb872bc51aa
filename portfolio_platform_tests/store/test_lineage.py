"""Every version can be walked down to account bytes and files, by whoever may read it."""

import time
import uuid
from datetime import UTC, datetime

import psycopg
from psycopg.types.json import Jsonb

from portfolio_platform.store import bars, facts, ingest
from portfolio_platform.store import database as db
from portfolio_platform.store.publish import Input, publish
from portfolio_platform_tests.store.postgres import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def publish_weights(connection, user_id: uuid.UUID | None = None) -> tuple[uuid.UUID, dict]:
    """weights → metrics → (price, pool, reserve, stake, batch) → accounts; and its parts."""
    _, ids = ingest.save_snapshot(
        connection,
        7,
        NOW,
        [ingest.AccountRow(name, "o", 1, 7, name.encode()) for name in ("oracle", "pool", "vault")],
    )
    connection.execute(
        "insert into public.tokens (mint, symbol) values ('m', 'M') on conflict do nothing"
    )
    common = {"slot": 7, "observed_at": NOW}
    (price,) = facts.save_facts(
        connection,
        "token_prices",
        [
            {
                "mint": "m",
                "source": "pyth",
                "pubkey": "oracle",
                "snapshot_id": ids["oracle", 7],
                "price": 1.5,
                "verdict": "accepted",
                **common,
            }
        ],
    ).ids
    (pool,) = facts.save_facts(
        connection,
        "pool_states",
        [
            {
                "pubkey": "pool",
                "kind": "k",
                "mint_a": "m",
                "mint_b": "n",
                "snapshot_id": ids["pool", 7],
                "account_ids": [ids["pool", 7], ids["vault", 7]],
                "state": {},
                **common,
            }
        ],
    ).ids
    batch = bars.save_batch(
        connection, source="file", locator="bars.csv", sha256="f" * 64, n_rows=3, report={}
    )
    metrics = publish(
        connection,
        kind="metrics",
        subject="1d",
        content={"a": 1},
        inputs=[
            Input("price", str(price)),
            Input("pool", str(pool)),
            Input("batch", str(batch), "f" * 64),
        ],
        rows={},
        as_of=NOW,
        code_version="c",
    )
    weights = publish(
        connection,
        kind="weights",
        subject=f"s{user_id}",
        content={"b": 1},
        inputs=[Input("version", str(metrics.version)), Input("strategy", "s", "e" * 64)],
        rows={},
        as_of=NOW,
        code_version="c",
        user_id=user_id,
    )
    return weights.version, {"metrics": metrics, "ids": ids, "batch": batch, "price": price}


def walk(connection, version: uuid.UUID) -> list[tuple]:
    return connection.execute(
        "select depth, kind, id, sha256, detail from public.lineage(%s)", [version]
    ).fetchall()


def test_weights_reach_the_bytes_they_came_from(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        version, parts = publish_weights(connection)
        found = walk(connection, version)
        bytes_of = dict(connection.execute("select sha256, data from chain.account_data"))
    kinds = [(depth, kind) for depth, kind, *_ in found]
    assert kinds == [
        (0, "version"),
        (1, "strategy"),
        (1, "version"),
        (2, "batch"),
        (2, "pool"),
        (2, "price"),
        (3, "account"),
        (3, "account"),
        (3, "account"),
    ]
    assert found[2][2] == str(parts["metrics"].version)
    assert found[2][3] == parts["metrics"].content_hash
    assert found[3][4] == {"source": "file", "locator": "bars.csv", "rows": 3}
    accounts = {row[4]["pubkey"]: (row[2], bytes_of[row[3]], row[4]["slot"]) for row in found[6:]}
    assert accounts == {
        name: (str(parts["ids"][name, 7]), name.encode(), 7) for name in ("oracle", "pool", "vault")
    }


def test_a_version_of_another_user_has_no_lineage(fresh_database: Database) -> None:
    owner, other = fresh_database.add_user(), fresh_database.add_user()
    with fresh_database.connect() as connection:
        version, _ = publish_weights(connection, owner)
        url = fresh_database.url("portfolio_api")
    for user, expected in ((owner, 9), (other, 0)):
        with psycopg.connect(url) as connection:
            db.as_role(connection, "authenticated", f'{{"sub": "{user}", "role": "authenticated"}}')
            assert len(walk(connection, version)) == expected


def test_ids_that_are_no_numbers_and_cycles_do_not_break_the_walk(
    fresh_database: Database,
) -> None:
    with fresh_database.connect() as connection:
        first, second = uuid.uuid4(), uuid.uuid4()
        for version, other in ((first, second), (second, first)):
            connection.execute(
                "insert into public.versions "
                "(version, kind, subject, content_hash, inputs, code_version, as_of) "
                "values (%s, 'weights', 's', %s, %s, 'c', now())",
                [
                    version,
                    version.hex,
                    Jsonb(
                        [
                            {"kind": "version", "id": str(other)},
                            {"kind": "bars", "id": "spot/m/1d", "rows": 5},
                            {"kind": "price", "id": "9"},
                        ]
                    ),
                ],
            )
        found = walk(connection, first)
    assert sorted((depth, kind) for depth, kind, *_ in found) == [
        (0, "version"),
        (1, "bars"),
        (1, "price"),
        (1, "version"),
        (2, "bars"),
        (2, "price"),
    ]


def test_the_walk_does_not_grow_with_the_tables(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        connection.execute(
            "insert into chain.account_snapshots (pubkey, slot, sha256, observed_at) "
            "select 'p' || n, n, 's', now() from generate_series(1, 60000) as n"
        )
        connection.execute("analyze chain.account_snapshots")
        version, _ = publish_weights(connection)
        walk(connection, version)
        started = time.perf_counter()
        assert len(walk(connection, version)) == 9
        assert time.perf_counter() - started < 0.15, (
            "a scan of 60,000 rows for each of nine takes longer"
        )
