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


def advance_localnet(settings: Settings, seconds: float) -> dict[str, Any]:
    """Move the local chain forward; slot and time afterwards."""
    answer = httpx.post(f"{_localnet(settings)}/advance", json={"seconds": seconds}, timeout=300)
    moved: dict[str, Any] = answer.raise_for_status().json()
    return moved


def execute_on_localnet(settings: Settings, version: str) -> dict[str, Any]:
    """Send a plan's steps to the local chain as token transfers.

    Raises
    ------
    NotExecutable
        The RPC is not the local chain, the plan has no steps, or the chain refused a step.
    """
    address = _localnet(settings)
    plan, _ = stored_plan(settings, version)
    if not plan["steps"]:
        raise NotExecutable(f"plan {version} has no steps: {plan['outcome']}")
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
    answer = httpx.post(f"{address}/execute", json={"steps": steps}, timeout=60)
    if answer.status_code != 200:
        raise NotExecutable(f"the local chain refused: {answer.text}")
    executed: dict[str, Any] = answer.json()
    return executed
