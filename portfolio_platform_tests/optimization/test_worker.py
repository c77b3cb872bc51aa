"""riskfolio's own process: kept between questions, killed at the limit, replaced when it died."""

from __future__ import annotations

import os
import signal
import time

import pytest

from portfolio_platform.optimization import decide
from portfolio_platform.optimization.engines.worker import Broken, Overdue, Worker

QUESTION = {"measure": "l_moment", "order": 2, "method": "MSD", "rows": 12}
SLOW = {"measure": "l_moment_crm", "order": 10, "method": "ME", "rows": 4000}


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.stop()


def test_a_killed_worker_is_replaced_and_what_it_raises_is_told(worker):
    with pytest.raises(Broken, match="KeyError: 'rows'"):
        worker.ask("linear_moments", {"measure": "l_moment", "order": 2}, 10.0)
    first = worker._process
    with pytest.raises(Overdue, match=r"took longer than 0\.02 s"):
        worker.ask("linear_moments", SLOW, 0.02)
    assert first.returncode == -signal.SIGKILL
    answer = worker.ask("linear_moments", QUESTION, 30.0)
    assert answer.shape == (12,)
    assert worker._process.pid != first.pid


def test_a_worker_that_dies_is_told_and_replaced(worker):
    worker.ask("linear_moments", QUESTION, 30.0)
    os.kill(worker._process.pid, signal.SIGTERM)
    worker._process.wait()
    with pytest.raises(Broken, match="exit code -15"):
        worker.ask("linear_moments", QUESTION, 30.0)


def test_every_model_of_riskfolio_keeps_the_time_limit(sp20, spec):
    """The limit holds for what runs in Python too, where no solver looks at a clock."""
    end = sp20.times[1000]
    slow = {"model": "HERC", "rm": "RLDaR", "time_limit": 0.05}
    decide(spec(model="HERC"), sp20, end)
    start = time.perf_counter()
    answer = decide(spec(**slow), sp20, end)
    assert (answer.status, answer.weights) == ("time_limit", {})
    assert answer.reason == "no answer within 0.05 s"
    assert answer.attempts[-1].reason == "riskfolio took longer than 0.05 s"
    # a killed process, not one that was waited for: a second would do for none of its cones
    assert time.perf_counter() - start < 1.0


@pytest.mark.parametrize("method", ["gerber1", "gl"])
def test_slow_estimators_keep_the_time_limit(method, sp20, spec):
    strategy = spec(covariance={"method": method}, time_limit=0.001)
    answer = decide(strategy, sp20, sp20.times[1000])
    assert answer.status == "time_limit"
    assert answer.reason == f"covariance estimator {method}: riskfolio took longer than 0.001 s"
    assert answer.universe == tuple(sorted(sp20.assets))
