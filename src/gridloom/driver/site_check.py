"""`gridloom site check`: one small real job through a site's engine, and what it says of the site."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from gridloom.assignment import Assignment
from gridloom.driver.site_verdicts import Attempt, Findings, Here, time_text, verdicts
from gridloom.engines import make_engine
from gridloom.engines.base import ENDED, Engine, Fact, JobStatus, State
from gridloom.environment import versions
from gridloom.errors import DamagedResult, EngineUnavailable, GridloomError, SubmissionRefused
from gridloom.files import writing
from gridloom.results import Result, Store
from gridloom.sites.credentials import credentials
from gridloom.sites.load import LoadedSite
from gridloom.sites.machine import processor
from gridloom.sites.models import Site
from gridloom.sites.probe import FILE, Probe
from gridloom.task import Kind, Resources, Task

_STATE_MB = 64
_RUNS_AT_MOST = 1200.0  # seconds: a first import of TensorFlow from a slow file system takes minutes
_WITHDRAWN_WITHIN = 30.0  # seconds
_LOOK_EVERY = 2.0  # seconds

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class SiteCheck:
    """What to check: `patience` is how many seconds the job may wait for its start; `say` hears how far it is."""

    loaded: LoadedSite
    runs: Path
    patience: float
    say: Say

    def facts(self) -> Generator[Fact, None, None]:
        """Check the site; close the iterator to stop early. Whatever happens, the job and its files do not stay.

        Raises SiteProblem, or Problems with the places of wrong options, when the engine cannot be made.
        """
        with _folder(self.runs) as folder:
            with self.loaded.placed():
                engine = make_engine(self.loaded.site, folder=folder / "jobs")
            try:
                yield from self._with(engine, Store(folder / "store"))
            finally:
                engine.close()

    def _with(self, engine: Engine, store: Store) -> Iterator[Fact]:
        try:
            yield from engine.describe()
        except EngineUnavailable as error:
            yield _unreachable(error)
            return
        yield from _Job(self, engine, store).facts()


@contextmanager
def _folder(runs: Path) -> Iterator[Path]:
    """A folder below that of runs, where nodes may see it; nothing of it stays."""
    new = not runs.exists()
    folder = runs.resolve() / f".site-check-{secrets.token_hex(4)}"
    with writing(runs):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if new:
            with suppress(OSError):  # a run may have begun meanwhile
                runs.rmdir()


def asked_of(site: Site) -> Resources:
    """What the probe asks for: little, but a GPU where any kind of task has one."""
    little = Resources(cores=1, memory_mb=2000, disk_mb=1000, wall_seconds=1800)
    gpus = max(site.needs(kind, Resources()).gpus for kind in get_args(Kind))
    return site.needs("probe", little).model_copy(update={"gpus": gpus})


class _Job:
    """The probe job, from its submission to its end."""

    def __init__(self, check: SiteCheck, engine: Engine, store: Store) -> None:
        self._check = check
        self._engine = engine
        self._store = store
        site = check.loaded.site
        task = Task(
            kind="probe",
            label="site check",
            parameters={"network": site.network, "state_mb": _STATE_MB},
            resources=asked_of(site),
        )
        self._assignment = Assignment(task=task, token=secrets.token_hex(8), store=str(store.root))
        self._id = ""
        self._status = JobStatus(state=State.UNKNOWN)
        self._submitted = self._started = 0.0

    def facts(self) -> Iterator[Fact]:
        """Submit, wait, judge; the job is withdrawn if anything keeps it from its end."""
        self._submitted = time.time()
        try:
            (self._id,) = self._engine.submit([self._assignment])
            self._check.say(f"probe job {self._id} is submitted")
            yield from self._followed()
        except SubmissionRefused as error:
            yield Fact(name="job", value=f"refused: {error.what}", verdict="bad", fix=error.fix)
        except EngineUnavailable as error:
            yield _unreachable(error)
        finally:
            left = self._withdraw()
            if left:
                self._check.say(left)

    def _followed(self) -> Iterator[Fact]:
        self._wait()
        if self._status.state is State.DONE:
            yield from self._judged()
        else:
            yield self._failed()

    def _wait(self) -> None:
        """Until the job has ended, is held, or has taken too long to begin or to run."""
        deadline = time.monotonic() + self._check.patience
        while time.monotonic() < deadline:
            before = self._status.state
            self._poll()
            state = self._status.state
            if state in ENDED or state is State.HELD:
                return
            if state is State.RUNNING and not self._started:
                self._started = time.time()
                deadline = time.monotonic() + _RUNS_AT_MOST
            if state is not before:
                where = f" on {self._status.host}" if self._status.host else ""
                reason = f": {self._status.reason}" if self._status.reason else ""
                self._check.say(f"probe job {self._id} is {state}{where}{reason}")
            self._engine.wait(min(_LOOK_EVERY, self._check.loaded.site.poll))

    def _poll(self) -> None:
        try:
            self._status = self._engine.poll([self._id])[self._id]
        except EngineUnavailable as error:
            # No statement about the job: it is asked again, as long as there is patience.
            self._status = JobStatus(state=State.UNKNOWN, reason=error.what)

    def _failed(self) -> Fact:
        status = self._status
        errors = [error for error in status.errors if error.what != status.reason]
        parts = [status.reason, *(error.what for error in errors)]
        reason = "; ".join(dict.fromkeys(part for part in parts if part)) or "the batch system gives no reason"
        fixes = [error.fix for error in status.errors if error.fix]
        what, fix = self._in_words(status.state)
        return Fact(name="job", value=f"{what}: {reason}", verdict="bad", fix="\n".join(fixes) or fix)

    def _in_words(self, state: State) -> tuple[str, str]:
        patience = time_text(self._check.patience)
        asked = self._assignment.task.resources
        queue = (
            f"It asks for {asked.cores} core{'s' * (asked.cores > 1)}, {asked.memory_mb} MB of memory, "
            f"{asked.disk_mb} MB of disk, {asked.gpus} GPUs and {time_text(asked.wall_seconds)}: see whether any node "
            "of the site's options has that free, or give it longer with `--wait`."
        )
        words = {
            State.HELD: (
                "the job is held",
                "Mend what the reason names: options, account, files or Python of the site.",
            ),
            State.FAILED: ("the job failed", "See that `python:`, `setup:` and `container:` are right on the nodes."),
            State.EVICTED: ("the job lost its node", "Check again; if it happens each time, ask for other nodes."),
            State.CANCELLED: ("somebody cancelled the job", "Check again, or ask the site why."),
            State.PENDING: (f"the job did not start within {patience}", queue),
            State.RUNNING: (f"the job did not end within {time_text(_RUNS_AT_MOST)}", "See what the node is doing."),
        }
        return words.get(state, (f"nothing was heard of the job for {patience}", "Look for it in the queue."))

    def _judged(self) -> Iterator[Fact]:
        ended = time.time()
        damaged = self._engine.collect([self._id])
        if self._id in damaged:
            yield _not_back(damaged[self._id])
            return
        try:
            result, probe = self._read()
        except DamagedResult as error:
            yield _not_back(error)
            return
        site = self._check.loaded.site
        attempt = Attempt(
            asked=self._assignment.task.resources,
            submitted=self._submitted,
            started=min(self._started or ended, max(self._submitted, ended - result.seconds)),
            seconds=result.seconds,
            ended=ended,
        )
        yield from verdicts(
            Findings(
                site=site,
                here=Here(versions=versions(), processor=processor()),
                probe=probe,
                attempt=attempt,
                credentials=credentials(os.environ, os.getuid()),
            )
        )

    def _read(self) -> tuple[Result, Probe]:
        task = self._assignment.task.id
        result = self._store.verify(task)
        path = self._store.folder(task) / FILE
        if result is None:
            raise DamagedResult("there is none", where=str(path.parent))
        try:
            return result, Probe.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            fix = "Install the same Gridloom on the nodes."
            raise DamagedResult(f"{FILE} cannot be read", where=str(path), fix=fix) from error

    def _withdraw(self) -> str:
        """Cancel the job unless it has ended; what remains to be done by hand, if that fails."""
        try:
            job = self._id or self._engine.find([self._assignment.token]).get(self._assignment.token, "")
            if not job or self._status.state in ENDED:
                return ""
            self._engine.cancel([job], at_once=True)
            deadline = time.monotonic() + _WITHDRAWN_WITHIN
            while self._engine.poll([job])[job].state not in (*ENDED, State.UNKNOWN):
                if time.monotonic() > deadline:
                    return f"probe job {job} was cancelled, but is still there: see that it leaves"
                self._engine.wait(0.5)
        except EngineUnavailable as error:
            return f"the batch system gives no answer ({error.what}): see that probe job {self._id} leaves"
        return ""


def _unreachable(error: GridloomError) -> Fact:
    fix = error.fix or "Try again when it answers; a firewall or a wrong name in `options:` looks the same."
    return Fact(name="scheduler", value=f"no answer: {error.what}", verdict="bad", fix=fix)


def _not_back(error: GridloomError) -> Fact:
    fix = error.fix or "Is the folder of runs the same on the nodes? If not, set `shared_folder: false`."
    return Fact(
        name="result", value=f"the job ended, but its result did not come back: {error.what}", verdict="bad", fix=fix
    )
