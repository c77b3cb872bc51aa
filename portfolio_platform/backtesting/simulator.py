"""Simulation of a portfolio that trades towards target weights, with costs and drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.market_path import FloatArray, MarketPath
from portfolio_platform.backtesting.spec import Convention
from portfolio_platform.backtesting.spec_parts import Rebalance
from portfolio_platform.reallocation.costs import CostModel

#: Columns of ``Simulation.flows``.
FLOWS = ("fee", "slippage", "impact", "fixed", "writeoff", "turnover", "income")
_CONVENTIONS = {"pro_rata": 0, "exact": 1, "vectorbt": 2}
_RULES = {"calendar": 0, "band": 1, "utilization": 2}
_IMPACTS = {"none": 0, "sqrt": 1, "pool": 2}


@dataclass(frozen=True)
class Terms:
    """How a portfolio trades: everything of a simulation that is neither market nor targets."""

    costs: CostModel = field(default_factory=CostModel)
    convention: Convention = "pro_rata"
    rebalance: Rebalance = field(default_factory=Rebalance)
    cash_rate_per_bar: float = 0.0
    recovery: float = 1.0

    def parameters(self) -> FloatArray:
        """Return the vector the compiled walk reads."""
        costs, rule = self.costs, self.rebalance
        return np.array(
            [
                costs.fee,
                costs.slippage,
                costs.fixed_fee,
                costs.min_trade,
                costs.participation_cap or 0.0,
                costs.impact_coefficient,
                rule.band or 0.0,
                rule.lower,
                rule.upper,
                rule.abs_band,
                self.cash_rate_per_bar,
                self.recovery,
            ]
        )


@dataclass(frozen=True)
class Schedule:
    """Which row of the targets is in force at each bar.

    Attributes
    ----------
    target_at
        (T,) row of the targets in force, -1 before the first.
    arrives
        (T,) whether that row is new at this bar.
    """

    target_at: NDArray[np.int64]
    arrives: NDArray[np.bool_]

    @classmethod
    def of(cls, bars: int, fills: NDArray[np.int64]) -> Schedule:
        """Put target k in force at bar ``fills[k]``; fills at or after `bars` never happen."""
        target_at = np.full(bars, -1, dtype=np.int64)
        arrives = np.zeros(bars, dtype=np.bool_)
        inside = np.flatnonzero(fills < bars)
        target_at[fills[inside]] = inside
        arrives[fills[inside]] = True
        np.maximum.accumulate(target_at, out=target_at)
        return cls(target_at, arrives)


@dataclass
class State:
    """A portfolio between two bars: what a walk needs to continue, to the bit."""

    bar: int
    held: FloatArray
    cash: float

    @classmethod
    def initial(cls, n: int, capital: float) -> State:
        """All cash, before the first bar."""
        return cls(0, np.zeros(n), capital)

    def to_json(self) -> dict[str, Any]:
        """Return the state, JSON-safe; Python's float text restores every bit."""
        return {"bar": self.bar, "held": self.held.tolist(), "cash": self.cash}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> State:
        """Restore a state."""
        return cls(int(data["bar"]), np.array(data["held"], dtype=np.float64), float(data["cash"]))


@dataclass(frozen=True)
class Simulation:
    """What a walk recorded; all money in the currency of the prices.

    Attributes
    ----------
    equity, cash
        (T,) after trading.
    flows
        (T, 7) fee, slippage, impact, fixed fee, write-off, turnover, income of each bar.
    units
        (T, n) held after trading.
    """

    capital: float
    equity: FloatArray
    cash: FloatArray
    flows: FloatArray
    units: FloatArray

    @property
    def returns(self) -> FloatArray:
        """(T − 1,) simple returns per bar; costs paid at the first bar fall into the first one."""
        return simple_returns(self.equity, self.capital)

    @property
    def turnover(self) -> FloatArray:
        """(T,) traded notional, both sides, over the equity before the bar."""
        before = np.concatenate([[self.capital], self.equity[:-1]])
        return np.divide(self.flows[:, 5], before, out=np.zeros_like(before), where=before > 0.0)

    @property
    def costs(self) -> FloatArray:
        """(T,) all costs of each bar, write-offs included."""
        return self.flows[:, :5].sum(axis=1)

    def weights(self, price: FloatArray) -> FloatArray:
        """(T, n) share of equity in each asset after trading."""
        worth = self.units * price
        equity = self.equity[:, None]
        return np.divide(worth, equity, out=np.zeros_like(worth), where=equity > 0.0)

    def accounting_error(self, price: FloatArray) -> float:
        """Largest relative breach of the accounting identity over all bars.

        ``cash + Σ h·P + Σ costs = initial + Σ h·ΔP + Σ income`` after every bar.
        """
        gain = np.zeros(len(self.equity))
        gain[1:] = (self.units[:-1] * np.diff(price, axis=0)).sum(axis=1)
        holdings = self.cash + (self.units * price).sum(axis=1)
        left = holdings + np.cumsum(self.costs)
        right = self.capital + np.cumsum(gain) + np.cumsum(self.flows[:, 6])
        scale = np.maximum.accumulate(np.maximum(np.abs(left), self.capital))
        return float(np.max(np.abs(left - right) / scale))


def simple_returns(equity: FloatArray, capital: float) -> FloatArray:
    """Return (T − 1,) simple returns of an equity path that starts from `capital`.

    After ruin (equity 0) there is nothing left to lose: later returns are 0.
    """
    base = np.concatenate([[capital], equity[1:]])
    growth = np.divide(base[1:], base[:-1], out=np.ones(len(base) - 1), where=base[:-1] > 0.0)
    return growth - 1.0


def simulate(
    path: MarketPath,
    targets: FloatArray,
    schedule: Schedule,
    terms: Terms,
    *,
    capital: float = 1.0,
) -> Simulation:
    """Walk a whole path with (K, n) target weights; rows sum to at most 1, the rest is cash."""
    walker = Walker(path, terms, capital=capital)
    walker.advance(len(path), np.ascontiguousarray(targets, dtype=np.float64), schedule)
    return walker.record()


class Walker:
    """A walk that can stop between bars, be asked what it holds, and go on."""

    def __init__(
        self,
        path: MarketPath,
        terms: Terms,
        *,
        capital: float,
    ) -> None:
        bars, n = path.price.shape
        self.path = path
        self.terms = terms
        self.capital = capital
        self.state = State.initial(n, capital)
        self.equity = np.zeros(bars)
        self.cash = np.zeros(bars)
        self.flows = np.zeros((bars, len(FLOWS)))
        self.units = np.zeros((bars, n))

    def advance(self, stop: int, targets: FloatArray, schedule: Schedule) -> None:
        """Walk to bar `stop` (exclusive)."""
        from portfolio_platform.backtesting import kernels

        state, path = self.state, self.path
        if stop <= state.bar:
            return
        compiled: Callable[..., float] = kernels.walk
        state.cash = compiled(
            state.bar,
            stop,
            path.compiled,
            targets,
            schedule.target_at,
            schedule.arrives,
            *_terms(self.terms),
            state.held,
            state.cash,
            self.equity,
            self.cash,
            self.flows,
            self.units,
            np.zeros((1, len(FLOWS))),
        )
        state.bar = stop

    def weights_at(self, bar: int) -> dict[str, float] | None:
        """Return the weights held at the prices of `bar`; None when nothing is held."""
        worth = self.state.held * self.path.price[bar]
        value = self.state.cash + float(worth.sum())
        if value <= 0.0 or not worth.any():
            return None
        return {
            asset: float(share)
            for asset, share in zip(self.path.assets, worth / value, strict=True)
            if share > 0.0
        }

    def record(self) -> Simulation:
        """Return what was recorded."""
        return Simulation(self.capital, self.equity, self.cash, self.flows, self.units)


def simulate_many(
    path: MarketPath,
    targets: FloatArray,
    schedule: Schedule,
    terms: Terms,
    *,
    capital: float = 1.0,
) -> tuple[FloatArray, FloatArray]:
    """Walk S strategies over one market.

    Parameters
    ----------
    targets
        (S, K, n) weights on one common schedule.

    Returns
    -------
    equity : (S, T)
    totals : (S, 7)
        Sum of each flow.
    """
    from portfolio_platform.backtesting import kernels

    equity = np.empty((targets.shape[0], len(path)))
    totals = np.zeros((targets.shape[0], len(FLOWS)))
    compiled: Callable[..., None] = kernels.walk_many
    compiled(
        path.compiled,
        np.ascontiguousarray(targets, dtype=np.float64),
        schedule.target_at,
        schedule.arrives,
        *_terms(terms),
        capital,
        equity,
        totals,
    )
    return equity, totals


def _terms(terms: Terms) -> tuple[Any, ...]:
    return (
        _CONVENTIONS[terms.convention],
        _RULES[terms.rebalance.rule],
        _IMPACTS[terms.costs.impact],
        terms.parameters(),
    )
