"""Bars, their cleaning, and the metrics computed from them."""

from portfolio_platform.market.bar_file import BarFile, read_bars
from portfolio_platform.market.clean_series import CleanSeries
from portfolio_platform.market.cleaning import CleanResult, clean
from portfolio_platform.market.errors import BarFileError, MarketError
from portfolio_platform.market.metrics import compute_metrics
from portfolio_platform.market.panel import MarketPanel, build_panel
from portfolio_platform.market.resample import resample
from portfolio_platform.market.series import BarSeries, Instrument, InstrumentKind, splice
from portfolio_platform.market.settings import CleaningSettings, MetricsSettings, PanelSettings
from portfolio_platform.market.symbols import parse_symbol
from portfolio_platform.market.token_metrics import ChainInputs, TokenMetrics

__all__ = [
    "BarFile",
    "BarFileError",
    "BarSeries",
    "ChainInputs",
    "CleanResult",
    "CleanSeries",
    "CleaningSettings",
    "Instrument",
    "InstrumentKind",
    "MarketError",
    "MarketPanel",
    "MetricsSettings",
    "PanelSettings",
    "TokenMetrics",
    "build_panel",
    "clean",
    "compute_metrics",
    "parse_symbol",
    "read_bars",
    "resample",
    "splice",
]
