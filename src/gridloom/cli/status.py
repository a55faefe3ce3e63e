"""`gridloom status`: all runs, or the tasks of one."""

from __future__ import annotations

import time

from rich.text import Text

from gridloom.cli.console import new_table, output, short_id, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.cli.plan import is_done
from gridloom.driver.live import Live, LiveTask, read_live
from gridloom.driver.runs import Run, Runs, Shown
from gridloom.driver.settings import read_how
from gridloom.journal import TaskRecord, holder
from gridloom.results import Store

_STYLES = {"finished": "green", "running": "cyan", "failed": "red", "done": "green"}


def status(run: RunName = None, runs: RunsFolder = RUNS) -> None:
    """Show all runs, or the tasks of one."""
    known = Runs(runs)
    if run is None:
        _show_all(known)
    else:
        _show_one(known.find(run), known.store)


def _show_all(known: Runs) -> None:
    console = output()
    every = known.all()
    if not every:
        console.print(f"No runs in {shown_path(known.root)}. `gridloom run analysis.yaml` makes one.", markup=False)
        return
    table = new_table("run", "state", "done", "begun", "report")
    for run in every:
        counts = run.counts(known.store).values()
        tasks = f"{sum(done for done, _ in counts)}/{sum(number for _, number in counts)}"
        state = run.state()
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.manifest.created))
        page = shown_path(run.page) if run.page.is_file() else "-"
        table.add_row(Text(run.folder.name), Text(state, style=_STYLES.get(state, "yellow")), tasks, begun, Text(page))
    console.print(table)


def _show_one(run: Run, store: Store) -> None:
    console = output()
    console.print(f"{run.folder.name}: {run.state()}", markup=False, style="bold")
    found = holder(run.folder)
    if found is not None:
        console.print(f"driven by process {found.pid} on {found.host}", markup=False)
    site = read_how(run.folder).site
    if site:
        console.print(f"site: {site}", markup=False)
    console.print(f"analysis: {run.manifest.analysis_file}", markup=False)
    if run.page.is_file():
        console.print(f"report: {shown_path(run.page)}", markup=False)
    tasks = run.history().tasks
    run_state, live = run.state(), read_live(run.folder) or Live(at=0)
    table = new_table("task", "state", "attempts", "id", "note")
    for task in run.manifest.tasks:
        record = tasks.get(task.id)
        state = _task_state(record, live.tasks.get(task.id), there=is_done(store, task.id), run=run_state)
        attempts = str(record.attempts) if record else "0"
        reason = record.reason if record and state != "done" else ""
        styled = Text(state, style=_STYLES.get(state, ""))
        table.add_row(Text(task.label), styled, attempts, short_id(task.id), Text(reason))
    console.print(table)


def _task_state(record: TaskRecord | None, live: LiveTask | None, *, there: bool, run: Shown) -> str:
    """What to say of a task: the store knows whether it is done, the driver and its journal what else became of it."""
    if there:
        return "done"
    if record is None:
        return "waiting"
    if record.state == "submitted":
        if run == "running":
            return live.state if live is not None else "queued"
        return "at the site" if run == "left" else "lost"
    return "removed" if record.state in ("done", "reused") else record.state
