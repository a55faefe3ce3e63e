"""How a run stands at this moment, in a file that anyone may read: for `status` and `watch`, beside the journal."""

from __future__ import annotations

import json
import os
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.driver.events import EngineSilent, Event, Listener, ResultDamaged, RunStarted, Stopping, TaskChanged
from gridloom.messages import Step, step_of

FILE = "live.json"
_EVERY = 1.0  # seconds between two writes, at most
_SIGN_OF_LIFE = 15.0
_NOTICES = 8
_OVER = frozenset({"done", "waiting", "cancelled"})


class LiveTask(BaseModel):
    """A task that is under way, or what has happened to it last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: str
    since: float
    host: str = ""
    job: str = ""
    step: Step | None = None
    reason: str = ""


class Live(BaseModel):
    """Content of live.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    silent: str = ""  # what the engine says that gives no answer
    tasks: dict[str, LiveTask] = {}
    notices: tuple[str, ...] = ()


def read_live(folder: Path) -> Live | None:
    """What the run's driver has written last; None if there is nothing that can be read."""
    try:
        return Live.model_validate_json((folder / FILE).read_bytes())
    except (OSError, ValidationError):
        return None


@dataclass
class LiveFile:
    """A listener that keeps the file, and passes everything on."""

    folder: Path
    listener: Listener

    def __post_init__(self) -> None:
        self._tasks: dict[str, LiveTask] = {}
        self._notices: deque[str] = deque(maxlen=_NOTICES)
        self._silent = ""
        self._written = 0.0
        self._stale = False

    def __call__(self, event: Event) -> None:
        self.listener(event)
        self._note(event)
        self._stale = True
        if time.monotonic() - self._written >= _EVERY or isinstance(event, EngineSilent | Stopping | RunStarted):
            self.write()

    def tick(self) -> None:
        """Write what has changed and was not written yet, or a sign of life."""
        pause = time.monotonic() - self._written
        if pause >= (_EVERY if self._stale else _SIGN_OF_LIFE):
            self.write()

    def write(self) -> None:
        """Write what is known now; a file that cannot be written keeps nobody from anything."""
        self._written = time.monotonic()
        self._stale = False
        live = Live(at=time.time(), silent=self._silent, tasks=self._tasks, notices=tuple(self._notices))
        fresh = self.folder / f".{FILE}"
        try:
            fresh.write_text(json.dumps(live.model_dump(mode="json", exclude_defaults=True)))
            os.replace(fresh, self.folder / FILE)  # noqa: PTH105 - not durable on purpose: it is written every second
        except OSError:
            return

    def _note(self, event: Event) -> None:
        if isinstance(event, TaskChanged):
            self._task(event)
        elif isinstance(event, EngineSilent):
            self._silent = event.reason
        elif isinstance(event, ResultDamaged):
            self._notices.append(f"{event.label}: {event.error.what}")
        elif isinstance(event, Stopping):
            self._notices.append(event.reason)

    def _task(self, event: TaskChanged) -> None:
        if event.state in _OVER:
            self._tasks.pop(event.task, None)
            return
        before = self._tasks.get(event.task)
        since = before.since if before is not None and before.state == event.state else time.time()
        step = None if event.progress is None else step_of(event.progress)
        self._tasks[event.task] = LiveTask(
            state=event.state, since=since, host=event.host, job=event.job, step=step, reason=event.reason
        )
        if event.reason:
            self._notices.append(f"{event.label} {event.state}: {event.reason.splitlines()[0]}")
