"""What is written twice agrees: schemas, environment table, shipped strategies, examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from portfolio_platform.backtesting import BacktestSpec
from portfolio_platform.cli import schemas
from portfolio_platform.optimization import StrategySpec
from portfolio_platform.settings import environment_table

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["strategy.json", "backtest.json"])
def test_the_api_serves_the_schemas_of_the_specs(name: str) -> None:
    stored = (schemas.SCHEMAS / name).read_text()
    assert stored == schemas.text_of(schemas.schemas()[name]), (
        "run `portfolio-platform schemas --write`"
    )


def test_the_readme_names_every_environment_variable() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "docs" / "environment.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    readme = (REPOSITORY / "README.md").read_text()
    assert all(f"`{name}`" in readme for name, _, _ in environment_table())


def test_the_seed_holds_the_example_strategies() -> None:
    assert schemas.SEED.read_text() == schemas.seed_sql(), (
        "run `portfolio-platform schemas --write`"
    )


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "examples").glob("backtest*.json")), ids=lambda p: p.name
)
def test_example_backtests_are_valid_specs(path: Path) -> None:
    assert BacktestSpec.model_validate(json.loads(path.read_text())).strategies


@pytest.mark.parametrize(
    "path",
    sorted((REPOSITORY / "examples" / "strategies").glob("*.json")),
    ids=lambda p: p.name,
)
def test_example_strategies_are_valid_specs(path: Path) -> None:
    document = json.loads(path.read_text())
    assert document["slug"] == path.stem
    assert StrategySpec.model_validate(document["spec"]).version == 1
