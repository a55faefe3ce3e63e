"""What a driver says: to its journal, which is for good, and to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gridloom.driver.events import EngineSilent, ResultDamaged, TaskChanged
from gridloom.driver.ledger import Job, Ledger
from gridloom.driver.workplace import Workplace
from gridloom.engines.base import JobStatus
from gridloom.errors import DamagedResult, EngineUnavailable, GridloomError
from gridloom.journal import Event as JournalEvent
from gridloom.messages import errors_as_json
from gridloom.task import Progress

End = Literal["done", "failed", "retried", "saved", "cancelled", "waiting"]
Told = Literal["queued", "running", "held", "resumed"] | End
_EVENTS: dict[End, JournalEvent] = {
    "done": "done",
    "failed": "failed",
    "retried": "evicted",
    "saved": "saved",
    "cancelled": "withdrawn",
    "waiting": "withdrawn",
}


@dataclass
class Voice:
    """Journal and listener of one driver."""

    place: Workplace
    ledger: Ledger
    silent: bool = False  # the engine has not answered last

    def tell(self, job: Job, state: Told, *, progress: Progress | None = None, reason: str = "") -> None:
        """Tell whoever listens how a task stands."""
        task = self.ledger.plan.by_id[job.task_id]
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

    def began(self, job: Job) -> None:
        """The node that a job runs on is known: into the journal, once."""
        if job.host and not job.placed:
            job.placed = True
            self.place.journal.write("began", task=job.task_id, token=job.token, job=job.id, host=job.host)

    def resumed(self, job: Job, status: JobStatus) -> None:
        """The batch system has started a job again by itself, from what it had saved."""
        job.placed = True
        lost = _rounded(status.lost_seconds)
        self.place.journal.write("resumed", task=job.task_id, token=job.token, job=job.id, host=status.host, lost=lost)
        self.tell(job, "resumed", reason="" if lost is None else f"{lost:.1f} s of work are done again")

    def released(self, job: Job, reason: str) -> None:
        self.place.journal.write("released", task=job.task_id, token=job.token, job=job.id, reason=reason)
        self.tell(job, "held", reason=reason)

    def left(
        self, job: Job, state: End, *, reason: str = "", error: GridloomError | None = None, lost: float | None = None
    ) -> None:
        """The engine has a job no more."""
        told = errors_as_json(error)[0] if error else None
        self.place.journal.write(
            _EVENTS[state],
            task=job.task_id,
            token=job.token,
            host=job.host,
            reason=reason,
            error=told,
            lost=_rounded(lost),
        )
        self.tell(job, state, reason=reason)

    def damaged(self, task_id: str, error: DamagedResult, aside: Path) -> None:
        self.place.journal.write("quarantined", task=task_id, reason=error.what)
        planned = self.ledger.plan.by_id.get(task_id)
        label = task_id if planned is None else planned.label  # predictions and exports need what a run has made
        self.place.listener(ResultDamaged(task=task_id, label=label, error=error, aside=aside))

    def no_answer(self, error: EngineUnavailable) -> None:
        """The engine gives no answer, which is no statement about any job; said once."""
        if not self.silent:
            self.silent = True
            self.place.listener(EngineSilent(reason=error.what))

    def answer(self) -> None:
        """The engine answers; said if it had not before."""
        if self.silent:
            self.silent = False
            self.place.listener(EngineSilent(reason="", back=True))


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
