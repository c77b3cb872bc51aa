"""Tests of many models against a benchmark: SPA, StepM and the model confidence set (arch)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined


def superior_predictive_ability(
    benchmark: FloatArray,
    models: FloatArray,
    *,
    block_size: int,
    reps: int,
    seed: int,
) -> tuple[float, float, float]:
    """Hansen's SPA p-values, lower, consistent, upper; the null is that no model is better.

    Returns go in, losses (minus returns) are compared. ``upper`` is White's reality check bound
    (White 2000; Hansen 2005).

    Parameters
    ----------
    benchmark
        (T,) returns.
    models
        (T, k) returns.

    Raises
    ------
    NotDefined
        For fewer than 4 observations, a value that is not finite, or a model that never differs
        from the benchmark.
    """
    from arch.bootstrap import SPA

    _check(benchmark, models)
    test = SPA(-benchmark, -models, block_size=block_size, reps=reps, seed=seed)
    _quietly(test.compute)
    values = test.pvalues
    return float(values["lower"]), float(values["consistent"]), float(values["upper"])


def better_models(
    benchmark: FloatArray,
    models: Mapping[str, FloatArray],
    *,
    size: float,
    block_size: int,
    reps: int,
    seed: int,
) -> list[str]:
    """Models better than the benchmark with family-wise error `size` (Romano and Wolf 2005).

    The steps of StepM on arch's SPA: models found better are set aside and the test is repeated on
    the others. (``arch.bootstrap.StepM`` fails once every model has been set aside.)
    """
    from arch.bootstrap import SPA

    matrix = np.column_stack(list(models.values()))
    _check(benchmark, matrix)
    test = SPA(-benchmark, -matrix, block_size=block_size, reps=reps, seed=seed)
    remaining = np.ones(matrix.shape[1], dtype=np.bool_)
    while remaining.any():
        test.subset(remaining)
        _quietly(test.compute)
        found = [int(column) for column in test.better_models(size)]
        if not found:
            break
        remaining[found] = False
    return [name for name, left in zip(models, remaining, strict=True) if not left]


def model_confidence_set(
    models: Mapping[str, FloatArray],
    *,
    size: float,
    block_size: int,
    reps: int,
    seed: int,
) -> tuple[list[str], dict[str, float]]:
    """Models that cannot be told from the best, and p-values (Hansen, Lunde and Nason 2011).

    Models with identical returns are one model under several names.
    """
    import pandas as pd
    from arch.bootstrap import MCS

    twin = _twins(models)
    distinct = {name: models[name] for name in models if twin[name] == name}
    if len(distinct) < 2:
        raise NotDefined("a confidence set needs at least 2 models that differ")
    matrix = np.column_stack(list(distinct.values()))
    _check(np.zeros(len(matrix)), matrix)
    losses = pd.DataFrame(-matrix, columns=list(distinct))
    test = MCS(losses, size=size, block_size=block_size, reps=reps, seed=seed)
    _quietly(test.compute)
    values = {str(name): float(value) for name, value in test.pvalues["Pvalue"].items()}
    included = set(test.included)
    inside = [name for name in models if twin[name] in included]
    return inside, {name: values[twin[name]] for name in models}


def _twins(models: Mapping[str, FloatArray]) -> dict[str, str]:
    """Return for each model the first one with the same returns."""
    first: dict[bytes, str] = {}
    return {name: first.setdefault(series.tobytes(), name) for name, series in models.items()}


def _check(benchmark: FloatArray, models: FloatArray) -> None:
    if len(models) < 4:
        raise NotDefined(f"{len(models)} observations, at least 4 are needed")
    if not (np.isfinite(models).all() and np.isfinite(benchmark).all()):
        raise NotDefined("a return is not finite")
    active = models - benchmark[:, None]
    if (active.std(axis=0) <= 1e-15).any():
        raise NotDefined("a model never differs from the benchmark")


def _quietly(compute: Callable[[], Any]) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        compute()
