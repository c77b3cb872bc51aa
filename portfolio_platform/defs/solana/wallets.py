"""Wallets of portfolios are read with the universe, whoever follows them."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import Connection

from portfolio_platform.solana.layouts import is_key
from portfolio_platform.solana.universe import Universe, WatchedAccount
from portfolio_platform.store import requests


def with_wallets(universe: Universe, wallets: Iterable[str]) -> Universe:
    """The universe with these wallets among its accounts; what is no public key is left out."""
    listed = {one.pubkey for one in universe.by_role("wallet")}
    added = tuple(
        WatchedAccount(pubkey=wallet, role="wallet")
        for wallet in sorted(set(wallets) - listed)
        if is_key(wallet)
    )
    return universe.model_copy(update={"accounts": (*universe.accounts, *added)})


def with_portfolios(conn: Connection, universe: Universe) -> Universe:
    """The universe with the wallet of every portfolio among its accounts."""
    return with_wallets(universe, (row.wallet for row in requests.portfolios(conn)))
