"""BacktestResult: everything a backtest found, in one JSON document with one hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from portfolio_platform.backtesting.outcomes import Reason
from portfolio_platform.backtesting.trials import Trial, canonical_hash

SCHEMA = 1


@dataclass(frozen=True)
class BacktestResult:
    """The stored answer to a backtest request.

    Attributes
    ----------
    outcome
        ``complete``; ``partial`` when something asked for could not be given and `reasons` says
        what; ``failed`` when there is no number at all.
    document
        The whole result, JSON-safe, without timings: the same request on the same data, trials and
        code gives the same document.
    trials
        What the registry has to store, one per configuration that ran.
    """

    outcome: str
    reasons: tuple[Reason, ...]
    document: Mapping[str, Any]
    trials: tuple[Trial, ...] = ()

    @cached_property
    def content_hash(self) -> str:
        """sha256 of the canonical JSON of the document."""
        return canonical_hash(self.document)

    def to_json(self) -> dict[str, Any]:
        """Return the document and its hash."""
        return {**self.document, "content_hash": self.content_hash}
