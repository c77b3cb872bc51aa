"""The demo market: one path, any resolution, any pace of the clock."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.localnet.market import DAY, Market, bar_edges, demo_market
from portfolio_platform.localnet.tokens import DEMO_TOKENS

NOW = datetime(2026, 6, 1, 12, 34, 56, tzinfo=UTC)
MARKET = Market(7, 730, NOW)
SYMBOLS = [token.symbol for token in DEMO_TOKENS]


def closes(symbol: str, market: Market = MARKET) -> np.ndarray:
    return market.bars(symbol, "D", 0, int(market.clock)).close


def test_equal_seeds_give_equal_markets_and_others_differ() -> None:
    again, other = Market(7, 730, NOW), Market(8, 730, NOW)
    assert again.prices() == MARKET.prices()
    np.testing.assert_array_equal(closes("JUP", again), closes("JUP"))
    assert other.prices() != MARKET.prices()


def test_demo_market_without_now_is_reproducible() -> None:
    assert demo_market(3, 30).prices() == demo_market(3, 30).prices()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 2_000_000), min_size=1, max_size=6))
def test_the_path_does_not_depend_on_the_pace_of_the_clock(steps_ms: list[int]) -> None:
    one, many = Market(5, 30, NOW), Market(5, 30, NOW)
    one.advance(sum(steps_ms) / 1000)
    for step in steps_ms:
        many.advance(step / 1000)
    assert one.clock_ms == many.clock_ms
    assert one.prices() == many.prices()


@settings(max_examples=40, deadline=None)
@given(
    symbol=st.sampled_from(SYMBOLS),
    pair=st.sampled_from(
        [("D", "60"), ("60", "5"), ("60", "1"), ("W", "D"), ("M", "D"), ("240", "30")]
    ),
    back=st.integers(8, 85),
)
def test_coarse_bars_aggregate_fine_ones(symbol: str, pair: tuple[str, str], back: int) -> None:
    end = int(MARKET.clock)
    start = max(MARKET.listed_at(symbol), end - end % DAY - back * DAY)
    coarse = MARKET.bars(symbol, pair[0], start, end)
    if len(coarse.time) < 2:
        return
    opens, ends = coarse.time[:-1], coarse.time[1:]
    k = len(opens) // 2
    fine = MARKET.bars(symbol, pair[1], int(opens[k]), int(ends[k]) - 1)
    assert fine.time[0] == opens[k]
    assert coarse.open[k] == fine.open[0]
    assert coarse.close[k] == fine.close[-1]
    assert coarse.high[k] == pytest.approx(fine.high.max(), rel=1e-12)
    assert coarse.low[k] == pytest.approx(fine.low.min(), rel=1e-12)
    # Volumes are rounded to six digits bar by bar.
    assert coarse.volume[k] == pytest.approx(
        fine.volume.sum(), rel=1e-12, abs=1e-6 * len(fine.time)
    )


@pytest.mark.parametrize("resolution", ["1", "5", "60", "D", "W", "M"])
@pytest.mark.parametrize("symbol", ["SOL", "USDC", "NOVA"])
def test_bars_are_well_formed(symbol: str, resolution: str) -> None:
    end = int(MARKET.clock)
    bars = MARKET.bars(symbol, resolution, end - 50 * DAY, end)
    assert len(bars.time)
    assert (np.diff(bars.time) > 0).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.volume > 0).all()
    np.testing.assert_array_equal(bars.open[1:], bars.close[:-1])
    assert bars.close[-1] == pytest.approx(MARKET.price(symbol), rel=1e-12)


def test_daily_history_covers_two_years_and_hourly_ninety_days() -> None:
    end = int(MARKET.clock)
    assert len(MARKET.bars("SOL", "D", 0, end).time) == 731
    hourly = MARKET.bars("SOL", "60", 0, end)
    assert hourly.time[0] == end - end % DAY - 90 * DAY
    assert len(hourly.time) == 90 * 24 + 13


def test_the_new_listing_has_sixty_days_and_nothing_before() -> None:
    end = int(MARKET.clock)
    assert len(MARKET.bars("NOVA", "D", 0, end).time) == 61
    assert not len(MARKET.bars("NOVA", "D", 0, MARKET.listed_at("NOVA") - 1).time)
    with pytest.raises(ValueError, match="not listed"):
        MARKET.price("NOVA", MARKET.listed_at("NOVA") - 1)


def test_the_future_is_not_served() -> None:
    with pytest.raises(ValueError, match="after the clock"):
        MARKET.price("SOL", MARKET.clock + 1)
    late = MARKET.bars("SOL", "60", int(MARKET.clock) + 1, int(MARKET.clock) + DAY)
    assert not len(late.time)


def test_levels_and_the_stablecoin() -> None:
    assert MARKET.price("SOL") == pytest.approx(150, rel=0.03)
    stable = MARKET.bars("USDC", "D", 0, int(MARKET.clock))
    assert stable.low.min() > 0.998
    assert stable.high.max() < 1.002
    assert stable.close.std() > 1e-6


def test_the_staked_token_follows_its_rate() -> None:
    ratio = MARKET.price("jitoSOL") / MARKET.price("SOL")
    assert ratio == pytest.approx(MARKET.staking_rate(), rel=2e-3)
    year_ago = MARKET.staking_rate(MARKET.clock - 365 * DAY)
    assert MARKET.staking_rate() / year_ago == pytest.approx(np.exp(0.068))


@pytest.mark.parametrize("seed", [1, 7, 23])
def test_returns_are_correlated_fat_tailed_and_cluster(seed: int) -> None:
    market = Market(seed, 730, NOW)
    names = [t.symbol for t in DEMO_TOKENS if not t.stable and t.listed_days is None]
    returns = np.column_stack([np.diff(np.log(closes(name, market))) for name in names])
    with_sol = np.corrcoef(returns.T)[0, 2:]
    assert (with_sol > 0.3).all()
    assert (with_sol < 0.95).all()
    sol = returns[:, 0]
    assert ((sol - sol.mean()) ** 4).mean() / sol.var() ** 2 > 3.3
    size = np.abs(sol)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.03
    assert 0.4 < sol.std() * 365**0.5 < 1.3


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Market(1, 10, datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="seconds"):
        Market(1, 10, NOW).advance(-1)
    with pytest.raises(KeyError):
        MARKET.bars("DOGE", "D", 0, 1)


@given(
    step=st.sampled_from([60, 300, 3600, DAY, "week", "month"]),
    start=st.integers(1_600_000_000, 1_800_000_000),
    span=st.integers(-10, 200 * DAY),
)
@settings(max_examples=60, deadline=None)
def test_edges_begin_at_the_range_and_end_with_the_close_of_its_last_bar(
    step: int | str, start: int, span: int
) -> None:
    span = span if not isinstance(step, int) else span % (500 * step)
    edges = bar_edges(step, start, start + span)
    opens = edges[:-1]
    assert ((opens >= start) & (opens <= start + span)).all()
    if len(opens):
        assert edges[-1] > start + span
    if isinstance(step, int):
        wanted = [t for t in range(start - start % step, start + span + 1, step) if t >= start]
        assert opens.tolist() == wanted


@pytest.mark.parametrize("resolution", ["1", "60", "D", "W", "M"])
@pytest.mark.parametrize("milliseconds", [-1, 0, 1])
def test_bars_at_the_very_moment_that_one_opens(resolution: str, milliseconds: int) -> None:
    monday_the_first = datetime(2026, 6, 1, tzinfo=UTC)
    market = Market(2, 40, monday_the_first - timedelta(seconds=1))
    market.advance(1 + milliseconds / 1000)
    clock = int(monday_the_first.timestamp())
    bars = market.bars("SOL", resolution, clock - 32 * DAY, clock + DAY)
    assert (bars.time[-1] == clock) == (milliseconds > 0)
    assert bars.close[-1] == pytest.approx(market.price("SOL"), rel=1e-9)
