"""Messages between a driver and a warm worker: one JSON object per line, requests down, replies up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

from gridloom.errors import GridloomError, Problems, from_json
from gridloom.task import Progress


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def line(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode() + b"\n"


class Request(_Message):
    """Do a task (`path` of its task.json), stop the task of `token`, or answer an operation."""

    do: Literal["task", "stop", "operation"]
    path: str = ""
    token: str = ""
    name: str = ""
    arguments: dict[str, JsonValue] = {}


class Step(_Message):
    """How far a task is, on the wire."""

    done: float
    total: float
    text: str = ""
    values: dict[str, float] = {}


class Reply(_Message):
    """What a worker says: it is `ready`, how far it is, how a task ended, or an operation's answer."""

    kind: Literal["ready", "progress", "done", "failed", "answer"]
    token: str = ""
    step: Step | None = None
    errors: tuple[dict[str, JsonValue], ...] = ()
    answer: JsonValue = None


class Note(_Message):
    """What a job says on a node: it `began`, goes on (`progress`), and that its parent process `left`, and how.

    `saved` is the time of the state that it goes on from, or that it leaves behind; None if there is none.
    """

    kind: Literal["began", "progress", "left"]
    at: float
    token: str = ""
    host: str = ""
    job: str = ""
    step: Step | None = None
    saved: float | None = None
    exit_code: int | None = None
    reason: str = ""
    memory_mb: float = 0.0


def step_of(progress: Progress) -> Step:
    """Progress as it travels: JSON knows no NaN, so values that are not finite are left out."""
    values = {name: float(value) for name, value in progress.values.items() if math.isfinite(value)}
    return Step(done=float(progress.done), total=float(progress.total), text=progress.text, values=values)


def progress_of(step: Step) -> Progress:
    return Progress(done=step.done, total=step.total, text=step.text, values=step.values)


def errors_as_json(error: GridloomError) -> tuple[dict[str, JsonValue], ...]:
    """One error, or the several of a Problems, as JSON."""
    several: Iterable[GridloomError] = error.errors if isinstance(error, Problems) else (error,)
    # The JSON of an error holds only text and a list of text and numbers.
    return tuple(one.as_json() for one in several)  # type: ignore[misc]


def errors_from_json(data: Iterable[dict[str, JsonValue]]) -> tuple[GridloomError, ...]:
    return tuple(from_json({**item}) for item in data)


def one_error(errors: tuple[GridloomError, ...]) -> GridloomError:
    """What to raise for one error or several."""
    return errors[0] if len(errors) == 1 else Problems(errors)
