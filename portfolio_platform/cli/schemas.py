"""JSON Schemas of the stored specs, as the API serves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def write(directory: Path = SCHEMAS) -> list[Path]:
    """Write every schema; returns the files."""
    written = []
    for name, schema in schemas().items():
        path = directory / name
        path.write_text(text_of(schema))
        written.append(path)
    return written
