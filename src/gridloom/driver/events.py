"""What a driver tells whoever shows it: frozen events, drawn by the command line or checked by tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gridloom.errors import GridloomError
from gridloom.task import Kind, Progress


@dataclass(frozen=True, kw_only=True)
class RunStarted:
    """The run's tasks are known; `done` of them have their result already."""

    name: str
    folder: Path
    tasks: int
    done: int


@dataclass(frozen=True, kw_only=True)
class TaskChanged:
    """A task began, went on, or ended."""

    task: str
    kind: Kind
    label: str
    state: Literal["queued", "running", "held", "resumed", "done", "failed", "retried", "saved", "cancelled", "waiting"]
    progress: Progress | None = None
    reason: str = ""
    host: str = ""
    job: str = ""


@dataclass(frozen=True, kw_only=True)
class ResultDamaged:
    """A stored result disagreed with its digests: it was set aside and is computed again."""

    task: str
    label: str
    error: GridloomError
    aside: Path


@dataclass(frozen=True, kw_only=True)
class Stopping:
    """The driver is leaving: running tasks are asked to save (or are ended, if `at_once`)."""

    reason: str
    running: int
    at_once: bool = False


@dataclass(frozen=True, kw_only=True)
class EngineSilent:
    """The engine gives no answer, or (`back`) does so again. It says nothing about any job."""

    reason: str
    back: bool = False


@dataclass(frozen=True, kw_only=True)
class JobsLeft:
    """The driver leaves, and its jobs go on."""

    jobs: int


Event: TypeAlias = RunStarted | TaskChanged | ResultDamaged | Stopping | EngineSilent | JobsLeft
Listener: TypeAlias = Callable[[Event], None]
