"""Byte layouts of every account that the platform reads, one module per program."""

from portfolio_platform.solana.layouts.base import Field, Layout
from portfolio_platform.solana.layouts.keys import InvalidPubkey, is_key, key_bytes, key_text

__all__ = ["Field", "InvalidPubkey", "Layout", "is_key", "key_bytes", "key_text"]
