"""Exact integer mathematics of the on-chain pools.

Every pool is a frozen state: `quote_exact_in` and `quote_exact_out` price a trade to the base
unit, `after` gives the state that the trade leaves, and what cannot be priced raises a typed
`AmmError` with a stable `reason`.
"""

from portfolio_platform.amm.concentrated import ConcentratedPool
from portfolio_platform.amm.constant_product import ConstantProductPool
from portfolio_platform.amm.dlmm import Bin, DlmmPool
from portfolio_platform.amm.dlmm_fee import FeeParameters, Volatility
from portfolio_platform.amm.errors import (
    AdaptiveFeeUnsupported,
    AmmError,
    AmountOutOfRange,
    Dust,
    InsufficientLiquidity,
    InvalidPool,
    PoolPaused,
    StaleQuote,
    UnknownMint,
    ZeroLiquidity,
)
from portfolio_platform.amm.pool import AmmPool
from portfolio_platform.amm.quote import Quote
from portfolio_platform.amm.serialization import pool_from_json
from portfolio_platform.amm.transfer_fee import TransferFee

__all__ = [
    "AdaptiveFeeUnsupported",
    "AmmError",
    "AmmPool",
    "AmountOutOfRange",
    "Bin",
    "ConcentratedPool",
    "ConstantProductPool",
    "DlmmPool",
    "Dust",
    "FeeParameters",
    "InsufficientLiquidity",
    "InvalidPool",
    "PoolPaused",
    "Quote",
    "StaleQuote",
    "TransferFee",
    "UnknownMint",
    "Volatility",
    "ZeroLiquidity",
    "pool_from_json",
]
