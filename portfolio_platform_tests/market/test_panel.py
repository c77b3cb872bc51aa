"""The panel: one series per asset by preference, daily bars only from enough hours."""

from dataclasses import replace

import numpy as np
import pytest

from portfolio_platform.market import PanelSettings, build_panel, clean, resample
from portfolio_platform.market.errors import PanelError
from portfolio_platform.market.panel import Preference
from portfolio_platform_tests.market.synthetic import bars, without

MINT = "So11111111111111111111111111111111111111112"


def cleaned(*series):
    return clean(series).series


def test_one_series_per_asset_by_preference():
    perp = bars(mint=MINT, seed=1)
    spot = bars(venue="binance", kind="spot", mint=MINT, seed=1, first=101.0)
    other = bars("JUPUSDT", seed=2)
    panel = build_panel(cleaned(perp, spot, other), prefer=("spot", "perp"))
    assert panel.assets == (MINT, "bybit:JUPUSDT")
    np.testing.assert_allclose(panel.close[:, 0], spot.close)
    np.testing.assert_array_equal(panel.times, spot.known_at)
    choice = panel.choices[0]
    assert choice.instrument == spot.instrument
    assert choice.preference == "spot"
    assert choice.passed_over == ("bybit:SOLUSDT perp 1d",)
    by_venue = build_panel(cleaned(perp, spot), prefer=("bybit:perp:1d", "spot"))
    np.testing.assert_allclose(by_venue.close[:, 0], perp.close)


def test_kinds_are_never_joined_where_the_preferred_one_ends():
    spot = bars(venue="binance", kind="spot", mint=MINT, n=30)
    perp = bars(mint=MINT, n=60)
    other = bars("JUPUSDT", n=60)
    panel = build_panel(cleaned(spot, perp, other), prefer=("spot", "perp"))
    sol = panel.close[:, panel.column(MINT)]
    assert np.isfinite(sol[:30]).all()
    assert np.isnan(sol[30:]).all()


def test_what_matches_no_preference_is_reported():
    panel = build_panel(cleaned(bars(), bars("JUPUSDT", kind="spot")), prefer=("spot",))
    assert panel.assets == ("bybit:JUPUSDT",)
    left_out = next(one for one in panel.choices if one.asset == "bybit:SOLUSDT")
    assert left_out.instrument is None
    assert left_out.passed_over == ("bybit:SOLUSDT perp 1d",)
    assert left_out.to_json()["series"] is None


def test_prices_are_per_token_and_holes_are_nan():
    bonk = without(bars("1000BONKUSDT", first=0.02), [5])
    panel = build_panel(cleaned(bonk), prefer=("perp",))
    assert np.isnan(panel.close[5, 0])
    assert np.isnan(panel.quote_volume[5, 0])
    np.testing.assert_allclose(panel.close[6:, 0], bonk.close[5:] / 1000)


def test_until_sees_only_closed_bars():
    panel = build_panel(cleaned(bars()), prefer=("perp",))
    assert panel.until(np.datetime64("2024-01-05T23:59")).times[-1] == np.datetime64("2024-01-05")
    assert panel.until(np.datetime64("2024-01-06")).times[-1] == np.datetime64("2024-01-06")
    assert len(panel.until(np.datetime64("2023-01-01")).times) == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oracle:1d", Preference("oracle", None, "1d")),
        ("bybit:perp", Preference("perp", "bybit", None)),
        ("1h:pool:orca", Preference("pool", "orca", "1h")),
    ],
)
def test_preferences_are_read(text, expected):
    assert Preference.parse(text) == expected


@pytest.mark.parametrize("text", ["", "bybit", "1d", "spot:perp:x:y", "a:b:spot"])
def test_preferences_that_say_nothing_are_refused(text):
    with pytest.raises(PanelError):
        Preference.parse(text)


def test_a_day_needs_enough_hours_and_its_last_one():
    hourly = bars(interval="1h", n=24 * 5)
    holes = [*range(24, 30), *range(48, 55), 95]  # 6 of day 2, 7 of day 3, the last of day 4
    (series,) = cleaned(without(hourly, holes))
    daily = resample(series, "1d")
    assert daily.usable.tolist() == [True, True, False, False, True]
    assert resample(series, "1d", completeness=1.0).usable.tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]
    day = slice(0, 24)
    assert daily.open[0] == hourly.open[0]
    assert daily.high[0] == hourly.high[day].max()
    assert daily.low[0] == hourly.low[day].min()
    assert daily.close[0] == hourly.close[23]
    assert daily.volume[0] == pytest.approx(hourly.volume[day].sum())
    assert daily.turnover[0] == pytest.approx((hourly.volume * hourly.close)[day].sum())
    assert daily.open[1] == hourly.open[30]
    assert np.isnan(daily.close[2])


def test_hourly_series_stand_in_for_days_and_say_so():
    hourly = bars(interval="1h", kind="spot", venue="binance", n=24 * 5, mint=MINT)
    panel = build_panel(cleaned(without(hourly, [47]), bars(mint=MINT)), prefer=("spot", "perp"))
    assert panel.choices[0].interval == "1h"
    assert panel.choices[0].incomplete == 1
    strict = build_panel(
        cleaned(without(hourly, [0])), prefer=("spot",), settings=PanelSettings(completeness=1.0)
    )
    assert np.isnan(strict.close[0, 0])
    # Daily bars cannot become hours: the series is passed over, not stretched.
    assert build_panel(cleaned(bars()), interval="1h", prefer=("perp",)).assets == ()


def test_days_that_close_at_different_hours_do_not_share_a_row():
    asian = bars("JUPUSDT", start="2024-01-01T16:00")
    asian = replace(asian, phase=np.timedelta64(16, "h").astype("timedelta64[ns]"))
    with pytest.raises(PanelError, match="different times"):
        build_panel(cleaned(bars(), asian), prefer=("perp",))
    assert build_panel(cleaned(asian), prefer=("perp",)).times[0] == np.datetime64(
        "2024-01-02T16:00"
    )
