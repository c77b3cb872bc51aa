"""Fixtures shared by all rooms."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says nothing on a machine that does something else meanwhile.
settings.register_profile("platform", deadline=None)
settings.load_profile("platform")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole runs of the platform: they are the longest files by far."""
    items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Directory of recorded mainnet data; skips with the reason where it is absent."""
    configured = os.environ.get("PORTFOLIO_REAL_DATA")
    path = Path(configured) if configured else REPOSITORY.parent / "shared" / "real"
    if not path.is_dir():
        shown = configured or "../shared/real"
        pytest.skip(f"PORTFOLIO_REAL_DATA not found at {shown} (recorded mainnet accounts)")
    return path
