"""Polish: solve the equations of the active set, so that a solver's 1e-9 becomes 1e-15."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portfolio_platform.optimization.panel import BoolArray, FloatArray

_STEPS = 25


@dataclass(frozen=True)
class Programme:
    """min ½xᵀPx + cᵀx with Ax = b, low <= Gx <= high, lower <= x <= upper."""

    P: FloatArray
    c: FloatArray
    A: FloatArray
    b: FloatArray
    G: FloatArray
    low: FloatArray
    high: FloatArray
    lower: FloatArray
    upper: FloatArray


def polish(
    programme: Programme, x: FloatArray, duals: tuple[FloatArray, ...]
) -> tuple[FloatArray, tuple[FloatArray, ...]]:
    """Return (x, duals) that solve the optimality conditions to rounding, or those given.

    The active set is read off the multipliers (a constraint is active where its multiplier exceeds
    its slack), corrected like an active-set method for a few steps: the most violated constraint
    enters, the multiplier of the most wrong sign leaves. Singular systems take the smallest
    correction. When no step ends in optimality the solver's own answer is returned unchanged.
    """
    p = programme
    _, row_dual, bound_dual = duals
    rows = p.G @ x if len(p.G) else np.zeros(0)
    at_high = row_dual > np.maximum(p.high - rows, 0.0)
    at_low = -row_dual > np.maximum(rows - p.low, 0.0)
    at_upper = bound_dual > np.maximum(p.upper - x, 0.0)
    at_lower = (-bound_dual > np.maximum(x - p.lower, 0.0)) | (p.lower == p.upper)
    size = max(1.0, float(np.abs(x).max()))
    for _ in range(_STEPS):
        answer = _equations(p, x, at_low, at_high, at_lower, at_upper)
        if answer is None:
            return x, duals
        point, multipliers, row_price, bound_price = answer
        feasible_tolerance = 1e-13 * size
        values = p.G @ point if len(p.G) else np.zeros(0)
        short = np.concatenate([p.lower - point, point - p.upper, p.low - values, values - p.high])
        price_size = max(1e-300, float(np.abs(p.P @ point + p.c).max()))
        wrong = np.concatenate(
            [
                np.where(at_lower & (p.lower < p.upper), bound_price, -np.inf),
                np.where(at_upper, -bound_price, -np.inf),
                np.where(at_low & (p.low < p.high), row_price, -np.inf),
                np.where(at_high & (p.low < p.high), -row_price, -np.inf),
            ]
        )
        worst_short, worst_price = int(short.argmax()), int(wrong.argmax())
        if short[worst_short] > feasible_tolerance:
            _switch(worst_short, True, at_lower, at_upper, at_low, at_high)
        elif wrong[worst_price] > 1e-12 * price_size:
            _switch(worst_price, False, at_lower, at_upper, at_low, at_high)
        else:
            point = np.clip(point, p.lower, p.upper)
            return point, (multipliers, row_price, bound_price)
    return x, duals


def _switch(place: int, active: bool, *groups: BoolArray) -> None:
    for group in groups:
        if place < len(group):
            group[place] = active
            return
        place -= len(group)


def _equations(
    p: Programme,
    x: FloatArray,
    at_low: BoolArray,
    at_high: BoolArray,
    at_lower: BoolArray,
    at_upper: BoolArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Solve for the free variables and multipliers, as a correction to `x`; None if it fails."""
    point = np.where(at_lower, p.lower, np.where(at_upper, p.upper, x))
    free = ~(at_lower | at_upper)
    active = np.flatnonzero(at_low | at_high)
    sides = np.where(at_high, p.high, p.low)[active]
    equal = np.vstack([p.A, p.G[active]]) if len(active) else p.A
    targets = np.concatenate([p.b, sides])
    inner, count = int(free.sum()), len(equal)
    matrix = np.zeros((inner + count, inner + count))
    matrix[:inner, :inner] = p.P[np.ix_(free, free)]
    matrix[:inner, inner:] = equal[:, free].T
    matrix[inner:, :inner] = equal[:, free]
    prices = np.zeros(count)
    for _ in range(3):
        gradient = p.P @ point + p.c + equal.T @ prices
        residual = np.concatenate([-gradient[free], targets - equal @ point])
        try:
            step = np.linalg.solve(matrix, residual)
            if not np.isfinite(step).all() or np.abs(step).max() > 1e6 * (1 + np.abs(x).max()):
                step = np.linalg.lstsq(matrix, residual, rcond=1e-13)[0]
        except np.linalg.LinAlgError:
            step = np.linalg.lstsq(matrix, residual, rcond=1e-13)[0]
        point[free] += step[:inner]
        prices += step[inner:]
        if np.abs(step).max(initial=0.0) <= 1e-16 * (1 + np.abs(x).max()):
            break
    gradient = p.P @ point + p.c + equal.T @ prices
    size = max(1.0, float(np.abs(p.c).max()), float(np.abs(p.P @ point).max()))
    if not np.isfinite(gradient).all() or np.abs(gradient[free]).max(initial=0.0) > 1e-9 * size:
        return None
    if np.abs(equal @ point - targets).max(initial=0.0) > 1e-10 * (1 + np.abs(targets).max()):
        return None
    row_prices = np.zeros(len(p.G))
    row_prices[active] = prices[len(p.b) :]
    bound_prices = np.where(free, 0.0, -gradient)
    return point, prices[: len(p.b)], row_prices, bound_prices
