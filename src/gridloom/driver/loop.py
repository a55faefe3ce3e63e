"""The loop of a driver: submit what is ready, poll, try again what was lost, stop at the first real error."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gridloom.assignment import Assignment
from gridloom.driver.events import EngineSilent, JobsLeft, ResultDamaged, Stopping, TaskChanged
from gridloom.driver.retry import Again, Attempts, BadNodes, GiveUp, decide
from gridloom.driver.workplace import Workplace
from gridloom.engines.base import Cause, JobStatus, State
from gridloom.errors import (
    DamagedResult,
    EngineUnavailable,
    GridloomError,
    Interrupted,
    SubmissionRefused,
    TaskFailed,
    merged,
)
from gridloom.journal import Event as JournalEvent
from gridloom.journal import TaskRecord, history, read_journal
from gridloom.messages import errors_as_json, one_error
from gridloom.plan import Plan
from gridloom.task import Kind, Progress, Task

# Kinds that save their state when asked to stop; the others are short and are let finish when another task fails.
SAVES: frozenset[Kind] = frozenset({"train"})

_End = Literal["done", "failed", "retried", "saved", "waiting"]
_Told = Literal["queued", "running", "held", "resumed", "done", "failed", "retried", "saved", "waiting"]
_EVENTS: dict[_End, JournalEvent] = {
    "done": "done",
    "failed": "failed",
    "retried": "evicted",
    "saved": "saved",
    "waiting": "withdrawn",
}


@dataclass
class _Job:
    """A task that the engine has."""

    task_id: str
    token: str
    id: str
    running: bool = False
    held: bool = False
    restarts: int = 0
    progress: Progress | None = None
    host: str = ""
    placed: bool = False  # the journal knows where it runs
    unknown_since: float | None = None
    settling_since: float | None = None


class Driver:
    """One pass over a plan, until everything is done, something fails or the user asks to stop."""

    def __init__(self, plan: Plan, workplace: Workplace) -> None:
        self.plan = plan
        self.place = workplace
        self._done: set[str] = set()
        self._fresh: set[str] = set()  # verified in full, or made, in this pass
        self._jobs: dict[str, _Job] = {}
        self._unsure: dict[str, str] = {}  # token -> task: whether the engine has them is not known
        self._attempts: dict[str, Attempts] = {}
        self._bad_nodes = BadNodes(nodes=self._nodes)
        self._errors: list[GridloomError] = []
        self._stopping = False  # nothing new is begun
        self._heard = 0  # requests to stop
        self._changed = True  # something may be ready
        self._silent = False

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self._done)

    def look(self) -> None:
        """Find which tasks have their result, and which an engine that outlives its drivers still works on."""
        known = history(read_journal(self.place.journal.path)).tasks
        reused = []
        for task_id in self.plan.ids:
            record = known.get(task_id)
            if self._is_there(task_id, fully=False):
                self._done.add(task_id)
                if record is None or record.state not in ("done", "reused"):
                    reused.append(self.place.journal.record("reused", task=task_id))
            elif record is not None and record.state == "submitted":
                self._unsure[record.token] = task_id
        self.place.journal.write_all(reused)
        self._settle_unsure(known)

    def run(self) -> None:
        """Do what is missing. Raises the first failed task's error, or Interrupted after a stop."""
        while len(self._done) < len(self.plan.ids):
            self._heed_stop()
            self._settle_unsure({})
            if not self._stopping and self._changed:
                self._submit_ready()
            if self._stopping and not self._jobs and not self._unsure:
                break
            self.place.engine.wait(self.place.pace.wait)
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
            self._tell_damage(task_id, error, aside)
            return False

    def _tell_damage(self, task_id: str, error: DamagedResult, aside: Path) -> None:
        self.place.journal.write("quarantined", task=task_id, reason=error.what)
        label = self.plan.by_id[task_id].label
        self.place.listener(ResultDamaged(task=task_id, label=label, error=error, aside=aside))

    # --- submitting --------------------------------------------------------------------------------------------
    def _submit_ready(self) -> None:
        busy = {job.task_id for job in self._jobs.values()} | set(self._unsure.values())
        ready = [
            task_id
            for task_id, task in self.plan.by_id.items()
            if task_id not in self._done and task_id not in busy and self._done.issuperset(task.inputs)
        ]
        damaged = [task_id for task_id in ready if not self._inputs_hold(self.plan.by_id[task_id])]
        if damaged:
            self._submit_ready()
            return
        self._changed = False
        free = self.place.terms.most_jobs - len(busy)
        if self.place.engine.capabilities.late_materialisation:
            free = len(ready)
        if ready[: max(free, 0)]:
            self._submit(ready[:free])

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
        journal = self.place.journal
        journal.check_lease()
        jobs = [self._assignment(task_id) for task_id in ready]
        journal.write_all(journal.record("submitting", task=job.task.id, token=job.token) for job in jobs)
        try:
            ids = self.place.engine.submit(jobs)
        except EngineUnavailable as error:
            # Some may have been taken before it fell silent: `find` tells, as soon as it answers.
            self._unsure |= {job.token: job.task.id for job in jobs}
            self._fall_silent(error)
            return
        except SubmissionRefused as error:
            self._unsure |= {job.token: job.task.id for job in jobs}
            self._errors.append(error)
            self._stop_for_error(error.what)
            return
        self._take({job.token: job.task.id for job in jobs}, dict(zip((job.token for job in jobs), ids, strict=True)))

    def _assignment(self, task_id: str) -> Assignment:
        task, terms = self.plan.by_id[task_id], self.place.terms
        attempts = self._attempts.setdefault(task_id, Attempts())
        resources = terms.needs(task.kind, task.resources)
        if attempts.memory_mb is not None:
            resources = resources.model_copy(update={"memory_mb": attempts.memory_mb})
        changes: dict[str, object] = {"resources": resources}
        if task.code and terms.code:
            changes["folder"] = terms.code
        return Assignment(
            task=task.model_copy(update=changes),
            token=self.place.new_token(),
            store=str(self.place.store.root.resolve()),
            avoid=self._bad_nodes.avoided(attempts),
            versions=dict(terms.versions),
            goes_on=self.place.engine.capabilities.checkpoint_transfer and self.place.store.has_state(task_id),
        )

    def _take(self, tasks: Mapping[str, str], ids: Mapping[str, str]) -> None:
        """The engine has these jobs: token -> task, token -> id."""
        journal = self.place.journal
        journal.write_all(
            journal.record("submitted", task=tasks[token], token=token, job=job_id) for token, job_id in ids.items()
        )
        for token, job_id in ids.items():
            self._jobs[job_id] = _Job(task_id=tasks[token], token=token, id=job_id)

    def _settle_unsure(self, known: Mapping[str, TaskRecord]) -> None:
        """Ask the engine for jobs of which it is not known whether it has them; the others are ready again."""
        if not self._unsure:
            return
        tasks = dict(self._unsure)
        try:
            found = self.place.engine.find(tuple(tasks))
        except EngineUnavailable as error:
            self._fall_silent(error)
            return
        self._unsure.clear()
        self._take(tasks, found)
        journal = self.place.journal
        journal.write_all(
            journal.record("withdrawn", task=task_id, token=token)
            for token, task_id in tasks.items()
            if token not in found and task_id not in known
        )
        self._changed = True

    def _nodes(self) -> frozenset[str]:
        try:
            return self.place.engine.nodes()
        except EngineUnavailable:
            return frozenset()

    # --- watching ----------------------------------------------------------------------------------------------
    def _poll(self) -> None:
        try:
            statuses = self.place.engine.poll(tuple(self._jobs))
        except EngineUnavailable as error:
            # No answer is no statement about any job.
            self._fall_silent(error)
            return
        if self._silent:
            self._silent = False
            self.place.listener(EngineSilent(reason="", back=True))
        for job_id, status in statuses.items():
            self._follow(self._jobs[job_id], status)

    def _fall_silent(self, error: EngineUnavailable) -> None:
        if not self._silent:
            self._silent = True
            self.place.listener(EngineSilent(reason=error.what))

    def _follow(self, job: _Job, status: JobStatus) -> None:
        job.host = status.host or job.host
        if status.state is State.UNKNOWN:
            self._handle_unknown(job, status)
            return
        job.unknown_since = None
        if status.restarts > job.restarts:
            self._tell_restart(job, status)
        match status.state:
            case State.RUNNING:
                self._tell_progress(job, status.progress)
            case State.PENDING:
                self._tell_pending(job, status)
            case State.HELD:
                self._handle_held(job, status)
            case State.DONE:
                self._handle_done(job, status)
            case State.FAILED:
                self._handle_failure(job, status)
            case State.EVICTED:
                self._collect(job)
                self._handle_loss(job, status)
            case State.CANCELLED:
                self._handle_cancelled(job, status)

    def _handle_unknown(self, job: _Job, status: JobStatus) -> None:
        now = time.monotonic()
        job.unknown_since = job.unknown_since or now
        if now - job.unknown_since >= self.place.pace.unknown:
            self._collect(job)
            if self._is_there(job.task_id, fully=False):
                self._finish(job)
                return
            reason = status.reason or "the engine does not know the job any more"
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=reason))

    def _tell_restart(self, job: _Job, status: JobStatus) -> None:
        """The batch system has started the job again by itself, from what it had saved."""
        job.restarts = status.restarts
        job.placed = True
        lost = None if status.lost_seconds is None else round(status.lost_seconds, 3)
        self.place.journal.write("resumed", task=job.task_id, token=job.token, job=job.id, host=status.host, lost=lost)
        self._tell(job, "resumed", reason="" if lost is None else f"{lost:.1f} s of work are done again")

    def _tell_progress(self, job: _Job, progress: Progress | None) -> None:
        if job.host and not job.placed:
            job.placed = True
            self.place.journal.write("began", task=job.task_id, token=job.token, job=job.id, host=job.host)
        if not job.running or progress != job.progress:
            job.running, job.held, job.progress = True, False, progress
            self._tell(job, "running", progress=progress)

    def _tell_pending(self, job: _Job, status: JobStatus) -> None:
        job.held = False
        if job.running:
            # Evicted: it waits for another slot.
            job.running = False
            self._tell(job, "queued", reason=status.reason)

    def _handle_done(self, job: _Job, status: JobStatus) -> None:
        damage = self.place.engine.collect((job.id,)).get(job.id)
        if damage is not None:
            self._tell_damage(job.task_id, damage, Path(damage.where))
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=f"its result is damaged: {damage.what}"))
        elif self._is_there(job.task_id, fully=False):
            self._finish(job)
        elif self._settled(job):
            reason = "it ended without a valid result"
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=reason, host=status.host))

    def _settled(self, job: _Job) -> bool:
        """Whether what is not to be seen by now will never be: shared file systems take their time."""
        now = time.monotonic()
        job.settling_since = job.settling_since or now
        return now - job.settling_since >= self.place.pace.settle

    def _finish(self, job: _Job) -> None:
        self._done.add(job.task_id)
        self._fresh.add(job.task_id)
        self._leave(job, "done")

    def _collect(self, job: _Job) -> None:
        """Bring home what an ended job has saved."""
        damage = self.place.engine.collect((job.id,)).get(job.id)
        if damage is not None:
            self._tell_damage(job.task_id, damage, Path(damage.where))

    def _handle_cancelled(self, job: _Job, status: JobStatus) -> None:
        self._collect(job)
        if self._is_there(job.task_id, fully=False):
            self._finish(job)
        elif self._stopping:
            self._leave(job, "saved" if job.running else "waiting", reason=status.reason)
        else:
            # Somebody else removed it from the queue: they had a reason.
            label = self.plan.by_id[job.task_id].label
            error = TaskFailed(
                f"the job of {label} was removed from the queue by somebody else: {status.reason}",
                where=job.id,
                fix="Run again when it may go on: what was saved is kept.",
            )
            self._fail(job, (error,))

    def _handle_failure(self, job: _Job, status: JobStatus) -> None:
        self._collect(job)
        label = self.plan.by_id[job.task_id].label
        error = one_error(status.errors) if status.errors else TaskFailed(f"{label} failed: {status.reason}")
        if isinstance(error, Interrupted):
            # Saved: because we asked, or because something else ended the worker softly.
            if self._stopping:
                self._leave(job, "saved", reason=error.what)
            else:
                self._handle_loss(job, JobStatus(state=State.EVICTED, reason=error.what))
            return
        self._fail(job, status.errors or (error,))

    def _fail(self, job: _Job, errors: tuple[GridloomError, ...]) -> None:
        error = one_error(errors)
        self._errors += errors
        self._leave(job, "failed", reason=error.what, error=error)
        self._stop_for_error(f"{self.plan.by_id[job.task_id].label} failed")

    # --- trying again ------------------------------------------------------------------------------------------
    def _handle_held(self, job: _Job, status: JobStatus) -> None:
        if status.cause is Cause.USER or self._stopping:
            if not job.held:
                job.held = True
                self._tell(job, "held", reason=status.reason)
            return
        decision = self._decide(job, status)
        if isinstance(decision, Again):
            avoid = self._bad_nodes.avoided(self._attempts[job.task_id])
            try:
                self.place.engine.release(job.id, memory_mb=decision.memory_mb, avoid=avoid)
            except EngineUnavailable as error:
                self._fall_silent(error)
                return
            self.place.journal.write("released", task=job.task_id, token=job.token, job=job.id, reason=decision.reason)
            self._tell(job, "held", reason=decision.reason)
            return
        self.place.engine.cancel((job.id,), at_once=True)
        self._fail(job, (decision.error,))

    def _handle_loss(self, job: _Job, status: JobStatus) -> None:
        if self._stopping:
            self._leave(job, "saved", reason=status.reason)
            return
        decision = self._decide(job, status)
        if isinstance(decision, Again):
            self._leave(job, "retried", reason=decision.reason, lost=status.lost_seconds)
        else:
            self._fail(job, (decision.error,))

    def _decide(self, job: _Job, status: JobStatus) -> Again | GiveUp:
        task = self.plan.by_id[job.task_id]
        attempts = self._attempts.setdefault(job.task_id, Attempts())
        resources = self.place.terms.needs(task.kind, task.resources)
        at_node = status.cause is Cause.NODE
        if at_node:
            self._bad_nodes.strike(status.host, job.task_id)
        return decide(
            task.label,
            status,
            attempts,
            memory_mb=attempts.memory_mb or resources.memory_mb,
            most_memory_mb=self.place.terms.most_memory_mb,
            known_nodes=self._nodes() if at_node else frozenset(),
        )

    def _leave(
        self,
        job: _Job,
        state: _End,
        *,
        reason: str = "",
        error: GridloomError | None = None,
        lost: float | None = None,
    ) -> None:
        del self._jobs[job.id]
        self._changed = True
        told = errors_as_json(error)[0] if error else None
        self.place.journal.write(
            _EVENTS[state],
            task=job.task_id,
            token=job.token,
            host=job.host,
            reason=reason,
            error=told,
            lost=None if lost is None else round(lost, 3),
        )
        self._tell(job, state, reason=reason)

    def _tell(self, job: _Job, state: _Told, *, progress: Progress | None = None, reason: str = "") -> None:
        task = self.plan.by_id[job.task_id]
        self.place.listener(
            TaskChanged(
                task=job.task_id,
                kind=task.kind,
                label=task.label,
                state=state,
                progress=progress,
                reason=reason,
                host=job.host,
                job=job.id,
            )
        )

    # --- stopping ----------------------------------------------------------------------------------------------
    def _heed_stop(self) -> None:
        stop = self.place.stop
        if stop.cancelled and not self._heard:
            stop.ask()
        asked = min(stop.times, 2)
        if asked <= self._heard:
            return
        self._heard = asked
        if self.place.engine.capabilities.outlives_driver and not stop.cancelled:
            self._leave_jobs()
        self._stopping = True
        self.place.listener(Stopping(reason="asked to stop", running=self._running(), at_once=asked > 1))
        self._cancel(self._jobs, at_once=asked > 1)

    def _leave_jobs(self) -> None:
        """The user leaves, and jobs in a batch system go on."""
        self.place.journal.write("left")
        self.place.listener(JobsLeft(jobs=len(self._jobs)))
        raise Interrupted(
            f"left, while {len(self._jobs)} jobs go on",
            fix="`gridloom resume` goes on watching and collecting; `gridloom cancel` ends the jobs.",
        )

    def _stop_for_error(self, reason: str) -> None:
        """Begin nothing more; what runs is finished, or saved where it can save."""
        if self._stopping:
            return
        self._stopping = True
        self.place.listener(Stopping(reason=reason, running=self._running()))
        self._cancel(job.id for job in self._jobs.values() if not job.running or self._saves(job))

    def _cancel(self, ids: Iterable[str], *, at_once: bool = False) -> None:
        try:
            self.place.engine.cancel(tuple(ids), at_once=at_once)
        except EngineUnavailable as error:
            self._fall_silent(error)

    def _running(self) -> int:
        return sum(job.running for job in self._jobs.values())

    def _saves(self, job: _Job) -> bool:
        return self.plan.by_id[job.task_id].kind in SAVES
