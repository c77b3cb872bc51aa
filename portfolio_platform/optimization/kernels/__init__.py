"""Compiled kernels of the exact engine (numba, cached on disk).

Nothing here is imported before a batch or a warm process asks for it. ``python -m
portfolio_platform.optimization.warm`` compiles all of them ahead of time.
"""
