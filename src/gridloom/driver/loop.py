"""The loop of a driver: submit what is ready, poll, try again what was lost, stop at the first real error."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gridloom.assignment import Assignment
from gridloom.driver.events import Listener, ResultDamaged, Stopping, TaskChanged
from gridloom.engines.base import Engine, JobStatus, State
from gridloom.errors import DamagedResult, EngineUnavailable, GridloomError, Interrupted, TaskFailed, merged
from gridloom.journal import Event as JournalEvent
from gridloom.journal import Journal, history, read_journal
from gridloom.messages import errors_as_json, one_error
from gridloom.plan import Plan
from gridloom.results import Store
from gridloom.task import Kind, Progress, Task

RETRIES = 2  # after a worker was lost
GRACE_POLLS = 20  # polls after which a job that the engine does not know counts as lost
_WAIT = 0.2  # seconds between two polls, at most

# Kinds that save their state when asked to stop; the others are short and are let finish when another task fails.
SAVES: frozenset[Kind] = frozenset({"train"})


_End = Literal["done", "failed", "retried", "saved", "waiting"]
_Told = Literal["running", "done", "failed", "retried", "saved", "waiting"]
_EVENTS: dict[_End, JournalEvent] = {
    "done": "done",
    "failed": "failed",
    "retried": "evicted",
    "saved": "saved",
    "waiting": "withdrawn",
}


class StopRequest:
    """How often the user asked to stop: once to save and leave, twice to leave at once."""

    def __init__(self) -> None:
        self.times = 0

    def ask(self) -> None:
        self.times += 1


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a driver works with."""

    store: Store
    engine: Engine
    journal: Journal
    listener: Listener
    stop: StopRequest
    new_token: Callable[[], str] = field(default=lambda: secrets.token_hex(4))


@dataclass
class _Job:
    """A task that the engine has."""

    task_id: str
    token: str
    id: str
    running: bool = False
    unknown: int = 0
    progress: Progress | None = None


class Driver:
    """One pass over a plan, until everything is done, something fails or the user asks to stop."""

    def __init__(self, plan: Plan, workplace: Workplace) -> None:
        self.plan = plan
        self.place = workplace
        self._done: set[str] = set()
        self._fresh: set[str] = set()  # verified in full, or made, in this pass
        self._jobs: dict[str, _Job] = {}
        self._lost: dict[str, int] = {}
        self._errors: list[GridloomError] = []
        self._stopping = False  # nothing new is begun
        self._heard = 0  # requests to stop

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self._done)

    def look(self) -> None:
        """Find which tasks have their result, and which an engine that outlives its drivers still works on."""
        known = history(read_journal(self.place.journal.path)).tasks
        for task_id in self.plan.ids:
            record = known.get(task_id)
            if self._is_there(task_id, fully=False):
                self._done.add(task_id)
                if record is None or record.state not in ("done", "reused"):
                    self.place.journal.write("reused", task=task_id)
            elif record is not None and record.state == "submitted":
                self._adopt(task_id, record.token)

    def _adopt(self, task_id: str, token: str) -> None:
        job_id = self.place.engine.find(token)
        if job_id is not None:
            self.place.journal.write("submitted", task=task_id, token=token, job=job_id)
            self._jobs[job_id] = _Job(task_id=task_id, token=token, id=job_id)

    def run(self) -> None:
        """Do what is missing. Raises the first failed task's error, or Interrupted after a stop."""
        while len(self._done) < len(self.plan.ids):
            self._heed_stop()
            if not self._stopping:
                self._submit_ready()
            if self._stopping and not self._jobs:
                break
            self.place.engine.wait(_WAIT)
            self._poll()
        self._conclude()

    def _conclude(self) -> None:
        if self._errors:
            # Tasks side by side meet the same error: it is said once.
            raise one_error(merged(self._errors, "task"))
        if len(self._done) < len(self.plan.ids):
            self.place.journal.write("interrupted")
            raise Interrupted("stopped on request", fix="The same command goes on from here.")
        self.place.journal.write("finished")

    # --- results -----------------------------------------------------------------------------------------------
    def _is_there(self, task_id: str, *, fully: bool) -> bool:
        store = self.place.store
        try:
            return store.verify(task_id, fully=fully) is not None
        except DamagedResult as error:
            aside = store.quarantine(task_id, self.place.new_token())
            self.place.journal.write("quarantined", task=task_id, reason=error.what)
            label = self.plan.by_id[task_id].label
            self.place.listener(ResultDamaged(task=task_id, label=label, error=error, aside=aside))
            return False

    # --- submitting --------------------------------------------------------------------------------------------
    def _submit_ready(self) -> None:
        busy = {job.task_id for job in self._jobs.values()}
        ready = [
            task_id
            for task_id, task in self.plan.by_id.items()
            if task_id not in self._done and task_id not in busy and self._done.issuperset(task.inputs)
        ]
        damaged = [task_id for task_id in ready if not self._inputs_hold(self.plan.by_id[task_id])]
        if damaged:
            self._submit_ready()
        elif ready:
            self._submit(ready)

    def _inputs_hold(self, task: Task) -> bool:
        """Read every input once in full before its first use; a damaged one is computed again first."""
        for task_id in task.inputs:
            if task_id in self._fresh:
                continue
            if not self._is_there(task_id, fully=True):
                self._done.discard(task_id)
                return False
            self._fresh.add(task_id)
        return True

    def _submit(self, ready: list[str]) -> None:
        jobs = [
            Assignment(
                task=self.plan.by_id[task_id], token=self.place.new_token(), store=str(self.place.store.root.resolve())
            )
            for task_id in ready
        ]
        for job in jobs:
            self.place.journal.write("submitting", task=job.task.id, token=job.token)
        try:
            ids = self.place.engine.submit(jobs)
        except EngineUnavailable:
            # None was taken: they are ready still, and go with the next round.
            return
        for job, job_id in zip(jobs, ids, strict=True):
            self.place.journal.write("submitted", task=job.task.id, token=job.token, job=job_id)
            self._jobs[job_id] = _Job(task_id=job.task.id, token=job.token, id=job_id)

    # --- watching ----------------------------------------------------------------------------------------------
    def _poll(self) -> None:
        try:
            statuses = self.place.engine.poll(tuple(self._jobs))
        except EngineUnavailable:
            # No answer is no statement about any job.
            return
        for job_id, status in statuses.items():
            self._follow(self._jobs[job_id], status)

    def _follow(self, job: _Job, status: JobStatus) -> None:
        if status.state is State.UNKNOWN:
            job.unknown += 1
            if job.unknown >= GRACE_POLLS:
                self._handle_loss(job, status.reason or "the engine does not know the job any more")
            return
        job.unknown = 0
        match status.state:
            case State.RUNNING:
                self._tell_progress(job, status.progress)
            case State.DONE:
                self._handle_done(job)
            case State.FAILED:
                self._handle_failure(job, status)
            case State.EVICTED:
                self._handle_loss(job, status.reason)
            case State.CANCELLED:
                self._leave(job, "saved" if job.running else "waiting", reason=status.reason)

    def _tell_progress(self, job: _Job, progress: Progress | None) -> None:
        if not job.running or progress != job.progress:
            job.running, job.progress = True, progress
            self._tell(job, "running", progress=progress)

    def _handle_done(self, job: _Job) -> None:
        self.place.engine.collect((job.id,))
        if not self._is_there(job.task_id, fully=False):
            self._handle_loss(job, "it ended without a valid result")
            return
        self._done.add(job.task_id)
        self._fresh.add(job.task_id)
        self._leave(job, "done")

    def _handle_failure(self, job: _Job, status: JobStatus) -> None:
        label = self.plan.by_id[job.task_id].label
        error = one_error(status.errors) if status.errors else TaskFailed(f"{label} failed: {status.reason}")
        if isinstance(error, Interrupted):
            # Saved: because we asked, or because something else ended the worker softly.
            if self._stopping:
                self._leave(job, "saved", reason=error.what)
            else:
                self._handle_loss(job, error.what)
            return
        self._errors += status.errors or (error,)
        self._leave(job, "failed", reason=error.what, error=error)
        self._stop_for_error(label)

    def _handle_loss(self, job: _Job, reason: str) -> None:
        lost = self._lost[job.task_id] = self._lost.get(job.task_id, 0) + 1
        if self._stopping:
            self._leave(job, "saved", reason=reason)
        elif lost <= RETRIES:
            self._leave(job, "retried", reason=reason)
        else:
            label = self.plan.by_id[job.task_id].label
            error = TaskFailed(
                f"{label} was lost {lost} times, the last time because {reason}",
                where=job.task_id,
                fix="Look for memory limits (fewer --jobs need less memory), and run again: finished tasks are kept.",
            )
            self._errors.append(error)
            self._leave(job, "failed", reason=error.what, error=error)
            self._stop_for_error(label)

    def _leave(self, job: _Job, state: _End, *, reason: str = "", error: GridloomError | None = None) -> None:
        del self._jobs[job.id]
        told = errors_as_json(error)[0] if error else None
        event = _EVENTS[state]
        self.place.journal.write(event, task=job.task_id, token=job.token, reason=reason, error=told)
        self._tell(job, state, reason=reason)

    def _tell(self, job: _Job, state: _Told, *, progress: Progress | None = None, reason: str = "") -> None:
        task = self.plan.by_id[job.task_id]
        self.place.listener(
            TaskChanged(
                task=job.task_id, kind=task.kind, label=task.label, state=state, progress=progress, reason=reason
            )
        )

    # --- stopping ----------------------------------------------------------------------------------------------
    def _heed_stop(self) -> None:
        asked = min(self.place.stop.times, 2)
        if asked <= self._heard:
            return
        self._heard = asked
        self._stopping = True
        self.place.listener(Stopping(reason="asked to stop", running=self._running(), at_once=asked > 1))
        self.place.engine.cancel(tuple(self._jobs), at_once=asked > 1)

    def _stop_for_error(self, label: str) -> None:
        """Begin nothing more; what runs is finished, or saved where it can save."""
        if self._stopping:
            return
        self._stopping = True
        self.place.listener(Stopping(reason=f"{label} failed", running=self._running()))
        ends = [job.id for job in self._jobs.values() if not job.running or self._saves(job)]
        self.place.engine.cancel(ends)

    def _running(self) -> int:
        return sum(job.running for job in self._jobs.values())

    def _saves(self, job: _Job) -> bool:
        return self.plan.by_id[job.task_id].kind in SAVES
