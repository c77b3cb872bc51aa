"""Documents that are derived: JSON Schemas for the API, and the seed of shipped strategies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
SEED = REPOSITORY / "supabase" / "seed.sql"
STRATEGIES = REPOSITORY / "examples" / "strategies"
SCHEMAS = Path(__file__).resolve().parents[1] / "api" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Schema of each document by file name."""
    from portfolio_platform.backtesting import BacktestSpec
    from portfolio_platform.optimization import StrategySpec

    return {
        "strategy.json": StrategySpec.model_json_schema(),
        "backtest.json": BacktestSpec.model_json_schema(),
    }


def text_of(schema: dict[str, Any]) -> str:
    """The file's text: sorted, indented, one newline at the end."""
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def shipped() -> list[dict[str, Any]]:
    """The platform's own strategies, by slug."""
    return [json.loads(path.read_text()) for path in sorted(STRATEGIES.glob("*.json"))]


def seed_sql() -> str:
    """SQL that stores the shipped strategies; one that is there stays as it is."""

    def quoted(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    rows = [
        f"    ({quoted(one['slug'])}, {quoted(one['name'])},\n"
        f"     {quoted(json.dumps(one['spec'], ensure_ascii=False))})"
        for one in shipped()
    ]
    return (
        "-- The platform's own strategies (examples/strategies), readable by every user; users\n"
        "-- add theirs as rows. From `portfolio-platform schemas --write`; safe to run again.\n"
        "insert into public.strategies (slug, name, spec) values\n"
        + ",\n".join(rows)
        + "\non conflict (user_id, slug) do nothing;\n"
    )


def write(directory: Path = SCHEMAS) -> list[Path]:
    """Write every schema and the seed; returns the files."""
    SEED.write_text(seed_sql())
    written = [SEED]
    for name, schema in schemas().items():
        path = directory / name
        path.write_text(text_of(schema))
        written.append(path)
    return written
