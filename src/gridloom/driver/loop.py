"""The loop of a driver: submit what is ready, poll, try again what was lost, stop at the first real error."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from gridloom.driver.donors import Donors
from gridloom.driver.events import JobsLeft, Stopping
from gridloom.driver.ledger import Job, Ledger
from gridloom.driver.retry import Again, BadNodes, GiveUp, decide
from gridloom.driver.submission import Submission
from gridloom.driver.voice import End, Voice
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
from gridloom.journal import TaskRecord, history, read_journal
from gridloom.messages import one_error
from gridloom.plan import Plan
from gridloom.task import SAVES, Progress

_HOLD_PATIENCE = 15.0  # seconds
_LONGEST_PAUSE = 60.0  # seconds between two submissions to an engine that answers and takes no jobs


class Driver:
    """One pass over a plan, until everything is done, something fails or the user asks to stop."""

    def __init__(self, plan: Plan, workplace: Workplace) -> None:
        self.plan = plan
        self.place = workplace
        self._ledger = Ledger(plan)
        self._voice = Voice(workplace, self._ledger)
        self._bad_nodes = BadNodes(nodes=self._nodes)
        self._submission = Submission(workplace, self._ledger, self._voice, self._bad_nodes, Donors(workplace.store))
        self._to_cancel: dict[str, bool] = {}  # id -> at once
        self._errors: list[GridloomError] = []
        self._stopping = False  # nothing new is begun
        self._heard = 0  # requests to stop
        self._pause = 0.0  # until the next submission, after one that was not answered
        self._submit_at = 0.0

    @property
    def done(self) -> frozenset[str]:
        return frozenset(self._ledger.done)

    def look(self) -> None:
        """Find which tasks have their result, and which an engine that outlives its drivers still works on."""
        known = history(read_journal(self.place.journal.path)).tasks
        reused = []
        for task_id in self.plan.ids:
            record = known.get(task_id)
            if self._submission.is_there(task_id, fully=False):
                self._ledger.done.add(task_id)
                if record is None or record.state not in ("done", "reused"):
                    reused.append(self.place.journal.record("reused", task=task_id))
            elif record is not None and record.state == "submitted":
                self._ledger.unsure[record.token] = task_id
        self.place.journal.write_all(reused)
        self._settle_unsure(known)

    def run(self) -> None:
        """Do what is missing. Raises the first failed task's error, or Interrupted after a stop."""
        while not self._ledger.all_done:
            self._heed_stop()
            self._go_on_cancelling()
            self._settle_unsure({})
            if not self._stopping and self._ledger.changed and time.monotonic() >= self._submit_at:
                self._submit()
            if self._stopping and not self._ledger.busy:
                break
            self.place.engine.wait(self.place.pace.wait)
            self._poll()
            self.place.tick()
        self._conclude()

    def _conclude(self) -> None:
        if self._errors:
            # Tasks side by side meet the same error: it is said once.
            raise one_error(merged(self._errors, "task"))
        if not self._ledger.all_done:
            self.place.journal.write("interrupted")
            raise Interrupted("stopped on request", fix="The same command goes on from here.")
        self.place.journal.write("finished")

    # --- submitting --------------------------------------------------------------------------------------------
    def _submit(self) -> None:
        try:
            self._submission.submit_ready()
            self._pause = 0.0
        except EngineUnavailable as error:
            self._pause = min(2 * self._pause or self.place.pace.wait, _LONGEST_PAUSE)
            self._submit_at = time.monotonic() + self._pause
            self._voice.no_answer(error)
        except (SubmissionRefused, DamagedResult) as error:
            self._errors.append(error)
            self.place.journal.write("failed", reason=error.what)
            self._stop_for_error(error.what)

    def _settle_unsure(self, known: Mapping[str, TaskRecord]) -> None:
        if not self._ledger.unsure:
            return
        try:
            found = self._submission.settle_unsure(known)
        except EngineUnavailable as error:
            self._voice.no_answer(error)
            return
        self._voice.answer()
        if self._stopping:
            self._cancel(found)

    def _nodes(self) -> frozenset[str]:
        try:
            return self.place.engine.nodes()
        except EngineUnavailable:
            return frozenset()

    # --- watching ----------------------------------------------------------------------------------------------
    def _poll(self) -> None:
        if not self._ledger.jobs:
            return
        try:
            statuses = self.place.engine.poll(tuple(self._ledger.jobs))
        except EngineUnavailable as error:
            # No answer is no statement about any job.
            self._voice.no_answer(error)
            return
        self._voice.answer()
        for job_id, status in statuses.items():
            self._follow(self._ledger.jobs[job_id], status)

    def _follow(self, job: Job, status: JobStatus) -> None:
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

    def _handle_unknown(self, job: Job, status: JobStatus) -> None:
        now = time.monotonic()
        job.unknown_since = job.unknown_since or now
        if now - job.unknown_since >= self.place.pace.unknown:
            self._collect(job)
            if self._submission.is_there(job.task_id, fully=False):
                self._finish(job)
                return
            reason = status.reason or "the engine does not know the job any more"
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=reason))

    def _tell_restart(self, job: Job, status: JobStatus) -> None:
        job.restarts = status.restarts
        self._voice.resumed(job, status)

    def _tell_progress(self, job: Job, progress: Progress | None) -> None:
        self._voice.began(job)
        if not job.running or progress != job.progress or job.host != job.told_host:
            job.running, job.held, job.progress, job.told_host = True, False, progress, job.host
            self._voice.tell(job, "running", progress=progress)

    def _tell_pending(self, job: Job, status: JobStatus) -> None:
        job.held = False
        if job.running:
            # Evicted: it waits for another slot. Without a reason it begins again at once.
            job.running = False
            if status.reason:
                self._voice.tell(job, "queued", reason=status.reason)

    def _handle_done(self, job: Job, status: JobStatus) -> None:
        damage = self.place.engine.collect((job.id,)).get(job.id)
        if damage is not None:
            self._voice.damaged(job.task_id, damage, Path(damage.where))
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=f"its result is damaged: {damage.what}"))
        elif self._submission.is_there(job.task_id, fully=False):
            self._finish(job)
        elif self._settled(job):
            reason = "it ended without a valid result"
            self._handle_loss(job, JobStatus(state=State.EVICTED, reason=reason, host=status.host))

    def _settled(self, job: Job) -> bool:
        """Whether what is not to be seen by now will never be: shared file systems take their time."""
        now = time.monotonic()
        job.settling_since = job.settling_since or now
        return now - job.settling_since >= self.place.pace.settle

    def _finish(self, job: Job) -> None:
        self._ledger.done.add(job.task_id)
        self._ledger.fresh.add(job.task_id)
        self._leave(job, "done")

    def _collect(self, job: Job) -> None:
        """Bring home what an ended job has saved."""
        damage = self.place.engine.collect((job.id,)).get(job.id)
        if damage is not None:
            self._voice.damaged(job.task_id, damage, Path(damage.where))

    def _handle_cancelled(self, job: Job, status: JobStatus) -> None:
        self._collect(job)
        if self._submission.is_there(job.task_id, fully=False):
            self._finish(job)
        elif self._stopping:
            saved: End = "saved" if self._saves(job) else "cancelled"
            self._leave(job, saved if job.running else "waiting", reason=status.reason)
        else:
            # Somebody else removed it from the queue: they had a reason.
            label = self.plan.by_id[job.task_id].label
            error = TaskFailed(
                f"the job of {label} was removed from the queue by somebody else: {status.reason}",
                where=job.id,
                fix="Run again when it may go on: what was saved is kept.",
            )
            self._fail(job, (error,))

    def _handle_failure(self, job: Job, status: JobStatus) -> None:
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

    def _fail(self, job: Job, errors: tuple[GridloomError, ...]) -> None:
        error = one_error(errors)
        self._errors += errors
        self._leave(job, "failed", reason=error.what, error=error)
        self._stop_for_error(f"{self.plan.by_id[job.task_id].label} failed")

    # --- trying again ------------------------------------------------------------------------------------------
    def _handle_held(self, job: Job, status: JobStatus) -> None:
        if status.cause is Cause.USER or self._stopping:
            if not job.held:
                job.held, job.running = True, False
                self._voice.tell(job, "held", reason=status.reason)
                if self._stopping:
                    self._cancel([job.id])  # nobody may ever release it
            return
        if time.monotonic() - job.answered_at < _HOLD_PATIENCE:
            return  # the engine may still tell of the hold that was answered
        if job.answer is None:
            decision = self._decide(job, status)
            if not isinstance(decision, Again):
                self._cancel([job.id], at_once=True)
                self._fail(job, (decision.error,))
                return
            job.answer = decision
        self._answer_hold(job, job.answer)

    def _answer_hold(self, job: Job, answer: Again) -> None:
        """Let a held job go on; where that is not allowed, another job takes its place."""
        avoid = self._bad_nodes.avoided(self._ledger.attempts_of(job.task_id))
        try:
            self.place.engine.release(job.id, memory_mb=answer.memory_mb, avoid=avoid)
        except EngineUnavailable as error:
            self._voice.no_answer(error)
            return
        except SubmissionRefused as error:
            self._cancel([job.id], at_once=True)
            self._leave(job, "retried", reason=f"{answer.reason}; it is submitted anew, since {error.what}")
            return
        job.answer, job.answered_at, job.running = None, time.monotonic(), False
        self._voice.released(job, answer.reason)

    def _handle_loss(self, job: Job, status: JobStatus) -> None:
        if self._stopping:
            self._leave(job, "saved", reason=status.reason)
            return
        decision = self._decide(job, status)
        if isinstance(decision, Again):
            self._leave(job, "retried", reason=decision.reason, lost=status.lost_seconds)
        else:
            self._fail(job, (decision.error,))

    def _decide(self, job: Job, status: JobStatus) -> Again | GiveUp:
        task = self.plan.by_id[job.task_id]
        attempts = self._ledger.attempts_of(job.task_id)
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
        self, job: Job, state: End, *, reason: str = "", error: GridloomError | None = None, lost: float | None = None
    ) -> None:
        del self._ledger.jobs[job.id]
        self._ledger.changed = True
        self._voice.left(job, state, reason=reason, error=error, lost=lost)

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
        self._cancel(self._ledger.jobs, at_once=asked > 1)

    def _leave_jobs(self) -> None:
        """The user leaves, and jobs in a batch system go on."""
        self.place.journal.write("left")
        self.place.stop.left = True
        self.place.listener(JobsLeft(jobs=len(self._ledger.jobs)))
        raise Interrupted(
            f"left, while {len(self._ledger.jobs)} jobs go on",
            fix="`gridloom resume` goes on watching and collecting; `gridloom cancel` ends the jobs.",
        )

    def _stop_for_error(self, reason: str) -> None:
        """Begin nothing more; what runs is finished, or saved where it can save."""
        if self._stopping:
            return
        self._stopping = True
        self.place.listener(Stopping(reason=reason, running=self._running()))
        self._cancel(job.id for job in self._ledger.jobs.values() if not job.running or self._saves(job))

    def _cancel(self, ids: Iterable[str], *, at_once: bool = False) -> None:
        self._to_cancel |= dict.fromkeys(ids, at_once)
        self._go_on_cancelling()

    def _go_on_cancelling(self) -> None:
        """Cancel what is to be cancelled, as soon as the engine answers."""
        for at_once in (True, False):
            ids = tuple(job for job, how in self._to_cancel.items() if how is at_once)
            if not ids:
                continue
            try:
                self.place.engine.cancel(ids, at_once=at_once)
            except EngineUnavailable as error:
                self._voice.no_answer(error)
                return
            for job in ids:
                del self._to_cancel[job]

    def _running(self) -> int:
        return sum(job.running for job in self._ledger.jobs.values())

    def _saves(self, job: Job) -> bool:
        return self.plan.by_id[job.task_id].kind in SAVES
