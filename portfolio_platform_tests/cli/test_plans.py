"""Executing on the local chain: what it refuses is said in one line, and a dead chain too."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.cli import plans
from portfolio_platform.settings import Settings


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A home whose services file names a local chain that is gone."""
    (tmp_path / "services.json").write_text('{"localnet": {"rpc_url": "http://127.0.0.1:9"}}')
    for name in ("SOLANA_RPC_URLS", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PORTFOLIO_HOME", str(tmp_path))
    plan = {"steps": [], "outcome": "failed", "reasons": ["rpc_unavailable"]}
    monkeypatch.setattr(plans, "stored_plan", lambda settings, version: (plan, {}))
    return Settings()


def test_a_chain_that_is_gone(local: Settings) -> None:
    with pytest.raises(plans.NotExecutable, match=r"does not answer .*run `up`"):
        plans.advance_localnet(local, 1.0)


def test_a_plan_without_steps(local: Settings) -> None:
    with pytest.raises(plans.NotExecutable, match="no steps: failed: rpc_unavailable"):
        plans.execute_on_localnet(local, "v")


def test_no_local_chain(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLANA_RPC_URLS", "https://example.org")
    with pytest.raises(plans.NotExecutable, match="needs the local chain"):
        plans.execute_on_localnet(Settings(), "v")


def test_a_refused_step(local: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    body: dict[str, Any] = {"step": 2, "reason": "slippage", "detail": "gives 9", "applied": []}
    monkeypatch.setattr(httpx, "post", lambda *a, **k: httpx.Response(409, json=body))
    with pytest.raises(plans.NotExecutable, match=r"step 3: slippage: gives 9; no steps were"):
        plans.advance_localnet(local, 1.0)
