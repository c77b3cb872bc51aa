"""One LISTEN connection per process that wakes whoever waits for changes.

A notification is only a hint to look at the outbox sooner. Without it, or while the connection is
down, readers find the same rows at their next look.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import psycopg

CHANNEL = "portfolio_platform"

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 15.0


class Wakeup:
    """Lets many waiters share one LISTEN connection."""

    def __init__(self, conninfo: str, *, enabled: bool = True) -> None:
        self._conninfo = conninfo
        self._enabled = enabled
        self._task: asyncio.Task[None] | None = None
        self._signal = asyncio.Event()
        self.listening = False

    async def open(self) -> None:
        """Start listening in the background."""
        if self._enabled:
            self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening and wake everyone."""
        self.wake()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Wake everyone who waits now."""
        self._signal.set()
        self._signal = asyncio.Event()

    async def wait(self, timeout: float) -> None:
        """Return at the next notification, or after `timeout` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._signal.wait(), timeout)

    async def _listen(self) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=5
                )
                async with connection:
                    await connection.execute(f"listen {CHANNEL}")
                    self.listening = True
                    delay = _FIRST_DELAY
                    async for _ in connection.notifies():
                        self.wake()
            except psycopg.Error:
                pass
            finally:
                self.listening = False
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
