"""Mean and covariance estimators by riskfolio's names.

The cheap ones are computed here; the others are asked of scikit-learn or riskfolio, imported only
then. All figures are per bar.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.solution import NoAnswer
from portfolio_platform.optimization.spec_parts import CovarianceEstimator, MeanEstimator


def decay_weights(rows: int, decay: float, *, adjust: bool) -> FloatArray:
    """Return the (rows,) exponential weights of pandas ``ewm(alpha=1 - decay)``, summing to 1."""
    weights = decay ** np.arange(rows - 1, -1, -1, dtype=np.float64)
    if not adjust:
        weights[1:] *= 1 - decay
    return weights / weights.sum()


def mean_vector(returns: FloatArray, estimator: MeanEstimator) -> FloatArray:
    """Return the (n,) expected return per bar.

    ``hist`` is the sample mean; ``ewma1``/``ewma2`` decay with and without adjustment; ``JS``
    (James-Stein), ``BS`` (Bayes-Stein, Jorion 1986) and ``BOP`` (Bodnar, Okhrin and Parolya 2019)
    shrink to `target`, with riskfolio's constants.

    Raises
    ------
    NoAnswer
        ``numerical`` when a shrinkage estimator meets a singular covariance.
    """
    rows, count = returns.shape
    method = estimator.method
    if method == "hist":
        return returns.mean(axis=0) if not np.isnan(returns).any() else np.nanmean(returns, axis=0)
    if method in {"ewma1", "ewma2"}:
        return decay_weights(rows, estimator.decay, adjust=method == "ewma1") @ returns

    sample = returns.mean(axis=0)
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    ones = np.ones(count)
    try:
        precision = np.linalg.inv(covariance)
    except np.linalg.LinAlgError:
        precision = np.full_like(covariance, np.nan)
    # a rank-deficient matrix may be inverted into rounding noise: ask for a real inverse
    if not np.allclose(covariance @ precision, np.eye(count), atol=1e-6):
        raise NoAnswer("numerical", f"mean estimator {method} needs a regular covariance") from None
    if estimator.target == "b1":
        target = np.full(count, sample.mean())
    elif estimator.target == "b2":
        target = np.full(count, (ones @ precision @ sample) / (ones @ precision @ ones))
    else:
        target = np.full(count, np.trace(covariance) / rows)
    away = sample - target
    if method == "JS" and not away @ away > 0:
        raise NoAnswer("numerical", "JS has nothing to shrink: every mean is at its target")
    if method == "JS":
        values = np.linalg.eigvalsh(covariance)
        share = (count * values.mean() - 2 * values.max()) / (away @ away) / rows
    elif method == "BS":
        share = (count + 2) / ((count + 2) + rows * (away @ precision @ away))
    else:
        if rows <= count:
            raise NoAnswer("numerical", f"BOP needs more returns than assets, has {rows}")
        own = sample @ precision @ sample
        base = target @ precision @ target
        cross = sample @ precision @ target
        if not own * base - cross**2 > 0:
            raise NoAnswer("numerical", "BOP has nothing to shrink: every mean is at its target")
        keep = ((own - count / (rows - count)) * base - cross**2) / (own * base - cross**2)
        return keep * sample + (1 - keep) * cross / own * target
    return (1 - share) * sample + share * target


def covariance_matrix(
    returns: FloatArray, estimator: CovarianceEstimator, method: str, limit: float
) -> FloatArray:
    """Return the (n, n) covariance per bar by the estimator called `method`.

    Raises
    ------
    NoAnswer
        ``numerical`` when the estimator fails on these returns, ``time_limit`` when a slow one
        takes longer than `limit` seconds.
    """
    rows, count = returns.shape
    if method == "hist":
        centred = returns - returns.mean(axis=0)
        return centred.T @ centred / (rows - 1)
    if method == "semi":
        below = np.minimum(returns - returns.mean(axis=0), 0.0)
        return below.T @ below / (rows - 1)
    if method in {"ewma1", "ewma2"}:
        weights = decay_weights(rows, estimator.decay, adjust=method == "ewma1")
        centred = returns - weights @ returns
        return (centred.T * weights) @ centred / (1 - weights @ weights)
    if count == 1:
        centred = returns - returns.mean(axis=0)
        return centred.T @ centred / (rows - 1)
    if method in {"ledoit", "oas", "shrunk"}:
        return _sklearn_covariance(returns, estimator, method)
    return _riskfolio_covariance(returns, estimator, method, limit)


def pairwise_covariance(returns: FloatArray) -> FloatArray:
    """Return the (n, n) covariance whose entries use the rows where both assets have data."""
    import pandas as pd

    return pd.DataFrame(returns).cov(min_periods=2).to_numpy(dtype=np.float64, copy=True)


def effective_observations(rows: int, estimator: CovarianceEstimator, method: str) -> float:
    """Return Kish's effective number of observations, 1/Σw² of the estimator's weights."""
    if method in {"ewma1", "ewma2"}:
        weights = decay_weights(rows, estimator.decay, adjust=method == "ewma1")
        return float(1.0 / (weights @ weights))
    return float(rows)


def _sklearn_covariance(
    returns: FloatArray, estimator: CovarianceEstimator, method: str
) -> FloatArray:
    from sklearn import covariance as sklearn_covariance

    fitters: dict[str, Any] = {
        "ledoit": lambda: sklearn_covariance.LedoitWolf(),
        "oas": lambda: sklearn_covariance.OAS(),
        "shrunk": lambda: sklearn_covariance.ShrunkCovariance(shrinkage=estimator.alpha),
    }
    try:
        return np.asarray(fitters[method]().fit(returns).covariance_, dtype=np.float64)
    except (FloatingPointError, np.linalg.LinAlgError, ValueError) as error:
        raise NoAnswer("numerical", f"covariance estimator {method}: {error}") from error


def _riskfolio_covariance(
    returns: FloatArray, estimator: CovarianceEstimator, method: str, limit: float
) -> FloatArray:
    """Ask riskfolio in its own process: Gerber statistics and graphical lassos are slow."""
    from portfolio_platform.optimization.engines import worker

    asked = {
        "method": method,
        "alpha": estimator.alpha,
        "bWidth": estimator.bandwidth,
        "detone": estimator.detone,
        "mkt_comp": estimator.market_components,
        "threshold": estimator.threshold,
    }
    try:
        answer: FloatArray = worker.ask("covariance", {"returns": returns, "asked": asked}, limit)
    except worker.Overdue as overdue:
        raise NoAnswer("time_limit", f"covariance estimator {method}: {overdue}") from None
    except worker.Broken as broken:
        raise NoAnswer("numerical", f"covariance estimator {method}: {broken}") from broken
    return answer
