"""Brings a crashed server back, in a thread of whoever owns it."""

import logging
import subprocess
import threading
import time
from collections.abc import Mapping

from portfolio_platform.store.embedded import locks, process
from portfolio_platform.store.embedded.cluster import Cluster
from portfolio_platform.store.embedded.errors import EmbeddedServerError

logger = logging.getLogger(__name__)

MAXIMUM_CRASHES = 5
CRASH_WINDOW = 60.0


class Supervisor(threading.Thread):
    """Waits for the server to exit and starts it again unless it was told to stop.

    As the parent of `postgres` it also reaps it: a killed server leaves no zombie behind.

    Parameters
    ----------
    cluster : Cluster
        What to watch.
    child : Popen or None
        The server when it is our child, None when we attached to one started by another process.
    """

    def __init__(
        self,
        cluster: Cluster,
        child: subprocess.Popen[bytes] | None,
        *,
        sync: bool,
        settings: Mapping[str, str],
    ) -> None:
        super().__init__(name=f"postgres-supervisor-{cluster.major}", daemon=True)
        self._cluster = cluster
        self._child = child
        self._sync = sync
        self._settings = settings
        self._leaving = threading.Event()
        self._crashes: list[float] = []

    def leave(self) -> None:
        """Stop restarting; call before stopping the server."""
        self._leaving.set()

    def run(self) -> None:
        while not self._leaving.is_set():
            intended = self._await_exit()
            if self._leaving.is_set() or intended or self._cluster.stopped_marker.exists():
                return
            now = time.monotonic()
            self._crashes = [at for at in self._crashes if now - at < CRASH_WINDOW] + [now]
            if len(self._crashes) > MAXIMUM_CRASHES:
                logger.error(
                    "PostgreSQL crashed %d times within %.0f s; not restarting it (log: %s)",
                    len(self._crashes),
                    CRASH_WINDOW,
                    self._cluster.log,
                )
                return
            logger.warning("PostgreSQL exited unexpectedly; restarting it")
            try:
                self._restart()
            except (EmbeddedServerError, TimeoutError):
                logger.exception("PostgreSQL could not be restarted")
                return

    def _await_exit(self) -> bool:
        """Wait for the end of the server; whether it ended by an orderly shutdown."""
        if self._child is not None:
            return self._child.wait() == 0
        while process.alive(self._cluster, self._cluster.recorded_pid()):
            if self._leaving.wait(0.5):
                return True
        return self._cluster.recorded_pid() is None  # an orderly shutdown removes the pid file

    def _restart(self) -> None:
        with locks.exclusive(self._cluster.start_lock, timeout=120):
            if self._leaving.is_set() or self._cluster.stopped_marker.exists():
                return
            if process.alive(self._cluster, self._cluster.recorded_pid()):
                self._child = None  # someone else was first and supervises it
                return
            self._child = process.start(
                self._cluster,
                sync=self._sync,
                settings=self._settings,
                deadline=120,
                progress=None,
            )
