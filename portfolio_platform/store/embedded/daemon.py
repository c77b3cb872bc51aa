"""The supervising process of `portfolio-platform up`: a client that stays until `down`."""

import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from portfolio_platform.store.embedded import locks
from portfolio_platform.store.embedded.server import EmbeddedServer

_LOOK_SECONDS = 0.5


def main(home: Path, major: int) -> int:
    """Hold the server of `home` until SIGTERM or SIGINT."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    base = home / "postgres" / str(major)
    held = _hold(base / "daemon.lock")
    if held is None:
        return 0  # another daemon was first
    (base / "daemon.pid").write_text(f"{os.getpid()}\n")
    leaving = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: leaving.set())
    server = EmbeddedServer.ensure(home, major)
    logging.info("PostgreSQL %d runs as pid %s on port %d", major, server.pid, server.port)
    while not leaving.wait(_LOOK_SECONDS):
        if not server.supervised:
            # A daemon without a server would keep the next `up` from starting one.
            logging.warning("PostgreSQL was stopped by others or keeps crashing; leaving it")
            server.let_go()
            os.close(held)
            return 0
    server.stop()
    os.close(held)
    return 0


def _hold(lock: Path) -> int | None:
    """Take the lock; whoever only looks whether it is held lets go of it at once."""
    until = time.monotonic() + 1
    while (held := locks.try_lock(lock)) is None and time.monotonic() < until:
        time.sleep(0.01)
    return held


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
