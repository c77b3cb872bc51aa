"""Every shipped strategy decides, on made-up and on recorded prices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from portfolio_platform.optimization import PricePanel, StrategySpec, decide

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "strategies").glob("*.json"))


def load(path):
    body = json.loads(path.read_text())
    assert body["slug"] == path.stem
    return StrategySpec.model_validate(body["spec"])


def hold(panel, strategy):
    answer = decide(strategy, panel, panel.times[-1], current=None)
    assert answer.status == "optimal", answer.reason
    assert sum(answer.weights.values()) == pytest.approx(1, abs=1e-9)
    assert answer.violation <= 1e-9
    assert len(json.dumps(answer.to_json())) > 100
    return answer


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_decides(path, panel_of):
    names = ("BONK", "JITO", "JUP", "ORCA", "RAY", "SOL", "USDC", "WIF")
    groups = {"BONK": "meme", "WIF": "meme", "USDC": "stable"}
    panel = panel_of(8, 300, names=names, stable=("USDC",), groups=groups, seed=11)
    answer = hold(panel, load(path))
    assert answer.weights.get("USDC", 0.0) <= 0.2 + 1e-9


@pytest.mark.real_data
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_decides_on_recorded_bars(path, real_data):
    import pandas as pd

    bars = pd.read_parquet(real_data / "market" / "bybit_linear_perp_daily.parquet")
    bars = bars.drop_duplicates(["symbol", "date"], keep="last")
    wide = bars.pivot(index="date", columns="symbol", values="close")
    wide.index = wide.index + pd.Timedelta(days=1)
    panel = PricePanel.from_frame(wide.rename(columns=lambda name: f"bybit:{name}"))
    strategy = load(path)
    if strategy.budget < 1:
        strategy = strategy.model_copy(update={"budget": 1.0})
    for date in ("2022-11-20", "2023-09-01"):
        known = panel.until(np.datetime64(date))
        answer = hold(known, strategy)
        assert len(answer.universe) >= 10
