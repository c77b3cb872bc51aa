"""Where a result comes from: data, spec, code, libraries, and the command that repeats it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from shlex import quote
from typing import Any

from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.trials import canonical_hash

LIBRARIES = ("numpy", "pandas", "scipy", "numba", "arch", "riskfolio-lib", "piqp", "highspy")


def provenance(
    spec: BacktestSpec, data_hash: str | None, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the provenance panel; `facts` are what the caller knows of data versions and code."""
    document = spec.model_dump(mode="json")
    text = quote(json.dumps(document))
    return {
        "spec_hash": canonical_hash(document),
        "data_hash": data_hash,
        "seed": spec.seed,
        "python": ".".join(map(str, sys.version_info[:3])),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "command": f"printf %s {text} | portfolio-platform backtest - --json",
        "convention": f"{spec.convention}, filled {spec.execution_lag} bar(s) after the close seen",
        **facts,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
