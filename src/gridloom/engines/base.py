"""What an engine is: it runs jobs, each one attempt at one task, and knows nothing of plans or runs.

An engine may lose a job or be away for a while; whether a task is done is told by its result alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from gridloom.assignment import Assignment
from gridloom.errors import DamagedResult, GridloomError
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


class Cause(StrEnum):
    """Why a job is held, or ended without doing its task; what helps follows from it."""

    NONE = ""  # not known: the task is tried again a few times
    PREEMPTED = "preempted"  # the batch system took its slot: it goes on elsewhere, as often as it takes
    WALL_TIME = "wall time"  # it used up its time: it goes on in another job
    MEMORY = "memory"  # it needs more
    NODE = "node"  # this node cannot: another one may
    USER = "user"  # somebody put it on hold: whoever did so will release it


@dataclass(frozen=True, kw_only=True)
class JobStatus:
    """What an engine knows of a job. `errors` are the task's own, if it told them.

    `restarts` counts how often the batch system has started the job again by itself; `lost_seconds` is the work that
    the last of these cost: from the state it went on from to its end before. Of a job that is EVICTED, it is the work
    since the state that it left.
    """

    state: State
    reason: str = ""
    cause: Cause = Cause.NONE
    exit_code: int | None = None
    errors: tuple[GridloomError, ...] = ()
    progress: Progress | None = None
    host: str = ""
    restarts: int = 0
    lost_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can do; the driver decides by these, never by an engine's name.

    Jobs of an engine that `outlives_driver` go on when the driver leaves. One with `late_materialisation` takes any
    number of jobs at once.
    """

    shared_file_system: bool
    file_transfer: bool
    arrays: bool
    gpus: bool
    containers: bool
    checkpoint_transfer: bool
    outlives_driver: bool = False
    late_materialisation: bool = False


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something an engine knows of its scheduler, for `gridloom site check`."""

    name: str
    value: str
    verdict: Literal["ok", "look", "bad"] = "ok"
    fix: str = ""


class Engine(Protocol):
    """Runs jobs. A job's token is in the journal before `submit`, so `find` can tell afterwards what became of it."""

    capabilities: Capabilities

    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        """The files of some jobs, by their names below the engine's folder. Pure."""
        ...

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        """Hand jobs over; their ids, in order.

        Raises EngineUnavailable when there was no answer (`find` tells later whether some were taken), and
        SubmissionRefused when none was taken and asking again would not help.
        """
        ...

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        """Token -> id for those under which a job was submitted; the others are left out. Raises EngineUnavailable."""
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

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        """Let a held job go on, with so much memory and not on these nodes; what it saved is kept.

        Raises EngineUnavailable. Engines whose jobs are never HELD have nothing to do.
        """
        ...

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        """Bring results and saved states of ended jobs into the store (nothing to do where the store is shared).

        The answer holds the jobs whose result arrived damaged: it is not in the store.
        """
        ...

    def describe(self) -> tuple[Fact, ...]:
        """What the scheduler says of itself. Raises EngineUnavailable."""
        ...

    def nodes(self) -> frozenset[str]:
        """Names of the nodes that jobs may run on, as `JobStatus.host` has them; empty if it is not known."""
        ...

    def close(self) -> None:
        """Leave: jobs of an engine that lives in this process are asked to save, then ended."""
        ...
