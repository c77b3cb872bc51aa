"""A universe made from the account dumps that a chain serves."""

from __future__ import annotations

from typing import Any

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.tokens import (
    JITOSOL_MINT,
    ORCA_MINT,
    SAMO_MINT,
    SOL_MINT,
    USDC_MINT,
)
from portfolio_platform.solana.layouts import (
    key_text,
    lending,
    pyth,
    spl_token,
    stake_pool,
)

MSOL_MINT = "mSoLzYCxHdYgdzU16g5QSh3i5K3z3KZK7ytfqcJm7So"
KNOWN_TOKENS = {
    SOL_MINT: ("SOL", "Wrapped SOL", "L1", False),
    USDC_MINT: ("USDC", "USD Coin", "stable", True),
    ORCA_MINT: ("ORCA", "Orca", "DeFi", False),
    SAMO_MINT: ("SAMO", "Samoyed Coin", "meme", False),
    JITOSOL_MINT: ("jitoSOL", "Jito Staked SOL", "LST", False),
    MSOL_MINT: ("mSOL", "Marinade Staked SOL", "LST", False),
    "7dHbWXmci3dT8UFYWYZweBLXgycu7Y3iL6trKn1Y7ARj": ("stSOL", "Lido Staked SOL", "LST", False),
    "2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo": ("PYUSD", "PayPal USD", "stable", True),
    "susdabGDNbhrnCa6ncrYo81u4s9GM8ecK2UwMyZiq4X": ("sUSD", "Solayer USD", "stable", True),
}
_FEEDS = {
    "ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d": SOL_MINT,
    "eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a": USDC_MINT,
    "c2289a6a43d2ce91c6f55caec370f4acc38a2ed477f58813334c6d03749ff2a4": MSOL_MINT,
}
_LEGACY_ORACLES = {
    "H6ARHf6YXhGYeQfUzQNGk6rDNnLBQKrenN712K4AQJEG": SOL_MINT,
    "J83w4HKfqxwcq3BEMMkPFSppX3gqekLyLJBexebFVkix": SOL_MINT,
    "Gnt27xtC473ZT2Mw5u8wZ68Z3gULkSTb5DuxJy7eJotD": USDC_MINT,
}


def dump_universe(chain: Chain, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Tokens and accounts of the recognised dumps, in the format that `solana.universe` reads.

    Left out: an oracle whose token its bytes do not name, and whatever has no role. Only
    tokens whose mint is dumped are listed, because nothing else states their decimals.
    """
    tokens: dict[str, dict[str, Any]] = {}
    accounts: list[dict[str, Any]] = []
    for row in rows:
        role, data = row["role"], chain.data(row["pubkey"])
        if row["owner"] == "11111111111111111111111111111111" and not data:
            accounts.append({"pubkey": row["pubkey"], "role": "wallet", "mint": None})
            continue
        if role is None or row["claims"] is not None:
            continue
        mint = None
        if role == "mint":
            mint = row["pubkey"]
            tokens[mint] = _token(mint, spl_token.MINT.fields["decimals"].read(data))
        elif role != "pool":
            mint = _subject(row["kind"], row["pubkey"], data)
            if mint is None:
                continue
        accounts.append({"pubkey": row["pubkey"], "role": role, "mint": mint})
    unique = {(one["pubkey"], one["role"]): one for one in accounts}
    for one in list(unique.values()):
        if one["role"] == "stake_pool" and one["mint"] in tokens:
            tokens[one["mint"]]["stake_pool"] = one["pubkey"]
    return {
        "name": "dumps",
        "hub": USDC_MINT,
        "tokens": list(tokens.values()),
        "accounts": list(unique.values()),
    }


def _token(mint: str, decimals: int) -> dict[str, Any]:
    default = (f"{mint[:4]}…{mint[-4:]}", "", None, False)
    symbol, name, group, stable = KNOWN_TOKENS.get(mint, default)
    return {
        "mint": mint,
        "symbol": symbol,
        "name": name,
        "decimals": decimals,
        "stable": stable,
        "group": group,
        "history_symbol": f"Crypto.{symbol.upper()}/USD" if mint in KNOWN_TOKENS else None,
        "stake_pool": None,
    }


def _subject(kind: str, pubkey: str, data: bytes) -> str | None:
    if kind == pyth.PRICE_UPDATE_V2.kind:
        partial = data[40] == pyth.VERIFICATION_PARTIAL
        layout = pyth.PRICE_UPDATE_V2_PARTIAL if partial else pyth.PRICE_UPDATE_V2
        return _FEEDS.get(layout.fields["feed_id"].read(data).hex())
    if kind == pyth.PRICE_V2.kind:
        return _LEGACY_ORACLES.get(pubkey)
    fields = {
        lending.MARGINFI_BANK.kind: (lending.MARGINFI_BANK, "mint"),
        lending.KAMINO_RESERVE.kind: (lending.KAMINO_RESERVE, "mint"),
        stake_pool.STAKE_POOL.kind: (stake_pool.STAKE_POOL, "pool_mint"),
        stake_pool.MARINADE_STATE.kind: (stake_pool.MARINADE_STATE, "msol_mint"),
    }
    layout, name = fields[kind]
    return key_text(layout.fields[name].read(data))


def merge_universes(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Both universes as one; where they disagree about a token, the first wins."""
    known = {token["mint"] for token in first["tokens"]}
    listed = {(one["pubkey"], one["role"]) for one in first["accounts"]}
    return {
        "name": f"{first['name']}+{second['name']}",
        "hub": first["hub"],
        "tokens": first["tokens"] + [t for t in second["tokens"] if t["mint"] not in known],
        "accounts": first["accounts"]
        + [one for one in second["accounts"] if (one["pubkey"], one["role"]) not in listed],
    }
