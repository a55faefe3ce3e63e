"""A toy engine that ships: a batch system in this process, which may be away or forget its jobs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gridloom.assignment import FILE, Assignment
from gridloom.engines.base import Capabilities, Fact, JobStatus, State
from gridloom.errors import DamagedResult, EngineUnavailable


@dataclass
class ToyPool:
    """A batch system in this process that outlives its drivers: for tests of whoever drives engines.

    Jobs are done by `work` in `wait`, after `patience` calls of it. `away` says, call by call, whether it is not there.
    """

    work: Callable[[Assignment], None]
    jobs: dict[str, Assignment] = field(default_factory=dict)
    states: dict[str, JobStatus] = field(default_factory=dict)
    away: Iterator[bool] = field(default_factory=lambda: itertools.repeat(False))
    patience: int = 0
    submitted: int = 0
    hosts: frozenset[str] = frozenset()
    released: list[tuple[str, int | None, tuple[str, ...]]] = field(default_factory=list)
    damaged: dict[str, DamagedResult] = field(default_factory=dict)
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            shared_file_system=True,
            file_transfer=False,
            arrays=False,
            gpus=False,
            containers=False,
            checkpoint_transfer=False,
        )
    )

    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        return {f"{job.folder}/{FILE}": job.as_text().encode() for job in jobs}

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        if next(self.away):
            raise EngineUnavailable("nobody there")
        ids = tuple(str(len(self.jobs) + number) for number in range(len(jobs)))
        self.jobs |= dict(zip(ids, jobs, strict=True))
        self.states |= {job_id: JobStatus(state=State.PENDING) for job_id in ids}
        self.submitted += len(jobs)
        return ids

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        if next(self.away):
            raise EngineUnavailable("nobody there")
        return {job.token: job_id for job_id, job in self.jobs.items() if job.token in tokens}

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        if next(self.away):
            raise EngineUnavailable("nobody there")
        return {job_id: self.states.get(job_id, JobStatus(state=State.UNKNOWN)) for job_id in ids}

    def wait(self, seconds: float) -> None:  # noqa: ARG002 - no time passes here
        if self.patience:
            self.patience -= 1
            return
        for job_id, job in self.jobs.items():
            if job_id in self.states and self.states[job_id].state is State.PENDING:
                self.work(job)
                self.states[job_id] = JobStatus(state=State.DONE, exit_code=0)

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:  # noqa: ARG002 - nothing runs
        self.states |= {job_id: JobStatus(state=State.CANCELLED) for job_id in ids}

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        self.released.append((job, memory_mb, tuple(avoid)))
        self.states[job] = JobStatus(state=State.PENDING)

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        return {job: error for job in ids if (error := self.damaged.pop(job, None)) is not None}

    def nodes(self) -> frozenset[str]:
        return self.hosts

    def describe(self) -> tuple[Fact, ...]:
        return (Fact(name="toy", value="a pool in this process"),)

    def close(self) -> None: ...
