"""Bulk writes: COPY into a temporary table, then one `insert … on conflict`.

One statement means one row in the change log, and rows that would not change are not rewritten,
so repeated loads leave no dead tuples for vacuum.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import psycopg
from psycopg import sql

from portfolio_platform.store.database import DatabaseError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Data: TypeAlias = "pa.Table | pd.DataFrame | Mapping[str, Any] | Iterable[Mapping[str, Any]]"

_numbers = itertools.count()
CHUNK = 1 << 20
PARTITIONED = {  # table: what makes its partitions, from which column
    "price_bars": ("ensure_months", "observed_at"),
    "market_bars": ("ensure_months", "observed_at"),
    "account_snapshots": ("ensure_slots", "slot"),
}


class DuplicateRows(DatabaseError):
    """Two rows of one load have the same key; which of them is meant is not ours to guess."""


class BadColumns(DatabaseError):
    """The data names columns that the table does not have, or none at all."""


@dataclass(frozen=True)
class Written:
    """What a load did: `inserted + updated + unchanged` is the number of rows handed in."""

    inserted: int
    updated: int
    unchanged: int


def _qualified(table: str) -> sql.Identifier:
    schema, dot, name = table.rpartition(".")
    return sql.Identifier(schema, name) if dot else sql.Identifier("public", name)


def _array_literal(values: Iterable[Any]) -> str:
    parts = []
    for value in values:
        if value is None:
            parts.append("NULL")
        elif isinstance(value, str):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            parts.append(f'"{escaped}"')
        else:
            parts.append(str(value))
    return "{" + ",".join(parts) + "}"


def _text(value: Any) -> str | None:
    """One value as Postgres text, for the types that Arrow has no CSV form of."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, Mapping):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, list | tuple | set | frozenset):
        return _array_literal(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:
        return _array_literal(value.tolist())
    if type(value).__name__ in ("NAType", "NaTType") or value != value:
        return None
    return str(value)


def _column(values: Any) -> pa.Array:
    """A column as an Arrow array with a CSV form; NaN and NaT are null."""
    import pyarrow as pa

    if isinstance(values, pa.Array | pa.ChunkedArray):
        array = values
    else:
        try:
            array = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            return pa.array([_text(value) for value in values], pa.string())
    plain = (
        pa.types.is_integer(array.type)
        or pa.types.is_floating(array.type)
        or pa.types.is_boolean(array.type)
        or pa.types.is_string(array.type)
        or pa.types.is_large_string(array.type)
        or pa.types.is_timestamp(array.type)
        or pa.types.is_date(array.type)
        or pa.types.is_null(array.type)
    )
    if plain:
        return array
    # Arrow's own idea of nested values will not do: it merges the keys of mappings across rows.
    originals = array.to_pylist() if array is values else values
    return pa.array([_text(value) for value in originals], pa.string())


def arrow_table(data: Data) -> pa.Table:
    """Any of the accepted shapes of data as an Arrow table ready for COPY.

    Parameters
    ----------
    data : pyarrow.Table, DataFrame, mapping of column to values, or iterable of row mappings
        Values may be numpy arrays. Integers of any size, bytes (bytea), mappings (jsonb) and
        lists (arrays) are written as what the column is. NaN and NaT are null.

    Raises
    ------
    BadColumns
        The data has no columns, or rows with different ones.
    """
    import pandas as pd
    import pyarrow as pa

    if isinstance(data, pa.Table):
        named: dict[str, Any] = {name: data.column(name) for name in data.column_names}
    elif isinstance(data, pd.DataFrame):
        named = {str(name): data[name] for name in data.columns}
    elif isinstance(data, Mapping):
        named = dict(data)
    else:
        rows = list(data)
        if not rows:
            return pa.table({})
        names = list(rows[0])
        for row in rows:
            if row.keys() != rows[0].keys():
                raise BadColumns(f"rows differ in their columns: {names} and {list(row)}")
        named = {name: [row[name] for row in rows] for name in names}
    if not named:
        raise BadColumns("the data has no columns")
    return pa.table({name: _column(values) for name, values in named.items()})


def _csv(table: pa.Table) -> Iterator[memoryview]:
    from pyarrow import csv

    buffer = io.BytesIO()
    csv.write_csv(table, buffer, csv.WriteOptions(include_header=False, quoting_style="all_valid"))
    view = buffer.getbuffer()
    for start in range(0, len(view), CHUNK):
        yield view[start : start + CHUNK]


@contextmanager
def staged(
    conn: psycopg.Connection[Any], table: str, data: Data
) -> Iterator[tuple[sql.Identifier, tuple[str, ...]]]:
    """Copy `data` into a temporary table shaped like `table`; its name and its columns.

    The temporary table has no constraints, one extra column `copied_row` with the row number,
    and is gone when the block ends.

    Raises
    ------
    BadColumns
        The table has no such column.
    """
    rows = arrow_table(data)
    names = tuple(rows.column_names)
    incoming = sql.Identifier(f"incoming_{next(_numbers)}")
    columns = sql.SQL(", ").join(map(sql.Identifier, names))
    with conn.transaction(), conn.cursor() as cursor:
        try:
            cursor.execute(
                sql.SQL(
                    "create temporary table {} on commit drop as select {} from {} with no data"
                ).format(incoming, columns, _qualified(table))
            )
        except psycopg.errors.UndefinedColumn as error:
            raise BadColumns(f"{table}: {error.diag.message_primary}") from error
        cursor.execute(
            sql.SQL("alter table {} add copied_row bigint generated always as identity").format(
                incoming
            )
        )
        statement = sql.SQL("copy {} ({}) from stdin (format csv)").format(incoming, columns)
        with cursor.copy(statement) as copy:
            for block in _csv(rows):
                copy.write(block)
        yield incoming, names
        cursor.execute(sql.SQL("drop table if exists {}").format(incoming))


def upsert(
    conn: psycopg.Connection[Any],
    table: str,
    data: Data,
    *,
    conflict: Sequence[str] = (),
    update: Sequence[str] | None = None,
    last_wins: bool = False,
) -> Written:
    """Write many rows with one statement.

    Parameters
    ----------
    table : str
        `schema.name`, or a name in `public`.
    data : see `arrow_table`
    conflict : sequence of str
        Columns of the unique constraint that makes two rows the same; empty: plain insert.
    update : sequence of str, optional
        Columns to overwrite on conflict. Rows in which none of them differs are left alone.
        None: existing rows stay as they are.
    last_wins : bool
        Whether of two rows with one key the later in `data` is taken.

    Returns
    -------
    Written
        Counts of rows inserted, updated and left unchanged.

    Raises
    ------
    DuplicateRows
        Two rows have one key and `last_wins` is false. Nothing is written.
    BadColumns
    """
    table_data = arrow_table(data)
    if table_data.num_rows == 0:
        return Written(0, 0, 0)
    target = _qualified(table)
    with staged(conn, table, table_data) as (incoming, names), conn.cursor() as cursor:
        _make_room(cursor, table, incoming, names)
        source = sql.SQL("select {} from {}").format(_list(names), incoming)
        handed_in = table_data.num_rows
        key = [name for name in conflict if name in names]  # the others come from defaults
        if key:
            distinct = sql.SQL(
                "select distinct on ({key}) {names} from {incoming} order by {key}, copied_row desc"
            ).format(key=_list(key), names=_list(names), incoming=incoming)
            if last_wins:
                source = distinct
            else:
                _refuse_duplicates(cursor, table, incoming, key)
        statement = sql.SQL("insert into {target} as t ({names}) {source} {action}").format(
            target=target, names=_list(names), source=source, action=_action(conflict, update)
        )
        if not conflict or not update:
            inserted = cursor.execute(statement).rowcount
            return Written(inserted, 0, handed_in - inserted)
        if _is_partitioned(cursor, target):  # whose rows do not say whether they are new
            known = _count_known(cursor, target, incoming, conflict, key)
            touched = cursor.execute(statement).rowcount
            distinct_rows = _count_distinct(cursor, incoming, key) if last_wins else handed_in
            inserted = distinct_rows - known
            return Written(inserted, touched - inserted, handed_in - touched)
        counted = cursor.execute(
            sql.SQL(
                "with written as ({} returning (xmax = 0) as is_new) "
                "select count(*) filter (where is_new), count(*) filter (where not is_new) "
                "from written"
            ).format(statement)
        ).fetchone()
        assert counted is not None
        inserted, updated = counted
        return Written(inserted, updated, handed_in - inserted - updated)


def _make_room(
    cursor: psycopg.Cursor[Any], table: str, incoming: sql.Identifier, names: Sequence[str]
) -> None:
    """Make the monthly partitions that the load needs, where the table has such."""
    relation = table.rpartition(".")[2]
    function, column = PARTITIONED.get(relation, ("", ""))
    if column in names:
        cursor.execute(
            sql.SQL("select {}({}, min({column}), max({column})) from {}").format(
                sql.Identifier("ops", function),
                sql.Literal(relation),
                incoming,
                column=sql.Identifier(column),
            )
        )


def _is_partitioned(cursor: psycopg.Cursor[Any], target: sql.Identifier) -> bool:
    found = cursor.execute(
        "select relkind = 'p' from pg_class where oid = %s::regclass",
        [target.as_string(cursor)],
    ).fetchone()
    return found is not None and bool(found[0])


def _count_known(
    cursor: psycopg.Cursor[Any],
    target: sql.Identifier,
    incoming: sql.Identifier,
    conflict: Sequence[str],
    key: Sequence[str],
) -> int:
    """Keys of the load that are stored already."""
    if len(key) < len(conflict):  # a column left to its default makes every row a new one
        return 0
    found = cursor.execute(
        sql.SQL(
            "select count(*) from (select distinct {key} from {incoming}) as i "
            "join {target} as t using ({key})"
        ).format(key=_list(key), incoming=incoming, target=target)
    ).fetchone()
    assert found is not None
    return int(found[0])


def _count_distinct(
    cursor: psycopg.Cursor[Any], incoming: sql.Identifier, key: Sequence[str]
) -> int:
    found = cursor.execute(
        sql.SQL("select count(*) from (select distinct {} from {}) as i").format(
            _list(key), incoming
        )
    ).fetchone()
    assert found is not None
    return int(found[0])


def _list(names: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _action(conflict: Sequence[str], update: Sequence[str] | None) -> sql.Composable:
    if not conflict:
        return sql.SQL("")
    if not update:
        return sql.SQL("on conflict ({}) do nothing").format(_list(conflict))
    return sql.SQL(
        "on conflict ({key}) do update set {changes} where ({stored}) is distinct from ({given})"
    ).format(
        key=_list(conflict),
        changes=sql.SQL(", ").join(
            sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in update
        ),
        stored=sql.SQL(", ").join(sql.Identifier("t", name) for name in update),
        given=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in update),
    )


def _refuse_duplicates(
    cursor: psycopg.Cursor[Any], table: str, incoming: sql.Identifier, key: Sequence[str]
) -> None:
    """Two rows of one load with one key are an error of the caller."""
    found = cursor.execute(
        sql.SQL(
            "select count(*) over (), {key} from {incoming} group by {key} having count(*) > 1 "
            "order by {key} limit 1"
        ).format(key=_list(key), incoming=incoming)
    ).fetchone()
    if found is not None:
        example = ", ".join(f"{name}={value}" for name, value in zip(key, found[1:], strict=True))
        raise DuplicateRows(
            f"{table}: {found[0]} keys occur more than once in one load, for example {example}"
        )
