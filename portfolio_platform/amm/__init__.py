"""Exact integer mathematics of the on-chain pools."""
