"""`portfolio-platform import-bars`: bring in bars from a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


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

    with connect(settings.resolve_database_url()) as conn:
        chosen = mints_by_symbol(conn) if "match" in mints else {}
        for pair in mints:
            name, separator, mint = pair.partition("=")
            if separator:
                chosen[name] = mint
        return import_file(
            conn,
            file,
            venue=venue,
            instrument=instrument,
            interval=interval,
            symbol=symbol,
            symbols=symbols,
            mints=chosen,
        )
