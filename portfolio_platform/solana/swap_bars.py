"""OHLCV bars from the swaps of one pool."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from portfolio_platform.solana.swaps import Swap

Interval = Literal["1m", "1h", "1d"]
_SECONDS: dict[Interval, int] = {"1m": 60, "1h": 3600, "1d": 86400}
DEFAULT_DUST = 0.0


@dataclass(frozen=True, slots=True)
class SwapBar:
    """One bar; ``volume`` in whole A, ``turnover`` in whole B, ``opened_at`` UTC."""

    opened_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    turnover: float
    trades: int


@dataclass(slots=True)
class BarCounters:
    """What did not become part of a bar."""

    failed: int = 0
    undated: int = 0
    unpriced: int = 0
    dust: int = 0
    repeated: int = 0


def bars_from_swaps(
    swaps: Iterable[Swap],
    interval: Interval,
    *,
    min_turnover: float = DEFAULT_DUST,
    counters: BarCounters | None = None,
) -> list[SwapBar]:
    """Bars of one pool, oldest first; an interval without a trade has no bar.

    Parameters
    ----------
    swaps : iterable of Swap
        Of one pool, in any order; a (signature, pool) that comes twice counts once.
    min_turnover : float
        Swaps of less whole B do not set prices: a swap of a few base units is all rounding.

    Raises
    ------
    ValueError
        When the swaps are of several pools: their bars are different series.
    """
    counted = counters if counters is not None else BarCounters()
    seen: set[str] = set()
    pools: set[str] = set()
    trades: list[tuple[datetime, int, str, Swap]] = []
    for one in swaps:
        pools.add(one.pool)
        if one.signature in seen:
            counted.repeated += 1
        elif one.failed is not None:
            counted.failed += 1
        elif one.block_time is None:
            counted.undated += 1
        elif one.price is None or one.price <= 0:
            counted.unpriced += 1
        elif one.volume_b < min_turnover:
            counted.dust += 1
        else:
            trades.append((one.block_time, one.slot, one.signature, one))
        seen.add(one.signature)
    if len(pools) > 1:
        raise ValueError(f"swaps of {len(pools)} pools do not make one series of bars")
    bars: list[SwapBar] = []
    grouped: dict[int, list[Swap]] = {}
    step = _SECONDS[interval]
    for moment, _, _, one in sorted(trades, key=lambda item: item[:3]):
        grouped.setdefault(int(moment.timestamp()) // step * step, []).append(one)
    for start, ones in sorted(grouped.items()):
        prices = [one.price for one in ones if one.price is not None]
        bars.append(
            SwapBar(
                opened_at=datetime.fromtimestamp(start, UTC),
                open=prices[0],
                high=max(prices),
                low=min(prices),
                close=prices[-1],
                volume=sum(one.volume_a for one in ones),
                turnover=sum(one.volume_b for one in ones),
                trades=len(ones),
            )
        )
    return bars
