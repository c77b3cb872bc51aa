"""The planner on the golden cases G1 to G8, exact to the base unit."""

from fractions import Fraction

import pytest

from portfolio_platform.reallocation import Outcome, Plan, PlanSettings, Reason, Trigger
from portfolio_platform_tests.reallocation.markets import (
    BALANCED,
    DRIFTED,
    WEIGHTS,
    executed,
    planned,
    pool,
    pools,
)

LOW = {"SOL": 475_000_000_000, "JUP": 53_437_500_000, "BONK": 142_500_000_000_000}
EXIT = {"SOL": "3/5", "JUP": "2/5"}
BANDS = [PlanSettings(abs_band_bps=bps) for bps in (0, 100, 500)]


def rows(result: Plan) -> list[tuple[str, str, int, int, int, int, str]]:
    return [
        (
            trade.side,
            trade.asset,
            trade.amount_in,
            trade.expected_out,
            trade.min_out,
            trade.fee,
            f"{float(trade.fill.impact) * 1e4:.6f}",
        )
        for trade in result.trades
    ]


def displayed(value: Fraction | None) -> str:
    assert value is not None
    return f"{float(value):.6f}"


@pytest.fixture(params=BANDS, ids=lambda s: f"abs_band={s.abs_band_bps}bps")
def settings(request: pytest.FixtureRequest) -> PlanSettings:
    return request.param


def test_g1_balanced_portfolio_is_left_alone(settings: PlanSettings) -> None:
    result = planned(BALANCED, 0, settings=settings)
    assert result.outcome is Outcome.NO_REALLOCATION_NEEDED
    assert result.reasons == (Reason.WITHIN_BAND,)
    assert result.before.deployment == 1
    assert result.before.overlap == 1


def test_g2_exactly_the_lower_end_is_inside(settings: PlanSettings) -> None:
    result = planned(LOW, 7_500_000_000, settings=settings)
    assert result.outcome is Outcome.NO_REALLOCATION_NEEDED
    assert result.before.deployment == Fraction(19, 20)
    assert [asset.utilization for asset in result.before.assets] == [Fraction(19, 20)] * 3


def test_g3_one_base_unit_more_triggers(settings: PlanSettings) -> None:
    result = planned(LOW, 7_500_000_001, settings=settings)
    assert result.outcome is Outcome.REALLOCATION
    assert result.triggers[0] is Trigger.DEPLOYMENT_UTILIZATION
    assert rows(result) == [
        ("buy", "BONK", 1500000000, 7478452591327, 7441060328370, 3750000, "3.739226"),
        ("buy", "JUP", 2250000000, 2804485263, 2790462836, 5625000, "3.505607"),
        ("buy", "SOL", 3750000000, 24925068622, 24800443278, 9375000, "4.985014"),
    ]
    assert result.after.cash == 1
    assert displayed(result.summary.cost_bps) == "1.464065"
    assert displayed(result.summary.turnover) == "0.025000"


def test_g4_drift_that_deployment_cannot_see(settings: PlanSettings) -> None:
    result = planned(DRIFTED, 0, settings=settings)
    assert result.triggers == (Trigger.WEIGHT_BAND,)
    assert result.before.deployment == 1
    assert result.before.overlap == Fraction(9, 10)
    assert {a.mint: a.utilization for a in result.before.assets} == {
        "SOL": Fraction(6, 5),
        "JUP": Fraction(5, 6),
        "BONK": Fraction(3, 4),
    }
    assert rows(result) == [
        ("sell", "SOL", 100000000000, 14932709245, 14858045698, 250000000, "19.910279"),
        ("buy", "BONK", 7466354622, 37169237447243, 36983391260006, 18665887, "18.584619"),
        ("buy", "JUP", 7466354622, 9298789904, 9252295954, 18665887, "11.623487"),
    ]
    assert result.after.cash == 1
    assert displayed(result.summary.cost_bps) == "8.474706"
    assert displayed(result.summary.turnover) == "0.099776"
    assert displayed(result.summary.tracking_error_after) == "0.000424"


def test_g5_exit_sells_everything(settings: PlanSettings) -> None:
    result = planned(BALANCED, 0, weights=EXIT, settings=settings)
    assert result.before.overlap == Fraction(4, 5)
    assert rows(result) == [
        ("sell", "BONK", 150000000000000, 29702786031, 29554272100, 375000000000, "74.256965"),
        ("buy", "JUP", 14851393015, 18475065897, 18382690567, 37128483, "23.093832"),
        ("buy", "SOL", 14851393015, 98567070392, 98074235040, 37128483, "19.713414"),
    ]
    assert result.after.cash == 1
    assert {a.mint: a.quantity for a in result.after.assets}["BONK"] == 0
    assert displayed(result.summary.cost_bps) == "28.992448"


def test_g6_shallow_pool_fails_whole(settings: PlanSettings) -> None:
    shallow = pools(SOL=pool("SOL", 500_000_000_000, 75_000_000_000))
    result = planned(DRIFTED, 0, states=shallow, settings=settings)
    assert result.outcome is Outcome.FAILED
    assert result.reasons == (Reason.INSUFFICIENT_LIQUIDITY,)
    assert result.trades == ()
    assert result.steps == ()
    (failure,) = result.failures
    assert (failure.asset, failure.side, failure.need, failure.available) == (
        "SOL",
        "sell",
        100000000000,
        5063162957,
    )
    assert failure.parts == 20
    assert result.after == result.before
    assert {a.mint: a.quantity for a in result.after.assets} == DRIFTED


def test_g7_first_deployment_keeps_the_buffer(settings: PlanSettings) -> None:
    buffered = settings.model_copy(update={"cash_buffer": 1_000_000_000})
    result = planned({}, 150_000_000_000, settings=buffered)
    assert result.before.deployment == 0
    assert rows(result) == [
        ("buy", "BONK", 29800000000, 147531140768769, 146793485064925, 74500000, "73.765570"),
        ("buy", "JUP", 44700000000, 55349695925, 55072947445, 111750000, "69.187120"),
        ("buy", "SOL", 74500000000, 490564244186, 488111422965, 186250000, "98.112849"),
    ]
    assert result.after.cash == 1_000_000_000
    assert displayed(result.summary.cost_bps) == "108.625232"


def test_g8_nothing_to_move(settings: PlanSettings) -> None:
    result = planned({}, 0, settings=settings)
    assert result.outcome is Outcome.FAILED
    assert result.reasons == (Reason.EMPTY_PORTFOLIO,)
    assert result.trades == ()


@pytest.mark.parametrize(
    ("holdings", "cash", "weights", "buffer"),
    [
        (LOW, 7_500_000_001, None, 0),
        (DRIFTED, 0, None, 0),
        (BALANCED, 0, EXIT, 0),
        ({}, 150_000_000_000, None, 1_000_000_000),
    ],
    ids=["G3", "G4", "G5", "G7"],
)
def test_second_pass_needs_nothing(
    holdings: dict[str, int], cash: int, weights: dict[str, str] | None, buffer: int
) -> None:
    settings = PlanSettings(cash_buffer=buffer)
    more = {"weights": weights} if weights else {}
    first = planned(holdings, cash, settings=settings, **more)
    holdings, cash, states = executed(first)
    second = planned(holdings, cash, states=states, settings=settings, **more)
    assert second.outcome is Outcome.NO_REALLOCATION_NEEDED


@pytest.mark.parametrize(
    ("holdings", "weights"), [(BALANCED, EXIT), (DRIFTED, WEIGHTS)], ids=["exit", "drift"]
)
def test_cost_parts_add_up_to_the_loss_of_value(
    holdings: dict[str, int], weights: dict[str, str]
) -> None:
    result = planned(holdings, 0, weights=weights)
    summary = result.summary
    assert summary.nav_before is not None
    assert summary.nav_after is not None
    assert summary.cost.total == summary.nav_before - summary.nav_after
    assert summary.cost.basis == 0
    assert min(summary.cost.fee, summary.cost.impact) > 0
    assert 0 <= summary.cost.rounding < 2 * len(result.trades)
