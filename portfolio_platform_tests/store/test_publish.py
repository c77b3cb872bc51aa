"""Versions: one per content, whole or absent, whoever publishes at the same time."""

import json
import math
import signal
import subprocess
import sys
import textwrap
import threading
import uuid
from datetime import UTC, datetime

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.store.publish import Input, canonical, latest, publish, sha256_of
from portfolio_platform_tests.store.postgres import Database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def weights(connection, strategy: uuid.UUID, values: dict[str, float], inputs=()):
    return publish(
        connection,
        kind="weights",
        subject=str(strategy),
        content=values,
        inputs=[Input("batch", name) for name in inputs],
        rows={
            "weight_sets": [{"strategy_id": strategy, "status": "optimal", "solution": {}}],
            "weights": [{"mint": mint, "weight": value} for mint, value in values.items()],
        },
        as_of=NOW,
        code_version="c",
    )


def add_strategy(database: Database) -> uuid.UUID:
    with database.connect() as connection:
        row = connection.execute(
            "insert into public.strategies (slug, name, spec) values ('s', 's', '{}') "
            "returning strategy_id"
        ).fetchone()
    assert row is not None
    return row[0]


@given(json_values)
def test_the_hash_is_of_the_content_not_of_how_it_is_written(value) -> None:
    def shuffled(part):
        if isinstance(part, dict):
            return {key: shuffled(part[key]) for key in reversed(list(part))}
        return [shuffled(item) for item in part] if isinstance(part, list) else part

    assert sha256_of(shuffled(value)) == sha256_of(value)
    assert json.loads(canonical(value)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, {"a": [-math.inf]}])
def test_what_is_no_number_cannot_be_published(value) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        sha256_of(value)


def test_the_same_content_is_the_same_version(fresh_database: Database) -> None:
    strategy = add_strategy(fresh_database)
    with fresh_database.connect() as connection:
        first = weights(connection, strategy, {"a": 0.25, "b": 0.75}, ["x", "y"])
        again = weights(connection, strategy, {"b": 0.75, "a": 0.25}, ["y", "x"])
        assert (first.is_new, again.is_new) == (True, False)
        assert again.version == first.version
        other_inputs = weights(connection, strategy, {"a": 0.25, "b": 0.75}, ["x"])
        assert other_inputs.is_new
        counts = connection.execute(
            "select (select count(*) from public.versions), (select count(*) from public.weights)"
        ).fetchone()
        assert counts == (2, 4)
        head = latest(connection, "weights", str(strategy))
        assert head is not None
        assert head["version"] == other_inputs.version
        assert latest(connection, "weights", str(strategy), as_of=NOW) is None


def test_what_was_the_answer_before_is_the_newest_again(fresh_database: Database) -> None:
    """A strategy is changed and changed back: the latest weights are those it leads to now."""
    strategy = add_strategy(fresh_database)
    with fresh_database.connect() as connection:
        first = weights(connection, strategy, {"a": 0.25, "b": 0.75}, ["x"])
        other = weights(connection, strategy, {"a": 0.5, "b": 0.5}, ["x"])
        back = weights(connection, strategy, {"a": 0.25, "b": 0.75}, ["x"])
        assert back.is_new
        assert back.content_hash == first.content_hash
        head = latest(connection, "weights", str(strategy))
        assert head is not None
        assert head["version"] == back.version
        assert len({first.version, other.version, back.version}) == 3
        repeated = weights(connection, strategy, {"a": 0.25, "b": 0.75}, ["x"])
        assert (repeated.version, repeated.is_new) == (back.version, False)


def test_a_body_that_is_refused_leaves_no_header(fresh_database: Database) -> None:
    strategy = add_strategy(fresh_database)
    with fresh_database.connect() as connection:
        with pytest.raises(psycopg.errors.CheckViolation):
            publish(
                connection,
                kind="weights",
                subject="s",
                content={},
                inputs=[],
                rows={
                    "weight_sets": [{"strategy_id": strategy, "status": "x", "solution": {}}],
                    "weights": [
                        {"mint": "a", "weight": 1.0},
                        {"mint": "b", "weight": math.inf},
                    ],
                },
                as_of=NOW,
                code_version="c",
            )
        for table in ("versions", "weight_sets", "weights"):
            found = connection.execute(f"select count(*) from public.{table}").fetchone()
            assert found == (0,), table


def test_publishers_at_once_agree_and_readers_see_all_or_nothing(
    fresh_database: Database,
) -> None:
    strategy = add_strategy(fresh_database)
    values = {f"m{n}": 1 / 40 for n in range(40)}
    found, seen, leave = [], set(), threading.Event()
    together = threading.Barrier(4)

    def write(number: int) -> None:
        with fresh_database.connect() as connection:
            for batch in range(6):
                together.wait(30)
                found.append(weights(connection, strategy, values, [str(batch)]))

    def read() -> None:
        with fresh_database.connect() as connection:
            while not leave.is_set():
                seen.update(
                    count
                    for (count,) in connection.execute(
                        "select count(w.mint) from public.versions as v "
                        "left join public.weights as w using (version) group by v.version"
                    )
                )

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for writer in writers:
        writer.join()
    leave.set()
    reader.join()
    assert seen <= {40}
    assert len({published.version for published in found}) == 6
    assert sum(published.is_new for published in found) == 6


def test_a_publisher_killed_midway_leaves_nothing_and_can_be_repeated(
    fresh_database: Database,
) -> None:
    strategy = add_strategy(fresh_database)
    code = """
        import os, sys, psycopg, uuid
        from datetime import UTC, datetime
        from portfolio_platform.store.publish import publish
        connection = psycopg.connect(sys.argv[1], autocommit=True)
        class Killed(list):
            def __iter__(self):
                os.kill(os.getpid(), 9)
        publish(connection, kind="weights", subject=sys.argv[2], content={"a": 1.0}, inputs=[],
                rows={"weight_sets": [{"strategy_id": uuid.UUID(sys.argv[2]), "status": "optimal",
                                       "solution": {}}],
                      "weights": Killed([{"mint": "a", "weight": 1.0}])},
                as_of=datetime(2026, 1, 1, tzinfo=UTC), code_version="c")
    """
    died = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), fresh_database.url(), str(strategy)],
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    with fresh_database.connect() as connection:
        partial = connection.execute(
            "select count(*) from public.versions as v "
            "where not exists (select 1 from public.weights as w where w.version = v.version)"
        ).fetchone()
        assert partial == (0,)
        assert weights(connection, strategy, {"a": 1.0}).version
