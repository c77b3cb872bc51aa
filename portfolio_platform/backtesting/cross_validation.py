"""Combinatorial purged cross-validation: many histories from one (López de Prado 2018, ch. 12)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting.decisions import with_lookback
from portfolio_platform.backtesting.market_path import FloatArray, MarketPath
from portfolio_platform.backtesting.outcomes import NotDefined
from portfolio_platform.backtesting.panels import sample_rows
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.schedule import decision_bars
from portfolio_platform.backtesting.simulator import Schedule, Terms, simulate
from portfolio_platform.backtesting.spec_parts import CombinatorialPaths, Rebalance
from portfolio_platform.optimization import PricePanel, StrategySpec, decide

Bars = NDArray[np.int64]


def group_bounds(observations: int, groups: int) -> list[tuple[int, int]]:
    """Cut rows into contiguous groups [first, last); the first ones get the odd rows."""
    sizes = np.full(groups, observations // groups)
    sizes[: observations % groups] += 1
    edges = np.concatenate([[0], np.cumsum(sizes)])
    return [(int(edges[g]), int(edges[g + 1])) for g in range(groups)]


def splits(
    observations: int, rule: CombinatorialPaths
) -> Iterator[tuple[tuple[int, ...], NDArray[np.bool_]]]:
    """Yield (test groups, (T,) training rows) of each of the C(N, k) splits.

    Training drops the test groups, `purge` rows on both sides of each, and `embargo` further rows
    after it: rows that share information with the test.
    """
    bounds = group_bounds(observations, rule.groups)
    for tested in combinations(range(rule.groups), rule.test_groups):
        train = np.ones(observations, dtype=np.bool_)
        for group in tested:
            first, last = bounds[group]
            train[max(0, first - rule.purge) : last + rule.purge + rule.embargo] = False
        yield tested, train


def path_count(rule: CombinatorialPaths) -> int:
    """``C(N, k)·k/N`` complete histories."""
    return comb(rule.groups, rule.test_groups) * rule.test_groups // rule.groups


def cross_validated_paths(
    period: Period, strategy: StrategySpec, rule: CombinatorialPaths, times: list[str]
) -> dict[str, Any]:
    """Put together complete histories of a strategy from splits it was not trained on.

    For every split the strategy decides **once**, on the training rows taken as one stretch of
    history, past and future alike; its weights are held over each test group with the calendar and
    the costs of the backtest. Only assets priced throughout the period take part.

    Raises
    ------
    NotDefined
        When groups are shorter than 5 bars, no asset is priced throughout, or a split has no
        answer.
    """
    whole = np.flatnonzero(period.path.tradable.all(axis=0))
    if whole.size == 0:
        raise NotDefined("no asset is priced at every bar of the period")
    price = np.ascontiguousarray(period.path.price[:, whole])
    returns = price[1:] / price[:-1] - 1.0
    bounds = group_bounds(len(returns), rule.groups)
    if bounds[-1][1] - bounds[-1][0] < 5:
        raise NotDefined(f"{len(returns)} returns are too few for {rule.groups} groups")
    assets = tuple(period.path.assets[column] for column in whole)
    tested_returns: dict[int, list[FloatArray]] = {group: [] for group in range(rule.groups)}
    for tested, train in splits(len(returns), rule):
        weights = _trained(period, strategy, assets, returns[train])
        for group in tested:
            tested_returns[group].append(_held(period, price, whole, weights, *bounds[group]))
    paths = []
    rows = sample_rows(len(returns) + 1)
    q = period.spec.bars_per_year
    for number in range(path_count(rule)):
        series = np.concatenate([tested_returns[g][number] for g in range(rule.groups)])
        values, _ = metrics.defined({"sharpe": lambda r=series: metrics.sharpe(r, q)})  # type: ignore[misc]
        growth = np.concatenate([[1.0], np.cumprod(1.0 + series)])
        paths.append({"sharpe": values["sharpe"], "equity": growth[rows].tolist()})
    ratios = [path["sharpe"] for path in paths if path["sharpe"] is not None]
    return {
        "paths": paths,
        "times": [times[row] for row in rows],
        "assets": len(assets),
        "splits": comb(rule.groups, rule.test_groups),
        "sharpe_median": float(np.median(ratios)) if ratios else None,
        "sharpe_lowest": float(np.min(ratios)) if ratios else None,
        "share_negative": float(np.mean(np.array(ratios) < 0.0)) if ratios else None,
    }


def _trained(
    period: Period, strategy: StrategySpec, assets: tuple[str, ...], rows: FloatArray
) -> FloatArray:
    """(n,) weights decided on training rows joined into one history."""
    close = np.vstack([np.ones((1, len(assets))), 1.0 + rows])
    np.multiply.accumulate(close, axis=0, out=close)
    panel = PricePanel(
        assets=assets,
        times=period.times[0] + np.arange(len(close)) * np.timedelta64(1, "D"),
        close=close,
        stable=period.panel.stable & frozenset(assets),
        groups={a: g for a, g in period.panel.groups.items() if a in assets},
    )
    solution = decide(with_lookback(strategy, len(rows), None), panel, panel.times[-1])
    if not solution.ok:
        raise NotDefined(f"a split has no answer: {solution.status}: {solution.reason}")
    return np.array([solution.weights.get(asset, 0.0) for asset in assets])


def _held(
    period: Period, price: FloatArray, columns: Bars, weights: FloatArray, first: int, last: int
) -> FloatArray:
    """(last − first,) returns of holding `weights` over one test group, entry cost included."""
    source = period.path
    bars = slice(first, last + 1)
    section = np.ascontiguousarray(price[bars])

    def part(values: FloatArray) -> FloatArray:
        if values.shape[0] != len(source):
            return values
        return np.ascontiguousarray(values[bars][:, columns])

    path = MarketPath(
        assets=tuple(source.assets[column] for column in columns),
        times=source.times[bars],
        price=section,
        tradable=np.ones(section.shape, dtype=np.bool_),
        settle=np.zeros(section.shape, dtype=np.bool_),
        income=part(source.income),
        adv=part(source.adv),
        volatility=part(source.volatility),
        depth=source.depth[columns] if len(source.depth) == len(source.assets) else source.depth,
    )
    fills = decision_bars(path.times, period.spec.rebalance)
    terms: Terms = replace(period.terms, rebalance=Rebalance(every=period.spec.rebalance.every))
    simulation = simulate(
        path,
        np.tile(weights, (len(fills), 1)),
        Schedule.of(len(path), fills),
        terms,
        capital=period.spec.initial_capital,
    )
    return simulation.returns
