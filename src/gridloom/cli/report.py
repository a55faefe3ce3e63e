"""`gridloom report`: the result of a run in the terminal, and where its page is."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from gridloom.cli.console import output, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.driver.runs import Run, Runs
from gridloom.errors import DamagedResult, NotFound
from gridloom.results import Store

if TYPE_CHECKING:
    from gridloom.physics.results import Evaluation


def _read(path: Path) -> Evaluation:
    from gridloom.physics.results import read_evaluation

    try:
        return read_evaluation(path)
    except (OSError, ValidationError) as error:
        raise DamagedResult(
            "the evaluation cannot be read", where=str(path), fix="`gridloom run` makes a damaged result anew."
        ) from error


def show_result(run: Run, store: Store) -> None:
    """The verdict and the main figures of a finished run, and where its page is."""
    # Imported here: the other commands need not wait for it.
    from gridloom.report.summary import summary

    evaluate = next(task.id for task in run.manifest.tasks if task.kind == "evaluate")
    console = output()
    console.print(summary(_read(store.folder(evaluate) / "evaluation.json")), soft_wrap=False)
    console.print(f"\nReport: {shown_path(run.page)}", markup=False)


def report(
    run: RunName = None,
    runs: RunsFolder = RUNS,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show the result of a run, and where its report is."""
    known = Runs(runs)
    found = known.find(run)
    if not found.page.is_file():
        raise NotFound(
            "the run has no report yet",
            where=str(found.folder),
            fix=f"`gridloom run {found.manifest.analysis_file}` goes on with it.",
        )
    show_result(found, found.runs.store)
    if show:
        webbrowser.open(found.page.resolve().as_uri())
