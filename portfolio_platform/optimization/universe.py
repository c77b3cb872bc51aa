"""Which assets may be held at a time, and their returns: the universe rule on known data only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.optimization.names import PROGRAMME_MODELS
from portfolio_platform.optimization.panel import FloatArray, PricePanel
from portfolio_platform.optimization.solution import NoAnswer
from portfolio_platform.optimization.spec import StrategySpec

#: Two columns are one asset when their correlation and their ratio of variances are this near 1.
DUPLICATE_CORRELATION = 1e-10
DUPLICATE_VARIANCE = 1e-9


@dataclass(frozen=True)
class Window:
    """Returns of the eligible assets over the lookback.

    Attributes
    ----------
    assets
        (n) ids, sorted.
    cash
        Stablecoins held outside the allocation because the budget is below 1.
    returns
        (T, n) returns; NaN only with ``overlap: pairwise``.
    factors
        (T, f) returns of the factor assets, or None.
    stable
        (n) whether each asset is a stablecoin.
    excluded
        Candidate to reason.
    yields
        (n) annual yield known at the end of the window, 0 where none.
    """

    assets: tuple[str, ...]
    cash: tuple[str, ...]
    returns: FloatArray
    factors: FloatArray | None
    stable: NDArray[np.bool_]
    groups: tuple[str | None, ...]
    excluded: dict[str, str]
    yields: FloatArray
    first: str
    last: str


def candidates(spec: StrategySpec, panel: PricePanel) -> tuple[list[int], dict[str, str]]:
    """Return the panel columns the universe rule names, sorted by asset id, and missing ones."""
    rule = spec.universe
    excluded: dict[str, str] = {}
    column = {asset: position for position, asset in enumerate(panel.assets)}
    wanted = panel.assets if rule.assets is None else rule.assets
    chosen = []
    factors = set() if spec.factors is None or rule.assets is not None else set(spec.factors.assets)
    for asset in sorted(set(wanted) - set(rule.exclude)):
        if asset not in column:
            excluded[asset] = "not in the price panel"
        elif asset in factors:
            excluded[asset] = "a factor of the model"
        elif rule.groups is None or panel.groups.get(asset) in rule.groups:
            chosen.append(column[asset])
    return chosen, excluded


def needed_history(spec: StrategySpec) -> int:
    """Return how many returns an asset must have inside the lookback."""
    return spec.lookback if spec.universe.min_history is None else spec.universe.min_history


def window(spec: StrategySpec, panel: PricePanel) -> Window:
    """Apply the universe rule to a panel that ends at the decision.

    Raises
    ------
    NoAnswer
        ``insufficient_history`` or ``empty_universe``, with the reason of every asset.
    """
    chosen, excluded = candidates(spec, panel)
    if not chosen:
        reason = "the universe rule names no asset of the panel"
        raise NoAnswer("empty_universe", reason, excluded=excluded)
    needed = needed_history(spec)
    known = max(0, len(panel.times) - 1)
    if known < needed:
        reason = f"{known} returns are known, the strategy needs {needed}"
        listed = tuple(panel.assets[position] for position in chosen)
        raise NoAnswer("insufficient_history", reason, universe=listed, excluded=excluded)

    recent = panel.last(spec.lookback + 1)
    whole = chosen == list(range(len(panel.assets)))
    prices = recent.close if whole else recent.close[:, chosen]
    ids = [panel.assets[position] for position in chosen]
    starts, kept = np.zeros(len(chosen), dtype=np.int64), []
    short = 0
    # a NaN fails the first comparison, an infinity the second
    clean = bool(prices.min() > 0 and prices.max() < np.inf)
    if clean:
        kept = list(range(len(chosen)))
    else:
        prices = prices.copy()
        for position, asset in enumerate(ids):
            why, start = _inspect(spec, recent, prices[:, position], needed)
            if why is None:
                starts[position] = start
                kept.append(position)
            else:
                excluded[asset] = why
                short += why.startswith("history")
    if not kept:
        if short:
            reason = f"no asset has the {needed} returns the strategy needs"
            raise NoAnswer("insufficient_history", reason, excluded=excluded)
        raise NoAnswer("empty_universe", "no asset has usable prices", excluded=excluded)

    start = 0
    if spec.universe.overlap == "common":
        start = int(starts[kept].max())
    columns = [chosen[position] for position in kept]
    labels = [panel.assets[column] for column in columns]
    used = prices[start:] if len(kept) == len(chosen) else prices[start:, kept]
    returns = np.ascontiguousarray(_returns(spec, used))
    stable = np.array([label in panel.stable for label in labels])
    alive = _drop_constant(returns, stable, labels, excluded)
    if spec.universe.duplicates == "keep_first":
        alive = _drop_duplicates(returns, alive, labels, excluded)
    alive, cash = _set_cash_apart(spec, alive, stable, labels, excluded)
    if not alive:
        reason = "only stablecoins are left" if stable.any() else "every price is constant"
        raise NoAnswer("empty_universe", reason, excluded=excluded)
    # one memory layout whatever the order of the panel's columns: sums depend on it in the last bit
    returns = np.ascontiguousarray(returns if len(alive) == len(labels) else returns[:, alive])
    if spec.winsorize is not None:
        low, high = np.nanquantile(returns, [spec.winsorize, 1 - spec.winsorize], axis=0)
        returns = np.clip(returns, low, high)
    assets = tuple(labels[position] for position in alive)
    yields = np.zeros(len(assets))
    if recent.yields is not None:
        yields = np.nan_to_num(recent.yields[-1, [columns[position] for position in alive]])
    return Window(
        assets=assets,
        cash=cash,
        returns=returns,
        factors=_factor_returns(spec, recent, start),
        stable=stable[alive],
        groups=tuple(panel.groups.get(asset) for asset in assets),
        excluded=excluded,
        yields=yields,
        first=str(recent.times[start]),
        last=str(recent.times[-1]),
    )


def chooses_cash(spec: StrategySpec) -> bool:
    """Whether the model itself weighs stablecoins, up to ``cash_cap``."""
    return spec.budget == 1.0 and spec.model in PROGRAMME_MODELS


def _set_cash_apart(
    spec: StrategySpec,
    alive: list[int],
    stable: NDArray[np.bool_],
    names: list[str],
    excluded: dict[str, str],
) -> tuple[list[int], tuple[str, ...]]:
    """Take stablecoins out of the allocation where the model has no cap to hold them with."""
    if chooses_cash(spec) or not stable.any():
        return alive, ()
    risky = [position for position in alive if not stable[position]]
    cash = tuple(names[position] for position in alive if stable[position])
    if spec.budget < 1.0:
        return risky, cash
    for name in cash:
        excluded[name] = "stablecoin: hold it as cash with a budget below 1"
    return risky, ()


def _inspect(
    spec: StrategySpec, panel: PricePanel, price: FloatArray, needed: int
) -> tuple[str | None, int]:
    """Fill the gaps of one price column in place; return a reason to exclude it, and its start."""
    rule = spec.universe
    present = np.isfinite(price)
    if np.isinf(price).any():
        return f"infinite price at {panel.times[np.isinf(price).argmax()]}", 0
    if not present.any():
        return "no price in the window", 0
    if (price[present] <= 0).any():
        where = int(np.flatnonzero(present)[(price[present] <= 0).argmax()])
        return f"price {price[where]:g} at {panel.times[where]}", 0
    rows = len(price)
    first, last = int(present.argmax()), rows - 1 - int(present[::-1].argmax())
    if last < rows - 1 - rule.max_stale:
        return f"no price since {panel.times[last]}", 0
    if rows - 1 - first < needed:
        return f"history of {rows - 1 - first} returns, needs {needed}", 0
    gaps = int((~present[first:]).sum())
    if gaps and rule.missing == "drop_asset":
        return f"{gaps} bars missing", 0
    if gaps > rule.max_missing * (rows - first):
        share = gaps / (rows - first)
        return f"{share:.1%} of bars missing, at most {rule.max_missing:.1%} allowed", 0
    if gaps:
        index = np.where(present, np.arange(rows), 0)
        np.maximum.accumulate(index, out=index)
        price[first:] = price[index[first:]]
    return None, first


def _returns(spec: StrategySpec, prices: FloatArray) -> FloatArray:
    if spec.returns == "log":
        return np.diff(np.log(prices), axis=0)
    return prices[1:] / prices[:-1] - 1.0


def _drop_constant(
    returns: FloatArray, stable: NDArray[np.bool_], ids: list[str], excluded: dict[str, str]
) -> list[int]:
    spread = np.nanmax(returns, axis=0) - np.nanmin(returns, axis=0)
    alive = []
    for position, asset in enumerate(ids):
        if spread[position] > 0 or stable[position]:
            alive.append(position)
        else:
            excluded[asset] = "constant price over the window; declare it stable to hold it as cash"
    return alive


def _drop_duplicates(
    returns: FloatArray, alive: list[int], ids: list[str], excluded: dict[str, str]
) -> list[int]:
    held = returns if len(alive) == returns.shape[1] else returns[:, alive]
    clean = not np.isnan(held).any()
    mean = held.mean(axis=0) if clean else np.nanmean(held, axis=0)
    filled = held if clean else np.where(np.isnan(held), mean, held)
    scale = np.einsum("ij,ij->j", filled, filled) - len(filled) * mean * mean
    order = np.argsort(scale, kind="stable")
    near = np.flatnonzero(np.diff(scale[order]) <= 1e-6 * np.abs(scale[order][1:]))
    if near.size == 0:
        return alive
    suspects = sorted({int(order[i]) for i in near} | {int(order[i + 1]) for i in near})
    centred = np.zeros_like(filled)
    centred[:, suspects] = filled[:, suspects] - mean[suspects]
    scale = (centred**2).sum(axis=0)
    dropped: set[int] = set()
    suspects = sorted({int(order[i]) for i in near} | {int(order[i + 1]) for i in near})
    for place, later in enumerate(suspects):
        for earlier in suspects[:place]:
            if earlier in dropped or scale[earlier] == 0:
                continue
            if abs(scale[later] - scale[earlier]) > DUPLICATE_VARIANCE * scale[earlier]:
                continue
            product = float(centred[:, later] @ centred[:, earlier])
            if product > (1 - DUPLICATE_CORRELATION) * np.sqrt(scale[later] * scale[earlier]):
                dropped.add(later)
                excluded[ids[alive[later]]] = f"same returns as {ids[alive[earlier]]}"
                break
    return [position for place, position in enumerate(alive) if place not in dropped]


def _factor_returns(spec: StrategySpec, panel: PricePanel, start: int) -> FloatArray | None:
    if spec.factors is None:
        return None
    missing = [asset for asset in spec.factors.assets if asset not in panel.assets]
    if missing:
        raise NoAnswer("infeasible", f"factor {missing[0]} is not in the price panel")
    columns = [panel.assets.index(asset) for asset in spec.factors.assets]
    prices = panel.close[start:, columns]
    if not (np.isfinite(prices).all() and (prices > 0).all()):
        broken = ~(np.isfinite(prices) & (prices > 0)).all(axis=0)
        name = spec.factors.assets[int(broken.argmax())]
        raise NoAnswer("insufficient_history", f"factor {name} has missing prices in the window")
    return _returns(spec, prices)
