"""Whether a kernel can run without being compiled now."""

from __future__ import annotations

from typing import Any


def ready(*dispatchers: Any) -> bool:
    """Return whether every kernel is loaded in this process or compiled on disk for this CPU."""
    return all(_loaded(dispatcher) or _cached(dispatcher) for dispatcher in dispatchers)


def _loaded(dispatcher: Any) -> bool:
    return len(dispatcher.signatures) > 0


def _cached(dispatcher: Any) -> bool:
    """Look the index of numba's disk cache up; a stale source stamp or other CPU gives nothing."""
    from numba.core.registry import cpu_target

    index_file = getattr(dispatcher._cache, "_cache_file", None)
    if index_file is None:
        return False
    machine = cpu_target.target_context.codegen().magic_tuple()
    return any(key[1] == machine for key in index_file._load_index())
