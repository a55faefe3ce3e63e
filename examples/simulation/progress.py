"""How far a production is: bars on a terminal, a line for every tenth elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from examples.simulation.request import Job
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Lines:
    """Progress as lines of text."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._started = time.monotonic()

    def advance(self, _process: str, events: int) -> None:
        before = 10 * self._done // self._total
        self._done += events
        if 10 * self._done // self._total > before:
            elapsed = time.monotonic() - self._started
            left = elapsed * (self._total - self._done) / self._done
            self._console.print(
                f"{100 * self._done // self._total:3d} %  {self._done:,} of {self._total:,} events, "
                f"{elapsed:.0f} s, about {left:.0f} s left",
                highlight=False,
            )


class Bars:
    """Progress as one bar per process."""

    def __init__(self, progress: Progress, jobs: Iterable[Job]) -> None:
        events: dict[str, int] = {}
        for job in jobs:
            events[job.process.name] = events.get(job.process.name, 0) + job.events
        self._progress = progress
        self._bars = {name: progress.add_task(name, total=total) for name, total in events.items()}

    def advance(self, process: str, events: int) -> None:
        self._progress.advance(self._bars[process], events)


@contextmanager
def shown(console: Console, jobs: tuple[Job, ...]) -> Iterator[Bars | Lines]:
    """Show the progress of jobs for as long as the context lasts."""
    if not console.is_terminal:
        yield Lines(console, sum(job.events for job in jobs))
        return
    columns = (TextColumn("{task.description:>8}"), BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        yield Bars(progress, jobs)
