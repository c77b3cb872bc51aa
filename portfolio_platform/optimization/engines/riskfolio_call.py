"""What riskfolio is asked, on plain numbers: weights, covariances, ordered weights, factor moments.

Called in the kept process of ``worker``; nothing here knows about processes or limits.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SOLVERS = ["CLARABEL", "SCS"]
#: What riskfolio raises where it cannot answer.
ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


def load() -> tuple[type[Exception], ...]:
    """Import riskfolio, which takes seconds; return what it raises where it cannot answer."""
    import riskfolio  # noqa: F401
    from cvxpy.error import DCPError, SolverError

    return (*ERRORS, DCPError, SolverError)


def call(request: dict[str, Any]) -> dict[str, Any]:
    """Return ``{"weights": (n,) or None, "said": printed text}`` for one request."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = _weights(request)
    return {"weights": weights, "said": said.getvalue().strip()}


def covariance(request: dict[str, Any]) -> np.ndarray:
    """Return the (n, n) covariance of ``returns`` by riskfolio's ``covar_matrix``."""
    import pandas as pd
    from riskfolio.src import ParamsEstimation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = ParamsEstimation.covar_matrix(pd.DataFrame(request["returns"]), **request["asked"])
    return np.ascontiguousarray(frame.to_numpy(dtype=np.float64))


def linear_moments(request: dict[str, Any]) -> np.ndarray:
    """Return the (T,) ordered weights of an L-moment, or of the convex risk measure of several."""
    import riskfolio

    rows, order = request["rows"], request["order"]
    if request["measure"] == "l_moment":
        vector = riskfolio.owa_l_moment(rows, k=order)
    else:
        vector = riskfolio.owa_l_moment_crm(rows, k=order, method=request["method"])
    return np.asarray(vector, dtype=np.float64).ravel()


def _weights(request: dict[str, Any]) -> np.ndarray | None:
    import pandas as pd
    import riskfolio

    spec, assets = request["spec"], request["assets"]
    frame = pd.DataFrame(request["returns"], columns=assets)
    mean = pd.DataFrame(request["mean"].reshape(1, -1), columns=assets)
    covariance = pd.DataFrame(request["covariance"], index=assets, columns=assets)
    tail = spec["tail"]
    if spec["model"] in {"HRP", "HERC", "HERC2", "NCO"}:
        answer = _hierarchical(riskfolio, request, frame, mean, covariance)
    else:
        portfolio = riskfolio.Portfolio(returns=frame, **tail)
        portfolio.solvers = list(SOLVERS)
        portfolio.sol_params = {
            "CLARABEL": {"time_limit": request["time_limit"]},
            "SCS": {"time_limit_secs": request["time_limit"]},
        }
        if spec["rm"] in {"KT", "SKT"}:
            portfolio.assets_stats(method_kurt="hist")
        portfolio.mu, portfolio.cov = mean, covariance
        if len(request["rows"]):
            portfolio.ainequality = request["rows"]
            portfolio.binequality = request["limits"].reshape(-1, 1)
        answer = _programme(riskfolio, portfolio, request)
    if answer is None:
        return None
    return answer.reindex(assets).to_numpy(dtype=np.float64).ravel()


def _hierarchical(
    riskfolio: Any, request: dict[str, Any], frame: Any, mean: Any, covariance: Any
) -> Any:
    spec, shape = request["spec"], request["spec"]["hierarchy"]
    portfolio = riskfolio.HCPortfolio(returns=frame, **spec["tail"])
    return portfolio.optimization(
        model=spec["model"],
        codependence=shape["codependence"],
        obj=spec["obj"],
        rm=spec["rm"],
        rf=request["risk_free"],
        l=spec["risk_aversion"],
        method_mu="custom_mu",
        custom_mu=mean,
        method_cov="custom_cov",
        custom_cov=covariance,
        linkage=shape["linkage"],
        opt_k_method=shape["selection"],
        k=shape["clusters"],
        max_k=shape["max_clusters"],
        leaf_order=shape["leaf_order"],
    )


def _programme(riskfolio: Any, portfolio: Any, request: dict[str, Any]) -> Any:
    spec = request["spec"]
    model, obj = spec["model"], spec["obj"]
    rf, aversion = request["risk_free"], spec["risk_aversion"]
    if model == "RP":
        budget = request["risk_budget"].reshape(-1, 1)
        return portfolio.rp_optimization(model="Classic", rm=spec["rm"], rf=rf, b=budget)
    if model == "RRP":
        relaxed = spec["relaxed"]
        return portfolio.rrp_optimization(
            model="Classic",
            version=relaxed["version"],
            l=relaxed["penalty"],
            b=request["risk_budget"].reshape(-1, 1),
        )
    if model == "WC":
        sets = spec["worst_case"]
        portfolio.wc_stats(
            box=sets["box"],
            ellip=sets["ellipse"],
            q=sets["significance"],
            n_sim=sets["simulations"],
            dmu=sets["delta_mean"],
            dcov=sets["delta_covariance"],
            seed=sets["seed"],
        )
        return portfolio.wc_optimization(
            obj=obj, rf=rf, l=aversion, Umu=sets["mean_set"], Ucov=sets["covariance_set"]
        )
    if model == "OWA":
        ordered = _owa_weights(riskfolio, len(request["returns"]), spec)
        return portfolio.owa_optimization(obj=obj, owa_w=ordered, rf=rf, l=aversion)
    return portfolio.optimization(
        model="Classic", rm=spec["rm"], obj=obj, kelly=spec["kelly"], rf=rf, l=aversion
    )


def _owa_weights(riskfolio: Any, rows: int, spec: dict[str, Any]) -> np.ndarray:
    owa, tail = spec["owa"], spec["tail"]
    measure = owa["measure"]
    if measure == "l_moment":
        return riskfolio.owa_l_moment(rows, k=owa["order"])
    if measure == "l_moment_crm":
        return riskfolio.owa_l_moment_crm(rows, k=owa["order"], method=owa["method"])
    function = getattr(riskfolio, f"owa_{measure}")
    if measure in {"gmd", "wr", "rg"}:
        return function(rows)
    if measure == "cvar":
        return function(rows, tail["alpha"])
    if measure == "tg":
        return function(rows, alpha=tail["alpha"], a_sim=tail["a_sim"])
    if measure == "cvrg":
        return function(rows, alpha=tail["alpha"], beta=tail["beta"])
    return function(
        rows,
        alpha=tail["alpha"],
        a_sim=tail["a_sim"],
        beta=tail["beta"],
        b_sim=tail["b_sim"],
    )


def factor_moments(request: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (n,), covariance (n, n) and scenarios (T, n) of the factor model FM or BLB."""
    import pandas as pd
    from riskfolio.src import ParamsEstimation

    frame = pd.DataFrame(request["returns"], columns=request["assets"])
    factors = pd.DataFrame(request["factors"], columns=request["factor_names"])
    load: dict[str, Any] = {"feature_selection": request["selection"]}
    if request["selection"] == "PCR":
        load["n_components"] = request["components"]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loadings = ParamsEstimation.loadings_matrix(X=factors, Y=frame, **load)
        if request["model"] == "FM":
            mean, covariance, returns, *_ = ParamsEstimation.risk_factors(
                factors, frame, B=loadings, const=True, **request["estimators"]
            )
        else:
            mean, covariance, _ = ParamsEstimation.black_litterman_bayesian(
                X=frame,
                F=factors,
                B=loadings,
                P_f=request["picks"],
                Q_f=request["wanted"].reshape(-1, 1),
                delta=request["aversion"],
                rf=request["risk_free"],
                const=True,
                **request["estimators"],
            )
            returns = frame
    return (
        np.asarray(mean, dtype=np.float64).ravel(),
        np.asarray(covariance, dtype=np.float64),
        np.ascontiguousarray(returns, dtype=np.float64),
    )


#: What the worker can be asked.
QUESTIONS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "weights": call,
    "covariance": covariance,
    "linear_moments": linear_moments,
    "factor_moments": factor_moments,
}
