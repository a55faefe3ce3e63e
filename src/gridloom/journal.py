"""The journal of a run: append-only JSON lines, each on the disk before anything relies on it.

One driver per run: a lease (a file lock that ends with its process) and a fencing number in every line, so that lines
of a driver that lost its lease without noticing count no more.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from gridloom.errors import DamagedResult, RunLocked
from gridloom.files import full_disk_named, writing

JOURNAL = "journal.jsonl"
LEASE = "driver.lock"
_PATIENCE = 0.5  # seconds: `status` holds the lock for a moment when it looks

Event = Literal[
    "started",  # a driver took the run
    "reused",  # a task's result was there already
    "quarantined",  # a task's result was damaged and set aside
    "submitting",  # about to give a task to the engine under `token`
    "submitted",  # the engine has it, as `job`
    "began",  # its job runs, on `host`
    "resumed",  # the batch system has started its job again by itself; `lost` seconds of work were done anew
    "released",  # its job was held; it goes on as `reason` says
    "evicted",  # its job was lost; the task is tried again
    "done",
    "failed",
    "withdrawn",  # taken back before it began
    "saved",  # stopped on request; running again goes on
    "interrupted",  # the driver left on request
    "left",  # the driver left, and the jobs go on without it
    "finished",  # all tasks are done
]
TaskState = Literal["waiting", "submitted", "done", "reused", "failed", "saved", "lost"]
RunState = Literal["new", "going", "finished", "failed", "interrupted", "left"]

_TASK_STATES: dict[Event, TaskState] = {
    "reused": "reused",
    "quarantined": "waiting",
    "submitting": "submitted",
    "submitted": "submitted",
    "began": "submitted",
    "resumed": "submitted",
    "released": "submitted",
    "evicted": "waiting",
    "withdrawn": "waiting",
    "done": "done",
    "failed": "failed",
    "saved": "saved",
}
_RUN_STATES: dict[Event, RunState] = {
    "started": "going",
    "failed": "failed",
    "interrupted": "interrupted",
    "left": "left",
    "finished": "finished",
}


class Record(BaseModel):
    """One line of the journal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    fence: int
    event: Event
    task: str = ""
    token: str = ""
    job: str = ""
    host: str = ""
    lost: float | None = None
    reason: str = ""
    error: dict[str, JsonValue] | None = None


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What the journal knows of one task."""

    state: TaskState
    attempts: int = 0
    token: str = ""
    job: str = ""
    host: str = ""
    reason: str = ""
    evictions: int = 0
    lost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class History:
    """A run as its journal tells it."""

    state: RunState = "new"
    tasks: dict[str, TaskRecord] = field(default_factory=dict)
    last: float = 0.0
    fence: int = 0


class Details(TypedDict, total=False):
    """What a line may say beside its event."""

    task: str
    token: str
    job: str
    host: str
    lost: float | None
    reason: str
    error: dict[str, JsonValue] | None


class Journal:
    """The open journal of a run, held by the run's one driver."""

    def __init__(self, path: Path, fence: int) -> None:
        self.path = path
        self.fence = fence
        with writing(path):
            _drop_torn_line(path)
            self._handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, event: Event, **details: Unpack[Details]) -> None:
        """Append one line; it is on the disk on return."""
        self.write_all([self.record(event, **details)])

    def record(self, event: Event, **details: Unpack[Details]) -> Record:
        """A line of this driver, to be written together with others."""
        return Record(at=time.time(), fence=self.fence, event=event, **details)

    def write_all(self, records: Iterable[Record]) -> None:
        """Append lines; all are on the disk on return. A kill leaves some of them, or all, and never a part of one."""
        lines = [record.model_dump_json(exclude_defaults=True) + "\n" for record in records]
        with full_disk_named(self.path):
            rest = "".join(lines).encode()
            while rest:
                rest = rest[os.write(self._handle, rest) :]
            os.fsync(self._handle)

    def check_lease(self) -> None:
        """Raise RunLocked if another driver has taken the run: a lock can be lost with its file server."""
        try:
            fence = int(json.loads((self.path.parent / LEASE).read_text())["fence"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        if fence > self.fence:
            raise RunLocked(
                "another driver has taken over the run", where=str(self.path.parent), fix="Leave it to that one."
            )

    def close(self) -> None:
        os.close(self._handle)


def read_journal(path: Path) -> tuple[Record, ...]:
    """All lines; a torn last one (its writer was killed) is left out. Raises DamagedResult for any other bad line."""
    if not path.exists():
        return ()
    lines = path.read_bytes().split(b"\n")
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            records.append(Record.model_validate_json(line))
        except ValidationError as error:
            raise DamagedResult(
                "the journal has a line that cannot be read",
                where=f"{path}:{number}",
                fix="Remove the run's folder and run again: finished results are kept in the store.",
            ) from error
    return tuple(records)


def history(records: Iterable[Record]) -> History:
    """The state of a run rebuilt from its journal."""
    state: RunState = "new"
    tasks: dict[str, TaskRecord] = {}
    last, fence = 0.0, 0
    for record in records:
        if record.fence < fence:
            continue
        fence, last = record.fence, record.at
        state = _RUN_STATES.get(record.event, state)
        if record.task:
            tasks[record.task] = _follow(tasks.get(record.task), record)
    return History(state=state, tasks=tasks, last=last, fence=fence)


def _follow(known: TaskRecord | None, record: Record) -> TaskRecord:
    attempts = (known.attempts if known else 0) + (record.event == "submitting")
    return TaskRecord(
        state=_TASK_STATES[record.event],
        attempts=attempts,
        token=record.token or (known.token if known else ""),
        job=record.job or (known.job if known else ""),
        host=record.host or (known.host if known else ""),
        reason=record.reason,
        evictions=(known.evictions if known else 0) + (record.event in ("evicted", "resumed")),
        lost=(known.lost if known else 0.0) + (record.lost or 0.0),
    )


def _drop_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as stream:
            stream.truncate(content.rfind(b"\n") + 1)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that holds a run."""

    pid: int
    host: str


@contextmanager
def lease(folder: Path) -> Iterator[Journal]:
    """Hold a run and its journal. Raises RunLocked, which names the holder, while another driver has it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / LEASE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(handle, folder)
        os.ftruncate(handle, 0)
        path = folder / JOURNAL
        journal = Journal(path, history(read_journal(path)).fence + 1)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "fence": journal.fence}
        os.pwrite(handle, json.dumps(holder).encode(), 0)
        try:
            yield journal
        finally:
            journal.close()
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
        known = _read_holder(folder)
        who = f"process {known.pid} on {known.host}" if known else "another process"
        raise RunLocked(
            f"the run is being driven by {who}",
            where=str(folder),
            fix="`gridloom watch` shows how far it is; stop it with Ctrl-C where it runs, or with `gridloom cancel`.",
        )


def holder(folder: Path) -> Holder | None:
    """The process that drives a run now, or None."""
    try:
        handle = os.open(folder / LEASE, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(folder) or Holder(pid=0, host="?")
    finally:
        os.close(handle)
    return None


def _read_holder(folder: Path) -> Holder | None:
    try:
        data = json.loads((folder / LEASE).read_text())
        return Holder(pid=int(data["pid"]), host=str(data["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        # Between taking the lock and writing the name, or a file system that forgot it: the lock still holds.
        return None
