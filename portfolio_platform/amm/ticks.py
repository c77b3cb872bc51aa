"""Square root prices of ticks, in Q64.64, as two programs compute them.

Both multiply binary powers of sqrt(1.0001) in fixed point, with different constants: the results
differ from the tenth digit on, so a pool must be read with the table of its own program.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import Literal

TickTable = Literal["whirlpool", "raydium_clmm"]

MIN_TICK = -443636
MAX_TICK = 443636
MIN_SQRT_PRICE = 4295048016
MAX_SQRT_PRICE: dict[TickTable, int] = {
    "whirlpool": 79226673515401279992447579055,
    "raydium_clmm": 79226673521066979257578248091,
}

# floor(sqrt(1.0001)^(2^i) * 2^96)
_WHIRLPOOL_UP = (
    79232123823359799118286999567,
    79236085330515764027303304731,
    79244008939048815603706035061,
    79259858533276714757314932305,
    79291567232598584799939703904,
    79355022692464371645785046466,
    79482085999252804386437311141,
    79736823300114093921829183326,
    80248749790819932309965073892,
    81282483887344747381513967011,
    83390072131320151908154831281,
    87770609709833776024991924138,
    97234110755111693312479820773,
    119332217159966728226237229890,
    179736315981702064433883588727,
    407748233172238350107850275304,
    2098478828474011932436660412517,
    55581415166113811149459800483533,
    38992368544603139932233054999993551,
)
# floor(2^64 / sqrt(1.0001)^(2^i))
_WHIRLPOOL_DOWN = (
    18445821805675392311,
    18444899583751176498,
    18443055278223354162,
    18439367220385604838,
    18431993317065449817,
    18417254355718160513,
    18387811781193591352,
    18329067761203520168,
    18212142134806087854,
    17980523815641551639,
    17526086738831147013,
    16651378430235024244,
    15030750278693429944,
    12247334978882834399,
    8131365268884726200,
    3584323654723342297,
    696457651847595233,
    26294789957452057,
    37481735321082,
)
# 2^64 / sqrt(1.0001)^(2^i), once computed in double precision and kept by the program ever since.
_RAYDIUM_DOWN = (
    0xFFFCB933BD6FB800,
    0xFFF97272373D4000,
    0xFFF2E50F5F657000,
    0xFFE5CACA7E10F000,
    0xFFCB9843D60F7000,
    0xFF973B41FA98E800,
    0xFF2EA16466C9B000,
    0xFE5DEE046A9A3800,
    0xFCBE86C7900BB000,
    0xF987A7253AC65800,
    0xF3392B0822BB6000,
    0xE7159475A2CAF000,
    0xD097F3BDFD2F2000,
    0xA9F746462D9F8000,
    0x70D869A156F31C00,
    0x31BE135F97ED3200,
    0x9AA508B5B85A500,
    0x5D6AF8DEDC582C,
    0x2216E584F5FA,
)
_LOG_STEP = log(1.0001) / 2
_LOG_ONE = 64 * log(2)


def _product(tick: int, factors: tuple[int, ...], bits: int) -> int:
    ratio = 1 << bits
    for factor in factors:
        if tick & 1:
            ratio = ratio * factor >> bits
        tick >>= 1
    return ratio


@lru_cache(maxsize=1 << 17)
def sqrt_price_at_tick(table: TickTable, tick: int) -> int:
    """Return sqrt(1.0001^tick) in Q64.64 with the rounding of the program.

    Raises
    ------
    ValueError
        The tick is beyond +-443636.
    """
    if not MIN_TICK <= tick <= MAX_TICK:
        raise ValueError(f"tick {tick} is not within {MIN_TICK} and {MAX_TICK}")
    if table == "raydium_clmm":
        ratio = _product(abs(tick), _RAYDIUM_DOWN, 64)
        return (2**128 - 1) // ratio if tick > 0 else ratio
    if tick < 0:
        return _product(-tick, _WHIRLPOOL_DOWN, 64)
    return _product(tick, _WHIRLPOOL_UP, 96) >> 32


def tick_at_sqrt_price(table: TickTable, sqrt_price: int) -> int:
    """Return the largest tick whose square root price does not exceed `sqrt_price`.

    A logarithm gives the neighbourhood and exact comparisons the answer.

    Raises
    ------
    ValueError
        The price is beyond the ends of the table.
    """
    if not MIN_SQRT_PRICE <= sqrt_price <= MAX_SQRT_PRICE[table]:
        raise ValueError(f"square root price {sqrt_price} is beyond the ends of the table")
    tick = round((log(sqrt_price) - _LOG_ONE) / _LOG_STEP)
    tick = min(max(tick, MIN_TICK), MAX_TICK)
    while tick > MIN_TICK and sqrt_price_at_tick(table, tick) > sqrt_price:
        tick -= 1
    while tick < MAX_TICK and sqrt_price_at_tick(table, tick + 1) <= sqrt_price:
        tick += 1
    return tick
