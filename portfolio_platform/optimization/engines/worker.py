"""A riskfolio process that is asked one thing at a time, kept, and killed when it takes too long.

A thread cannot stop a native solver; a process can be killed. Importing riskfolio takes seconds, so
the process is kept for the next question, and the time of its start is not charged to a solve.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

#: Seconds in which riskfolio must be imported, on a machine however busy.
START_LIMIT = 180.0
#: Seconds after which a worker whose parent is gone ends by itself.
_GRACE = 5
_MODULE = "portfolio_platform.optimization.engines.worker"


class Overdue(Exception):
    """The worker took longer than the limit and was killed."""


class Broken(Exception):
    """The worker raised, or ended, or could not start; the text says which."""


class Worker:
    """One child process; started on first use and again after it was killed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._link: Connection | None = None
        self._owner = os.getpid()

    def ask(self, question: str, request: Any, limit: float) -> Any:
        """Return the answer of ``riskfolio_call.QUESTIONS[question](request)``.

        Raises
        ------
        Overdue
            After `limit` seconds, not counting the start of the process; the worker is killed.
        Broken
            When riskfolio raises, or its process ends.
        """
        with self._lock:
            if self._owner != os.getpid():
                # forked: the process belongs to the parent, and so does what it will answer
                self._process, self._link, self._owner = None, None, os.getpid()
            link = self._started()
            try:
                link.send((question, request, limit))
                if not link.poll(limit):
                    raise Overdue(f"riskfolio took longer than {limit:g} s")
                kind, value = link.recv()
            except (EOFError, OSError) as error:
                raise Broken(f"riskfolio's process ended ({self._ended()})") from error
            except BaseException:
                # interrupted half way: the next question must not read this one's answer
                self.stop()
                raise
        if kind != "answer":
            raise Broken(f"riskfolio: {value}")
        return value

    def stop(self) -> str:
        """Kill the process, if there is one; return how it ended."""
        process, self._process = self._process, None
        link, self._link = self._link, None
        if link is not None:
            link.close()
        if process is None:
            return "not started"
        process.kill()
        code = process.wait()
        return f"exit code {code}"

    def _ended(self) -> str:
        """Return how a process ended that hung up, which it does an instant before it is gone."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2.0)
        return self.stop()

    def _started(self) -> Connection:
        if self._link is not None:
            return self._link
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._link = Connection(ours.detach())
        try:
            if not self._link.poll(START_LIMIT):
                self.stop()
                raise Broken(f"riskfolio did not start within {START_LIMIT:g} s")
            self._link.recv()
        except (EOFError, OSError) as error:
            raise Broken(f"riskfolio's process did not start ({self._ended()})") from error
        return self._link


_WORKER = Worker()
ask = _WORKER.ask
atexit.register(_WORKER.stop)


def serve(link: Connection) -> None:
    """Answer until the parent hangs up; an orphan ends soon after the limit of its question."""
    from portfolio_platform.optimization.engines import riskfolio_call

    errors = riskfolio_call.load()
    link.send(("ready", None))
    while True:
        try:
            question, request, limit = link.recv()
        except EOFError:
            return
        signal.alarm(int(limit) + _GRACE)
        try:
            answer = ("answer", riskfolio_call.QUESTIONS[question](request))
        except errors as error:
            first = (str(error).splitlines() or [""])[0]
            answer = ("failed", f"{type(error).__name__}: {first[:200]}")
        signal.alarm(0)
        link.send(answer)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
