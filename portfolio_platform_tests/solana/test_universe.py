"""A universe is refused before anything is asked of the network."""

import json
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.universe import UniverseError, load_universe

SOL = programs.WRAPPED_SOL
GOOD: dict[str, Any] = {
    "name": "demo",
    "hub": programs.USDC,
    "tokens": [
        {"mint": SOL, "symbol": "SOL", "name": "Solana", "decimals": 9, "group": "L1"},
        {"mint": "bybit:BTCUSDT", "symbol": "BTC", "decimals": 8},
    ],
    "accounts": [
        {"pubkey": "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ", "role": "pool"},
        {
            "pubkey": "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE",
            "role": "oracle",
            "mint": SOL,
        },
    ],
}


def test_a_universe_is_read_from_a_file_or_from_text(tmp_path: Path) -> None:
    path = tmp_path / "universe.json"
    path.write_text(json.dumps(GOOD))
    universe = load_universe(path)
    assert universe == load_universe(json.dumps(GOOD))
    assert universe.decimals == {SOL: 9, "bybit:BTCUSDT": 8}
    assert [one.role for one in universe.accounts] == ["pool", "oracle"]


def bad(path: str, value: Any) -> dict[str, Any]:
    body = json.loads(json.dumps(GOOD))
    *parents, last = path.split(".")
    at: Any = body
    for name in parents:
        at = at[int(name)] if isinstance(at, list) else at[name]
    at[int(last) if isinstance(at, list) else last] = value
    return body


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (bad("accounts.0.pubkey", "nonsense"), "accounts.0.pubkey.*not a Solana public key"),
        (bad("accounts.0.pubkey", "0" * 44), "characters outside base58"),
        (bad("accounts.0.role", "banana"), "accounts.0.role"),
        (bad("accounts.1.mint", None), "does not say which mint"),
        (bad("accounts.1.pubkey", SOL[:-1]), "accounts.1.pubkey"),
        (bad("tokens.0.mint", "SOL"), "tokens.0.mint"),
        (bad("tokens.0.decimals", -1), "tokens.0.decimals"),
        (bad("tokens.1.mint", SOL), "listed twice"),
        (bad("accounts.1", GOOD["accounts"][0]), "listed twice"),
        (bad("hub", "USDC"), "hub"),
        (bad("name", ""), "name"),
        (bad("accounts.0.pubkeys", []), "Extra inputs"),
        ([], "valid dictionary"),
    ],
)
def test_nonsense_is_refused_with_its_place(tmp_path: Path, body: Any, says: str) -> None:
    path = tmp_path / "universe.json"
    path.write_text(json.dumps(body))
    with pytest.raises(UniverseError, match=f"(?s)universe.json.*{says}"):
        load_universe(path)


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UniverseError, match="cannot be read"):
        load_universe(tmp_path / "absent.json")
    with pytest.raises(UniverseError, match="not valid JSON"):
        load_universe("{")
