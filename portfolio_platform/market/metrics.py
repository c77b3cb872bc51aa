"""Compute metrics of each token at a moment, from clean bars and from what the chain says."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from portfolio_platform.market import returns
from portfolio_platform.market.panel import MarketPanel
from portfolio_platform.market.series import instant, interval_length, iso
from portfolio_platform.market.settings import MetricsSettings
from portfolio_platform.market.token_metrics import CHAIN_FIELDS, ChainInputs, TokenMetrics

WRAPPED_SOL = "So11111111111111111111111111111111111111112"

_DAY = np.timedelta64(1, "D")
_RISK = ("volatility", "downside_volatility", "ewma_volatility")
_MARKET = ("correlation_to_sol", "beta_to_sol")
_DRAWDOWN = ("max_drawdown", "current_drawdown")
_VOLUME = ("volume_mean", "volume_median", "amihud")
_PRICED = ("price_at", "price", *_RISK, *_DRAWDOWN, *_MARKET, *_VOLUME)


def compute_metrics(
    panel: MarketPanel,
    as_of: datetime | np.datetime64,
    chain_inputs: Mapping[str, ChainInputs] | None = None,
    *,
    market_asset: str = WRAPPED_SOL,
    settings: MetricsSettings | None = None,
) -> list[TokenMetrics]:
    """Metrics of every asset in the panel or in the chain inputs, as known at `as_of`.

    Only panel rows with `times <= as_of` are looked at.

    Parameters
    ----------
    panel : MarketPanel
    as_of : datetime
        Aware, or naive UTC.
    chain_inputs : mapping of asset to ChainInputs
        Must themselves be as of that moment.
    market_asset : str
        What correlation and beta are measured against.
    settings : MetricsSettings, optional

    Returns
    -------
    list of TokenMetrics, sorted by asset
    """
    settings = settings or MetricsSettings()
    moment = instant(as_of)
    known = panel.until(moment)
    chain = dict(chain_inputs or {})
    length = interval_length(panel.interval)
    # Rows of the grid that as_of has passed but the panel does not hold: age counts them too.
    late = int((moment - known.times[-1]) // length) if len(known.times) else 0
    market = known.close[:, known.column(market_asset)] if market_asset in known.assets else None
    found: list[TokenMetrics] = []
    for asset in sorted({*panel.assets, *chain}):
        reasons: dict[str, str] = {}
        if asset in known.assets:
            close = known.close[:, known.column(asset)]
            volume = known.quote_volume[:, known.column(asset)]
        else:
            close = volume = np.full(len(known.times), np.nan)
        values = _price_metrics(known, close, volume, market, market_asset, late, settings, reasons)
        values |= _chain_metrics(chain.get(asset), reasons)
        found.append(
            TokenMetrics(
                asset=asset, as_of=moment, undefined=dict(sorted(reasons.items())), **values
            )
        )
    return found


def _price_metrics(
    panel: MarketPanel,
    close: np.ndarray,
    volume: np.ndarray,
    market: np.ndarray | None,
    market_asset: str,
    late: int,
    settings: MetricsSettings,
    reasons: dict[str, str],
) -> dict[str, Any]:
    days_per_bar = interval_length(panel.interval) / _DAY
    horizons = {f"{bars * days_per_bar:g}d": bars for bars in settings.return_horizons}
    priced = np.flatnonzero(np.isfinite(close))
    values: dict[str, Any] = dict.fromkeys(_PRICED)
    values["returns"] = dict.fromkeys(horizons)
    values["days_of_history"] = float(len(priced) * days_per_bar)
    values["missing_share"] = None
    if len(priced):
        bars = len(close) - int(priced[0]) + late
        values["missing_share"] = 1.0 - len(priced) / bars
    else:
        reasons["missing_share"] = "no usable bar up to as_of"
    stale = _why_stale(panel, priced, late, settings)
    if stale is not None:
        reasons.update(dict.fromkeys((*_PRICED, *(f"return_{name}" for name in horizons)), stale))
        return values

    last = int(priced[-1])
    values["price"] = float(close[last])
    values["price_at"] = panel.times[last]
    for name, bars in horizons.items():
        _return(values["returns"], name, bars, close, panel.times, last, reasons)
    window = close[max(last - settings.volatility_window, 0) : last + 1]
    moves = returns.log_returns(window)
    _risk(values, moves, settings, reasons)
    if market is None:
        reasons.update(dict.fromkeys(_MARKET, f"{market_asset} is not in the panel"))
    else:
        other = returns.log_returns(market[max(last - settings.volatility_window, 0) : last + 1])
        _against_market(values, moves, other, settings, reasons)
    peak_window = close[max(last + 1 - settings.drawdown_window, 0) : last + 1]
    existing = peak_window[np.isfinite(peak_window)]
    values["max_drawdown"], values["current_drawdown"] = returns.drawdowns(existing)
    start = max(last + 1 - settings.volume_window, 0)
    traded = volume[start : last + 1]
    simple = np.expm1(returns.log_returns(close[max(start - 1, 0) : last + 1]))
    _volume(values, traded, simple, reasons)
    return values


def _why_stale(
    panel: MarketPanel, priced: np.ndarray, late: int, settings: MetricsSettings
) -> str | None:
    if not len(priced):
        return "no usable bar up to as_of"
    age = len(panel.times) - 1 - int(priced[-1]) + late
    if age <= settings.max_age_bars:
        return None
    return f"last usable close was known at {iso(panel.times[priced[-1]])}, {age} bars before as_of"


def _return(
    found: dict[str, float | None],
    name: str,
    bars: int,
    close: np.ndarray,
    times: np.ndarray,
    last: int,
    reasons: dict[str, str],
) -> None:
    base = last - bars
    if base < 0:
        reasons[f"return_{name}"] = f"history is shorter than {name}"
    elif np.isnan(close[base]):
        reasons[f"return_{name}"] = f"no usable close at {iso(times[base])}"
    else:
        found[name] = float(close[last] / close[base] - 1.0)


def _risk(
    values: dict[str, Any], moves: np.ndarray, settings: MetricsSettings, reasons: dict[str, str]
) -> None:
    existing = moves[np.isfinite(moves)]
    if len(existing) < settings.min_observations:
        short = f"{len(existing)} returns, {settings.min_observations} are needed"
        reasons.update(dict.fromkeys(_RISK, short))
        return
    year = settings.periods_per_year
    values["volatility"] = returns.volatility(existing, year)
    values["downside_volatility"] = returns.downside_volatility(existing, year)
    values["ewma_volatility"] = returns.ewma_volatility(moves, settings.ewma_lambda, year)


def _against_market(
    values: dict[str, Any],
    moves: np.ndarray,
    market: np.ndarray,
    settings: MetricsSettings,
    reasons: dict[str, str],
) -> None:
    both = np.isfinite(moves) & np.isfinite(market)
    if both.sum() < settings.min_observations:
        short = f"{int(both.sum())} common returns, {settings.min_observations} are needed"
        reasons.update(dict.fromkeys(_MARKET, short))
        return
    correlation, beta = returns.correlation_and_beta(moves[both], market[both])
    values["correlation_to_sol"], values["beta_to_sol"] = correlation, beta
    if correlation is None:
        reasons["correlation_to_sol"] = "returns without variance"
    if beta is None:
        reasons["beta_to_sol"] = "market returns without variance"


def _volume(
    values: dict[str, Any], traded: np.ndarray, simple: np.ndarray, reasons: dict[str, str]
) -> None:
    there = np.isfinite(traded)
    if not there.any():
        reasons.update(dict.fromkeys(_VOLUME, "no traded volume recorded"))
        return
    values["volume_mean"] = float(traded[there].mean())
    values["volume_median"] = float(np.median(traded[there]))
    values["amihud"] = returns.amihud(simple, traded[-len(simple) :] if len(simple) else traded[:0])
    if values["amihud"] is None:
        reasons["amihud"] = "no bar with both a return and traded volume"


def _chain_metrics(chain: ChainInputs | None, reasons: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in CHAIN_FIELDS:
        values[name] = None if chain is None else getattr(chain, name)
        if values[name] is None:
            reasons[name] = "no chain input"
    rates = [values[name] for name in ("stake_rate", "supply_rate") if values[name] is not None]
    values["total_yield"] = float(sum(rates)) if rates else None
    if not rates:
        reasons["total_yield"] = "neither a stake rate nor a supply rate"
    return values
