"""The verdict: what the evidence supports, and what it does not, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portfolio_platform.backtesting.spec import BacktestSpec


def judge(
    evidence: Mapping[str, Any], validation: Mapping[str, Any], confidence: float
) -> tuple[bool, list[str]]:
    """Return whether a positive risk-adjusted return is supported, and every objection.

    All must hold: the deflated Sharpe ratio reaches the confidence, the bootstrap interval of the
    Sharpe ratio lies above zero, and choosing among the configurations tried is not more likely
    than not to pick one from the lower half (PBO below 0.5, where it is defined and not coarse).
    """
    objections: list[str] = []
    deflated = evidence.get("deflated_sharpe")
    if deflated is None:
        undefined = evidence.get("undefined", {})
        why = undefined.get("deflated_sharpe") or undefined.get("sharpe_per_period") or "no data"
        objections.append(f"its Sharpe ratio cannot be judged ({why})")
        return False, objections
    count = validation["family"]["count"]
    if deflated < confidence:
        objections.append(
            f"a deflated Sharpe ratio of {deflated:.2f} after {count} trial(s) stays below "
            f"{confidence:.2f}"
        )
    interval = evidence["bootstrap"]["sharpe"]
    if interval["low"] is None:
        objections.append(f"its Sharpe ratio has no bootstrap interval ({interval['reason']})")
    elif interval["low"] <= 0.0:
        objections.append(
            f"the {100 * confidence:.0f} % interval of its Sharpe ratio reaches down to "
            f"{interval['low']:.2f}".replace("-", "−")
        )
    overfitted = overfitting_objection(validation)
    if overfitted is not None:
        objections.append(overfitted)
    return not objections, objections


def overfitting_objection(validation: Mapping[str, Any]) -> str | None:
    """Return the objection to choosing among the configurations tried, where there is one."""
    pbo = validation.get("pbo") or {}
    if pbo.get("pbo") is None or pbo["coarse"] or pbo["pbo"] < 0.5:
        return None
    return (
        f"the best of the {pbo['strategies']} configurations tried falls into the lower half out "
        f"of sample in {100 * pbo['pbo']:.0f} % of splits"
    )


def verdict(
    spec: BacktestSpec, strategies: Mapping[str, Any], validation: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the sentence, what is supported and what is not, and the claims for machines."""
    confidence = spec.validation.confidence
    supports: list[str] = []
    against: list[str] = []
    claims: dict[str, dict[str, bool]] = {}
    better = (validation.get("stepm") or {}).get("better")
    rival = (validation.get("stepm") or {}).get("benchmark")
    overfitted = overfitting_objection(validation)
    for name, section in strategies.items():
        positive, objections = judge(section["validation"], validation, confidence)
        beats = bool(better and name in better)
        claims[name] = {"positive_sharpe": positive, "beats_benchmark": beats}
        missing = []
        if positive:
            evidence = section["validation"]
            supports.append(
                f"{name}: a Sharpe ratio above zero (deflated {evidence['deflated_sharpe']:.2f} "
                f"after {validation['family']['count']} trial(s))"
            )
        else:
            own = [reason for reason in objections if reason != overfitted or len(claims) == 1]
            missing.append(f"skill ({'; '.join(own) or 'the choice itself is overfitted'})")
        if beats:
            supports.append(f"{name}: a higher mean return than {rival}")
        elif better is not None:
            missing.append(f"a higher mean return than {rival}")
        if missing:
            against.append(f"{name}: {', nor '.join(missing)}")
    if overfitted is not None and len(claims) > 1:
        against.append(f"choosing the best of them: {overfitted}")
    return {
        "sentence": _sentence(claims, rival if better is not None else None),
        "supports": supports,
        "does_not_support": against,
        "claims": claims,
    }


def _sentence(claims: Mapping[str, Mapping[str, bool]], rival: str | None) -> str:
    skilled = [name for name, claim in claims.items() if claim["positive_sharpe"]]
    better = [name for name, claim in claims.items() if claim["beats_benchmark"]]
    if not skilled:
        first = (
            "The evidence does not support skill in "
            + ("this strategy" if len(claims) == 1 else "any of these strategies")
            + ": chance and the number of trials explain what was seen"
        )
    else:
        first = f"The evidence supports a Sharpe ratio above zero for {_list(skilled)}"
        if len(skilled) < len(claims):
            first += ", and not for the others"
    if rival is None:
        return f"{first}. No benchmark was compared."
    if better:
        return f"{first}. {_list(better)} earned more than {rival} beyond chance."
    return f"{first}. Nothing here is shown to earn more than {rival}."


def _list(names: list[str]) -> str:
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} and {names[-1]}"
