"""What a Sharpe ratio is worth: standard errors, PSR, deflated SR, least track records.

Every Sharpe ratio here is **per period** (mean excess return over the standard deviation, ddof 1);
``γ4`` is the raw kurtosis, 3 for a normal. Multiply by ``√q`` only to show a number to people.
"""

from __future__ import annotations

from math import e, exp, isfinite, log, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined

EULER_GAMMA = 0.5772156649015329
#: Fewest observations for which the moments in these formulas mean anything.
LEAST_OBSERVATIONS = 4


def sharpe_variance_factor(sharpe: float, skewness: float, kurtosis: float) -> float:
    """``1 − γ3·SR + (γ4 − 1)/4·SR²`` (Mertens 2002): T times the variance of the estimator.

    Raises
    ------
    NotDefined
        For moments that no distribution has (the factor is not positive), or NaN.
    """
    factor = 1.0 - skewness * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if not factor > 0.0 or not isfinite(factor):
        raise NotDefined(f"the moments give a variance factor of {factor:g}")
    return factor


def standard_error(
    sharpe: float, observations: int, skewness: float = 0.0, kurtosis: float = 3.0
) -> float:
    """``√((1 − γ3·SR + (γ4−1)/4·SR²)/T)`` (Mertens 2002); Lo's iid form for γ3 = 0, γ4 = 3."""
    _enough(observations)
    return sqrt(sharpe_variance_factor(sharpe, skewness, kurtosis) / observations)


def probabilistic_sharpe(
    sharpe: float,
    observations: int,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    threshold: float = 0.0,
) -> float:
    """PSR: probability that the true Sharpe ratio exceeds `threshold`.

    ``Φ[(SR − SR*)·√(T−1) / √(1 − γ3·SR + (γ4−1)/4·SR²)]``, Bailey and López de Prado 2012.

    Raises
    ------
    NotDefined
        For fewer than 4 observations or impossible moments.
    """
    _enough(observations)
    factor = sharpe_variance_factor(sharpe, skewness, kurtosis)
    return float(ndtr((sharpe - threshold) * sqrt(observations - 1) / sqrt(factor)))


def expected_maximum(trials: float) -> float:
    """Expected maximum of N standard normals, Bailey and López de Prado 2014.

    ``(1−γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e))`` for N ≥ 2.
    """
    if not trials >= 2.0:
        raise NotDefined(f"the expected maximum needs at least 2 trials, not {trials:g}")
    return float(
        (1.0 - EULER_GAMMA) * ndtri(1.0 - 1.0 / trials)
        + EULER_GAMMA * ndtri(1.0 - 1.0 / (trials * e))
    )


def deflated_threshold(variance: float, trials: float) -> float:
    """SR0: the Sharpe ratio per period that the best of N worthless trials is expected to show.

    Parameters
    ----------
    variance
        Variance of the per-period Sharpe ratios across the trials.
    """
    if not variance >= 0.0 or not isfinite(variance):
        raise NotDefined("the variance of the trials' Sharpe ratios is not known")
    return sqrt(variance) * expected_maximum(trials)


def deflated_sharpe(
    sharpe: float,
    observations: int,
    skewness: float,
    kurtosis: float,
    variance: float,
    trials: float,
) -> float:
    """DSR: ``PSR(SR0)``, Bailey and López de Prado 2014."""
    threshold = deflated_threshold(variance, trials)
    return probabilistic_sharpe(sharpe, observations, skewness, kurtosis, threshold)


def minimum_track_record(
    sharpe: float,
    skewness: float = 0.0,
    kurtosis: float = 3.0,
    threshold: float = 0.0,
    confidence: float = 0.95,
) -> float:
    """MinTRL in observations: how long until ``PSR(threshold)`` reaches `confidence`.

    ``1 + (1 − γ3·SR + (γ4−1)/4·SR²)·(z/(SR−SR*))²``, Bailey and López de Prado 2012.

    Raises
    ------
    NotDefined
        When the Sharpe ratio does not exceed the threshold: no record is long enough.
    """
    if not sharpe > threshold:
        raise NotDefined("the Sharpe ratio does not exceed the threshold: no length suffices")
    factor = sharpe_variance_factor(sharpe, skewness, kurtosis)
    return 1.0 + factor * (float(ndtri(confidence)) / (sharpe - threshold)) ** 2


def minimum_backtest_length(trials: float, annual_sharpe: float) -> float:
    """MinBTL in years: ``(E[max_N]/SR)²``, Bailey, Borwein, López de Prado and Zhu 2014.

    A shorter backtest lets the best of N worthless trials be expected to show `annual_sharpe`.
    """
    if not annual_sharpe > 0.0:
        raise NotDefined("the target Sharpe ratio must be positive")
    return (expected_maximum(trials) / annual_sharpe) ** 2


def minimum_backtest_bound(trials: float, annual_sharpe: float) -> float:
    """Upper bound of :func:`minimum_backtest_length`: ``2·ln N / SR²``."""
    if not trials >= 2.0:
        raise NotDefined(f"the bound needs at least 2 trials, not {trials:g}")
    if not annual_sharpe > 0.0:
        raise NotDefined("the target Sharpe ratio must be positive")
    return 2.0 * log(trials) / annual_sharpe**2


def autocorrelations(returns: FloatArray, lags: int) -> FloatArray:
    """Return (lags,) sample autocorrelations ρ_1 … ρ_lags, biased (divided by T)."""
    centred = returns - returns.mean()
    total = float(centred @ centred)
    if total <= 0.0:
        raise NotDefined("the returns have zero variance")
    return np.array([float(centred[k:] @ centred[:-k]) / total for k in range(1, lags + 1)])


def annualisation_factor(q: int, rho: FloatArray) -> float:
    """Lo's η(q) ``= q/√(q + 2·Σ_{k=1..q−1}(q−k)·ρ_k)``, Lo 2002.

    Parameters
    ----------
    rho
        ρ_1 … ρ_m with m ≤ q − 1; later ones count as zero.
    """
    k = np.arange(1, min(len(rho), q - 1) + 1)
    total = q + 2.0 * float(np.sum((q - k) * rho[: len(k)]))
    if not total > 0.0:
        raise NotDefined("the autocorrelations give a negative long-run variance")
    return q / sqrt(total)


def annualisation_factor_ar1(q: int, rho: float) -> float:
    """Lo's η(q) for an AR(1) with coefficient `rho`."""
    if not -1.0 < rho < 1.0:
        raise NotDefined(f"an AR(1) with coefficient {rho:g} is not stationary")
    if rho == 0.0:
        return sqrt(q)
    power = (
        0.0 if abs(rho) < 1e-300 else exp(q * log(abs(rho))) * (1 if rho > 0 or q % 2 == 0 else -1)
    )
    inner = 1.0 + 2.0 * rho / (1.0 - rho) * (1.0 - (1.0 - power) / (q * (1.0 - rho)))
    return sqrt(q) / sqrt(inner)


def lo_sharpe(returns: FloatArray, q: float, sharpe: float) -> float:
    """Annual Sharpe corrected for autocorrelation: ``η(q)·SR`` (Lo 2002).

    The lags are cut at ``⌊4·(T/100)^(2/9)⌋`` (Newey and West 1994): ρ_k of long lags is noise.
    """
    _enough(len(returns))
    lags = max(1, int(4.0 * (len(returns) / 100.0) ** (2.0 / 9.0)))
    rho = autocorrelations(returns, min(lags, len(returns) - 2))
    return annualisation_factor(round(q), rho) * sharpe


def _enough(observations: int) -> None:
    if observations < LEAST_OBSERVATIONS:
        raise NotDefined(f"{observations} observations, at least {LEAST_OBSERVATIONS} are needed")
