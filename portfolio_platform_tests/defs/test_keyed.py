"""What became of a key, in the form in which Dagster stores it."""

import numpy as np
from dagster import AssetMaterialization, MetadataValue
from dagster_shared.serdes import serialize_value

from portfolio_platform.defs.requests.keyed import shown


def test_numbers_of_solvers_can_be_stored() -> None:
    said = {
        "gap": np.float64(0.5),
        "new": True,
        "n": 3,
        "why": None,
        "table": MetadataValue.md("x"),
    }
    told = shown(said)
    assert set(told) == {"gap", "new", "n", "table"}
    assert type(told["gap"]) is float
    assert serialize_value(AssetMaterialization("weights", metadata=told))
