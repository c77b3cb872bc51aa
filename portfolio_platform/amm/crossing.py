"""Walking a concentrated pool from tick to tick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from portfolio_platform.amm.integers import BPS, PPM, ceil_div
from portfolio_platform.amm.ticks import sqrt_price_at_tick

if TYPE_CHECKING:
    from portfolio_platform.amm.concentrated import ConcentratedPool


class Walk(NamedTuple):
    """How far a swap came; `used` is the side that was given, `other` the one that was asked.

    `net_in` and `real_out` (in Q64.64) measure the path without fees and without rounding of the
    output.
    """

    used: int
    other: int
    fee: int
    protocol_fee: int
    net_in: int
    real_out: int
    sqrt_price: int
    liquidity: int
    tick: int | None
    crossed: int
    filled: bool


class Range(NamedTuple):
    """A stretch of constant liquidity, from the current price on."""

    liquidity: int
    start: int
    end: int
    need: int
    gross: int


def walk(pool: ConcentratedPool, a_to_b: bool, amount: int, exact_in: bool) -> Walk:
    """Swap until `amount` is filled or the fetched ticks end.

    `amount` is the input with its fee (`exact_in`) or the output. Nothing is refused: the
    result says whether it was filled.
    """
    table, fee_ppm = pool.program, pool.fee_ppm
    share, fund = pool.protocol_share_bps, pool.fund_share_bps
    kept_ppm = PPM - fee_ppm
    ticks, nets = pool.ticks, pool.nets
    price, liquidity, index = pool.sqrt_price, pool.liquidity, pool.index
    tick: int | None = pool.tick
    rest, other, fees, protocol, net_in, real_out, crossed = amount, 0, 0, 0, 0, 0, 0
    while rest > 0:
        if a_to_b:
            initialised = index > 0
            goal = ticks[index - 1] if initialised else pool.lower_tick
            target = sqrt_price_at_tick(table, goal)
            if not initialised and price <= target:
                break
            span = price - target
            need_a = -(-(liquidity * span << 64) // (price * target))
            room_b = liquidity * span >> 64
        else:
            initialised = index < len(ticks)
            goal = ticks[index] if initialised else pool.upper_tick
            target = sqrt_price_at_tick(table, goal)
            if not initialised and price >= target:
                break
            span = target - price
            need_a = (liquidity * span << 64) // (price * target)
            room_b = -(-liquidity * span >> 64)
        paid, out = (need_a, room_b) if a_to_b else (room_b, need_a)
        if exact_in:
            offer = rest * kept_ppm // PPM
            reached = paid <= offer
        else:
            reached = out <= rest
        if reached:
            after = target
        else:
            after = next_price(price, liquidity, offer if exact_in else rest, a_to_b, exact_in)
            # Rounding may land an exact output on the very edge of the range.
            reached = after == target
            if not reached:
                paid, out = amounts(price, after, liquidity, a_to_b)
        if exact_in:
            fee = ceil_div(paid * fee_ppm, kept_ppm) if reached else rest - paid
            rest -= paid + fee
            other += out
        else:
            out = min(out, rest)
            fee = ceil_div(paid * fee_ppm, kept_ppm)
            rest -= out
            other += paid + fee
        fees += fee
        protocol += fee * share // BPS + fee * fund // BPS
        net_in += paid
        if a_to_b:
            real_out += liquidity * (price - after)
        else:
            real_out += (liquidity * (after - price) << 128) // (after * price)
        if reached:
            tick = goal - 1 if a_to_b else goal
            if initialised:
                crossed += 1
                index += -1 if a_to_b else 1
                liquidity += -nets[index] if a_to_b else nets[index - 1]
        elif after != price:
            tick = None
        price = after
    return Walk(
        amount - rest,
        other,
        fees,
        protocol,
        net_in,
        real_out,
        price,
        liquidity,
        tick,
        crossed,
        rest == 0,
    )


def stretches(pool: ConcentratedPool, a_to_b: bool) -> Iterator[Range]:
    """Yield the stretches ahead with the input that each takes, without and with fee."""
    price, liquidity, index = pool.sqrt_price, pool.liquidity, pool.index
    kept_ppm = PPM - pool.fee_ppm
    while True:
        inside = index > 0 if a_to_b else index < len(pool.ticks)
        if a_to_b:
            goal = pool.ticks[index - 1] if inside else pool.lower_tick
        else:
            goal = pool.ticks[index] if inside else pool.upper_tick
        target = sqrt_price_at_tick(pool.program, goal)
        if not inside and (price <= target if a_to_b else price >= target):
            return
        paid, _ = amounts(price, target, liquidity, a_to_b)
        yield Range(liquidity, price, target, paid, paid + ceil_div(paid * pool.fee_ppm, kept_ppm))
        if not inside:
            return
        price = target
        index += -1 if a_to_b else 1
        liquidity += -pool.nets[index] if a_to_b else pool.nets[index - 1]


def amounts(start: int, end: int, liquidity: int, a_to_b: bool) -> tuple[int, int]:
    """Return what is paid (rounded up) and received (down) between two square root prices."""
    if a_to_b:
        spread = liquidity * (start - end)
        return -(-(spread << 64) // (start * end)), spread >> 64
    spread = liquidity * (end - start)
    return -(-spread >> 64), (spread << 64) // (start * end)


def output_q64(start: int, end: int, liquidity: int, a_to_b: bool) -> int:
    """Return the output between two square root prices in Q64.64."""
    if a_to_b:
        return liquidity * (start - end)
    return (liquidity * (end - start) << 128) // (start * end)


def next_price(price: int, liquidity: int, amount: int, a_to_b: bool, exact_in: bool) -> int:
    """Return the square root price after `amount` went in or out; rounding favours the pool."""
    if a_to_b == exact_in:
        whole = liquidity << 64
        moved = whole + amount * price if exact_in else whole - amount * price
        return -(-whole * price // moved)
    if exact_in:
        return price + (amount << 64) // liquidity
    return price - -(-(amount << 64) // liquidity)
