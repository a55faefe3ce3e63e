"""`gridloom watch`: a run as it goes, in the terminal, from any process that sees its folder."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live as LiveView
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gridloom.cli.console import new_table, output, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.cli.progress import step_text
from gridloom.driver.live import Live, LiveTask, read_live
from gridloom.driver.runs import Run, Runs, Shown
from gridloom.driver.settings import read_how
from gridloom.errors import Interrupted
from gridloom.journal import History, holder
from gridloom.messages import progress_of
from gridloom.results import Store

_EVERY = 1.0
_ROWS = 24
_BAR = 16
_STYLES = {"running": "cyan", "held": "yellow", "failed": "red", "finished": "green", "resumed": "cyan"}


def watch(
    run: RunName = None,
    runs: RunsFolder = RUNS,
    once: Annotated[bool, typer.Option("--once", help="Show it once and leave.")] = False,
) -> None:
    """Show how a run goes, with the progress of each task, until it ends. Ctrl-C leaves; the run goes on."""
    known = Runs(runs)
    found = known.find(run)
    console = output()
    if once or not console.is_terminal:
        console.print(view(found, known.store, time.time()))
        return
    with suppress(Interrupted), LiveView(console=console, auto_refresh=False, transient=False) as live:
        while True:
            live.update(view(found, known.store, time.time()), refresh=True)
            if holder(found.folder) is None:
                return
            time.sleep(_EVERY)


def view(run: Run, store: Store, now: float) -> RenderableType:
    """Everything on one screen: the run, its kinds of tasks, what is under way, what has happened."""
    history, live, state = run.history(), read_live(run.folder) or Live(at=now), run.state()
    parts: list[RenderableType] = [_head(run, history, state, now)]
    if live.silent and state == "running":
        parts.append(Text(f"no answer: {live.silent}", style="yellow"))
    # Where nobody drives the run, nobody knows what its jobs do.
    parts += [Text(), _kinds(run, store, live.tasks if state == "running" else {})]
    rows = list(_under_way(run, store, live, state))
    if rows:
        parts += [Text(), _tasks(rows, now)]
    parts += [Text(f"  {notice}", style="dim", overflow="ellipsis", no_wrap=True) for notice in live.notices]
    return Group(*parts, *_advice(run, state))


def _head(run: Run, history: History, state: Shown, now: float) -> Text:
    found, site = holder(run.folder), read_how(run.folder).site
    text = Text(run.folder.name, style="bold")
    text.append(f"  {state}", style=_STYLES.get(state, "yellow"))
    if site:
        text.append(f"  at {site}", style="default not bold")
    if found is not None:
        text.append(f"  driven by process {found.pid} on {found.host}", style="default not bold")
    lost = sum(task.lost for task in history.tasks.values())
    evictions = sum(task.evictions for task in history.tasks.values())
    text.append(f"  {duration((now if state == 'running' else history.last) - run.manifest.created)}", style="dim")
    if evictions:
        text.append(f"  {evictions} evictions and retries, {lost:.0f} s of work done again", style="dim")
    return text


def _kinds(run: Run, store: Store, tasks: Mapping[str, LiveTask]) -> Table:
    table = new_table("tasks", "done", "", "running", "waiting", "held")
    labels = {task.id: task.kind for task in run.manifest.tasks}
    states = Counter(
        (labels[task], entry.state)
        for task, entry in tasks.items()
        if task in labels and not store.folder(task).is_dir()
    )
    for kind, (done, every) in run.counts(store).items():
        running = states[kind, "running"] + states[kind, "resumed"]
        held = states[kind, "held"]
        bar = ProgressBar(total=every, completed=done, width=_BAR)
        waiting = max(0, every - done - running - held)
        table.add_row(kind, f"{done}/{every}", bar, str(running or ""), str(waiting or ""), str(held or ""))
    return table


def _under_way(run: Run, store: Store, live: Live, state: Shown) -> Iterator[tuple[str, LiveTask]]:
    """The tasks that something is to be said of, running ones first."""
    order = {"running": 0, "resumed": 0, "held": 1, "failed": 2}
    labels = {task.id: task.label for task in run.manifest.tasks}
    shown = [
        (labels[task], entry)
        for task, entry in live.tasks.items()
        if task in labels
        and not store.folder(task).is_dir()
        and entry.state in order
        and (state == "running" or entry.state == "failed")
    ]
    yield from sorted(shown, key=lambda pair: order[pair[1].state])


def _tasks(rows: list[tuple[str, LiveTask]], now: float) -> Table:
    table = new_table("task", "state", "for", "node", "", "", "")
    for label, entry in rows[:_ROWS]:
        step = None if entry.step is None else progress_of(entry.step)
        share = step.done / step.total if step is not None and step.total else None
        table.add_row(
            Text(label),
            Text(entry.state, style=_STYLES.get(entry.state, "")),
            duration(now - entry.since),
            Text(entry.host or "-"),
            ProgressBar(total=1.0, completed=share, width=_BAR) if share is not None else "",
            f"{share:4.0%}" if share is not None else "",
            Text(step_text(step) if step is not None else entry.reason.partition("\n")[0]),
        )
    if len(rows) > _ROWS:
        table.add_row(f"and {len(rows) - _ROWS} more", "", "", "", "", "", "")
    return table


def _advice(run: Run, state: Shown) -> Iterator[RenderableType]:
    name = run.folder.name
    match state:
        case "left" | "lost":
            yield Text(f"\nNobody drives this run now: `gridloom resume {name}` takes its jobs up again.")
        case "interrupted" | "new":
            yield Text(f"\n`gridloom resume {name}` goes on.")
        case "failed":
            yield Text(f"\n`gridloom status {name}` says why; `gridloom resume {name}` tries again.")
        case "finished":
            yield Text(f"\nReport: {shown_path(run.page)}")
        case _:
            return


def duration(seconds: float) -> str:
    """`1:02:03` or `2:03`."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
