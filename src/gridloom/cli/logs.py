"""`gridloom logs`: what the tasks of a run have printed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from gridloom.assignment import ERROR_FILE, LOG_FILE
from gridloom.cli.console import new_table, note, output, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.driver.runs import LOGS, Run, Runs
from gridloom.errors import NotFound
from gridloom.journal import TaskRecord

_FILES = (LOG_FILE, "job.out", "job.err", ERROR_FILE)


def logs(
    run: RunName = None,
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="A task's label or the beginning of its id, as in `status`.")
    ] = None,
    runs: RunsFolder = RUNS,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Only the last lines; 0: all.")] = 0,
) -> None:
    """Show the log of a task's newest attempt, or where the logs of all tasks are."""
    found = Runs(runs).find(run)
    tasks = found.history().tasks
    if task is None:
        _list(found, tasks)
        return
    record, folder = _folder_of(found, tasks, task)
    shown = [path for name in _FILES if (path := folder / name).is_file() and path.stat().st_size]
    if not shown:
        note(f"{'Not yet there' if record.state == 'submitted' else 'It has printed nothing'}: {shown_path(folder)}.")
    if not shown and record.state == "submitted":
        note("Without a shared folder a log comes back when the job ends.")
    for path in shown:
        text = path.read_text(errors="replace").splitlines()
        note(f"--- {shown_path(path)}")
        output().print("\n".join(text[-lines:]), markup=False, highlight=False)


def _list(run: Run, tasks: dict[str, TaskRecord]) -> None:
    table = new_table("task", "attempts", "log")
    for planned in run.manifest.tasks:
        record = tasks.get(planned.id)
        folder = _attempt(run, record.token) if record is not None and record.token else None
        where = shown_path(folder) if folder is not None else "-"
        table.add_row(Text(planned.label), str(record.attempts if record else 0), Text(where))
    output().print(table)


def _folder_of(run: Run, tasks: dict[str, TaskRecord], name: str) -> tuple[TaskRecord, Path]:
    wanted = [planned for planned in run.manifest.tasks if planned.label == name or planned.id.startswith(name)]
    if not wanted:
        labels = ", ".join(f"`{planned.label}`" for planned in run.manifest.tasks[:40])
        raise NotFound(f"no task `{name}`", where=str(run.folder), fix=f"Tasks: {labels}.")
    record = tasks.get(wanted[0].id)
    folder = _attempt(run, record.token) if record is not None and record.token else None
    if record is None or folder is None:
        raise NotFound(
            f"`{wanted[0].label}` has not been tried in this run",
            where=str(run.folder / LOGS),
            fix="Its result came from an earlier run, or it waits.",
        )
    return record, folder


def _attempt(run: Run, token: str) -> Path | None:
    return next((path for path in (run.folder / LOGS).glob(f"*-{token}") if not path.name.startswith("batch-")), None)
