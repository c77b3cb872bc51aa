"""How far a backtest is, and what is stored so that a killed run continues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from portfolio_platform.backtesting.decisions import BLOCK, Decision
from portfolio_platform.backtesting.outcomes import Cancelled


@dataclass(frozen=True)
class Progress:
    """One step forward.

    Attributes
    ----------
    done, total
        Decisions taken and to take, over all strategies and variants.
    label
        What is being done.
    block
        JSON-safe block of decisions that was just finished, to be stored; None between blocks.
        ``run_backtest(resume=[...blocks])`` continues from the stored ones.
    """

    done: int
    total: int
    label: str
    block: dict[str, Any] | None = None


class Journal:
    """Takes decisions of interrupted runs, hands them out again, reports new ones."""

    def __init__(
        self,
        total: int,
        *,
        progress: Callable[[Progress], None] | None = None,
        resume: Sequence[Mapping[str, Any]] = (),
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.total = total
        self.done = 0
        self._progress = progress
        self._cancelled = cancelled
        self._blocks: list[dict[str, Any]] = []
        self._stored: dict[str, dict[int, list[Decision]]] = {}
        for block in resume:
            decisions = [Decision.from_json(row) for row in block["decisions"]]
            self._stored.setdefault(block["config_hash"], {})[int(block["number"])] = decisions

    def stored(self, config_hash: str) -> list[Decision]:
        """Return the decisions of the unbroken run of whole blocks from the first one on."""
        blocks = self._stored.get(config_hash, {})
        decisions: list[Decision] = []
        number = 0
        while number in blocks and len(blocks[number]) == BLOCK:
            decisions.extend(blocks[number])
            number += 1
        self.done += len(decisions)
        return decisions

    def block_done(
        self, config_hash: str, label: str, first: int, block: Sequence[Decision]
    ) -> None:
        """Report a block; raise ``Cancelled`` when the caller wants to stop."""
        self.done += len(block)
        stored = {
            "config_hash": config_hash,
            "number": first // BLOCK,
            "decisions": [decision.to_json() for decision in block],
        }
        self._blocks.append(stored)
        self.report(label, stored)

    def report(self, label: str, block: dict[str, Any] | None = None) -> None:
        """Tell the caller how far we are; raise ``Cancelled`` when it wants to stop."""
        if self._progress is not None:
            self._progress(Progress(self.done, self.total, label, block))
        if self._cancelled is not None and self._cancelled():
            raise Cancelled({"blocks": self._blocks})
