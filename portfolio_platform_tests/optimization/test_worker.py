"""riskfolio's own process: kept between questions, killed at the time limit, replaced when it died.

Each start imports riskfolio, so the tests share one worker and start it three times.
"""

from __future__ import annotations

import os
import signal

import pytest

from portfolio_platform.optimization import decide
from portfolio_platform.optimization.engines import worker as module
from portfolio_platform.optimization.engines.worker import Broken, Worker

QUESTION = {"measure": "l_moment", "order": 2, "method": "MSD", "rows": 12}


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.stop()


def test_what_it_raises_and_how_it_ended_is_told(worker):
    with pytest.raises(Broken, match="KeyError: 'rows'"):
        worker.ask("linear_moments", {"measure": "l_moment", "order": 2}, 10.0)
    kept = worker._process
    assert worker.ask("linear_moments", QUESTION, 30.0).shape == (12,)
    assert worker._process is kept
    os.kill(kept.pid, signal.SIGTERM)
    kept.wait()
    with pytest.raises(Broken, match="exit code -15"):
        worker.ask("linear_moments", QUESTION, 30.0)


SLOW = {
    "model": (
        {"model": "HERC", "rm": "RLDaR", "time_limit": 0.02},
        "no answer within 0.02 s",
    ),
    "estimator": (
        {"covariance": {"method": "gerber1"}, "time_limit": 0.001},
        "covariance estimator gerber1: riskfolio took longer than 0.001 s",
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_the_time_limit_holds_for_what_no_solver_looks_at_a_clock_in(
    name, worker, sp20, spec, monkeypatch
):
    killed = []

    def ask(*asked):
        try:
            return worker.ask(*asked)
        finally:
            killed.append(worker._process is None)

    monkeypatch.setattr(module, "ask", ask)
    fields, reason = SLOW[name]
    answer = decide(spec(**fields), sp20, sp20.times[1000])
    assert (answer.status, answer.reason, answer.weights) == ("time_limit", reason, {})
    assert answer.universe == tuple(sorted(sp20.assets))
    assert killed == [True]
