"""`gridloom resume`: go on with a run as it was begun, wherever its jobs are."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.cli.progress import progress
from gridloom.cli.run import detached, leaving, show_finished, stopping
from gridloom.driver.control import go_on, settings_for
from gridloom.driver.runs import Runs
from gridloom.driver.session import session


def resume(
    run: RunName = None,
    runs: RunsFolder = RUNS,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
) -> None:
    """Go on with a run as it was begun: watch its jobs, collect their results, submit what is missing."""
    known = Runs(runs)
    found = known.find(run)
    settings = settings_for(found, found.runs, os.environ)
    if detach:
        detached(found, settings)
        return
    with session(settings) as here, progress() as listener, stopping(here.stop, settings), leaving(here.stop):
        finished = go_on(here, found, listener)
    show_finished(finished, settings)
