"""Fields of a strategy spec that contradict each other, each named by its path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from portfolio_platform.optimization import names

if TYPE_CHECKING:
    from portfolio_platform.optimization.spec import StrategySpec

Path = tuple[int | str, ...]
Finding = tuple[Path, str]


def contradictions(spec: StrategySpec) -> Iterator[Finding]:
    """Yield (path of the field, reason) for every contradiction inside `spec`."""
    yield from _of_bounds(spec)
    yield from _of_measure(spec)
    yield from _of_model(spec)
    yield from _of_data(spec)
    yield from _of_trading(spec)
    yield from _of_ensemble(spec)


def _of_bounds(spec: StrategySpec) -> Iterator[Finding]:
    bounds = spec.bounds
    if bounds.lower > bounds.upper:
        yield ("bounds", "lower"), f"lower {bounds.lower:g} is above upper {bounds.upper:g}"
    for mint, bound in bounds.assets.items():
        lower = bounds.lower if bound.lower is None else bound.lower
        upper = bounds.upper if bound.upper is None else bound.upper
        if lower > upper:
            yield (
                ("bounds", "assets", mint),
                f"lower {lower:g} is above upper {upper:g}",
            )
    seen: set[str] = set()
    for position, group in enumerate(spec.groups):
        if group.group in seen:
            yield ("groups", position, "group"), f"group {group.group!r} is bounded twice"
        seen.add(group.group)
        if group.lower > group.upper:
            yield (
                ("groups", position, "lower"),
                f"lower {group.lower:g} is above upper {group.upper:g}",
            )
    for position, row in enumerate(spec.linear):
        if row.lower is None and row.upper is None:
            yield ("linear", position), "a linear constraint needs a lower or an upper side"
        elif row.lower is not None and row.upper is not None and row.lower > row.upper:
            yield (
                ("linear", position, "lower"),
                f"lower {row.lower:g} is above upper {row.upper:g}",
            )
    if spec.universe.assets is not None:
        allowed = set(spec.universe.assets)
        for mint in spec.bounds.assets:
            if mint not in allowed:
                yield ("bounds", "assets", mint), "is not among universe.assets"


def _of_measure(spec: StrategySpec) -> Iterator[Finding]:
    model, rm, obj = spec.model, spec.rm, spec.obj
    if model in {"Classic", "BL", "BLB", "FM"} and rm not in names.CONVEX_MEASURES:
        yield ("rm",), f"{rm} is not a convex measure; model {model} cannot minimise it"
    if model == "RP" and rm not in names.RISK_PARITY_MEASURES:
        yield ("rm",), f"risk parity is not defined for {rm}"
    if model in {"WC", "RRP", "equal_weight", "inverse_volatility"} and rm != "MV":
        yield ("rm",), f"model {model} knows only rm MV"
    if model == "HRP" and rm == "equal":
        yield ("rm",), "HRP with equal risk is model equal_weight"
    if model in {"HERC", "HERC2"} and rm == "equal":
        yield ("rm",), f"riskfolio's {model} with equal risk gives each cluster the whole budget"
    sets = spec.worst_case
    if model == "WC" and sets.covariance_set == "ellip" and sets.ellipse == "n":
        yield (
            ("worst_case", "ellipse"),
            "riskfolio's normal simulation gives an ellipse of covariances no size; use s, c or m",
        )
    if model == "OWA" and rm != "MV":
        yield ("rm",), "model OWA takes its measure from owa.measure; leave rm at MV"
    if model == "NCO" and rm not in names.CONVEX_MEASURES:
        yield ("rm",), f"model NCO cannot minimise {rm}"
    if obj == "ERC" and model != "NCO":
        yield ("obj",), "obj ERC belongs to model NCO; for risk parity set model RP"
    if obj == "MaxRet" and model == "NCO":
        yield ("obj",), "model NCO has no obj MaxRet"
    rule = names.RULE_MODELS | {"HRP", "HERC", "HERC2", "ensemble"}
    if model in rule and obj != "MinRisk":
        yield ("obj",), f"model {model} has no objective; leave obj at MinRisk"
    if spec.kelly is not None and model != "Classic":
        yield ("kelly",), f"kelly needs model Classic, not {model}"
    if spec.kelly is not None and obj == "MinRisk":
        yield ("kelly",), "kelly changes the expected return, which obj MinRisk does not use"


def _of_model(spec: StrategySpec) -> Iterator[Finding]:
    model = spec.model
    programme = model in names.PROGRAMME_MODELS
    if not programme and (spec.groups or spec.linear):
        path: Path = ("groups",) if spec.groups else ("linear",)
        yield path, f"model {model} is an allocation rule and takes no linear constraints"
    bounded = spec.bounds.lower != 0 or spec.bounds.upper != 1 or spec.bounds.assets
    if model in {"RP", "RRP", "ensemble"} and bounded:
        yield (
            ("bounds",),
            f"model {model} has one answer; clipped to bounds it would be another portfolio",
        )
    if not spec.long_only and model not in names.CHOOSING_MODELS:
        yield ("bounds", "lower"), f"model {model} is long only"
    if spec.cardinality is not None and model not in names.CHOOSING_MODELS:
        yield ("cardinality",), f"model {model} has no cardinality"
    if spec.minimum_weight > 0 and model not in names.CHOOSING_MODELS:
        yield ("minimum_weight",), f"model {model} has no minimum weight"
    if spec.minimum_weight > spec.bounds.upper:
        yield ("minimum_weight",), f"is above bounds.upper {spec.bounds.upper:g}"
    if (spec.cardinality is not None or spec.minimum_weight > 0) and not spec.long_only:
        yield ("bounds", "lower"), "cardinality and minimum_weight need a long-only portfolio"
    if spec.risk_budget is not None and model not in {"RP", "RRP"}:
        yield ("risk_budget",), f"a risk budget needs model RP or RRP, not {model}"
    if spec.views and model != "BL":
        yield ("views",), f"views need model BL, not {model}"
    if model == "BL" and not spec.views:
        yield ("views",), "model BL needs at least one view"
    if model in {"FM", "BLB"} and spec.factors is None:
        yield ("factors",), f"model {model} needs factors"
    if model not in {"FM", "BLB"} and spec.factors is not None:
        yield ("factors",), f"factors need model FM or BLB, not {model}"
    if spec.factors is not None:
        if model == "BLB" and not spec.factors.views:
            yield ("factors", "views"), "model BLB needs at least one view on a factor"
        if model == "FM" and spec.factors.views:
            yield ("factors", "views"), "model FM takes no views; use BLB"
        known = set(spec.factors.assets)
        for position, view in enumerate(spec.factors.views):
            for mint in view.weights:
                if mint not in known:
                    yield (
                        ("factors", "views", position, "weights", mint),
                        "is not a factor",
                    )
    if spec.universe.assets is not None:
        allowed = set(spec.universe.assets)
        for position, view in enumerate(spec.views):
            for mint in view.weights:
                if mint not in allowed:
                    yield ("views", position, "weights", mint), "is not among universe.assets"


def _of_data(spec: StrategySpec) -> Iterator[Finding]:
    rule = spec.universe
    if rule.min_history is not None and rule.min_history > spec.lookback:
        yield (
            ("universe", "min_history"),
            f"needs {rule.min_history} returns of a window of {spec.lookback}",
        )
    if rule.assets is not None and set(rule.assets) & set(rule.exclude):
        shared = sorted(set(rule.assets) & set(rule.exclude))
        yield ("universe", "exclude"), f"{shared[0]} is both allowed and excluded"
    if rule.assets is not None and len(set(rule.assets)) != len(rule.assets):
        yield ("universe", "assets"), "names an asset twice"
    if rule.overlap == "pairwise":
        moment_model = spec.model in {"Classic", "BL", "RP", "inverse_volatility"}
        if not (moment_model and spec.rm in names.MOMENT_MEASURES and spec.kelly != "exact"):
            yield (
                ("universe", "overlap"),
                "pairwise moments serve only mean-variance models; this one needs scenarios",
            )
        if spec.covariance.method not in {"auto", "hist"} or spec.mean.method != "hist":
            yield ("universe", "overlap"), "pairwise moments need the hist estimators"
    if spec.mean.method == "BOP" and rule.overlap == "pairwise":
        yield ("mean", "method"), "BOP needs a common window"


def _of_trading(spec: StrategySpec) -> Iterator[Finding]:
    if spec.turnover is not None and spec.model not in names.CHOOSING_MODELS:
        yield ("turnover",), f"model {spec.model} takes no turnover limit"
    if spec.cost_bps > 0:
        if spec.model not in names.CHOOSING_MODELS:
            yield ("cost_bps",), f"model {spec.model} does not weigh costs"
        elif spec.obj == "MinRisk":
            yield ("cost_bps",), "obj MinRisk has no return to charge a cost to; use turnover"
        elif spec.kelly is not None:
            yield ("cost_bps",), "costs and kelly cannot be combined"
    if spec.kelly is not None and (spec.turnover is not None or not spec.long_only):
        yield ("kelly",), "kelly takes neither a turnover limit nor short positions"
    if (spec.cardinality is not None or spec.minimum_weight > 0) and spec.kelly is not None:
        path: Path = ("cardinality",) if spec.cardinality is not None else ("minimum_weight",)
        yield path, "cannot be combined with kelly"


def _of_ensemble(spec: StrategySpec) -> Iterator[Finding]:
    if spec.model == "ensemble" and not spec.members:
        yield ("members",), "an ensemble needs members"
    if spec.model != "ensemble" and spec.members:
        yield ("members",), "members need model ensemble"
    known: set[str] = set()
    for position, member in enumerate(spec.members):
        if member.name in known:
            yield ("members", position, "name"), f"{member.name!r} is named twice"
        known.add(member.name)
        if member.spec.bar_interval != spec.bar_interval:
            yield (
                ("members", position, "spec", "bar_interval"),
                f"differs from the ensemble's {spec.bar_interval}",
            )
