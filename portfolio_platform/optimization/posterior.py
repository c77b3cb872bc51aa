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
    import pandas as pd
    from riskfolio.src import ParamsEstimation as estimation

    model = spec.factors
    if model is None or moments.factors is None:
        raise NoAnswer("infeasible", "the model needs factors", universe=moments.assets)
    assets, names = list(moments.assets), list(model.assets)
    frame = pd.DataFrame(moments.returns, columns=assets)
    factors = pd.DataFrame(moments.factors, columns=names)
    load: dict[str, Any] = {"feature_selection": model.selection}
    if model.selection == "PCR":
        load["n_components"] = model.components if model.components < 1 else int(model.components)
    method = moments.meta.covariance_method
    dicts: dict[str, Any] = {"dict_mu": {"d": spec.mean.decay, "target": spec.mean.target}}
    dicts["dict_cov"] = {
        "d": spec.covariance.decay,
        "alpha": spec.covariance.alpha,
        "threshold": spec.covariance.threshold,
    }
    try:
        loadings = estimation.loadings_matrix(X=factors, Y=frame, **load)
        if spec.model == "FM":
            mean, covariance, returns, *_ = estimation.risk_factors(
                factors,
                frame,
                B=loadings,
                const=True,
                method_mu=spec.mean.method,
                method_cov=method,
                **dicts,
            )
        else:
            picks, wanted = view_matrix(model.views, tuple(names), spec.bars_per_year)
            prior = np.full(len(assets), 1.0 / len(assets))
            variance = float(prior @ moments.covariance @ prior)
            aversion = (float(moments.mean @ prior) - moments.risk_free) / variance
            mean, covariance, _ = estimation.black_litterman_bayesian(
                X=frame,
                F=factors,
                B=loadings,
                P_f=picks,
                Q_f=wanted.reshape(-1, 1),
                delta=aversion,
                rf=moments.risk_free,
                const=True,
                method_mu=spec.mean.method,
                method_cov=method,
                **dicts,
            )
            returns = frame
    except (ValueError, LookupError, np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise NoAnswer("numerical", f"factor model: {error}", universe=moments.assets) from error
    mean = np.asarray(mean, dtype=np.float64).ravel()
    if not np.isfinite(mean).all():
        raise NoAnswer(
            "numerical", "the factor model gave non-finite means", universe=moments.assets
        )
    if model.historical_risk:
        return replace(moments, mean=mean)
    covariance = np.asarray(covariance, dtype=np.float64)
    return replace(
        moments,
        mean=mean,
        covariance=0.5 * (covariance + covariance.T),
        returns=np.ascontiguousarray(returns, dtype=np.float64),
    )
