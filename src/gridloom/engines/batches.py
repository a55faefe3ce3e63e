"""What a batch engine keeps of the jobs that it has submitted together, in the run's folder: readable after a kill."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.assignment import Assignment
from gridloom.files import write_text
from gridloom.task import Resources

PREFIX = "batch-"
FILE = "batch.json"
ID_FILE = "scheduler-id.txt"


class BatchJob(BaseModel):
    """One job of a batch: its position in it is the number that the scheduler gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    folder: str
    task: str
    memory_mb: int


class Batch(BaseModel):
    """Jobs that are submitted in one call; `token` is what the scheduler is asked for afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: str
    engine: str
    store: str
    jobs: tuple[BatchJob, ...]

    @property
    def folder(self) -> str:
        return f"{PREFIX}{self.token}"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Assignments that ask for the same and so can be submitted together."""

    batch: Batch
    assignments: tuple[Assignment, ...]

    @property
    def resources(self) -> Resources:
        return self.assignments[0].task.resources

    @property
    def avoid(self) -> tuple[str, ...]:
        return self.assignments[0].avoid


def bundled(jobs: Sequence[Assignment], *, at_most: int, engine: str) -> Iterator[Bundle]:
    """Jobs in bundles of the same needs, in order; a bundle's token is that of its first job. Pure."""
    ordered = sorted(jobs, key=_needs)  # stable: jobs of the same needs stay in order
    for _, group in groupby(ordered, key=_needs):
        alike = tuple(group)
        for start in range(0, len(alike), at_most):
            yield _bundle(alike[start : start + at_most], engine)


def _needs(job: Assignment) -> tuple[str, tuple[str, ...], str]:
    return job.task.resources.model_dump_json(), job.avoid, job.store


def _bundle(jobs: tuple[Assignment, ...], engine: str) -> Bundle:
    entries = tuple(
        BatchJob(token=job.token, folder=job.folder, task=job.task.id, memory_mb=job.task.resources.memory_mb)
        for job in jobs
    )
    batch = Batch(token=jobs[0].token, engine=engine, store=jobs[0].store, jobs=entries)
    return Bundle(batch=batch, assignments=jobs)


def read_batches(root: Path, engine: str) -> Iterator[Batch]:
    """Every batch of an engine below a folder; what a kill left unfinished was never submitted."""
    for path in sorted(root.glob(f"{PREFIX}*/{FILE}")):
        try:
            batch = Batch.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue
        if batch.engine == engine:
            yield batch


def write_id(root: Path, batch: Batch, scheduler_id: str) -> None:
    """Remember the scheduler's own number of a batch."""
    write_text(root / batch.folder / ID_FILE, f"{scheduler_id}\n")


def read_id(root: Path, batch: Batch) -> str:
    """The scheduler's number of a batch; nothing if it was not written down."""
    try:
        return (root / batch.folder / ID_FILE).read_text().strip()
    except FileNotFoundError:
        return ""
