"""Bars from swaps: one series per pool, each bar once everything in it has been read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pandas as pd
from psycopg import Connection

from portfolio_platform.defs.solana.swap_pools import FollowedPool
from portfolio_platform.solana.swap_bars import BarCounters, Interval, SwapBar, bars_from_swaps
from portfolio_platform.solana.swaps import Swap
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import bars as bar_store
from portfolio_platform.store import swaps as store

INTERVALS: tuple[Interval, ...] = ("1m", "1h", "1d")
MIN_TURNOVER = 0.01
"""Whole quote tokens below which a swap sets no price: it is all rounding."""
_DAY = 86_400


@dataclass
class PoolBars:
    """What was made of one pool's swaps."""

    pool: str
    base: str
    quote: str
    swaps: int = 0
    written: int = 0
    left_out: dict[str, int] = field(default_factory=dict)


def _swap(row: dict[str, Any]) -> Swap:
    return Swap(
        signature=row["signature"],
        slot=row["slot"],
        block_time=row["observed_at"],
        pool=row["pool"],
        mint_in=row["mint_in"],
        mint_out=row["mint_out"],
        amount_in=int(row["amount_in"]),
        amount_out=int(row["amount_out"]),
        decimals_in=row["decimals_in"],
        decimals_out=row["decimals_out"],
        price=row["price"],
        volume_a=row["volume_a"],
        volume_b=row["volume_b"],
        fee=row["fee"],
        failed=row["failed"],
    )


def _digest(rows: Sequence[dict[str, Any]]) -> str:
    """sha256 over what bars are made of: signatures and exact amounts, in ledger order."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(
            orjson.dumps(
                [
                    row["signature"],
                    row["slot"],
                    row["mint_in"],
                    str(row["amount_in"]),
                    str(row["amount_out"]),
                    row["failed"],
                ]
            )
        )
    return digest.hexdigest()


def _whole(bars: Sequence[SwapBar], interval: Interval, window: store.BarWindow) -> list[SwapBar]:
    """Bars that have closed by what was read, and that began after reading did."""
    length = bar_store.INTERVALS[interval]
    assert window.followed_to is not None
    return [
        one
        for one in bars
        if one.opened_at + length <= window.followed_to
        and (window.followed_from is None or one.opened_at > window.followed_from)
    ]


def _frame(bars: Sequence[SwapBar]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "observed_at": pd.DatetimeIndex([one.opened_at for one in bars]),
            "open": [one.open for one in bars],
            "high": [one.high for one in bars],
            "low": [one.low for one in bars],
            "close": [one.close for one in bars],
            "volume": [one.volume for one in bars],
        }
    )


def make_bars(
    conn: Connection, pool: FollowedPool, universe: Universe, run_id: str | None = None
) -> PoolBars | None:
    """Make the bars of a pool from the swaps that no bar has seen; None where nothing is new.

    A swap found late corrects its bars: new rows with a later ``recorded_at``.
    """
    window = store.bar_window(conn, pool.address)
    if window is None or window.start is None or window.followed_to is None:
        return None
    assert pool.quote is not None
    midnight = int(window.start.timestamp()) // _DAY * _DAY
    rows = store.swaps_of(conn, pool.address, datetime.fromtimestamp(midnight, UTC))
    result = PoolBars(pool.address, pool.base, pool.quoted_in(universe), len(rows))
    swaps = list(pool.oriented([_swap(row) for row in rows]))
    counters = BarCounters()
    found = {
        interval: _whole(
            bars_from_swaps(
                swaps,
                interval,
                min_turnover=MIN_TURNOVER,
                counters=counters if interval == "1d" else None,
            ),
            interval,
            window,
        )
        for interval in INTERVALS
    }
    result.left_out = {name: number for name, number in asdict(counters).items() if number}
    if any(found.values()):
        batch = bar_store.save_batch(
            conn,
            source="swaps",
            locator=pool.address,
            sha256=_digest(rows),
            n_rows=len(rows),
            report={"left_out": result.left_out},
            run_id=run_id,
        )
        series = bar_store.save_series(
            conn,
            mint=pool.base,
            venue=pool.kind,
            symbol=pool.address,
            instrument="pool",
            quote=result.quote,
        )
        for interval, bars in found.items():
            if bars:
                result.written += bar_store.append_raw(conn, series, interval, batch, _frame(bars))
    store.bars_made(conn, pool.address, window.followed_to)
    return result
