"""Importing a file of bars: nothing mixed, nothing that has not happened, no slip unnoticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.defs.market.history import UnsupportedBars, import_file
from portfolio_platform.solana.layouts import programs
from portfolio_platform.store.bars import OtherAsset
from portfolio_platform_tests.store.postgres import Database

SOL, USDC = programs.WRAPPED_SOL, programs.USDC


def bring(
    database: Database, folder: Path, days: int, mints: dict[str, str] | None = None
) -> dict[str, Any]:
    """Import daily SOLUSDT bars of the last `days` days, today's included."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    opens = [today - timedelta(days=back) for back in reversed(range(days))]
    file = folder / "bars.csv"
    lines = [f"{at:%Y-%m-%d},10,12,9,11,5,SOLUSDT" for at in opens]
    file.write_text("\n".join(["date,open,high,low,close,volume,symbol", *lines]))
    with database.connect() as conn:
        return import_file(
            conn, file, venue="bybit", instrument="perp", mints=mints, named=mints or ()
        )


def mint_of_series(database: Database) -> list[str]:
    with database.connect() as conn:
        return [mint for (mint,) in conn.execute("select mint from public.bar_series")]


def test_a_bar_of_today_is_not_stored_before_it_closed(
    fresh_database: Database, tmp_path: Path
) -> None:
    report = bring(fresh_database, tmp_path, 4)
    assert (report["kept"], report["written"]) == (3, 3)
    assert report["reasons"] == {"not_closed": 1}


def test_a_series_takes_a_mint_once_and_keeps_it(fresh_database: Database, tmp_path: Path) -> None:
    bring(fresh_database, tmp_path, 4)
    assert mint_of_series(fresh_database) == ["bybit:SOLUSDT"]
    bring(fresh_database, tmp_path, 5, {"SOL": SOL})
    assert mint_of_series(fresh_database) == [SOL]
    bring(fresh_database, tmp_path, 6)
    assert mint_of_series(fresh_database) == [SOL]
    with pytest.raises(OtherAsset, match=f"bars of {SOL}, not of {USDC}"):
        bring(fresh_database, tmp_path, 6, {"SOLUSDT": USDC})
    assert mint_of_series(fresh_database) == [SOL]


def test_a_mint_for_a_symbol_that_is_not_in_the_file_is_a_slip(
    fresh_database: Database, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedBars, match="no bars of SOLL"):
        bring(fresh_database, tmp_path, 4, {"SOLL": SOL})
    assert mint_of_series(fresh_database) == []
