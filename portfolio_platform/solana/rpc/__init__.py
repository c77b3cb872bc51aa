"""Asking the network: an endpoint pool with limits, retries, hedging and a deadline per call."""

from portfolio_platform.solana.rpc.errors import (
    DeadlineExceeded,
    InvalidCall,
    InvalidEndpoint,
    MalformedReply,
    NativePanic,
    PermanentFailure,
    RpcError,
    ScanTooWide,
    SlotSkipped,
    Unavailable,
)
from portfolio_platform.solana.rpc.pool import KEYS_PER_REQUEST, RpcPool
from portfolio_platform.solana.rpc.settings import PoolSettings

__all__ = [
    "KEYS_PER_REQUEST",
    "DeadlineExceeded",
    "InvalidCall",
    "InvalidEndpoint",
    "MalformedReply",
    "NativePanic",
    "PermanentFailure",
    "PoolSettings",
    "RpcError",
    "RpcPool",
    "ScanTooWide",
    "SlotSkipped",
    "Unavailable",
]
