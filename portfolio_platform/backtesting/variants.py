"""Variants of a strategy: the neighbours that were, or might as well have been, tried."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

from pydantic import ValidationError

from portfolio_platform.backtesting.outcomes import CannotRun, Reason
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.optimization import StrategySpec


def variants_of(
    spec: BacktestSpec, strategies: Mapping[str, StrategySpec]
) -> dict[str, StrategySpec]:
    """Return the grid of variants of the first strategy by name; itself is not among them.

    Raises
    ------
    CannotRun
        ``invalid_variant`` when a path or a value of the grid does not make a strategy.
    """
    grid = spec.validation.variants
    if not grid:
        return {}
    base = strategies[spec.strategy_names[0]]
    found: dict[str, StrategySpec] = {}
    for values in product(*grid.values()):
        changes = dict(zip(grid, values, strict=True))
        variant = _changed(base, changes)
        if variant != base:
            name = ", ".join(f"{path}={value}" for path, value in changes.items())
            found[f"{spec.strategy_names[0]} [{name}]"] = variant
    return found


def _changed(base: StrategySpec, changes: Mapping[str, Any]) -> StrategySpec:
    data = base.model_dump()
    for path, value in changes.items():
        *parents, leaf = path.split(".")
        place: Any = data
        for step in parents:
            place = place.get(step) if isinstance(place, dict) else None
        if not isinstance(place, dict) or leaf not in place:
            raise CannotRun(
                Reason(
                    "invalid_variant",
                    f"a strategy has no field {path!r}",
                    f"validation.variants.{path}",
                )
            )
        place[leaf] = value
    try:
        return StrategySpec.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CannotRun(
            Reason(
                "invalid_variant",
                f"variant {dict(changes)} is no strategy: {where}: {first['msg']}",
                "validation.variants",
            )
        ) from error
