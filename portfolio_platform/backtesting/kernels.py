"""Compiled inner loops of the simulator: one bar at a time, sells before buys.

Arrays are (T, n) over bars and assets; `x` is the notional of a trade at mid, positive for a buy.
"""

from __future__ import annotations

# mypy: disable-error-code="no-untyped-def"
# Types are inferred by numba at the first call.
import numpy as np
from numba import njit

PRO_RATA, EXACT, VECTORBT = 0, 1, 2
CALENDAR, BAND, UTILIZATION = 0, 1, 2
NO_IMPACT, SQRT_IMPACT, POOL_IMPACT = 0, 1, 2
# positions in the vector of parameters
FEE, SLIP, FIXED, MIN_TRADE, PARTICIPATION, COEFFICIENT = 0, 1, 2, 3, 4, 5
BAND_WIDTH, LOWER, UPPER, ABS_BAND, CASH_RATE, RECOVERY = 6, 7, 8, 9, 10, 11
N_PARAMETERS = 12
# columns of the flow record
O_FEE, O_SLIP, O_IMPACT, O_FIXED, O_WRITEOFF, O_TURNOVER, O_INCOME = 0, 1, 2, 3, 4, 5, 6
N_FLOWS = 7


@njit(cache=True)
def _impact(kind, size, coefficient, volatility, adv, depth):
    if kind == NO_IMPACT or size <= 0.0:
        return 0.0
    if kind == POOL_IMPACT:
        return size / (depth + size)
    if adv <= 0.0:
        return 1.0
    return coefficient * volatility * np.sqrt(size / adv)


@njit(cache=True)
def _sell(j, x, price, held, cash, kind, parameters, volatility, adv, depth, flow):
    """Sell notional |x| of asset j; return cash after. A sale that pays nothing is not made."""
    size = -x
    impact = _impact(kind, size, parameters[COEFFICIENT], volatility, adv, depth)
    worse = min(parameters[SLIP] + impact, 1.0)
    impact = worse - parameters[SLIP]
    executed = size * (1.0 - worse)
    fee = executed * parameters[FEE]
    if parameters[FIXED] > 0.0 and executed - fee - parameters[FIXED] <= 0.0:
        return cash
    units = size / price
    if units >= held[j] * (1.0 - 1e-15):
        held[j] = 0.0
    else:
        held[j] -= units
    flow[O_FEE] += fee
    flow[O_SLIP] += size * parameters[SLIP]
    flow[O_IMPACT] += size * impact
    flow[O_FIXED] += parameters[FIXED]
    flow[O_TURNOVER] += size
    return cash + (executed - fee - parameters[FIXED])


@njit(cache=True)
def _need(t, trade, scale, kind, parameters, volatility, adv, depth):
    """Cash that all buys scaled by `scale` take, without fixed fees."""
    need = 0.0
    for j in range(trade.shape[0]):
        if trade[j] > 0.0:
            size = scale * trade[j]
            impact = 0.0
            if kind == SQRT_IMPACT:
                impact = _impact(
                    kind, size, parameters[COEFFICIENT], volatility[t, j], adv[t, j], 0.0
                )
            elif kind == POOL_IMPACT:
                impact = _impact(kind, size, 0.0, 0.0, 0.0, depth[j])
            need += size * (1.0 + parameters[SLIP] + impact) * (1.0 + parameters[FEE])
    return need


@njit(cache=True)
def _rebalance_pro_rata(
    t,
    price,
    tradable,
    target,
    value,
    held,
    cash,
    trade,
    kind,
    parameters,
    volatility,
    adv,
    depth,
    flow,
):
    """Trade towards `target`; return cash after. Conventions: sells first, buys scaled alike."""
    n = price.shape[1]
    capped = parameters[PARTICIPATION] > 0.0
    small = parameters[MIN_TRADE]
    for j in range(n):
        x = 0.0
        if tradable[t, j]:
            x = target[j] * value - held[j] * price[t, j]
            if capped:
                cap = parameters[PARTICIPATION] * adv[t, j]
                if x > cap:
                    x = cap
                elif x < -cap:
                    x = -cap
            if abs(x) < small:
                x = 0.0
        trade[j] = x
    buys = 0
    for j in range(n):
        if trade[j] < 0.0:
            v = volatility[t, j] if kind == SQRT_IMPACT else 0.0
            a = adv[t, j] if kind == SQRT_IMPACT else 0.0
            d = depth[j] if kind == POOL_IMPACT else 0.0
            cash = _sell(j, trade[j], price[t, j], held, cash, kind, parameters, v, a, d, flow)
        elif trade[j] > 0.0:
            buys += 1
    if buys == 0:
        return cash
    available = cash - parameters[FIXED] * buys
    if available <= 0.0:
        return cash
    need = _need(t, trade, 1.0, kind, parameters, volatility, adv, depth)
    scale = 1.0
    if need > available:
        scale = available / need
        if kind != NO_IMPACT:
            low, high = scale, 1.0
            for _ in range(60):
                middle = 0.5 * (low + high)
                if _need(t, trade, middle, kind, parameters, volatility, adv, depth) > available:
                    high = middle
                else:
                    low = middle
            scale = low
    spent = 0.0
    for j in range(n):
        if trade[j] > 0.0:
            size = trade[j] * scale
            impact = 0.0
            if kind == SQRT_IMPACT:
                impact = _impact(
                    kind, size, parameters[COEFFICIENT], volatility[t, j], adv[t, j], 0.0
                )
            elif kind == POOL_IMPACT:
                impact = _impact(kind, size, 0.0, 0.0, 0.0, depth[j])
            executed = size * (1.0 + parameters[SLIP] + impact)
            fee = executed * parameters[FEE]
            held[j] += size / price[t, j]
            flow[O_FEE] += fee
            flow[O_SLIP] += size * parameters[SLIP]
            flow[O_IMPACT] += size * impact
            flow[O_FIXED] += parameters[FIXED]
            flow[O_TURNOVER] += size
            spent += executed + fee + parameters[FIXED]
    if scale < 1.0 and kind == NO_IMPACT:
        return 0.0
    return max(cash - spent, 0.0)


@njit(cache=True)
def _rebalance_exact(t, price, tradable, target, value, held, cash, parameters, flow):
    """Weights hold after costs: V⁺ = V⁻ − c·Σ|w·V⁺ − a|, solved as a fixed point."""
    n = price.shape[1]
    rate = parameters[FEE] + parameters[SLIP]
    after = value
    for _ in range(200):
        traded = 0.0
        for j in range(n):
            if tradable[t, j]:
                traded += abs(target[j] * after - held[j] * price[t, j])
        new = value - rate * traded
        done = abs(new - after) <= 1e-17 * value
        after = new
        if done:
            break
    spent, traded, bought = 0.0, 0.0, 0.0
    for j in range(n):
        if tradable[t, j]:
            x = target[j] * after - held[j] * price[t, j]
            traded += abs(x)
            if x > 0.0:
                bought += x
            spent += x
    left = cash - spent - rate * traded
    scale = 1.0
    if left < 0.0 and bought > 0.0:
        scale = max(0.0, 1.0 + left / (bought * (1.0 + rate)))
    for j in range(n):
        if tradable[t, j]:
            x = target[j] * after - held[j] * price[t, j]
            if x > 0.0:
                x *= scale
                held[j] += x / price[t, j]
                cash -= x * (1.0 + rate)
            else:
                held[j] = max(0.0, held[j] + x / price[t, j])
                cash += -x * (1.0 - rate)
            flow[O_FEE] += abs(x) * parameters[FEE]
            flow[O_SLIP] += abs(x) * parameters[SLIP]
            flow[O_TURNOVER] += abs(x)
    return max(cash, 0.0)


@njit(cache=True)
def _rebalance_vectorbt(t, price, tradable, target, value, held, cash, trade, parameters, flow):
    """Orders by ascending value, each buy limited by the cash that is left (vectorbt 1.2)."""
    n = price.shape[1]
    for j in range(n):
        trade[j] = target[j] * value - held[j] * price[t, j] if tradable[t, j] else 0.0
    for j in np.argsort(trade):
        x = trade[j]
        if x < 0.0:
            cash = _sell(j, x, price[t, j], held, cash, NO_IMPACT, parameters, 0.0, 0.0, 0.0, flow)
        elif x > 0.0 and cash > 0.0:
            paid = 1.0 + parameters[SLIP]
            need = x * paid * (1.0 + parameters[FEE])
            if need > cash:
                x = cash / ((1.0 + parameters[FEE]) * paid)
                cash = 0.0
            else:
                cash -= need
            held[j] += x / price[t, j]
            flow[O_FEE] += x * paid * parameters[FEE]
            flow[O_SLIP] += x * parameters[SLIP]
            flow[O_TURNOVER] += x
    return cash


@njit(cache=True)
def _outside(rule, t, price, tradable, target, value, held, parameters):
    """Whether the portfolio has left its band."""
    n = price.shape[1]
    if rule == BAND:
        for j in range(n):
            if tradable[t, j]:
                weight = held[j] * price[t, j] / value
                if abs(weight - target[j]) > parameters[BAND_WIDTH]:
                    return True
        return False
    wanted, deployed = 0.0, 0.0
    for j in range(n):
        if tradable[t, j]:
            goal = target[j] * value
            now = held[j] * price[t, j]
            wanted += goal
            deployed += now
            off = now < parameters[LOWER] * goal or now > parameters[UPPER] * goal
            if off and (target[j] == 0.0 or abs(now - goal) > parameters[ABS_BAND] * value):
                return True
    if wanted <= 0.0:
        return False
    return deployed < parameters[LOWER] * wanted or deployed > parameters[UPPER] * wanted


@njit(cache=True)
def walk(
    start,
    stop,
    price,
    tradable,
    settle,
    any_settle,
    income,
    adv,
    volatility,
    depth,
    targets,
    target_at,
    arrives,
    convention,
    rule,
    kind,
    parameters,
    held,
    cash,
    equity,
    cash_path,
    flows,
    units,
    totals,
):
    """Walk bars `start` to `stop` (exclusive); `held` (n,) is changed in place; return cash.

    ``target_at[t]`` is the row of `targets` in force at bar t, or -1; ``arrives[t]`` says that it
    is new. ``equity`` (T,) is recorded after trading; ``cash_path`` (T,), ``flows`` (T, 7) and
    ``units`` (T, n) are recorded unless their first axis is shorter than T; flows that are not
    recorded bar by bar add up in ``totals`` (7,).
    """
    n = price.shape[1]
    bars = price.shape[0]
    trade = np.zeros(n)
    with_income = income.shape[0] == bars
    record_flows = flows.shape[0] == bars
    record_units = units.shape[0] == bars
    record_cash = cash_path.shape[0] == bars
    for t in range(start, stop):
        flow = flows[t] if record_flows else totals
        if t > 0 and parameters[CASH_RATE] > 0.0:
            interest = cash * parameters[CASH_RATE]
            cash += interest
            flow[O_INCOME] += interest
        if with_income:
            for j in range(n):
                earned = held[j] * income[t, j]
                held[j] += earned
                flow[O_INCOME] += earned * price[t, j]
        if any_settle[t]:
            for j in range(n):
                if settle[t, j] and held[j] > 0.0:
                    worth = held[j] * price[t, j]
                    held[j] = 0.0
                    cash += worth * parameters[RECOVERY]
                    flow[O_WRITEOFF] += worth * (1.0 - parameters[RECOVERY])
        value = cash
        for j in range(n):
            value += held[j] * price[t, j]
        k = target_at[t]
        if k >= 0 and value > 0.0:
            act = arrives[t]
            if rule != CALENDAR:
                act = _outside(rule, t, price, tradable, targets[k], value, held, parameters)
            if act:
                if convention == PRO_RATA:
                    cash = _rebalance_pro_rata(
                        t,
                        price,
                        tradable,
                        targets[k],
                        value,
                        held,
                        cash,
                        trade,
                        kind,
                        parameters,
                        volatility,
                        adv,
                        depth,
                        flow,
                    )
                elif convention == EXACT:
                    cash = _rebalance_exact(
                        t, price, tradable, targets[k], value, held, cash, parameters, flow
                    )
                else:
                    cash = _rebalance_vectorbt(
                        t, price, tradable, targets[k], value, held, cash, trade, parameters, flow
                    )
                value = cash
                for j in range(n):
                    value += held[j] * price[t, j]
        equity[t] = value
        if record_cash:
            cash_path[t] = cash
        if record_units:
            for j in range(n):
                units[t, j] = held[j]
    return cash


@njit(cache=True)
def walk_many(
    price,
    tradable,
    settle,
    any_settle,
    income,
    adv,
    volatility,
    depth,
    targets,
    target_at,
    arrives,
    convention,
    rule,
    kind,
    parameters,
    capital,
    equity,
    totals,
):
    """Walk many strategies over one market: `targets` (S, K, n) to `equity` (S, T).

    ``totals`` (S, 7) receives the sum of each flow.
    """
    n = price.shape[1]
    none1 = np.zeros(0)
    none2 = np.zeros((0, N_FLOWS))
    none3 = np.zeros((0, n))
    for s in range(targets.shape[0]):
        held = np.zeros(n)
        walk(
            0,
            price.shape[0],
            price,
            tradable,
            settle,
            any_settle,
            income,
            adv,
            volatility,
            depth,
            targets[s],
            target_at,
            arrives,
            convention,
            rule,
            kind,
            parameters,
            held,
            capital,
            equity[s],
            none1,
            none2,
            none3,
            totals[s],
        )
