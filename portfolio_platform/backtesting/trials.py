"""The trial registry's pure part: what counts as a trial, and how many there really were."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import numpy as np

from portfolio_platform.backtesting.outcomes import NotDefined

#: Hash before the first row of a family.
GENESIS = "0" * 64


def canonical_hash(value: Any) -> str:
    """Return the sha256 of the canonical JSON of `value` (sorted keys, no blanks, no NaN)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def chain_hash(previous: str, family: str, config_hash: str, config: Mapping[str, Any]) -> str:
    """Return the hash of a registry row, which holds the hash of the row before it.

    Numbers count as floats: a store may give 1e16 back as an integer.
    """
    return canonical_hash(
        {
            "previous": previous,
            "family": family,
            "config_hash": config_hash,
            "config": _as_floats(config),
        }
    )


def _as_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_floats(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_as_floats(part) for part in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def verify_chain(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the position of the first row that does not follow from the one before, or None.

    Parameters
    ----------
    rows
        Rows of one family in order, each with ``previous_hash``, ``family``, ``config_hash``,
        ``config`` and ``row_hash``.
    """
    previous = GENESIS
    for position, row in enumerate(rows):
        expected = chain_hash(previous, row["family"], row["config_hash"], row["config"])
        if row["previous_hash"] != previous or row["row_hash"] != expected:
            return position
        previous = row["row_hash"]
    return None


@dataclass(frozen=True)
class Trial:
    """One configuration that was tried.

    Attributes
    ----------
    config_hash
        Identity: the same configuration on the same data is the same trial.
    sharpe
        Per period; None while it has not finished, or when it failed. It counts all the same.
    returns
        (T,) net returns per period, or None.
    bars_per_year
        Periods per year of `sharpe` and `returns`.
    start
        First bar of the returns, ISO text; only returns that start together are compared.
    """

    config_hash: str
    sharpe: float | None = None
    skewness: float | None = None
    kurtosis: float | None = None
    n_observations: int | None = None
    returns: tuple[float, ...] | None = field(default=None, repr=False)
    bars_per_year: float = 365.0
    start: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def row(self) -> dict[str, Any]:
        """Return what the registry stores of a finished trial."""
        return {
            "config_hash": self.config_hash,
            "sharpe": self.sharpe,
            "skewness": self.skewness,
            "kurtosis": self.kurtosis,
            "n_observations": self.n_observations,
            "returns": None if self.returns is None else list(self.returns),
        }


@dataclass(frozen=True)
class TrialStatistics:
    """What the deflation needs to know of a family.

    Attributes
    ----------
    count
        M, all trials, finished or not.
    variance
        Variance (ddof 1) of the per-period Sharpe ratios of the finished ones, at the periods of
        the result that is judged; None with fewer than two.
    average_correlation
        ρ̄ over all pairs, at least 0; a pair whose returns cannot be compared counts as 0.
    effective
        N ≈ ρ̄ + (1 − ρ̄)·M.
    """

    count: int
    finished: int
    variance: float | None
    average_correlation: float
    effective: float

    def to_json(self) -> dict[str, float | int | None]:
        """Return the figures, JSON-safe."""
        return {
            "count": self.count,
            "finished": self.finished,
            "sharpe_variance_per_period": self.variance,
            "average_correlation": self.average_correlation,
            "effective": self.effective,
        }


@dataclass(frozen=True)
class TrialFamily:
    """All trials of one family at a time; unique by configuration, in order of arrival.

    Attributes
    ----------
    altered_at
        Position of the first row of the registry that does not follow from the one before it: a
        trial was taken out or changed, and the count is worth nothing. None when none was.
    """

    name: str = "default"
    trials: tuple[Trial, ...] = ()
    altered_at: int | None = None

    def __post_init__(self) -> None:
        if len({trial.config_hash for trial in self.trials}) != len(self.trials):
            raise ValueError("a configuration appears twice in the family")

    @classmethod
    def from_rows(cls, name: str, rows: Iterable[Mapping[str, Any]]) -> TrialFamily:
        """Build a family from rows of ``ops.trials``, in the order of ``trial_id``.

        Rows that carry their hashes are verified against each other.
        """
        listed = list(rows)
        chained = bool(listed) and all("row_hash" in row for row in listed)
        return cls(
            name,
            tuple(
                Trial(
                    config_hash=row["config_hash"],
                    sharpe=row.get("sharpe"),
                    skewness=row.get("skewness"),
                    kurtosis=row.get("kurtosis"),
                    n_observations=row.get("n_observations"),
                    returns=None if row.get("returns") is None else tuple(row["returns"]),
                    bars_per_year=float(row["config"]["bars_per_year"]),
                    start=row["config"].get("start"),
                    config=row["config"],
                )
                for row in listed
            ),
            verify_chain(listed) if chained else None,
        )

    def with_trials(self, trials: Iterable[Trial]) -> TrialFamily:
        """Return the family with `trials` in place of those of their hash, new ones at the end."""
        new = {trial.config_hash: trial for trial in trials}
        kept = [new.pop(trial.config_hash, trial) for trial in self.trials]
        return replace(self, trials=(*kept, *new.values()))

    @property
    def identity(self) -> str:
        """Hash of what the results judged with this family depend on."""
        return canonical_hash([[trial.config_hash, trial.sharpe] for trial in self.trials])

    def number_of(self, config_hash: str) -> int:
        """Return k of "trial k of M"."""
        for position, trial in enumerate(self.trials):
            if trial.config_hash == config_hash:
                return position + 1
        raise NotDefined(f"configuration {config_hash[:12]} is not in family {self.name}")

    def statistics(self, bars_per_year: float) -> TrialStatistics:
        """Return count, variance, correlation and effective number of trials."""
        ratios = [
            trial.sharpe * sqrt(trial.bars_per_year / bars_per_year)
            for trial in self.trials
            if trial.sharpe is not None
        ]
        count = len(self.trials)
        correlation = self._average_correlation()
        return TrialStatistics(
            count=count,
            finished=len(ratios),
            variance=float(np.var(ratios, ddof=1)) if len(ratios) > 1 else None,
            average_correlation=correlation,
            effective=correlation + (1.0 - correlation) * count,
        )

    def _average_correlation(self) -> float:
        groups: dict[tuple[str | None, float, int], list[tuple[float, ...]]] = {}
        for trial in self.trials:
            if trial.returns is not None and len(trial.returns) > 2:
                key = (trial.start, trial.bars_per_year, len(trial.returns))
                groups.setdefault(key, []).append(trial.returns)
        total = 0.0
        for rows in groups.values():
            series = np.array(rows)
            series = series[series.std(axis=1) > 0.0]
            if len(series) > 1:
                total += float(np.triu(np.corrcoef(series), 1).sum())
        pairs = len(self.trials) * (len(self.trials) - 1) / 2
        return min(1.0, max(0.0, total / pairs)) if pairs else 0.0
