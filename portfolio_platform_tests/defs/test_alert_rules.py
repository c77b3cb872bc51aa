"""Alert rules: levels, hysteresis, cool-down, refused parameters. Pure."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from portfolio_platform.defs.monitoring import rules
from portfolio_platform.defs.monitoring.rules import Reading, State, step

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def play(
    values: list[float | None], levels: tuple[float, float], cooldown: timedelta
) -> list[tuple[int, str]]:
    """Events by minute over a series of values."""
    state, events = State(), []
    for minute, value in enumerate(values):
        now = START + minute * MINUTE
        done = step(Reading("x", value, now, ""), state, levels, cooldown, now)
        state = done.state
        if done.event:
            events.append((minute, done.event))
    return events


def test_between_the_levels_nothing_happens() -> None:
    levels = rules.parse("depeg", {"mint": "m", "threshold": 0.01}).levels()
    assert levels == pytest.approx((0.01, 0.009))
    values = [0.005, 0.0095, 0.01, 0.0099, 0.0095, 0.0091, 0.0089, 0.0095, 0.011]
    assert play(values, levels, timedelta(0)) == [(2, "raised"), (6, "cleared"), (8, "raised")]


def test_the_cool_down_holds_back_and_does_not_forget() -> None:
    values = [2.0, 0.0, 2.0, 0.0, 2.0, 2.0, 2.0, 2.0]
    assert play(values, (1.0, 0.9), 5 * MINUTE) == [(0, "raised"), (1, "cleared"), (5, "raised")]


@pytest.mark.parametrize("unknown", [None, float("nan")])
def test_an_unknown_value_changes_nothing(unknown: float | None) -> None:
    assert play([2.0, unknown, unknown], (1.0, 0.9), timedelta(0)) == [(0, "raised")]
    assert play([unknown], (1.0, 0.9), timedelta(0)) == []


@pytest.mark.parametrize(
    ("utilization", "raised"), [(0.95, False), (1.05, False), (0.9499, True), (1.0501, True)]
)
def test_the_band_of_utilization_is_closed(utilization: float, raised: bool) -> None:
    params = rules.Utilization(portfolio_id="p")
    value = params.outside(utilization)
    assert bool(play([value], params.levels(), timedelta(0))) is raised
    assert play([1.0, value, params.outside(1.0)], params.levels(), timedelta(0))[-1] == (
        2,
        "cleared",
    )


def test_a_failed_plan_is_raised_once_and_cleared_by_the_next_that_is_not() -> None:
    levels = rules.FailedPlan().levels()
    assert play([0.0, 1.0, 1.0, 0.0], levels, timedelta(0)) == [(1, "raised"), (3, "cleared")]


@given(
    st.lists(st.floats(-2, 2) | st.none(), max_size=60),
    st.floats(0.1, 1),
    st.floats(0, 0.99),
    st.integers(0, 20),
)
def test_raised_and_cleared_alternate_and_raises_keep_their_distance(
    values: list[float | None], threshold: float, hysteresis: float, cooldown: int
) -> None:
    levels = (threshold, threshold * (1 - hysteresis))
    events = play(values, levels, cooldown * MINUTE)
    assert [event for _, event in events] == ["raised", "cleared"] * (len(events) // 2) + [
        "raised"
    ] * (len(events) % 2)
    raises = [minute for minute, event in events if event == "raised"]
    assert all(later - earlier >= cooldown for earlier, later in pairwise(raises))
    for minute, event in events:
        value = values[minute]
        assert value is not None
        assert value >= threshold if event == "raised" else value <= levels[1]
    if not events:
        assert not any(value is not None and value >= threshold for value in values)


@pytest.mark.parametrize(
    ("kind", "params", "path"),
    [
        ("price_move", {"threshold": 0.1}, "mint"),
        ("price_move", {"mint": "m", "threshold": -1}, "threshold"),
        ("price_move", {"mint": "m", "threshold": 0.1, "windw": 3}, "windw"),
        ("drawdown", {"threshold": 0.1}, ""),
        ("drawdown", {"threshold": 0.1, "mint": "m", "portfolio_id": "p"}, ""),
        ("utilization", {"portfolio_id": "p", "lower": 1.2, "upper": 1.1}, ""),
        ("weight_drift", {"portfolio_id": "p", "threshold": 1.5}, "threshold"),
        ("stale_data", {"source": "gossip", "max_age_seconds": 1}, "source"),
        ("depeg", {"mint": "m", "hysteresis": 1.0}, "hysteresis"),
    ],
)
def test_unknown_and_contradictory_parameters_are_refused_by_path(
    kind: str, params: dict, path: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        rules.parse(kind, params)
    assert ".".join(map(str, refused.value.errors()[0]["loc"])) == path
