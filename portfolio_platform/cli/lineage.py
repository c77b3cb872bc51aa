"""`portfolio-platform explain`: walk a version's inputs down to account bytes and files."""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

from rich.console import Console
from rich.tree import Tree

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


def lineage_rows(settings: Settings, version: str) -> list[dict[str, Any]]:
    """Rows of the lineage function: depth, parent, kind, id, sha256, detail."""
    with connect(settings.resolve_database_url()) as conn, conn.cursor() as cursor:
        cursor.execute("select * from public.lineage(%s::uuid)", (version,))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def _label(row: dict[str, Any]) -> str:
    detail = row["detail"] or {}
    digest = (row["sha256"] or "")[:16]
    if row["kind"] == "account":
        return f"account {detail.get('pubkey')} slot {detail.get('slot')} sha256 {row['sha256']}"
    if row["kind"] == "batch":
        named = f"{detail.get('source')} {detail.get('locator')} rows {detail.get('rows')}"
        return f"{named} sha256 {row['sha256']}"
    if row["kind"] == "version":
        return (
            f"{detail.get('kind')} {detail.get('subject')} {row['id']} "
            f"as of {detail.get('as_of')} hash {digest}"
        )
    named = " ".join(f"{key} {value}" for key, value in detail.items())
    return f"{row['kind']} {row['id']} {named} {digest}".strip()


def run_explain(settings: Settings, version: str, *, as_json: bool) -> int:
    """Print the chain; returns the exit code."""
    from portfolio_platform.cli import fail, print_json

    rows = lineage_rows(settings, version)
    if not rows:
        raise fail(f"no version {version}; `GET /v1/weights/latest` names the newest ones")
    if as_json:
        print_json(rows)
        return 0
    children: dict[str | None, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        children[row["parent"]].append(row)
    root = rows[0]
    tree = Tree(_label(root))

    def grow(branch: Tree, parent: str, seen: frozenset[str]) -> None:
        for row in children[parent]:
            if row["id"] not in seen:
                grow(branch.add(_label(row)), row["id"], seen | {row["id"]})

    grow(tree, root["id"], frozenset({root["id"]}))
    Console(file=sys.stdout, width=200, highlight=False).print(tree)
    return 0
