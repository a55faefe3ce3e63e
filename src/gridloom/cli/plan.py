"""`gridloom plan`: what a run would do, and what of it is done already. Touches nothing."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from gridloom.analysis.load import load_analysis
from gridloom.cli.console import new_table, output, short_id, shown_path
from gridloom.cli.options import RUNS, AnalysisFile, RunsFolder, settings
from gridloom.driver.session import session
from gridloom.plan import KINDS, Plan
from gridloom.results import Store
from gridloom.task import Kind, Task

_DOES: dict[Kind, str] = {
    "tune": "a probe: with XLA or without",
    "train": "network, after all prepare",
    "reference": "boosted trees, after all prepare",
    "evaluate": "scores and figures of merit, after all above",
    "report": "pages and plots, after evaluate",
}


def plan(analysis_file: AnalysisFile, runs: RunsFolder = RUNS) -> None:
    """Show the tasks of an analysis, in order, and which are done already; nothing is written."""
    loaded = load_analysis(analysis_file)
    with session(settings(runs, jobs=1)) as here:
        found = here.prepare(loaded).plan
    store = settings(runs).runs.store
    folder = settings(runs).runs.folder(loaded.analysis.name, found)
    _show(found, store, folder)


def _show(found: Plan, store: Store, folder: Path) -> None:
    console = output()
    table = new_table("task", "does", "state", "id")
    done = 0
    for kind in KINDS:
        for task_id in found.of_kind(kind):
            task = found.by_id[task_id]
            there = is_done(store, task_id)
            done += there
            state = Text("done", style="green") if there else Text("to do")
            table.add_row(Text(task.label), Text(_what(task)), state, Text(short_id(task_id), style="dim"))
    console.print(table)
    console.print(f"{len(found.ids)} tasks, {done} done; the run is {shown_path(folder)}", markup=False)


def is_done(store: Store, task_id: str) -> bool:
    """Whether a result is there; whether it is sound is for `run` to find out."""
    return (store.folder(task_id) / "result.json").is_file()


def _what(task: Task) -> str:
    if task.kind != "prepare":
        return _DOES[task.kind]
    entries = sum(file.entries for file in task.files)
    files = "1 file" if len(task.files) == 1 else f"{len(task.files)} files"
    return f"{files}, {entries:,} events"
