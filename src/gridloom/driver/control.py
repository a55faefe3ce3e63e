"""What is done to a run that was begun: go on with it, in the background too, or cancel its jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from gridloom.analysis.load import LoadedAnalysis, load_text
from gridloom.driver.cancelling import end_jobs
from gridloom.driver.events import Listener
from gridloom.driver.runs import Run, Runs
from gridloom.driver.session import Finished, Session
from gridloom.driver.settings import Settings, check_place, read_how, settings_of, write_how
from gridloom.driver.workplace import CANCEL_FILE
from gridloom.errors import NotFound, TaskFailed
from gridloom.files import write_text
from gridloom.journal import holder, lease

DRIVER_LOG = "driver.log"
_START = 60.0  # seconds in which a driver in the background must have taken its run
_LOOK = 0.2


def loaded_of(run: Run) -> LoadedAnalysis:
    """The analysis of a run as it was begun: changes of the file since then make another run."""
    copy = run.folder / "analysis.yaml"
    try:
        text = copy.read_text()
    except OSError as error:
        raise NotFound("the run has no copy of its analysis", where=str(copy), fix="Use `gridloom run`.") from error
    return load_text(text, Path(run.manifest.analysis_file))


def settings_for(run: Run, runs: Runs, environ: Mapping[str, str]) -> Settings:
    """How a run was done last."""
    return settings_of(read_how(run.folder), runs, Path(run.manifest.analysis_file), environ)


def go_on(here: Session, run: Run, listener: Listener) -> Finished:
    """Do what is missing of a run. Raises TaskFailed when its files are not those it was planned with any more."""
    prepared, folder = here.open(loaded_of(run))
    if folder.resolve() != run.folder.resolve():
        raise TaskFailed(
            "the run cannot go on as it was planned: its files, the environment or Gridloom have changed",
            where=str(run.folder),
            fix=f"`gridloom run {run.manifest.analysis_file}` makes a new run; results that still hold are reused.",
        )
    return here.drive(prepared, folder, listener)


def go_on_in_background(run: Run, settings: Settings) -> int:
    """Start a driver that goes on when this process, and its terminal, are gone; its process id.

    Returns when it has the run. Raises RunLocked, and TaskFailed with its last words if it does not come up.
    """
    with lease(run.folder):
        check_place(run.folder, settings)
        write_how(run.folder, settings)
    log = run.folder / DRIVER_LOG
    root = settings.runs.root.resolve()
    command = [sys.executable, "-m", "gridloom", "resume", str(run.folder.resolve()), "--runs", str(root)]
    begin = log.stat().st_size if log.exists() else 0
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True, cwd=root
        )
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        found = holder(run.folder)
        if found is not None and found.pid == process.pid:
            return process.pid
        if process.poll() is not None:
            break
        time.sleep(_LOOK)
    if process.poll() == 0:
        return process.pid  # there was nothing left to do
    said = log.read_bytes()[begin:].decode(errors="replace").strip()[-2000:]
    process.kill()
    raise TaskFailed(f"the driver in the background did not come up:\n{said}", where=str(log), fix="Its log is there.")


def cancel(run: Run, runs: Runs, environ: Mapping[str, str]) -> int:
    """End a run's jobs softly and wait until they have saved; how many seconds it took.

    A driver that has the run, on any machine that shares the folder, is asked to do it; otherwise it is done here.
    Raises TaskFailed when the driver does not answer, EngineUnavailable when the batch system does not.
    """
    started = time.monotonic()
    settings = settings_for(run, runs, environ)
    grace = settings.site.site.grace if settings.site is not None else 60
    found = holder(run.folder)
    if found is not None:
        write_text(run.folder / CANCEL_FILE, "asked for by `gridloom cancel`\n")
        deadline = time.monotonic() + grace + 120
        while time.monotonic() < deadline:
            if holder(run.folder) is None:
                return round(time.monotonic() - started)
            time.sleep(_LOOK)
        raise TaskFailed(
            f"process {found.pid} on {found.host} drives the run and has not ended its jobs yet",
            where=str(run.folder),
            fix="Look at it with `gridloom status`; end it with Ctrl-C where it runs, and cancel again.",
        )
    end_jobs(run.folder, settings)
    return round(time.monotonic() - started)
