"""Metadata for the UI: Markdown tables of what an asset just wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import MetadataValue

OWNERS = ["team:portfolio-platform"]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return str(value).replace("|", "\\|")


def table(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], limit: int = 50
) -> MetadataValue:
    """Rows as a Markdown table; more than `limit` are counted below it."""
    return MetadataValue.md(table_text(rows, columns, limit))


def table_text(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], limit: int = 50) -> str:
    """Text of `table`, to stand among other Markdown."""
    listed = list(rows)
    lines = [" | ".join(columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(c)) for c in columns) for row in listed[:limit]]
    if len(listed) > limit:
        lines.append(f"\n… and {len(listed) - limit} more")
    return "\n".join(lines)
