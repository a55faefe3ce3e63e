"""`gridloom report`: the result of a run in the terminal, and where its page is."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from gridloom.cli.console import output, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.driver.runs import Runs
from gridloom.errors import DamagedResult, NotFound

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


def report(
    run: RunName = None,
    runs: RunsFolder = RUNS,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show the result of a run, and where its report is."""
    # Imported here: the other commands need not wait for it.
    from gridloom.report.summary import summary

    known = Runs(runs)
    found = known.find(run)
    evaluate = next(task.id for task in found.manifest.tasks if task.kind == "evaluate")
    result = known.store.find(evaluate)
    if result is None or not found.page.is_file():
        raise NotFound(
            "the run has no report yet",
            where=str(found.folder),
            fix=f"`gridloom run {found.manifest.analysis_file}` goes on with it.",
        )
    console = output()
    console.print(summary(_read(known.store.folder(evaluate) / "evaluation.json")), soft_wrap=False)
    console.print(f"\nReport: {shown_path(found.page)}", markup=False)
    if show:
        webbrowser.open(found.page.resolve().as_uri())
