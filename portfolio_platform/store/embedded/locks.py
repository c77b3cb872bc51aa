"""File locks that the kernel releases when their holder dies, however it dies."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _is_current(descriptor: int, path: Path) -> bool:
    """Whether the locked file is still the one at `path` (its directory may be gone)."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Take a lock without waiting; the descriptor, or None when someone else holds it."""
    descriptor = _open(path)
    try:
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    if not _is_current(descriptor, path):
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def exclusive(
    path: Path, *, timeout: float, waiting: Callable[[float], None] | None = None
) -> Iterator[None]:
    """Hold `path` exclusively.

    Parameters
    ----------
    path : Path
        Lock file; its directory is created when missing.
    timeout : float
        Seconds to wait before `TimeoutError`.
    waiting : callable, optional
        Told the seconds waited so far, about ten times a second.
    """
    started = time.monotonic()
    descriptor: int | None = None
    while descriptor is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # the directory went away in between
            descriptor = try_lock(path)
        if descriptor is None:
            waited = time.monotonic() - started
            if waited > timeout:
                raise TimeoutError(f"{path} has been locked by another process for {waited:.0f} s")
            if waiting is not None:
                waiting(waited)
            time.sleep(0.02)
    try:
        yield
    finally:
        os.close(descriptor)
