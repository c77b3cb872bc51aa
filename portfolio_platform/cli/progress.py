"""The two voices of the command line: answers on standard output, progress on standard error.

Progress is a line per step, with a spinner and seconds while it takes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

console = Console(stderr=True, highlight=False)
answers = Console(highlight=False, soft_wrap=True)


class Step:
    """A running step; `say` updates what it is doing, `share` how far it is."""

    def __init__(self, progress: Progress, task: int, title: str) -> None:
        self._progress = progress
        self._task = task
        self._title = title

    def say(self, detail: str) -> None:
        """Show what the step is doing now."""
        text = f"{self._title} · {detail}" if detail else self._title
        self._progress.update(self._task, description=text)  # type: ignore[arg-type]

    def share(self, done: float, total: float) -> None:
        """Show how much is done."""
        self._progress.update(self._task, completed=done, total=total)  # type: ignore[arg-type]


@contextmanager
def step(title: str, *, quiet: bool = False) -> Iterator[Step]:
    """Show a spinner with elapsed time while the block runs, then one line with its duration."""
    started = time.monotonic()
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=quiet,
    ) as progress:
        yield Step(progress, progress.add_task(title, total=None), title)
    if not quiet:
        console.print(f"[green]✓[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")
