"""`portfolio-platform import-bars`: bring in bars from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


class BadMintOption(ValueError):
    """A `--mint` that says nothing, or two things."""


def mint_pairs(options: Sequence[str]) -> dict[str, str]:
    """Symbol to mint of the ``SYMBOL=MINT`` among `--mint` options.

    Raises
    ------
    BadMintOption, InvalidPubkey
    """
    from portfolio_platform.solana.layouts import key_bytes

    found: dict[str, str] = {}
    for option in options:
        if option == "match":
            continue
        name, separator, mint = option.partition("=")
        if not separator or not name:
            raise BadMintOption(f"--mint {option!r} is neither SYMBOL=MINT nor `match`")
        key_bytes(mint)
        if found.setdefault(name, mint) != mint:
            raise BadMintOption(f"--mint names two mints for {name}: {found[name]} and {mint}")
    return found


def run_import(
    settings: Settings,
    file: Path,
    *,
    venue: str,
    instrument: str,
    interval: str | None,
    symbol: str | None,
    symbols: Sequence[str] | None,
    mints: Sequence[str] = (),
) -> dict[str, Any]:
    """Import a file into the configured database.

    Parameters
    ----------
    mints : sequence of str
        ``SYMBOL=MINT``, or ``match`` to take the mint of the one known token of that symbol.

    Returns
    -------
    dict
        The account of every row, and how many bars are new.
    """
    from portfolio_platform.defs.market.history import import_file, mints_by_symbol

    named = mint_pairs(mints)
    with connect(settings.resolve_database_url()) as conn:
        known = mints_by_symbol(conn) if "match" in mints else {}
        return import_file(
            conn,
            file,
            venue=venue,
            instrument=instrument,
            interval=interval,
            symbol=symbol,
            symbols=symbols,
            mints=known | named,
            named=named,
        )
