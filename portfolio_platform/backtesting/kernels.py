# mypy: disable-error-code="no-untyped-def"
"""Compiled walk of a portfolio through its bars."""

import numpy as np
from numba import njit

from portfolio_platform.backtesting.kernel_trades import (
    ABS_BAND,
    BAND_WIDTH,
    CASH_RATE,
    FIXED,
    LOWER,
    N_FLOWS,
    NO_IMPACT,
    O_INCOME,
    O_WRITEOFF,
    RECOVERY,
    UPPER,
    exact,
    pro_rata,
    pro_rata_sized,
    vectorbt,
)

PRO_RATA, EXACT, VECTORBT = 0, 1, 2
CALENDAR, BAND, UTILIZATION = 0, 1, 2


@njit(cache=True, inline="always")
def _worth(held, price, t):
    """Σ units·price in four sums, which a processor adds side by side."""
    n = held.shape[0]
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    whole = n - n % 4
    for j in range(0, whole, 4):
        a += held[j] * price[t, j]
        b += held[j + 1] * price[t, j + 1]
        c += held[j + 2] * price[t, j + 2]
        d += held[j + 3] * price[t, j + 3]
    for j in range(whole, n):
        a += held[j] * price[t, j]
    return (a + b) + (c + d)


@njit(cache=True)
def _outside(rule, t, market, targets, k, value, held, parameters):
    """Whether the portfolio has left its band."""
    wanted, deployed = 0.0, 0.0
    for j in range(held.shape[0]):
        if not market.tradable[t, j]:
            continue
        goal = targets[k, j] * value
        now = held[j] * market.price[t, j]
        wanted += goal
        deployed += now
        if rule == BAND:
            if abs(now - goal) > parameters[BAND_WIDTH] * value:
                return True
        else:
            off = now < parameters[LOWER] * goal or now > parameters[UPPER] * goal
            if off and (targets[k, j] == 0.0 or abs(now - goal) > parameters[ABS_BAND] * value):
                return True
    if rule == BAND or wanted <= 0.0:
        return False
    return deployed < parameters[LOWER] * wanted or deployed > parameters[UPPER] * wanted


@njit(cache=True)
def walk(
    start,
    stop,
    market,
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
    recorded bar by bar add up in ``totals`` (1, 7).
    """
    bars, n = market.price.shape
    trade = np.zeros(n)
    with_income = market.income.shape[0] == bars
    record_flows = flows.shape[0] == bars
    record_units = units.shape[0] == bars
    record_cash = cash_path.shape[0] == bars
    sized = kind != NO_IMPACT or parameters[FIXED] > 0.0
    rate = parameters[CASH_RATE]
    price, income = market.price, market.income
    any_settle = market.any_settle
    book = flows if record_flows else totals
    for t in range(start, stop):
        row = t if record_flows else 0
        if rate > 0.0 and t > 0:
            interest = cash * rate
            cash += interest
            book[row, O_INCOME] += interest
        if with_income:
            for j in range(n):
                earned = held[j] * income[t, j]
                held[j] += earned
                book[row, O_INCOME] += earned * price[t, j]
        if any_settle[t]:
            for j in range(n):
                if market.settle[t, j] and held[j] > 0.0:
                    worth = held[j] * price[t, j]
                    held[j] = 0.0
                    cash += worth * parameters[RECOVERY]
                    book[row, O_WRITEOFF] += worth * (1.0 - parameters[RECOVERY])
        value = cash + _worth(held, price, t)
        k = target_at[t]
        due = k >= 0 and value > 0.0 and (rule != CALENDAR or arrives[t])
        if due and rule != CALENDAR:
            due = _outside(rule, t, market, targets, k, value, held, parameters)
        if due:
            if convention == EXACT:
                cash = exact(t, market, targets, k, value, held, cash, parameters, book, row)
            elif convention == VECTORBT:
                cash = vectorbt(
                    t, market, targets, k, value, held, cash, trade, parameters, book, row
                )
            elif sized:
                cash = pro_rata_sized(
                    t, market, targets, k, value, held, cash, trade, kind, parameters, book, row
                )
            else:
                cash = pro_rata(
                    t, market, targets, k, value, held, cash, trade, parameters, book, row
                )
            value = cash + _worth(held, price, t)
        equity[t] = value
        if record_cash:
            cash_path[t] = cash
        if record_units:
            for j in range(n):
                units[t, j] = held[j]
    return cash


@njit(cache=True)
def walk_many(
    market,
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
    bars, n = market.price.shape
    no_cash = np.zeros(0)
    no_flows = np.zeros((0, N_FLOWS))
    no_units = np.zeros((0, n))
    held = np.zeros(n)
    for s in range(targets.shape[0]):
        held[:] = 0.0
        walk(
            0,
            bars,
            market,
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
            no_cash,
            no_flows,
            no_units,
            totals[s : s + 1],
        )
