"""walk_forward equals decide at every time, whatever engine answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from portfolio_platform.optimization import batch, decide, walk_forward

BATCHED = {
    "min_variance": {},
    "max_sharpe": {"obj": "Sharpe", "risk_free_rate": 0.03},
    "risk_parity": {"model": "RP"},
    "cvar": {"rm": "CVaR"},
    "hrp": {"model": "HRP"},
    "hrp ward": {"model": "HRP", "hierarchy": {"linkage": "ward"}},
    "programme_min_variance": {
        "bounds": {"lower": 0.01, "upper": 0.4},
        "groups": [{"group": "tech", "lower": 0.2}, {"group": "energy", "upper": 0.2}],
    },
    "programme_max_sharpe": {
        "bounds": {"upper": 0.4},
        "obj": "Sharpe",
        "groups": [{"group": "energy", "upper": 0.2}],
    },
}


def agree(walk, strategy, panel, places):
    for place in places:
        answer = decide(strategy, panel, walk.times[place])
        assert answer.status == walk.statuses[place]
        row = walk.weights[place]
        if not answer.ok:
            assert np.isnan(row).all()
            continue
        expected = np.array([answer.weights.get(asset, 0.0) for asset in walk.assets])
        np.testing.assert_allclose(row, expected, atol=1e-9)


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.usefixtures("compiled")
def test_equals_decide(name, sp20, spec):
    strategy = spec(**BATCHED[name])
    walk = walk_forward(strategy, sp20, sp20.times[200::41])
    assert batch.kind(strategy, 20, has_cash=False) == name.split()[0]
    assert (walk.engines == "exact").mean() > 0.9
    assert walk.statuses[0] == "insufficient_history"
    agree(walk, strategy, sp20, range(0, len(walk.times), 9))


@pytest.fixture(scope="module")
def listings(panel_of):
    """Listings, a delisting, gaps, a zero price, a stablecoin."""
    names = ("A", "B", "C", "D", "E", "USDC")
    panel = panel_of(6, 400, names=names, stable=("USDC",), seed=3)
    close = panel.close.copy()
    close[:150, 1] = np.nan
    close[300:, 2] = np.nan
    close[220, 3] = np.nan
    close[330:335, 3] = np.nan
    close[340, 4] = 0.0
    groups = {"A": "tech", "B": "tech", "C": "energy", "USDC": "stable"}
    return replace(panel, close=close, groups=groups)


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.usefixtures("compiled")
def test_equals_decide_with_a_changing_universe(name, listings, spec):
    strategy = spec(lookback=60, budget=0.8, **BATCHED[name])
    walk = walk_forward(strategy, listings, listings.times[50::7])
    agree(walk, strategy, listings, range(len(walk.times)))
    assert len({tuple(np.flatnonzero(row > 0)) for row in walk.weights}) > 3


POLYHEDRAL = [
    {"rm": rm} for rm in ("MAD", "WR", "FLPM", "RG", "CVRG", "MDD", "ADD", "CDaR", "GMD", "TG")
] + [{"rm": "CVaR", "obj": "Utility"}, {"model": "OWA", "owa": {"measure": "tgrg"}}]


@pytest.mark.parametrize("fields", POLYHEDRAL, ids=str)
@pytest.mark.usefixtures("compiled")
def test_polyhedral_measures_equal_decide(fields, sp20, spec):
    strategy = spec(lookback=120, risk_free_rate=0.02, **fields)
    walk = walk_forward(strategy, sp20, sp20.times[500::800])
    assert set(walk.engines) == {"exact"}
    for place in range(0, len(walk.times), 3):
        answer = decide(strategy, sp20, walk.times[place])
        assert answer.engine in {"lp", "cuts"}
        ours = np.array(list(answer.weights.values()))
        np.testing.assert_allclose(walk.weights[place], ours, atol=1e-9)


@pytest.mark.parametrize("obj", ["MinRisk", "Sharpe"])
@pytest.mark.parametrize("rm", ["EVaR", "MSV", "SLPM"])
@pytest.mark.usefixtures("compiled")
def test_smooth_measures_equal_decide(rm, obj, sp20, spec):
    strategy = spec(risk_free_rate=0.02, rm=rm, obj=obj)
    walk = walk_forward(strategy, sp20, sp20.times[500::800])
    assert (walk.engines == "exact").sum() >= 8
    assert np.nanmax(walk.gaps) <= 1e-10
    for place in range(0, len(walk.times), 3):
        answer = decide(strategy, sp20, walk.times[place])
        assert answer.status == walk.statuses[place]
        if answer.ok:
            assert answer.engine == "smooth"
            ours = np.array(list(answer.weights.values()))
            # the optimum of EVaR is flat: a gap of 1e-12 leaves 1e-6 of a weight open
            np.testing.assert_allclose(
                walk.weights[place], ours, atol=5e-6 if rm == "EVaR" else 1e-9
            )


@pytest.mark.parametrize("obj", ["MinRisk", "Sharpe"])
@pytest.mark.usefixtures("compiled")
def test_equals_decide_with_a_capped_stablecoin(obj, listings, spec):
    strategy = spec(lookback=60, obj=obj, bounds={"upper": 0.5}, cash_cap=0.1)
    walk = walk_forward(strategy, listings, listings.times[70::7])
    assert (walk.engines == "exact").any()
    agree(walk, strategy, listings, range(len(walk.times)))


@pytest.mark.parametrize(
    "fields",
    [
        {"bounds": {"upper": 0.4}, "turnover": 2.0},
        {"rm": "MAD", "obj": "Sharpe"},
        {"model": "equal_weight", "budget": 0.5},
        {"winsorize": 0.02},
    ],
)
def test_equals_decide_where_no_kernel_applies(fields, listings, spec):
    strategy = spec(lookback=60, **fields)
    walk = walk_forward(strategy, listings, listings.times[50::31])
    agree(walk, strategy, listings, range(len(walk.times)))


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.usefixtures("compiled")
def test_short_histories_and_alternatives_keep_the_kernels(name, listings, spec):
    """As the shipped strategies have them: only windows that they change are decided singly."""
    late = listings.close.copy()
    late[:170, 0] = np.nan
    late[:385, 2] = np.nan
    panel = replace(listings, close=late)
    strategy = spec(
        lookback=60,
        budget=0.8,
        universe={"min_history": 20},
        fallback=["min_variance"],
        risk_free_rate=0.3,
        **{key: value for key, value in BATCHED[name].items() if key != "risk_free_rate"},
    )
    walk = walk_forward(strategy, panel, panel.times[22::7])
    agree(walk, strategy, panel, range(len(walk.times)))
    assert 0 < len(walk.kept) < 0.9 * len(walk.times)


@pytest.mark.usefixtures("compiled")
def test_nothing_after_a_decision_matters(sp20, spec):
    cut = 3000
    close = sp20.close.copy()
    close[cut + 1 :] = np.random.default_rng(0).uniform(1, 100, close[cut + 1 :].shape)
    times = sp20.times[1000 : cut + 1 : 50]
    for fields in BATCHED.values():
        before = walk_forward(spec(**fields), sp20, times)
        after = walk_forward(spec(**fields), replace(sp20, close=close), times)
        assert (before.weights == after.weights).all()


@pytest.mark.usefixtures("compiled")
def test_huge_print_leaves_no_residue(sp20, spec):
    """A +5000 % bar passes through the window; once out, weights equal a fresh estimate."""
    close = sp20.close.copy()
    close[1300, 4] *= 51
    panel = replace(sp20, close=close)
    strategy = spec()
    walk = walk_forward(strategy, panel, panel.times[1290:1600:3])
    agree(walk, strategy, panel, range(0, len(walk.times), 10))
    assert np.nanmax(walk.gaps) <= 1e-10


def test_cold_kernels_are_not_compiled(sp20, spec, monkeypatch):
    monkeypatch.setattr(batch, "is_ready", lambda name: False)
    walk = walk_forward(spec(), sp20, sp20.times[252:2000:300])
    monkeypatch.undo()
    again = walk_forward(spec(), sp20, sp20.times[252:2000:300])
    np.testing.assert_allclose(walk.weights, again.weights, atol=1e-9)


@pytest.mark.usefixtures("compiled")
def test_readiness_is_seen_on_disk():
    from portfolio_platform.optimization.kernels import active_set
    from portfolio_platform.optimization.kernels.ready import _cached

    assert _cached(active_set.walk_mean_variance)


def test_turnover_limit_is_carried_from_decision_to_decision(sp20, spec):
    strategy = spec(turnover=0.1)
    start = dict.fromkeys(sp20.assets, 0.05)
    walk = walk_forward(strategy, sp20, sp20.times[252:352:20], current=start)
    assert set(walk.statuses) == {"optimal"}
    first = walk.weights[0]
    assert np.abs(first - 0.05).sum() <= 0.1 + 1e-9
    free = walk_forward(spec(), sp20, sp20.times[252:352:20])
    gaps = np.abs(walk.weights - free.weights).sum(axis=1)
    assert gaps[-1] < gaps[0]


def test_solutions_are_lazy_and_whole(sp20, spec):
    walk = walk_forward(spec(), sp20, sp20.times[252:300:10])
    assert len(walk.solutions) == 5
    assert walk.solutions[-1].ok
    assert walk.solutions[-1] is walk.solutions[4]
    assert walk.target(0) == {k: v for k, v in walk.target(0).items() if v > 0}


def test_times_must_increase(sp20, spec):
    with pytest.raises(ValueError, match="increasing"):
        walk_forward(spec(), sp20, sp20.times[300:250:-1])
