"""What the returns of one strategy support: PSR, DSR, track record, each with its reason."""

from __future__ import annotations

from math import sqrt
from typing import Any

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting import sharpe_statistics as statistics
from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.trials import TrialStatistics


def sharpe_evidence(
    returns: FloatArray, spec: BacktestSpec, trials: TrialStatistics
) -> dict[str, Any]:
    """Judge one Sharpe ratio against luck and against the number of trials.

    Returns
    -------
    dict
        Every figure by name, None where it is not defined, and ``undefined`` with the reasons.
        ``deflated_sharpe`` uses the effective number of trials, ``deflated_sharpe_all`` all of
        them. With a single trial there is nothing to deflate and both equal PSR(0).
    """
    q = spec.bars_per_year
    confidence = spec.validation.confidence
    ratio, undefined = metrics.defined(
        {"sr": lambda: metrics.sharpe_per_period(returns, spec.risk_free_rate / q)}
    )
    sharpe = ratio["sr"]
    if sharpe is None:
        return {"sharpe_per_period": None, "undefined": {"sharpe_per_period": undefined["sr"]}}
    skew, kurt = metrics.skewness(returns), metrics.kurtosis(returns)
    observations = len(returns)
    effective = max(2.0, trials.effective)
    variance = trials.variance
    single = trials.count < 2

    def deflated(count: float) -> float:
        if single:
            return statistics.probabilistic_sharpe(sharpe, observations, skew, kurt)
        known = float("nan") if variance is None else variance
        return statistics.deflated_sharpe(sharpe, observations, skew, kurt, known, count)

    def threshold(count: float) -> float:
        if single:
            return 0.0
        known = float("nan") if variance is None else variance
        return statistics.deflated_threshold(known, count)

    values, reasons = metrics.defined(
        {
            "standard_error": lambda: statistics.standard_error(sharpe, observations, skew, kurt),
            "probabilistic_sharpe": lambda: statistics.probabilistic_sharpe(
                sharpe, observations, skew, kurt
            ),
            "deflated_sharpe": lambda: deflated(effective),
            "deflated_sharpe_all": lambda: deflated(float(max(2, trials.count))),
            "deflated_threshold_annual": lambda: sqrt(q) * threshold(effective),
            "minimum_track_record": lambda: statistics.minimum_track_record(
                sharpe, skew, kurt, 0.0, confidence
            ),
            "minimum_track_record_deflated": lambda: statistics.minimum_track_record(
                sharpe, skew, kurt, threshold(effective), confidence
            ),
            "minimum_backtest_years": lambda: statistics.minimum_backtest_length(
                effective, spec.validation.sharpe_target
            ),
            "minimum_backtest_years_bound": lambda: statistics.minimum_backtest_bound(
                effective, spec.validation.sharpe_target
            ),
            "lo_sharpe": lambda: statistics.lo_sharpe(returns, q, sharpe),
        }
    )
    return {
        "sharpe_per_period": sharpe,
        "sharpe_annual": sharpe * sqrt(q),
        "bars_per_year": q,
        "observations": observations,
        "years": observations / q,
        "skewness": skew,
        "kurtosis": kurt,
        **values,
        "undefined": reasons,
    }
