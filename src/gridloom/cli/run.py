"""`gridloom run`: do what is missing of an analysis, show how far it is, say where the report is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from gridloom.analysis.load import load_analysis
from gridloom.cli.console import note, output, shown_path
from gridloom.cli.options import RUNS, AnalysisFile, Jobs, Kinds, RunsFolder, settings
from gridloom.cli.progress import progress
from gridloom.cli.report import show_result
from gridloom.driver.loop import StopRequest
from gridloom.driver.runs import read_run
from gridloom.driver.session import session


def run(analysis_file: AnalysisFile, jobs: Jobs = 0, runs: RunsFolder = RUNS, kinds: Kinds = "") -> None:
    """Train and judge: do what is missing, then say where the report is. Ctrl-C saves; the same command goes on."""
    loaded = load_analysis(analysis_file)
    with session(settings(runs, jobs, kinds)) as here, progress() as listener, _stopping(here.stop):
        finished = here.run(loaded, listener)
    if finished.reopened:
        output().print(f"Nothing to do: {shown_path(finished.folder)} is finished.\n", markup=False)
    if kinds:
        # Other kinds of tasks make other results: all that is known is where they are.
        output().print(f"Report: {shown_path(finished.page)}", markup=False)
    else:
        show_result(read_run(finished.folder), here.settings.runs.store)


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
