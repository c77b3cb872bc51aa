"""Portfolio decisions for Solana tokens, as software-defined assets."""

__version__ = "0.1.0"
