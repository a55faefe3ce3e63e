"""What an engine is: it runs jobs, each one attempt at one task, and knows nothing of plans or runs.

An engine may lose a job or be away for a while; whether a task is done is told by its result alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gridloom.assignment import Assignment
from gridloom.errors import GridloomError
from gridloom.task import Progress


class State(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    HELD = "held"
    DONE = "done"
    FAILED = "failed"
    EVICTED = "evicted"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


ENDED = frozenset({State.DONE, State.FAILED, State.EVICTED, State.CANCELLED})


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """What an engine knows of a job. `errors` are the task's own, if it told them."""

    state: State
    reason: str = ""
    exit_code: int | None = None
    errors: tuple[GridloomError, ...] = ()
    progress: Progress | None = None


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can do; the driver decides by these, never by an engine's name."""

    shared_file_system: bool
    file_transfer: bool
    arrays: bool
    gpus: bool
    containers: bool
    checkpoint_transfer: bool


class Engine(Protocol):
    """Runs jobs. A job's token is in the journal before `submit`, so `find` can tell afterwards what became of it."""

    capabilities: Capabilities

    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        """The files of some jobs, by their names below the engine's folder. Pure."""
        ...

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        """Hand jobs over; their ids, in order. Raises EngineUnavailable when none was taken."""
        ...

    def find(self, token: str) -> str | None:
        """The id of the job that was submitted under a token, or None if there is none."""
        ...

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        """The status of every id asked for (a job that is not known is UNKNOWN). Raises EngineUnavailable."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after so long, or earlier when some job may have changed."""
        ...

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        """Ask jobs to save and leave, or end them at once. Jobs that have ended are left alone."""
        ...

    def collect(self, ids: Sequence[str]) -> None:
        """Bring the results of ended jobs into the store (nothing to do where the store is shared)."""
        ...

    def close(self) -> None:
        """Leave: jobs of an engine that lives in this process are asked to save, then ended."""
        ...
