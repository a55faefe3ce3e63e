"""Progress of a run: one line per running task and one for all on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from gridloom.cli.console import errors
from gridloom.driver.events import (
    EngineSilent,
    Event,
    JobsLeft,
    Listener,
    ResultDamaged,
    RunStarted,
    Stopping,
    TaskChanged,
)
from gridloom.task import Progress as Step

_EVERY = 10.0  # seconds between two plain lines on one task


@contextmanager
def progress() -> Iterator[Listener]:
    """A listener that draws what it hears."""
    console = errors()
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        bars.add_task("looking at the files", total=None, text="")
        yield Bars(bars)


def step_text(step: Step) -> str:
    """What a task says of itself: its text, then its numbers."""
    values = "  ".join(f"{name} {value:.4g}" for name, value in step.values.items())
    return "  ".join(part for part in (step.text, values) if part)


def reason_text(event: TaskChanged) -> str:
    """Why a task ended, in one line; an error is told in full at the end."""
    return f": {event.reason.splitlines()[0]}" if event.reason else ""


class Lines:
    """Plain lines: a task's beginning and end, and a sign of life now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, float] = {}
        self._done = 0
        self._all = 0

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._done, self._all = event.done, event.tasks
            tasks = "1 task" if event.tasks == 1 else f"{event.tasks} tasks"
            self._say(f"run {event.name}: {tasks}, {event.done} done already")
        elif isinstance(event, TaskChanged):
            self._task(event)
        elif not isinstance(event, JobsLeft):  # whoever asked to leave is told so at the end
            self._say(notice(event))

    def _task(self, event: TaskChanged) -> None:
        if event.state == "waiting" or (event.state == "queued" and not event.reason):
            return
        now = time.monotonic()
        if event.state != "running":
            if event.state in ("queued", "retried"):
                self._last.pop(event.task, None)
            self._done += event.state == "done"
            self._say(f"[{self._done}/{self._all}] {event.label} {event.state}{reason_text(event)}")
        elif event.task not in self._last:
            self._last[event.task] = now
            self._say(f"[{self._done}/{self._all}] {event.label} begins{f' on {event.host}' if event.host else ''}")
        elif event.progress is not None and now - self._last[event.task] >= _EVERY:
            self._last[event.task] = now
            share = event.progress.done / event.progress.total if event.progress.total else 0
            self._say(f"[{self._done}/{self._all}] {event.label} {share:.0%} {step_text(event.progress)}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False)


class Bars:
    """Bars on a terminal: running tasks below the one for the whole run; what is done stays as a line above."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._rows: dict[str, TaskID] = {}
        self._whole = bars.task_ids[0]

    def __call__(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._bars.update(self._whole, description=event.name, total=event.tasks, completed=event.done)
        elif isinstance(event, TaskChanged):
            self._task(event)
        elif not isinstance(event, JobsLeft):
            self._bars.console.print(notice(event), style="yellow", markup=False)

    def _task(self, event: TaskChanged) -> None:
        if event.state == "running":
            row = self._rows.get(event.task)
            if row is None:
                row = self._rows[event.task] = self._bars.add_task(event.label, total=None, text="")
            if event.progress is not None:
                step = event.progress
                self._bars.update(row, total=step.total, completed=step.done, text=step_text(step))
            return
        row = self._rows.pop(event.task, None)
        if row is not None:
            self._bars.remove_task(row)
        if event.state == "done":
            self._bars.advance(self._whole)
        if event.state in ("done", "waiting", "queued"):
            return
        self._bars.console.print(f"{event.label} {event.state}{reason_text(event)}", style="yellow", markup=False)


def notice(event: ResultDamaged | Stopping | EngineSilent) -> str:
    """An event that is not about a task's progress, in words."""
    if isinstance(event, EngineSilent):
        return "the batch system answers again" if event.back else f"no answer, asking again: {event.reason}"
    if isinstance(event, ResultDamaged):
        return f"{event.label}: {event.error.what} ({event.error.where}); set aside, computed again"
    if not event.running:
        return f"{event.reason}: nothing else is running"
    how = "ended" if event.at_once else "asked to save or let finish"
    tasks = "1 running task is" if event.running == 1 else f"{event.running} running tasks are"
    return f"{event.reason}: {tasks} {how}"
