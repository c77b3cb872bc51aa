"""Containing panics of native code.

A panic of the Rust parts arrives as a ``BaseException`` that ``except Exception`` misses, and
that would end a whole run.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from portfolio_platform.solana.rpc.errors import NativePanic


@contextmanager
def contained_panics(what: str) -> Iterator[None]:
    """Turn a native panic inside the block into :class:`NativePanic`; let all else pass."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException" or isinstance(error, Exception):
            raise
        raise NativePanic(f"native code panicked in {what}", method=what) from None
