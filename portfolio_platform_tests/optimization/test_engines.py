"""Each engine on what it covers, against riskfolio, brute force, or its own certificate."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from portfolio_platform.optimization import decide, estimate_moments, registry
from portfolio_platform.optimization.objective import objective
from portfolio_platform.optimization.problem import build


def problem_of(strategy, panel, end, **asked):
    return build(strategy, estimate_moments(strategy, panel, panel.times[end], **asked))


GROUPS = {
    "bounds": {"lower": 0.01, "upper": 0.15},
    "groups": [{"group": "energy", "upper": 0.2}, {"group": "tech", "lower": 0.2}],
}


@pytest.mark.parametrize("constraints", [{}, GROUPS], ids=["plain", "groups"])
@pytest.mark.parametrize(
    "fields",
    [
        {"rm": "UCI"},
        {"rm": "UCI", "obj": "Sharpe"},
        {"rm": "EDaR"},
        {"rm": "EVRG"},
        {"rm": "CVaR", "obj": "Utility", "kelly": "exact"},
        {"rm": "MV", "obj": "Utility", "kelly": "approx"},
    ],
    ids=str,
)
def test_cone_equals_riskfolio(fields, constraints, sp20, spec):
    strategy = spec(**fields, **constraints)
    problem = problem_of(strategy, sp20, 1000)
    assert registry.covering(problem)[-2:] == ["cone", "riskfolio"]
    ours, raw, *_ = registry.run(problem, only="cone")
    theirs, *_ = registry.run(problem, only="riskfolio")
    assert raw.gap <= 1e-5
    assert np.abs(ours - theirs).max() <= 5e-4


@pytest.mark.parametrize("obj", ["MinRisk", "Sharpe", "Utility"])
def test_objective_of_a_measure_without_formula_is_the_programmes(obj, sp20, spec):
    from riskfolio.src import RiskFunctions

    few = {"universe": {"assets": list(sp20.assets[:5])}, "lookback": 60}
    strategy = spec(rm="RLVaR", obj=obj, risk_aversion=0.5, **few)
    problem = problem_of(strategy, sp20, 1000)
    answer = decide(strategy, sp20, sp20.times[1000])
    assert answer.engine == "cone"
    weights = np.array([answer.weights[asset] for asset in problem.assets])
    risk = RiskFunctions.RLVaR_Hist(
        problem.returns @ weights, alpha=0.05, kappa=0.3, solver="CLARABEL"
    )
    mean = float(problem.mean @ weights)
    expected = {"MinRisk": risk, "Sharpe": mean / risk, "Utility": mean - 0.5 * risk}[obj]
    assert answer.objective == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("constraints", [{}, GROUPS], ids=["plain", "groups"])
@pytest.mark.parametrize("end", [300, 1000, 2000])
def test_ulcer_index_is_certified_and_equals_the_cone(constraints, end, sp20, spec):
    problem = problem_of(spec(rm="UCI", **constraints), sp20, end)
    ours, raw, name, _ = registry.run(problem)
    assert (name, raw.solver, raw.gap <= 1e-8) == ("ulcer", "piqp", True)
    cone, *_ = registry.run(problem, only="cone")
    best = objective(problem, cone)
    assert objective(problem, ours) <= best * (1 + 1e-9)
    assert np.abs(ours - cone).max() <= 1e-4


@pytest.mark.parametrize("obj", ["MinRisk", "Sharpe", "Utility"])
@pytest.mark.parametrize("rm", ["KT", "SKT", "EM", "ESM"])
def test_even_moments_are_never_worse_than_riskfolio(rm, obj, sp20, spec):
    """By riskfolio's own functions; it clips the cokurtosis matrices before it minimises."""
    from riskfolio.src import RiskFunctions

    few = {"universe": {"assets": list(sp20.assets[:6])}, "risk_aversion": 30, "lookback": 100}
    problem = problem_of(spec(rm=rm, obj=obj, **few), sp20, 1000)
    ours, raw, name, _ = registry.run(problem)
    assert (name, raw.gap <= 1e-8) == ("smooth", True)
    theirs, *_ = registry.run(problem, only="riskfolio")
    measure = {
        "KT": RiskFunctions.Kurtosis,
        "SKT": RiskFunctions.SemiKurtosis,
        "EM": RiskFunctions.EvenMoment,
        "ESM": RiskFunctions.EvenSemiMoment,
    }[rm]
    assert objective(problem, ours) == pytest.approx(
        {
            "MinRisk": lambda risk, mean: risk,
            "Sharpe": lambda risk, mean: mean / risk,
            "Utility": lambda risk, mean: mean - 30 * risk,
        }[obj](measure(problem.returns @ ours), problem.mean @ ours),
        rel=1e-12,
    )
    sign = 1 if obj == "MinRisk" else -1
    mine, reached = sign * objective(problem, ours), sign * objective(problem, theirs)
    assert mine <= reached + 1e-9 * abs(reached)
    if rm != "SKT":
        assert np.abs(ours - theirs).max() <= 5e-4


@pytest.mark.parametrize("obj", ["MinRisk", "Sharpe", "Utility"])
def test_even_moments_take_every_constraint(obj, sp20, spec):
    current = dict.fromkeys(sp20.assets, 0.05)
    extra = {} if obj == "MinRisk" else {"cost_bps": 20, "cost_horizon": 20}
    answer = decide(
        spec(rm="EM", obj=obj, turnover=0.3, risk_aversion=30, **GROUPS, **extra),
        sp20,
        sp20.times[1000],
        current=current,
    )
    assert (answer.status, answer.engine) == ("optimal", "smooth")
    assert answer.gap <= 1e-8
    assert answer.violation <= 1e-9
    if obj != "Sharpe":
        few = decide(spec(rm="ESM", obj=obj, cardinality=3), sp20, sp20.times[1000])
        assert (few.status, few.engine) == ("optimal", "branch")
        assert sum(weight > 0 for weight in few.weights.values()) <= 3


@pytest.mark.parametrize("rm", ["GMD", "TG", "TGRG"])
def test_rank_measures_are_never_worse_than_riskfolios_approximation(rm, sp20, spec):
    strategy = spec(lookback=60, rm=rm)
    problem = problem_of(strategy, sp20, 1000)
    ours, raw, name, _ = registry.run(problem)
    assert (name, raw.gap <= 1e-10) == ("cuts", True)
    theirs, *_ = registry.run(
        problem.with_(spec=strategy.model_copy(update={"time_limit": 300.0})), only="riskfolio"
    )
    assert objective(problem, ours) <= objective(problem, theirs) * (1 + 1e-9)


def test_owa_equals_riskfolio(sp20, spec):
    import riskfolio

    strategy = spec(lookback=50, model="OWA", owa={"measure": "gmd"})
    problem = problem_of(strategy, sp20, 1000)
    ours, _, name, _ = registry.run(problem)
    assert name == "cuts"
    theirs, *_ = registry.run(problem, only="riskfolio")
    order = riskfolio.owa_gmd(50).ravel()
    ours_risk, their_risk = (order @ np.sort(problem.returns @ each) for each in (ours, theirs))
    assert ours_risk <= their_risk * (1 + 1e-9)
    assert np.abs(ours - theirs).max() <= 5e-4


@pytest.mark.parametrize(
    "model", ["HERC", "HERC2", "NCO", "RRP", pytest.param("WC", marks=pytest.mark.nightly)]
)
def test_models_left_to_riskfolio_answer(model, sp20, spec):
    answer = decide(spec(model=model), sp20, sp20.times[1000])
    assert answer.status == "optimal"
    assert answer.engine == "riskfolio"
    assert answer.violation <= 1e-9


@pytest.mark.parametrize("rm", ["CVaR", "MAD", "CDaR"])
def test_risk_parity_of_other_measures_is_riskfolios(rm, sp20, spec):
    answer = decide(spec(model="RP", rm=rm), sp20, sp20.times[1000])
    assert answer.status == "optimal"
    assert answer.engine == "riskfolio"


def test_cardinality_equals_brute_force(sp20, spec):
    strategy = spec(cardinality=3, universe={"assets": list(sp20.assets[:11])})
    problem = problem_of(strategy, sp20, 1000)
    answer = decide(strategy, sp20, sp20.times[1000])
    best = np.inf
    for chosen in combinations(range(problem.size), 3):
        x = np.linalg.solve(problem.covariance[np.ix_(chosen, chosen)], np.ones(3))
        if (x > 0).all():
            best = min(best, 1 / x.sum())
    assert answer.engine == "branch"
    assert sum(weight > 0 for weight in answer.weights.values()) <= 3
    assert answer.objective == pytest.approx(best, rel=1e-9)


def test_ratio_of_few_assets_equals_brute_force(sp20, spec):
    few = {"universe": {"assets": list(sp20.assets[:8])}, "cardinality": 2}
    problem = problem_of(spec(obj="Sharpe", **few), sp20, 1000)
    answer = decide(spec(obj="Sharpe", **few), sp20, sp20.times[1000])
    best = 0.0
    for pair in combinations(range(problem.size), 2):
        mean, block = problem.mean[list(pair)], problem.covariance[np.ix_(pair, pair)]
        x = np.linalg.solve(block, mean)
        for weights in (x / x.sum(), np.array([1.0, 0.0]), np.array([0.0, 1.0])):
            if weights.min() >= 0:
                best = max(best, (mean @ weights) / np.sqrt(weights @ block @ weights))
    assert answer.engine == "branch"
    assert answer.objective == pytest.approx(best, rel=1e-9)
    poor = decide(spec(obj="Sharpe", risk_free_rate=50.0, **few), sp20, sp20.times[1000])
    assert poor.status == "no_positive_excess_return"


def test_minimum_weight_is_all_or_nothing(sp20, spec):
    answer = decide(spec(minimum_weight=0.12, rm="CVaR"), sp20, sp20.times[1000])
    held = [weight for weight in answer.weights.values() if weight > 0]
    assert answer.status == "optimal"
    assert min(held) >= 0.12 - 1e-9
    relaxed = decide(spec(rm="CVaR"), sp20, sp20.times[1000])
    assert answer.objective >= relaxed.objective


def test_turnover_and_cost_hold_back(sp20, spec):
    current = dict.fromkeys(sp20.assets, 0.05)
    end = sp20.times[1000]
    for fields in ({}, {"rm": "CVaR"}, {"rm": "EVaR"}, {"obj": "Sharpe"}):
        answer = decide(spec(turnover=0.3, **fields), sp20, end, current=current)
        traded = sum(abs(weight - 0.05) for weight in answer.weights.values())
        assert answer.status == "optimal"
        assert traded <= 0.3 + 1e-9
        assert answer.gap <= 1e-8
    distances = []
    for cost in (0.0, 50.0, 200.0):
        strategy = spec(obj="Utility", risk_aversion=50, cost_bps=cost, cost_horizon=20)
        answer = decide(strategy, sp20, end, current=current)
        distances.append(sum(abs(weight - 0.05) for weight in answer.weights.values()))
    assert distances[0] > distances[1] > distances[2]


def test_short_positions_within_bounds(sp20, spec):
    end = sp20.times[1000]
    long, short = (
        decide(spec(bounds={"lower": low, "upper": 0.5}), sp20, end) for low in (0.0, -0.1)
    )
    assert short.objective < long.objective
    assert min(short.weights.values()) >= -0.1 - 1e-9
    assert sum(short.weights.values()) == pytest.approx(1, abs=1e-9)
    assert short.gap <= 1e-10


def test_time_limit_is_typed(sp20, spec):
    answer = decide(spec(model="WC", time_limit=0.05), sp20, sp20.times[1000])
    assert answer.status == "time_limit"
    assert answer.attempts[-1].status == "time_limit"
    assert not answer.weights


def test_chain_is_recorded_and_goes_on(sp20, spec, monkeypatch):
    from portfolio_platform.optimization.checks import EngineFailure
    from portfolio_platform.optimization.engines import lp

    def broken(problem):
        raise EngineFailure("numerical", "broken for the test")

    monkeypatch.setattr(lp, "solve", broken)
    answer = decide(spec(rm="MAD"), sp20, sp20.times[1000])
    assert [attempt.engine for attempt in answer.attempts] == ["lp", "riskfolio"]
    assert answer.attempts[0].reason == "broken for the test"
    assert answer.engine == "riskfolio"


@pytest.mark.usefixtures("compiled")
def test_warm_and_cold_engines_store_the_same_bits(sp20, spec):
    """The engine depends on what the process has loaded; the content must not."""
    for fields, cold in (({}, "qp"), ({"obj": "Sharpe"}, "qp"), ({"rm": "CVaR"}, "lp")):
        for end in (500, 3000, 7000):
            problem = problem_of(spec(**fields), sp20, end)
            warm_weights, *_ = registry.run(problem, only="exact")
            cold_weights, *_ = registry.run(problem, only=cold)
            assert (warm_weights == cold_weights).all()


def test_singular_covariance_is_certified(panel_of, spec):
    panel = panel_of(30, 16)
    for fields in ({}, {"obj": "Sharpe"}, {"bounds": {"upper": 0.2}}):
        strategy = spec(lookback=15, covariance={"method": "hist"}, **fields)
        answer = decide(strategy, panel, panel.times[-1])
        assert answer.status in {"optimal", "unbounded"}
        if answer.ok:
            assert answer.gap <= 1e-8
