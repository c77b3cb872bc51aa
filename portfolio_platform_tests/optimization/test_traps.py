"""riskfolio's traps, each shown, and what is answered here instead."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from portfolio_platform.optimization import decide


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def portfolio(frame):
    import riskfolio

    made = riskfolio.Portfolio(returns=frame)
    made.solvers = ["CLARABEL"]
    try:
        made.assets_stats()
    except np.linalg.LinAlgError:  # LAPACK's default driver failed once on a healthy matrix
        made.assets_stats()
    return made


def hierarchical(frame, **limits):
    import riskfolio

    made = riskfolio.HCPortfolio(returns=frame, **limits)
    return made.optimization(model="HRP", codependence="pearson", linkage="single")


@pytest.fixture(scope="module")
def frame(sp20, window_of):
    return window_of(sp20, 252)


def at(panel, row=252):
    return panel.times[row]


def test_risk_parity_ignores_a_cap(frame, spec):
    theirs = portfolio(frame)
    theirs.upperlng = 0.06
    assert theirs.rp_optimization().to_numpy().max() > 0.08
    with pytest.raises(ValidationError, match="clipped to bounds"):
        spec(model="RP", bounds={"upper": 0.06})


def test_hrp_caps_are_clipped_without_a_final_check(frame, sp20, spec):
    """Feasible caps and floors: riskfolio's weights do not even sum to 1."""
    generator = np.random.default_rng(0)
    for _ in range(7):
        upper = generator.uniform(0.0, 0.12, 20)
        lower = np.where(generator.random(20) < 0.4, generator.uniform(0, 0.05, 20), 0.0)
    lower = np.minimum(lower, upper)
    assert lower.sum() < 1 < upper.sum()
    columns = frame.columns
    theirs = hierarchical(
        frame, w_max=pd.Series(upper, index=columns), w_min=pd.Series(lower, index=columns)
    )
    assert abs(theirs.to_numpy().sum() - 1) > 0.01
    limits = {
        name: {"lower": float(low), "upper": float(high)}
        for name, low, high in zip(columns, lower, upper, strict=True)
    }
    ours = decide(spec(model="HRP", bounds={"assets": limits}), sp20, at(sp20))
    assert ours.status == "optimal"
    assert ours.violation <= 1e-9
    weights = np.array([ours.weights[name] for name in columns])
    assert (weights <= upper + 1e-12).all()
    assert (weights >= lower - 1e-12).all()


def test_hrp_with_infeasible_caps_raises_a_name_error(frame, sp20, spec):
    with pytest.raises(NameError):
        hierarchical(frame, w_max=0.04)
    ours = decide(spec(model="HRP", bounds={"upper": 0.04}), sp20, at(sp20))
    assert (ours.status, ours.reason) == ("infeasible", "caps sum to 0.8, below 1")


def test_nan_becomes_nan_weights_in_hrp(frame, sp20, spec):
    spoiled = frame.copy()
    spoiled.iloc[100, 3] = np.nan
    assert hierarchical(spoiled).isna().to_numpy().all()
    close = sp20.close.copy()
    close[100, 3] = np.nan
    ours = decide(spec(model="HRP"), replace(sp20, close=close), at(sp20))
    assert ours.status == "optimal"
    assert np.isfinite(list(ours.weights.values())).all()


def test_one_asset_breaks_hrp(frame, sp20, spec):
    with pytest.raises(ValueError, match="empty"):
        hierarchical(frame[["CVX"]])
    ours = decide(spec(model="HRP", universe={"assets": ["CVX"]}), sp20, at(sp20))
    assert ours.weights == {"CVX": 1.0}


def test_constant_column_takes_everything(frame, sp20, spec):
    spoiled = frame.copy()
    spoiled["CVX"] = 0.0
    assert portfolio(spoiled).optimization(obj="MinRisk").loc["CVX", "weights"] > 0.99
    with pytest.raises(ValueError, match="finite"):
        hierarchical(spoiled)
    close = sp20.close.copy()
    close[:, list(sp20.assets).index("CVX")] = 5.0
    for fields in ({}, {"model": "RP"}, {"model": "HRP"}):
        ours = decide(spec(**fields), replace(sp20, close=close), at(sp20))
        assert ours.excluded["CVX"].startswith("constant price")
        assert max(ours.weights.values()) < 0.5


def test_all_negative_means_depend_on_scale(frame, sp20, spec):
    falling = frame - frame.mean() - 0.002
    first, second = (
        portfolio(falling * scale).optimization(obj="Sharpe").to_numpy() for scale in (1, 100)
    )
    assert np.abs(first - second).max() > 0.01
    close = sp20.close[:253] * np.exp(-0.01 * np.arange(253))[:, None]
    panel = replace(sp20, times=sp20.times[:253], close=close)
    ours = decide(spec(obj="Sharpe"), panel, at(sp20))
    assert ours.status == "no_positive_excess_return"


def test_infeasible_returns_none(frame, sp20, spec):
    theirs = portfolio(frame)
    theirs.upperlng = 0.04
    assert theirs.optimization(obj="MinRisk") is None
    ours = decide(spec(bounds={"upper": 0.04}), sp20, at(sp20))
    assert ours.status == "infeasible"


def test_status_is_never_checked(frame, sp20, spec):
    """Stopped after three iterations riskfolio still hands out weights; here the gap refuses."""
    from portfolio_platform.optimization import certificates, estimate_moments
    from portfolio_platform.optimization.checks import EngineFailure, Raw, check_gap
    from portfolio_platform.optimization.problem import build

    theirs = portfolio(frame)
    theirs.sol_params = {"CLARABEL": {"max_iter": 3}}
    stopped = theirs.optimization(obj="MinRisk")
    assert stopped is not None
    assert stopped.to_numpy().sum() == pytest.approx(1.0)
    strategy = spec()
    problem = build(strategy, estimate_moments(strategy, sp20, at(sp20)))
    weights = stopped.reindex(problem.assets).to_numpy().ravel()
    gap = certificates.minimum_variance_gap(problem, weights)
    with pytest.raises(EngineFailure, match="certified gap"):
        check_gap(Raw(weights, "stopped", certificate="conic", gap=gap))


def test_absolute_value_hides_negative_weights():
    """abs(w)/Σ|w| turns −1 % into +1 %; settling brings it to its bound or refuses."""
    from portfolio_platform.optimization.checks import to_budget

    noisy = np.array([0.6, 0.41, -0.01])
    hidden = np.abs(noisy) / np.abs(noisy).sum()
    assert hidden[2] > 0.009
    settled = to_budget(noisy, np.zeros(3), np.ones(3))
    assert settled[2] == 0.0
    assert settled.sum() == pytest.approx(1.0, abs=1e-15)


def test_noise_larger_than_tolerance_is_refused(sp20, spec):
    from portfolio_platform.optimization import estimate_moments
    from portfolio_platform.optimization.checks import EngineFailure, settle
    from portfolio_platform.optimization.problem import build

    strategy = spec()
    problem = build(strategy, estimate_moments(strategy, sp20, at(sp20)))
    with pytest.raises(EngineFailure, match="away from weights"):
        settle(problem, np.full(20, 0.06))
    with pytest.raises(EngineFailure, match="not finite"):
        settle(problem, np.full(20, np.nan))


@pytest.mark.parametrize("fields", [{}, {"obj": "Sharpe"}, {"model": "RP"}])
def test_a_stablecoin_takes_nearly_all(fields, panel_of, spec):
    names = ("BONK", "JUP", "SOL", "USDC", "WIF")
    panel = panel_of(5, 253, names=names, seed=8)
    generator = np.random.default_rng(0)
    close = panel.close.copy()
    close[:, 3] = np.cumprod(1 + generator.normal(5e-6, 1e-5, 253))
    frame = pd.DataFrame(close[1:] / close[:-1] - 1, columns=list(names))
    theirs = portfolio(frame)
    theirs.cov = frame.cov()
    if fields.get("model") == "RP":
        weights = theirs.rp_optimization()
    else:
        weights = theirs.optimization(obj=fields.get("obj", "MinRisk"))
    assert weights.loc["USDC", "weights"] > 0.95
    ours = decide(
        spec(**fields), replace(panel, close=close, stable=frozenset({"USDC"})), panel.times[-1]
    )
    assert ours.status == "optimal"
    assert ours.weights.get("USDC", 0.0) <= 0.2 + 1e-9


def test_an_ellipse_of_covariances_by_normal_simulation_has_no_size(frame, spec):
    theirs = portfolio(frame)
    theirs.wc_stats(ellip="n", n_sim=100)
    assert not theirs.k_sigma < 1e3  # NaN, or the inverse of a singular matrix
    sets = {"covariance_set": "ellip", "simulations": 100}
    with pytest.raises(ValidationError, match="no size; use s, c or m"):
        spec(model="WC", worst_case=sets)
    assert spec(model="WC", worst_case=sets | {"ellipse": "s"}).worst_case.ellipse == "s"


def test_equal_risk_clusters_each_take_the_whole_budget(frame, spec):
    import riskfolio

    theirs = riskfolio.HCPortfolio(returns=frame).optimization(model="HERC", rm="equal")
    assert theirs.to_numpy().sum() > 1.9
    with pytest.raises(ValidationError, match="whole budget"):
        spec(model="HERC", rm="equal")
