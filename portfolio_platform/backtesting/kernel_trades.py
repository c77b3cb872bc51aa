# mypy: disable-error-code="no-untyped-def"
"""Compiled trades of one bar: from target weights to units and cash, in each convention.

`trade` holds the notional of each trade at mid, positive for a buy; ``flows[row]`` is the record of
the bar and ``targets[k]`` what is wanted. Rows are never sliced: a view costs more than its work.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

NO_IMPACT, SQRT_IMPACT, POOL_IMPACT = 0, 1, 2
# positions in the vector of parameters
FEE, SLIP, FIXED, MIN_TRADE, PARTICIPATION, COEFFICIENT = 0, 1, 2, 3, 4, 5
BAND_WIDTH, LOWER, UPPER, ABS_BAND, CASH_RATE, RECOVERY = 6, 7, 8, 9, 10, 11
# columns of the flow record
O_FEE, O_SLIP, O_IMPACT, O_FIXED, O_WRITEOFF, O_TURNOVER, O_INCOME = 0, 1, 2, 3, 4, 5, 6
N_FLOWS = 7
#: What is left of a holding sold whole is rounding; below this share it is nothing.
DUST = 1e-14


class Market(NamedTuple):
    """Arrays of ``MarketPath`` as the kernels read them; `inverse` is 1/price, 0 where no price."""

    price: np.ndarray
    inverse: np.ndarray
    tradable: np.ndarray
    settle: np.ndarray
    any_settle: np.ndarray
    income: np.ndarray
    adv: np.ndarray
    volatility: np.ndarray
    depth: np.ndarray


@njit(cache=True, inline="always")
def _wanted(t, market, targets, k, value, held, trade, parameters):
    """Fill `trade` with what is wanted, capped by volume, small trades dropped."""
    n = trade.shape[0]
    price, tradable, adv = market.price, market.tradable, market.adv
    for j in range(n):
        x = targets[k, j] * value - held[j] * price[t, j]
        trade[j] = x if tradable[t, j] else 0.0
    share = parameters[PARTICIPATION]
    if share > 0.0:
        for j in range(n):
            cap = share * adv[t, j]
            trade[j] = min(max(trade[j], -cap), cap)
    small = parameters[MIN_TRADE]
    if small > 0.0:
        for j in range(n):
            x = trade[j]
            trade[j] = x if abs(x) >= small else 0.0


@njit(cache=True, inline="always")
def pro_rata(t, market, targets, k, value, held, cash, trade, parameters, flows, row):
    """Sells first, then all buys scaled alike to the cash there is; proportional costs only."""
    _wanted(t, market, targets, k, value, held, trade, parameters)
    n = trade.shape[0]
    fee, slip = parameters[FEE], parameters[SLIP]
    inverse = market.inverse
    sold, bought, sold_too, bought_too = 0.0, 0.0, 0.0, 0.0
    even = n - n % 2
    for j in range(0, even, 2):
        x, y = trade[j], trade[j + 1]
        sold -= min(x, 0.0)
        bought += max(x, 0.0)
        sold_too -= min(y, 0.0)
        bought_too += max(y, 0.0)
    if even < n:
        sold -= min(trade[even], 0.0)
        bought += max(trade[even], 0.0)
    sold += sold_too
    bought += bought_too
    cash += sold * (1.0 - slip) * (1.0 - fee)
    need = bought * (1.0 + slip) * (1.0 + fee)
    scale = 1.0
    if need > cash:
        scale = cash / need
        cash = 0.0
    else:
        cash -= need
    for j in range(n):
        x = trade[j]
        before = held[j]
        after = before + x * inverse[t, j] * (scale if x > 0.0 else 1.0)
        held[j] = after if after > DUST * before else 0.0
    bought *= scale
    flows[row, O_FEE] += (sold * (1.0 - slip) + bought * (1.0 + slip)) * fee
    flows[row, O_SLIP] += (sold + bought) * slip
    flows[row, O_TURNOVER] += sold + bought
    return cash


@njit(cache=True)
def _impact(j, t, size, kind, market, parameters):
    if kind == NO_IMPACT or size <= 0.0:
        return 0.0
    if kind == POOL_IMPACT:
        return size / (market.depth[j] + size)
    if market.adv[t, j] <= 0.0:
        return 1.0
    root = np.sqrt(size / market.adv[t, j])
    return parameters[COEFFICIENT] * market.volatility[t, j] * root


@njit(cache=True)
def sell(j, t, x, kind, market, held, cash, parameters, flows, row):
    """Sell notional |x| of asset j; return cash after. A sale that pays nothing is not made."""
    size = -x
    worse = min(parameters[SLIP] + _impact(j, t, size, kind, market, parameters), 1.0)
    executed = size * (1.0 - worse)
    fee = executed * parameters[FEE]
    if parameters[FIXED] > 0.0 and executed - fee - parameters[FIXED] <= 0.0:
        return cash
    before = held[j]
    after = before - size * market.inverse[t, j]
    held[j] = after if after > DUST * before else 0.0
    flows[row, O_FEE] += fee
    flows[row, O_SLIP] += size * parameters[SLIP]
    flows[row, O_IMPACT] += size * (worse - parameters[SLIP])
    flows[row, O_FIXED] += parameters[FIXED]
    flows[row, O_TURNOVER] += size
    return cash + (executed - fee - parameters[FIXED])


@njit(cache=True)
def _need(t, trade, scale, kind, market, parameters):
    """Cash that all buys scaled by `scale` take, without fixed fees."""
    need = 0.0
    for j in range(trade.shape[0]):
        if trade[j] > 0.0:
            size = scale * trade[j]
            worse = parameters[SLIP] + _impact(j, t, size, kind, market, parameters)
            need += size * (1.0 + worse) * (1.0 + parameters[FEE])
    return need


@njit(cache=True)
def pro_rata_sized(t, market, targets, k, value, held, cash, trade, kind, parameters, flows, row):
    """As :func:`pro_rata`, with impact and fixed fees: costs that depend on each trade's size."""
    _wanted(t, market, targets, k, value, held, trade, parameters)
    n = trade.shape[0]
    buys = 0
    for j in range(n):
        if trade[j] < 0.0:
            cash = sell(j, t, trade[j], kind, market, held, cash, parameters, flows, row)
        elif trade[j] > 0.0:
            buys += 1
    available = cash - parameters[FIXED] * buys
    if buys == 0 or available <= 0.0:
        return cash
    scale = 1.0
    need = _need(t, trade, 1.0, kind, market, parameters)
    if need > available:
        # Impact falls with size, so the affordable scale lies between the linear one and 1.
        scale = available / need
        if kind != NO_IMPACT:
            low, high = scale, 1.0
            for _ in range(60):
                middle = 0.5 * (low + high)
                if _need(t, trade, middle, kind, market, parameters) > available:
                    high = middle
                else:
                    low = middle
            scale = low
    spent = 0.0
    for j in range(n):
        if trade[j] > 0.0:
            size = trade[j] * scale
            impact = _impact(j, t, size, kind, market, parameters)
            executed = size * (1.0 + parameters[SLIP] + impact)
            fee = executed * parameters[FEE]
            held[j] += size * market.inverse[t, j]
            flows[row, O_FEE] += fee
            flows[row, O_SLIP] += size * parameters[SLIP]
            flows[row, O_IMPACT] += size * impact
            flows[row, O_FIXED] += parameters[FIXED]
            flows[row, O_TURNOVER] += size
            spent += executed + fee + parameters[FIXED]
    if scale < 1.0 and kind == NO_IMPACT:
        return 0.0
    return max(cash - spent, 0.0)


@njit(cache=True)
def exact(t, market, targets, k, value, held, cash, parameters, flows, row):
    """Weights hold after costs: V⁺ = V⁻ − c·Σ|w·V⁺ − a|, solved as a fixed point."""
    n = held.shape[0]
    rate = parameters[FEE] + parameters[SLIP]
    after = value
    for _ in range(200):
        traded = 0.0
        for j in range(n):
            if market.tradable[t, j]:
                traded += abs(targets[k, j] * after - held[j] * market.price[t, j])
        new = value - rate * traded
        done = abs(new - after) <= 1e-17 * value
        after = new
        if done:
            break
    spent, traded, bought = 0.0, 0.0, 0.0
    for j in range(n):
        if market.tradable[t, j]:
            x = targets[k, j] * after - held[j] * market.price[t, j]
            traded += abs(x)
            bought += max(x, 0.0)
            spent += x
    left = cash - spent - rate * traded
    scale = 1.0
    if left < 0.0 and bought > 0.0:
        # What cannot be sold now is missing from the cash that the buys need.
        scale = max(0.0, 1.0 + left / (bought * (1.0 + rate)))
    for j in range(n):
        if market.tradable[t, j]:
            x = targets[k, j] * after - held[j] * market.price[t, j]
            before = held[j]
            if x > 0.0:
                x *= scale
                held[j] = before + x * market.inverse[t, j]
                cash -= x * (1.0 + rate)
            else:
                units = before + x * market.inverse[t, j]
                held[j] = units if units > DUST * before else 0.0
                cash += -x * (1.0 - rate)
            flows[row, O_FEE] += abs(x) * parameters[FEE]
            flows[row, O_SLIP] += abs(x) * parameters[SLIP]
            flows[row, O_TURNOVER] += abs(x)
    return max(cash, 0.0)


@njit(cache=True)
def vectorbt(t, market, targets, k, value, held, cash, trade, parameters, flows, row):
    """Orders by ascending value, each buy limited by the cash that is left (vectorbt 1.2)."""
    n = held.shape[0]
    for j in range(n):
        x = targets[k, j] * value - held[j] * market.price[t, j]
        trade[j] = x if market.tradable[t, j] else 0.0
    for j in np.argsort(trade):
        x = trade[j]
        if x < 0.0:
            cash = sell(j, t, x, NO_IMPACT, market, held, cash, parameters, flows, row)
        elif x > 0.0 and cash > 0.0:
            paid = 1.0 + parameters[SLIP]
            need = x * paid * (1.0 + parameters[FEE])
            if need > cash:
                x = cash / ((1.0 + parameters[FEE]) * paid)
                cash = 0.0
            else:
                cash -= need
            held[j] += x * market.inverse[t, j]
            flows[row, O_FEE] += x * paid * parameters[FEE]
            flows[row, O_SLIP] += x * parameters[SLIP]
            flows[row, O_TURNOVER] += x
    return cash
