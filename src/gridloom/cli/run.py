"""`gridloom run`: do what is missing of an analysis, show how far it is, say where the report is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from gridloom.analysis.load import load_analysis
from gridloom.cli.console import note, output, shown_path
from gridloom.cli.options import RUNS, AnalysisFile, Jobs, Kinds, RunsFolder, settings
from gridloom.cli.progress import progress
from gridloom.driver.loop import StopRequest
from gridloom.driver.session import Finished, session


def run(analysis_file: AnalysisFile, jobs: Jobs = 0, runs: RunsFolder = RUNS, kinds: Kinds = "") -> None:
    """Train and judge: do what is missing, then say where the report is. Ctrl-C saves; the same command goes on."""
    loaded = load_analysis(analysis_file)
    with session(settings(runs, jobs, kinds)) as here, progress() as listener, _stopping(here.stop):
        finished = here.run(loaded, listener)
    _show(finished)


def _show(finished: Finished) -> None:
    console = output()
    if finished.reopened:
        console.print(f"Nothing to do: {shown_path(finished.folder)} is finished.", markup=False)
    console.print(f"Report: {shown_path(finished.page)}", markup=False)
    console.print("Summary: gridloom report", markup=False)


@contextmanager
def _stopping(stop: StopRequest) -> Iterator[None]:
    """The first Ctrl-C asks workers to save and leave, the second one ends them."""

    def ask(*_signal: object) -> None:
        stop.ask()
        if stop.times == 1:
            note("Stopping: running tasks save what they have. Ctrl-C again ends them at once.")

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
