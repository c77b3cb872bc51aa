"""Stored plans: compute them again, and (local chain only) execute them."""

from __future__ import annotations

from typing import Any

import httpx

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect
from portfolio_platform.store.requests import UnknownRow


class NotExecutable(RuntimeError):
    """The plan has nothing to execute, or there is no local chain."""


def stored_plan(settings: Settings, version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plan and inputs of a stored plan.

    Raises
    ------
    UnknownRow
        No plan has that version.
    """
    with connect(settings.resolve_database_url()) as conn:
        row = conn.execute(
            "select plan, plan_inputs from public.reallocation_plans where version::text = %s",
            (version,),
        ).fetchone()
    if row is None:
        raise UnknownRow(f"no plan {version}; `GET /v1/portfolios/ID/reallocation` lists them")
    return row[0], row[1]


def run_replay(settings: Settings, version: str) -> dict[str, Any]:
    """Compute a plan again from its stored inputs and say whether it is the same."""
    from portfolio_platform.reallocation import replay

    plan, inputs = stored_plan(settings, version)
    difference = replay(inputs, plan)
    if difference is None:
        return {"version": version, "equal": True, "outcome": plan["outcome"]}
    return {
        "version": version,
        "equal": False,
        "path": difference.path,
        "stored": difference.left,
        "computed": difference.right,
    }


def _localnet(settings: Settings) -> str:
    found = settings.services().get("localnet")
    if settings.rpc_urls is not None or found is None:
        raise NotExecutable("this needs the local chain; unset SOLANA_RPC_URLS and run `up`")
    return str(found["rpc_url"])


def _post(settings: Settings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the local chain answers.

    Raises
    ------
    NotExecutable
        There is no local chain, it does not answer, or it refused.
    """
    address = _localnet(settings)
    try:
        answer = httpx.post(f"{address}/{path}", json=body, timeout=300)
    except httpx.HTTPError as error:
        raise NotExecutable(f"the local chain does not answer ({error}); run `up`") from error
    said: dict[str, Any] = answer.json()
    if answer.status_code == 409:
        place, done = said["step"] + 1, len(said["applied"])
        raise NotExecutable(
            f"the local chain refused step {place}: {said['reason']}: {said['detail']}; "
            f"{done or 'no'} steps were executed; plan again on what is there now"
        )
    if answer.status_code != 200:
        raise NotExecutable(f"the local chain refused: {answer.text}")
    return said


def advance_localnet(settings: Settings, seconds: float) -> dict[str, Any]:
    """Move the local chain forward; slot and time afterwards."""
    return _post(settings, "advance", {"seconds": seconds})


def execute_on_localnet(settings: Settings, version: str) -> dict[str, Any]:
    """Send a plan's steps to the local chain as token transfers.

    Raises
    ------
    NotExecutable
        The RPC is not the local chain, the plan has no steps, or the chain refused a step.
    """
    _localnet(settings)
    plan, _ = stored_plan(settings, version)
    if not plan["steps"]:
        raise NotExecutable(
            f"plan {version} has no steps: {plan['outcome']}: {', '.join(plan['reasons'])}"
        )
    steps = [
        {
            "pool": step["pool"],
            "mint_in": step["mint_in"],
            "amount_in": int(step["amount_in"]),
            "amount_out": int(step["expected_out"]),
            "min_out": int(step["min_out"]),
        }
        for step in plan["steps"]
    ]
    return _post(settings, "execute", {"steps": steps})
