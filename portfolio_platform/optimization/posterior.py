"""Moments after views or factors: Black-Litterman, its Bayesian factor form, the factor model.

After this step every engine sees a mean, a covariance and scenarios, and need not know the model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from portfolio_platform.optimization.moments import Moments
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import infeasible
from portfolio_platform.optimization.solution import NoAnswer
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.spec_parts import View


def apply(spec: StrategySpec, moments: Moments) -> Moments:
    """Return the moments the model of `spec` optimises with.

    Raises
    ------
    NoAnswer
        ``infeasible`` for a view on an asset that cannot be held, ``numerical`` for a singular
        posterior.
    """
    if spec.model == "BL":
        return black_litterman(spec, moments)
    if spec.model in {"FM", "BLB"}:
        return _factor_moments(spec, moments)
    return moments


def view_matrix(
    views: tuple[View, ...], assets: tuple[str, ...], bars_per_year: float
) -> tuple[FloatArray, FloatArray]:
    """Return P (v, n) and Q (v,), the views per bar.

    Raises
    ------
    KeyError
        With the mint that is not among `assets`.
    """
    position = {asset: place for place, asset in enumerate(assets)}
    picks = np.zeros((len(views), len(assets)))
    for row, view in enumerate(views):
        for asset, weight in view.weights.items():
            picks[row, position[asset]] = weight
    return picks, np.array([view.annual_return for view in views]) / bars_per_year


def black_litterman(spec: StrategySpec, moments: Moments) -> Moments:
    """Return moments with the Black-Litterman posterior mean (and covariance if the spec says so).

    τ = 1/T, Ω = diag(P τS Pᵀ), as in riskfolio's ``black_litterman``; the posterior is written in
    its gain form, which needs no inverse of S: Π + τSPᵀ(PτSPᵀ + Ω)⁻¹(Q − PΠ).
    """
    try:
        picks, wanted = view_matrix(spec.views, moments.assets, spec.bars_per_year)
    except KeyError as missing:
        asset = str(missing.args[0])
        why = moments.excluded.get(asset, "unknown mint: not in the price panel")
        raise infeasible(moments, f"a view names {asset}, which cannot be held: {why}") from None
    options, covariance, rf = spec.black_litterman, moments.covariance, moments.risk_free
    count = len(moments.assets)
    if options.prior is None:
        prior = np.full(count, 1.0 / count)
    else:
        prior = np.array([options.prior.get(asset, 0.0) for asset in moments.assets])
    if options.equilibrium:
        aversion = options.risk_aversion
        if aversion is None:
            variance = float(prior @ covariance @ prior)
            if variance <= 0:
                raise NoAnswer(
                    "numerical", "the prior weights have no variance", universe=moments.assets
                )
            aversion = (float(moments.mean @ prior) - rf) / variance
        excess = aversion * covariance @ prior
    else:
        excess = moments.mean - rf
    scaled = covariance / len(moments.returns)
    spread = picks @ scaled @ picks.T
    uncertainty = np.diag(np.diag(spread))
    if (np.diag(spread) <= 0).any():
        raise NoAnswer("numerical", "a view has no variance", universe=moments.assets)
    try:
        gain = np.linalg.solve(spread + uncertainty, picks @ scaled).T
    except np.linalg.LinAlgError:
        raise NoAnswer("numerical", "the views are singular", universe=moments.assets) from None
    mean = excess + gain @ (wanted - picks @ excess) + rf
    if options.posterior_covariance:
        covariance = covariance + scaled - gain @ picks @ scaled
        covariance = 0.5 * (covariance + covariance.T)
    return replace(moments, mean=mean, covariance=covariance)


def _factor_moments(spec: StrategySpec, moments: Moments) -> Moments:
    """Return the moments of riskfolio's factor model or Bayesian Black-Litterman on factors."""
    from portfolio_platform.optimization.engines import worker

    model = spec.factors
    if model is None or moments.factors is None:
        raise NoAnswer("infeasible", "the model needs factors", universe=moments.assets)
    request: dict[str, Any] = {
        "model": spec.model,
        "assets": list(moments.assets),
        "factor_names": list(model.assets),
        "returns": moments.returns,
        "factors": moments.factors,
        "selection": model.selection,
        "components": model.components if model.components < 1 else int(model.components),
        "estimators": {
            "method_mu": spec.mean.method,
            "method_cov": moments.meta.covariance_method,
            "dict_mu": {"d": spec.mean.decay, "target": spec.mean.target},
            "dict_cov": {
                "d": spec.covariance.decay,
                "alpha": spec.covariance.alpha,
                "threshold": spec.covariance.threshold,
            },
        },
        "risk_free": moments.risk_free,
    }
    if spec.model == "BLB":
        picks, wanted = view_matrix(model.views, model.assets, spec.bars_per_year)
        prior = np.full(len(moments.assets), 1.0 / len(moments.assets))
        variance = float(prior @ moments.covariance @ prior)
        if variance <= 0:
            raise NoAnswer("numerical", "equal weights have no variance", universe=moments.assets)
        aversion = (float(moments.mean @ prior) - moments.risk_free) / variance
        request |= {"picks": picks, "wanted": wanted, "aversion": aversion}
    try:
        mean, covariance, returns = worker.ask("factor_moments", request, spec.time_limit)
    except worker.Overdue as overdue:
        raise NoAnswer("time_limit", f"factor model: {overdue}", universe=moments.assets) from None
    except worker.Broken as broken:
        raise NoAnswer("numerical", f"factor model: {broken}", universe=moments.assets) from broken
    if not np.isfinite(mean).all():
        raise NoAnswer(
            "numerical", "the factor model gave non-finite means", universe=moments.assets
        )
    if model.historical_risk:
        return replace(moments, mean=mean)
    return replace(
        moments, mean=mean, covariance=0.5 * (covariance + covariance.T), returns=returns
    )
