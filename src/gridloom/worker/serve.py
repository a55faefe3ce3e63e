"""A warm worker: takes requests on standard input, answers on standard output, imports heavy libraries once.

What a task prints, from Python or from a compiled library, goes to the task's log: standard output is moved away
before anything else runs, so nothing can spoil the answers. A thread reads the requests, so that a task in progress
hears of `stop`, and of the end of its driver (end of file): it then saves and the worker leaves.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from pydantic import JsonValue

from gridloom.assignment import LOG_FILE, read_assignment
from gridloom.crash import write_crash_log
from gridloom.errors import GridloomError
from gridloom.files import full_disk_named
from gridloom.messages import Reply, Request, errors_as_json, step_of
from gridloom.task import Progress
from gridloom.worker.operations import Operation, load_operation
from gridloom.worker.tasks import Hooks, known_error, perform, write_error

GRACE = 60.0  # seconds a task has to save after its driver is gone
_PROGRESS_EVERY = 0.1  # seconds


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What a worker can do: kinds of tasks and operations, as `module:function`."""

    kinds: Mapping[str, str]
    operations: Mapping[str, str]

    def operation(self, name: str) -> Operation:
        return load_operation(self.operations[name])


def serve(offers: Offers, *, preload: Sequence[str] = (), grace: float = GRACE) -> NoReturn:
    """Answer requests until standard input ends, then leave the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, replies = _take_over_streams()
    server = Server(offers, replies)
    signal.signal(signal.SIGTERM, lambda *_: server.leave())
    threading.Thread(target=server.listen, args=(requests, grace), daemon=True).start()
    for module in preload:
        _preload(module)
    server.run()
    # Taking a process with TensorFlow down in order takes seconds and saves nothing: results are on the disk.
    _flush()
    os._exit(0)


def _take_over_streams() -> tuple[BinaryIO, BinaryIO]:
    """Move the protocol off the standard streams: input becomes empty, output goes where errors go."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return requests, replies


def _preload(module: str) -> None:
    try:
        importlib.import_module(module)
    except Exception:  # noqa: BLE001 - only a head start: the task that needs it meets the same error and reports it
        traceback.print_exc()


class Server:
    """The requests of one driver, done one after the other."""

    def __init__(self, offers: Offers, replies: BinaryIO) -> None:
        self._offers = offers
        self._replies = replies
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._stopped: set[str] = set()
        self._leaving = threading.Event()
        self._saving = False

    def run(self) -> None:
        """Do what is asked until told to leave."""
        self._reply(Reply(kind="ready"))
        while not self._leaving.is_set():
            request = self._queue.get()
            if request is None:
                return
            self._reply(self._do_task(request) if request.do == "task" else self._answer(request))

    def listen(self, requests: BinaryIO, grace: float) -> None:
        """Read requests until the driver is gone; then only a task that can save holds the process a while."""
        for line in requests:
            request = Request.model_validate_json(line)
            if request.do == "stop":
                self._stopped.add(request.token)
            else:
                self._queue.put(request)
        self.leave()
        deadline = time.monotonic() + grace
        while self._saving and time.monotonic() < deadline:
            time.sleep(0.05)
        # Idle, the main thread leaves by itself; in the middle of an import or an operation nothing is to be saved.
        time.sleep(2)
        os._exit(0)

    def leave(self) -> None:
        self._leaving.set()
        self._queue.put(None)

    def _reply(self, reply: Reply) -> None:
        try:
            self._replies.write(reply.line())
        except BrokenPipeError:
            # The driver is gone; the end of its requests says so too, and the result is in the store.
            self.leave()

    def _do_task(self, request: Request) -> Reply:
        path = Path(request.path)
        self._saving = True
        try:
            with full_disk_named(path.parent), _output_to(path.with_name(LOG_FILE)):
                return self._perform(path, request.token)
        except (OSError, GridloomError) as error:  # the log itself
            known = known_error(error, what=path.parent.name, log=path.with_name(LOG_FILE))
            return Reply(kind="failed", token=request.token, errors=errors_as_json(known))
        finally:
            self._saving = False

    def _perform(self, path: Path, token: str) -> Reply:
        hooks = Hooks(stop=lambda: self._leaving.is_set() or token in self._stopped, progress=self._reporter(token))
        label = path.parent.name
        try:
            assignment = read_assignment(path)
            label = assignment.task.label
            perform(assignment, hooks, kinds=self._offers.kinds)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process: all is reported
            known = known_error(error, what=label, log=path.with_name(LOG_FILE))
            _try_to_write_error(path.parent, known)
            return Reply(kind="failed", token=token, errors=errors_as_json(known))
        return Reply(kind="done", token=token)

    def _reporter(self, token: str) -> _Reporter:
        return _Reporter(lambda progress: self._reply(Reply(kind="progress", token=token, step=step_of(progress))))

    def _answer(self, request: Request) -> Reply:
        try:
            answer: JsonValue = self._offers.operation(request.name)(request.arguments)
            return Reply(kind="answer", answer=answer)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process: all is reported
            log = Path() if isinstance(error, GridloomError) else write_crash_log(error)
            known = known_error(error, what=request.name, log=log)
            return Reply(kind="failed", errors=errors_as_json(known))


class _Reporter:
    """Passes on progress, not more often than a screen can show."""

    def __init__(self, send: Callable[[Progress], None]) -> None:
        self._send = send
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last >= _PROGRESS_EVERY or progress.done >= progress.total:
            self._last = now
            self._send(progress)


def _try_to_write_error(folder: Path, error: GridloomError) -> None:
    try:
        write_error(folder, error)
    except (OSError, GridloomError):
        # A full disk is often the error itself; the driver hears of it in the reply.
        traceback.print_exc()


@contextmanager
def _output_to(log: Path) -> Iterator[None]:
    """Send everything printed, by compiled libraries too, to a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    kept = os.dup(1), os.dup(2)
    _flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)
    try:
        yield
    finally:
        # A log that a full disk cuts short is no reason to lose the task's own answer.
        with suppress(OSError):
            _flush()
        for number, saved in enumerate(kept, start=1):
            os.dup2(saved, number)
            os.close(saved)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
