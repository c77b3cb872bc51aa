"""Solution: the answer of an optimisation, or the typed reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

Status = Literal[
    "optimal",
    "infeasible",
    "no_positive_excess_return",
    "unbounded",
    "time_limit",
    "numerical",
    "insufficient_history",
    "empty_universe",
]
STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True)
class Attempt:
    """One engine that was asked: what it said, how long it took, why it was not taken."""

    engine: str
    status: str
    seconds: float
    reason: str | None = None


class NoAnswer(Exception):
    """There is no portfolio; `status` and `reason` say why. ``decide`` makes it a Solution."""

    def __init__(
        self,
        status: Status,
        reason: str,
        *,
        universe: tuple[str, ...] = (),
        excluded: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}: {reason}")
        self.status: Status = status
        self.reason = reason
        self.universe = universe
        self.excluded = excluded or {}
        self.attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True)
class MomentsMeta:
    """What the moments of a solution were made of."""

    mean_method: str
    covariance_method: str
    observations: int
    effective_observations: float
    psd_repair: str | None
    covariance: FloatArray = field(repr=False, compare=False)
    first: str | None = None
    last: str | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def condition_number(self) -> float:
        """Largest over smallest eigenvalue of the covariance; infinite when it is singular."""
        if self.covariance.size == 0:
            return float("nan")
        values = np.linalg.eigvalsh(self.covariance)
        if values[0] <= np.finfo(float).eps * max(values[-1], 0.0):
            return float("inf")
        return float(values[-1] / values[0])


@dataclass(frozen=True)
class Solution:
    """Optimal weights with their certificate, or a typed outcome without weights.

    Attributes
    ----------
    status
        One of ``STATUSES``; weights exist only with ``optimal``.
    weights
        Asset to weight; sums to 1 within 1e-9 and holds a zero for every unused universe member.
    objective
        Value of the objective at the stored weights, per bar: the risk (variance for MV) for
        MinRisk, the ratio for Sharpe, the utility for Utility, the mean for MaxRet; None for rules.
    gap
        Certified relative distance to the optimum; None when the model has no optimum to be near.
    violation
        Largest violation of the budget, a bound or a row, re-evaluated on the stored weights.
    expected_return, volatility
        Per year; volatility is the standard deviation.
    fallback
        The alternative problem that answered, when the spec names some and its own had no answer.
    """

    status: Status
    weights: dict[str, float] = field(default_factory=dict)
    objective: float | None = None
    gap: float | None = None
    violation: float | None = None
    engine: str | None = None
    solver: str | None = None
    iterations: int | None = None
    seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    reason: str | None = None
    expected_return: float | None = None
    volatility: float | None = None
    universe: tuple[str, ...] = ()
    excluded: dict[str, str] = field(default_factory=dict)
    moments: MomentsMeta | None = None
    fallback: str | None = None
    as_of: str | None = None

    @property
    def ok(self) -> bool:
        """Whether there are weights."""
        return self.status == "optimal"

    @property
    def condition_number(self) -> float | None:
        """Condition number of the covariance matrix."""
        return None if self.moments is None else self.moments.condition_number

    @property
    def effective_observations(self) -> float | None:
        """Observations the covariance estimate is worth (Kish's size for decaying weights)."""
        return None if self.moments is None else self.moments.effective_observations

    @property
    def psd_repair(self) -> str | None:
        """What was done to make the covariance positive semidefinite, if anything."""
        return None if self.moments is None else self.moments.psd_repair

    def content(self) -> dict[str, Any]:
        """Return what the inputs determine: no times, no engine. Same inputs give equal content."""
        meta: dict[str, Any] | None = None
        if self.moments is not None:
            meta = {
                "mean_method": self.moments.mean_method,
                "covariance_method": self.moments.covariance_method,
                "observations": self.moments.observations,
                "effective_observations": _number(self.moments.effective_observations),
                "condition_number": _rounded(self.moments.condition_number),
                "psd_repair": self.moments.psd_repair,
                "first": self.moments.first,
                "last": self.moments.last,
                "notes": list(self.moments.notes),
            }
        return {
            "status": self.status,
            "reason": self.reason,
            "fallback": self.fallback,
            "as_of": self.as_of,
            "weights": {asset: float(weight) for asset, weight in sorted(self.weights.items())},
            "objective": _number(self.objective),
            "expected_return": _number(self.expected_return),
            "volatility": _number(self.volatility),
            "universe": list(self.universe),
            "excluded": dict(sorted(self.excluded.items())),
            "moments": meta,
        }

    def to_json(self) -> dict[str, Any]:
        """Return the content and how it came about (engine, certificate, timings), JSON-safe."""
        return self.content() | {
            "gap": _number(self.gap),
            "violation": _number(self.violation),
            "engine": self.engine,
            "solver": self.solver,
            "iterations": self.iterations,
            "seconds": self.seconds,
            "attempts": [
                {
                    "engine": attempt.engine,
                    "status": attempt.status,
                    "seconds": attempt.seconds,
                    "reason": attempt.reason,
                }
                for attempt in self.attempts
            ],
        }


def _number(value: float | None) -> float | None:
    if value is None or not np.isfinite(value):
        return None
    return float(value)


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None
