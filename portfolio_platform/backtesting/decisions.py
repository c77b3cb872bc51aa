"""Walk-forward: the live step, taken at every decision time of the past, in resumable blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.simulator import Schedule
from portfolio_platform.backtesting.spec_parts import Window
from portfolio_platform.optimization import Decider, PricePanel, Solution, StrategySpec, batch
from portfolio_platform.optimization.walk_forward import walk_forward
from portfolio_platform.optimization.warm import warm

#: Decisions of one block. A block starts cold, so a run resumed at a block boundary is the same to
#: the bit as one that was never stopped, whatever an engine keeps warm between calls.
BLOCK = 64


@dataclass(frozen=True)
class Decision:
    """What the strategy said at one time."""

    bar: int
    status: str
    reason: str | None
    weights: Mapping[str, float]
    fallback: str | None = None

    @classmethod
    def of(cls, bar: int, solution: Solution) -> Decision:
        """Keep of a solution what the simulation and the report need."""
        return cls(
            bar,
            solution.status,
            solution.reason,
            {asset: weight for asset, weight in solution.weights.items() if weight != 0.0},
            solution.fallback,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the decision, JSON-safe."""
        return {
            "bar": self.bar,
            "status": self.status,
            "reason": self.reason,
            "weights": dict(self.weights),
            "fallback": self.fallback,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Decision:
        """Restore a decision."""
        return cls(
            int(data["bar"]), data["status"], data["reason"], data["weights"], data["fallback"]
        )


def windowed(
    spec: StrategySpec, window: Window, panel: PricePanel, as_of: np.datetime64
) -> StrategySpec:
    """Return `spec` with the lookback that `window` prescribes at `as_of`."""
    if window.kind == "strategy" or window.bars is None:
        return spec
    least = window.bars
    if window.kind == "rolling":
        return with_lookback(spec, least, spec.universe.min_history)
    known = int(np.searchsorted(panel.times, as_of, side="right")) - 1
    needed = spec.universe.min_history or least
    return with_lookback(spec, max(known, least), needed)


def with_lookback(spec: StrategySpec, lookback: int, needed: int | None) -> StrategySpec:
    """Return `spec` and its members with another lookback; `needed` is the history of an asset."""
    data = spec.model_dump()
    for member, part in zip(data["members"], spec.members, strict=True):
        member["spec"] = with_lookback(part.spec, lookback, needed).model_dump()
    data["lookback"] = lookback
    data["universe"]["min_history"] = None if needed is None else min(needed, lookback)
    return StrategySpec.model_validate(data)


def looks_at_holdings(spec: StrategySpec) -> bool:
    """Whether a decision depends on what is held, so that decisions cannot be taken ahead."""
    return (
        spec.turnover is not None
        or spec.cost_bps > 0
        or "previous" in spec.fallback
        or any(looks_at_holdings(member.spec) for member in spec.members)
    )


def solve_block(
    spec: StrategySpec,
    window: Window,
    panel: PricePanel,
    bars: Sequence[int],
    times: NDArray[np.datetime64],
) -> list[Decision]:
    """Decide at ``times[bar]`` for each of `bars`, independent of holdings."""
    if window.kind != "expanding":
        return _together(windowed(spec, window, panel, times[bars[0]]), panel, bars, times)
    decided = []
    for bar in bars:
        decider = Decider(windowed(spec, window, panel, times[bar]))
        decided.append(Decision.of(bar, decider.decide(panel, times[bar])))
    return decided


def _together(
    spec: StrategySpec, panel: PricePanel, bars: Sequence[int], times: NDArray[np.datetime64]
) -> list[Decision]:
    walk = walk_forward(spec, panel, times[np.asarray(bars)])
    decided = []
    for place, bar in enumerate(bars):
        if walk.statuses[place] == "optimal" and not spec.fallback:
            decided.append(Decision(bar, "optimal", None, walk.target(place)))
        else:
            decided.append(Decision.of(bar, walk.solutions[place]))
    return decided


def compile_kernels(spec: StrategySpec, panel: PricePanel) -> None:
    """Compile what a walk of `spec` can use, so that no answer depends on what is warm.

    Compiled and uncompiled answers agree within 1e-9, not to the bit; a stored result must.
    """
    risky = sum(asset not in panel.stable for asset in panel.assets)
    cases = ((risky, False), (risky, True), (len(panel.assets), True), (2, False))
    needed = {batch.kind(spec, count, has_cash=has_cash) for count, has_cash in cases if count >= 2}
    if not all(name is None or batch.is_ready(name) for name in needed):
        warm()


def step_with_holdings(
    spec: StrategySpec,
    window: Window,
    panel: PricePanel,
    bar: int,
    times: NDArray[np.datetime64],
    held: Mapping[str, float] | None,
) -> Decision:
    """Decide at one time, given the weights held then."""
    decider = Decider(windowed(spec, window, panel, times[bar]))
    return Decision.of(bar, decider.decide(panel, times[bar], current=held))


def target_matrix(
    decisions: Sequence[Decision], assets: Sequence[str]
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return (K, n) targets of the decisions that have weights, and their (K,) bars.

    A decision without an answer leaves the previous target in force: the holding drifts.
    """
    column = {asset: position for position, asset in enumerate(assets)}
    answered = [decision for decision in decisions if decision.status == "optimal"]
    targets = np.zeros((len(answered), len(assets)))
    for row, decision in enumerate(answered):
        for asset, weight in decision.weights.items():
            targets[row, column[asset]] = weight
    return targets, np.array([decision.bar for decision in answered], dtype=np.int64)


class Standing:
    """Targets in force at each bar, grown decision by decision.

    Parameters
    ----------
    most
        Decisions that will be added at most.
    lag
        Bars from a decision to its fill.
    """

    def __init__(self, assets: Sequence[str], bars: int, most: int, lag: int) -> None:
        self._column = {asset: position for position, asset in enumerate(assets)}
        self._lag = lag
        self._rows = 0
        self.targets: FloatArray = np.zeros((max(1, most), len(assets)))
        self.schedule = Schedule(np.full(bars, -1, dtype=np.int64), np.zeros(bars, dtype=np.bool_))

    def add(self, decision: Decision) -> None:
        """Put a decision in force; one without weights leaves the previous target there."""
        if decision.status != "optimal":
            return
        row, fill = self._rows, decision.bar + self._lag
        for asset, weight in decision.weights.items():
            self.targets[row, self._column[asset]] = weight
        self._rows += 1
        self.schedule.target_at[fill:] = row
        self.schedule.arrives[fill : fill + 1] = True
