"""`gridloom run`: do what is missing of an analysis, show how far it is, say where the report is."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from gridloom.analysis.load import load_analysis
from gridloom.cli.console import note, output, shown_path
from gridloom.cli.options import (
    RUNS,
    AnalysisFile,
    ContainerRuntime,
    ImageName,
    Jobs,
    Kinds,
    RunsFolder,
    SiteName,
    settings,
)
from gridloom.cli.progress import progress
from gridloom.cli.report import show_result
from gridloom.driver.control import DRIVER_LOG, go_on_in_background
from gridloom.driver.runs import Run, read_run
from gridloom.driver.session import Finished, session
from gridloom.driver.settings import Settings, find_site
from gridloom.driver.workplace import StopRequest
from gridloom.errors import Interrupted


def run(
    analysis_file: AnalysisFile,
    jobs: Jobs = 0,
    runs: RunsFolder = RUNS,
    site: SiteName = "",
    image: ImageName = "",
    container: ContainerRuntime = "",
    detach: Annotated[bool, typer.Option("--detach", help="Leave once the run is under way; it goes on.")] = False,
    kinds: Kinds = "",
) -> None:
    """Train and judge: do what is missing, then say where the report is. Ctrl-C saves; the same command goes on.

    With --site the tasks are jobs of a batch system: Ctrl-C then leaves them running, and the same command, or
    `gridloom resume`, takes them up again.
    """
    loaded = load_analysis(analysis_file)
    place = find_site(site, analysis_file.parent, os.environ) if site else None
    chosen = settings(runs, jobs, kinds, place, image, container)
    if detach:
        with session(chosen) as here, stopping(here.stop, chosen):
            _, folder = here.open(loaded)
        detached(read_run(folder), chosen)
        return
    with session(chosen) as here, progress() as listener, stopping(here.stop, chosen), leaving(here.stop):
        finished = here.run(loaded, listener)
    show_finished(finished, chosen)


def detached(found: Run, chosen: Settings) -> None:
    """Have a run go on in the background, and say how to look at it."""
    pid = go_on_in_background(found, chosen)
    name = found.folder.name
    output().print(
        f"{name} goes on in the background (process {pid}, log {shown_path(found.folder / DRIVER_LOG)}).\n"
        f"`gridloom watch {name}` shows it, `gridloom cancel {name}` ends it.",
        markup=False,
    )


def show_finished(finished: Finished, chosen: Settings) -> None:
    """The result of a run, and where its report is."""
    if finished.reopened:
        output().print(f"Nothing to do: {shown_path(finished.folder)} is finished.\n", markup=False)
    if chosen.kinds:
        # Other kinds of tasks make other results: all that is known is where they are.
        output().print(f"Report: {shown_path(finished.page)}", markup=False)
    else:
        show_result(read_run(finished.folder), chosen.runs.store)


@contextmanager
def leaving(stop: StopRequest) -> Iterator[None]:
    """To leave jobs that go on is what was asked for, and no error; the exit code says that the run is not done."""
    try:
        yield
    except Interrupted as error:
        if not stop.left:
            raise
        note(f"{error.what[:1].upper()}{error.what[1:]}: {error.fix}")
        raise typer.Exit(error.exit_code) from error


@contextmanager
def stopping(stop: StopRequest, chosen: Settings) -> Iterator[None]:
    """The first Ctrl-C asks workers to save and leave, the second one ends them; jobs of a site go on."""

    def ask(*_signal: object) -> None:
        stop.ask()
        if stop.times == 1:
            note(
                "Stopping: running tasks save what they have. Ctrl-C again ends them at once."
                if chosen.here
                else "Leaving."
            )

    kept = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
