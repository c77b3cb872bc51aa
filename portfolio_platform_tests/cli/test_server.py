"""Settings of the read layer as the command line hands them over."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from portfolio_platform.cli.server import api_settings
from portfolio_platform.settings import Settings


def _cursor_secret(monkeypatch: pytest.MonkeyPatch, home: Path, key: str) -> str:
    monkeypatch.setenv("PORTFOLIO_HOME", str(home))
    monkeypatch.setenv("PORTFOLIO_API_DATABASE_URL", "postgresql://portfolio_api@127.0.0.1:1/x")
    monkeypatch.setenv("PORTFOLIO_SECRET_KEY", key)
    secret = api_settings(Settings()).cursor_secret
    assert secret is not None
    return secret.get_secret_value()


def test_page_cursors_hold_for_every_process_with_the_same_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, other = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    first = _cursor_secret(monkeypatch, tmp_path / "a", key)
    assert first == _cursor_secret(monkeypatch, tmp_path / "b", key)
    assert first != _cursor_secret(monkeypatch, tmp_path / "a", other)
    assert key not in first
