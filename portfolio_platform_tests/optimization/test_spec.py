"""The spec refuses what is unknown or contradictory, with the path of the field."""

from __future__ import annotations

import inspect
import json
from typing import get_args

import pytest
from pydantic import ValidationError

from portfolio_platform.optimization import StrategySpec, names


def refused(**fields):
    with pytest.raises(ValidationError) as caught:
        StrategySpec.model_validate(fields)
    return {error["loc"]: error["msg"] for error in caught.value.errors()}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"lookbak": 3}, ("lookbak",)),
        ({"universe": {"min_histroy": 3}}, ("universe", "min_histroy")),
        ({"rm": "CVAR"}, ("rm",)),
        ({"covariance": {"method": "denoised"}}, ("covariance", "method")),
        ({"version": 2}, ("version",)),
        ({"lookback": 1}, ("lookback",)),
        ({"risk_free_rate": float("nan")}, ("risk_free_rate",)),
        ({"bounds": {"lower": 0.5, "upper": 0.2}}, ("bounds", "lower")),
        (
            {"bounds": {"assets": {"SOL": {"lower": 0.5, "upper": 0.2}}}},
            ("bounds", "assets", "SOL"),
        ),
        ({"groups": [{"group": "a", "lower": 0.9, "upper": 0.1}]}, ("groups", 0, "lower")),
        ({"groups": [{"group": "a"}, {"group": "a"}]}, ("groups", 1, "group")),
        ({"linear": [{"name": "x", "coefficients": {"SOL": 1}}]}, ("linear", 0)),
        ({"model": "RP", "rm": "WR"}, ("rm",)),
        ({"model": "RP", "bounds": {"upper": 0.2}}, ("bounds",)),
        ({"model": "HRP", "obj": "Sharpe"}, ("obj",)),
        ({"model": "HRP", "groups": [{"group": "a", "upper": 0.1}]}, ("groups",)),
        ({"model": "BL"}, ("views",)),
        ({"views": [{"weights": {"SOL": 1}, "annual_return": 0.1}]}, ("views",)),
        ({"model": "FM"}, ("factors",)),
        ({"obj": "ERC"}, ("obj",)),
        ({"cost_bps": 10}, ("cost_bps",)),
        ({"universe": {"min_history": 300}}, ("universe", "min_history")),
        ({"universe": {"overlap": "pairwise"}, "rm": "CVaR"}, ("universe", "overlap")),
        ({"model": "HRP", "bounds": {"lower": -0.1}}, ("bounds", "lower")),
        ({"cardinality": 5, "obj": "Utility", "kelly": "exact"}, ("cardinality",)),
        ({"model": "ensemble"}, ("members",)),
        (
            {
                "universe": {"assets": ["SOL", "JUP"]},
                "model": "BL",
                "views": [{"weights": {"WIF": 1}, "annual_return": 0.1}],
            },
            ("views", 0, "weights", "WIF"),
        ),
        (
            {
                "model": "ensemble",
                "members": [{"name": "a", "spec": {"model": "RP", "rm": "MDD"}}],
            },
            ("members", 0, "spec", "rm"),
        ),
    ],
)
def test_refused_with_the_path_of_the_field(fields, path):
    assert path in refused(**fields)


def test_several_contradictions_are_reported_at_once():
    found = refused(model="HRP", obj="Sharpe", cardinality=3)
    assert {("obj",), ("cardinality",)} <= set(found)


def test_round_trip_and_schema():
    spec = StrategySpec.model_validate(
        {"model": "BL", "views": [{"weights": {"SOL": 1}, "annual_return": 0.2}]}
    )
    assert StrategySpec.model_validate_json(spec.model_dump_json()) == spec
    schema = json.dumps(StrategySpec.model_json_schema())
    assert "cash_cap" in schema
    assert "additionalProperties" in schema


def test_spec_is_frozen():
    with pytest.raises(ValidationError):
        StrategySpec().lookback = 3


def test_names_are_riskfolios():
    """Every measure and estimator named here is known to the installed riskfolio."""
    import riskfolio
    from riskfolio.src import ParamsEstimation

    convex = inspect.getsource(riskfolio.Portfolio.optimization)
    for rm in names.CONVEX_MEASURES:
        assert f'rm == "{rm}"' in convex, rm
    parity = inspect.getsource(riskfolio.Portfolio.rp_optimization)
    for rm in names.RISK_PARITY_MEASURES:
        assert f'rm == "{rm}"' in parity, rm
    for rm in names.CONVEX_MEASURES - names.RISK_PARITY_MEASURES:
        assert f'rm == "{rm}"' not in parity, rm
    tree = inspect.getsource(riskfolio.HCPortfolio) + inspect.getsource(riskfolio.Sharpe_Risk)
    for rm in names.HIERARCHICAL_MEASURES:
        assert f'rm == "{rm}"' in tree, rm
    covariance = inspect.getsource(ParamsEstimation.covar_matrix)
    for method in set(get_args(names.CovarianceMethod)) - {"auto"}:
        assert f'"{method}"' in covariance, method
    mean = inspect.getsource(ParamsEstimation.mean_vector)
    for method in get_args(names.MeanMethod):
        assert f'"{method}"' in mean, method
