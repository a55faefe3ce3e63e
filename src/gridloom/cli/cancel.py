"""`gridloom cancel`: end the jobs of a run, softly."""

from __future__ import annotations

import os

from gridloom.cli.console import note, output, shown_path
from gridloom.cli.options import RUNS, RunName, RunsFolder
from gridloom.driver.cancelling import jobs_out
from gridloom.driver.control import cancel as cancel_run
from gridloom.driver.runs import Runs


def cancel(run: RunName = None, runs: RunsFolder = RUNS) -> None:
    """End the jobs of a run: trainings save what they have, and `gridloom resume` goes on from there."""
    known = Runs(runs)
    found = known.find(run)
    state = found.state()
    if state != "running" and not jobs_out(found.folder):
        output().print(f"Nothing to cancel: {shown_path(found.folder)} is {state}.", markup=False)
        return
    note(f"Ending the jobs of {found.folder.name}; running ones save what they have.")
    seconds = cancel_run(found, known, os.environ)
    output().print(
        f"Cancelled after {seconds} s: `gridloom resume {found.folder.name}` goes on from what was saved.", markup=False
    )
