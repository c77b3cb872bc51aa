"""Golden values of two windows, found independently of this code."""

from __future__ import annotations

import numpy as np
import pytest

from portfolio_platform.optimization import decide

FIRST, SECOND = "1990-12-31", "2006-11-09"

MIN_VARIANCE = {
    FIRST: (1.00233266601618e-4, 10, "CVX", 0.3110414458),
    SECOND: (2.31965173230115e-5, 11, "PEP", 0.2950593952),
}
SHARPE = {
    FIRST: (0.117637176416168, 6, "MSFT", 0.4383415647),
    SECOND: (0.173279851998091, 7, "BAC", 0.3796862871),
}
CVAR = {
    FIRST: (0.0193140113615756, 10, "XOM", 0.5113868682),
    SECOND: (0.00933272664351475, 10, "KO", 0.4280838120),
}
RISK_PARITY = {
    FIRST: (1.49888755285522e-4, 20, "CVX", 0.097852642595),
    SECOND: (3.44804403787766e-5, 20, "PEP", 0.096576484965),
}
HRP = {
    FIRST: (1.29215625027316e-4, 20, "CVX", 0.175170194559),
    SECOND: (3.01522281450583e-5, 20, "PEP", 0.127960908172),
}
CASES = {
    "min_variance": ({}, MIN_VARIANCE),
    "sharpe": ({"obj": "Sharpe"}, SHARPE),
    "cvar": ({"rm": "CVaR"}, CVAR),
    "risk_parity": ({"model": "RP"}, RISK_PARITY),
    "hrp": ({"model": "HRP"}, HRP),
}


@pytest.mark.parametrize("date", [FIRST, SECOND])
@pytest.mark.parametrize("case", CASES)
def test_golden_value(sp20, spec, case, date):
    fields, golden = CASES[case]
    value, support, name, weight = golden[date]
    answer = decide(spec(**fields), sp20, np.datetime64(date, "ns"))

    held = {asset: share for asset, share in answer.weights.items() if share > 1e-9}
    covariance = answer.moments.covariance
    vector = np.array([answer.weights[asset] for asset in sorted(sp20.assets)])
    reached = answer.objective
    if reached is None:
        reached = vector @ covariance @ vector
    assert reached == pytest.approx(value, rel=1e-12)
    assert len(held) == support
    assert max(held, key=held.get) == name
    assert held[name] == pytest.approx(weight, abs=1e-10)
    assert abs(sum(answer.weights.values()) - 1) <= 1e-12
