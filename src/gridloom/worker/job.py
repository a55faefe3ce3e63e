"""`python -m gridloom.worker.job task.json`: one batch job on a node, as the rendered wrapper starts it.

A small parent without heavy imports takes the scheduler's signals, since Python's handlers wait while a compiled call
runs. It forks the process that does the task, asks it to save, ends it when the grace is over, tells the submitting
side, and leaves with the exit codes that its wrapper has given it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from gridloom.assignment import ERROR_FILE, LOG_FILE, STATE, Assignment, read_assignment
from gridloom.environment import worker_variables
from gridloom.errors import DiskFull, EnvironmentProblem, GridloomError, Interrupted, NodeProblem
from gridloom.files import full_disk_named
from gridloom.messages import Note, Step, step_of
from gridloom.task import SAVES, Progress
from gridloom.worker import inside, node
from gridloom.worker.channel import Channel, Chirp, NotesFile, pace, quietly
from gridloom.worker.parent import Ending, Family, Limits
from gridloom.worker.sandbox import Sandbox, newest_change
from gridloom.worker.tasks import KINDS, Hooks, known_error, load_kinds, perform, write_error

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the wrapper says: exit codes for a saved and a planned leave, and where the job is heard."""

    task: Path
    kinds: Mapping[str, str]
    limits: Limits
    saved_exit: int
    planned_exit: int
    notes: Path | None
    delivery: str
    transferred: bool
    attached: bool

    @property
    def folder(self) -> Path:
        """Where log and errors of the job go."""
        return Path(STATE) if self.transferred else self.task.parent

    def channel(self) -> Channel:
        return NotesFile(self.notes) if self.notes is not None else Chirp(self.delivery)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job; the exit code tells the wrapper's scheduler what became of it."""
    options = _options(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / ERROR_FILE).unlink(missing_ok=True)
    channel = options.channel()
    try:
        assignment = read_assignment(options.task)
        sandbox = Sandbox(Path.cwd()) if options.transferred else None
        if sandbox is not None:
            assignment = sandbox.stage_in(assignment)
        node.check(assignment)
    except (OSError, GridloomError) as error:
        return _refuse(options, channel, error)
    try:
        return Job(options, channel, assignment, sandbox).run()
    finally:
        inside.empty_temporary()


def _refuse(options: Options, channel: Channel, error: OSError | GridloomError) -> int:
    """Leave before the task began: the node is at fault."""
    known = error if isinstance(error, GridloomError) else NodeProblem(f"the job cannot begin: {error}")
    if not isinstance(known, NodeProblem):
        known = NodeProblem(f"{known.what} ({known.where})" if known.where else known.what, fix=known.fix)
    quietly(lambda: write_error(options.folder, known))
    quietly(lambda: channel.tell(_left(known.exit_code, reason=known.what)))
    return known.exit_code


def _left(code: int, *, reason: str, saved: float | None = None, memory: float = 0.0, token: str = "") -> Note:
    return Note(
        kind="left",
        at=time.time(),
        token=token,
        host=node.host(),
        job=node.job_id(),
        exit_code=code,
        reason=reason,
        saved=saved,
        memory_mb=memory,
    )


class Job:
    """One job from the fork to its end."""

    def __init__(self, options: Options, channel: Channel, assignment: Assignment, sandbox: Sandbox | None) -> None:
        self._options = options
        self._channel = channel
        self._assignment = assignment
        self._sandbox = sandbox
        self._begun = time.monotonic()
        self._told = 0.0

    def run(self) -> int:
        saved = self._saved_before()
        self._tell(
            Note(
                kind="began",
                at=time.time(),
                token=self._assignment.token,
                host=node.host(),
                job=node.job_id(),
                saved=saved,
            )
        )
        ending = Family(self._child, self._limits(), self._hear, attached=self._options.attached).live()
        code = self._code(ending)
        after = self._saved_after(ending, saved)
        if self._sandbox is not None:
            self._stage_out(ending, after)
        reason = ending.reason or (f"ended by signal {-ending.code}" if ending.code < 0 else "")
        self._tell(_left(code, reason=reason, saved=after, memory=ending.memory_mb, token=self._assignment.token))
        return code

    def _limits(self) -> Limits:
        """Without planned saves for tasks that save nothing: they would begin again each time, and never end."""
        limits = self._options.limits
        return limits if self._assignment.task.kind in SAVES else replace(limits, planned=0.0)

    def _code(self, ending: Ending) -> int:
        if ending.code == 0:
            return 0
        if ending.asked and ending.code in (Interrupted.exit_code, -signal.SIGKILL):
            return self._options.planned_exit if ending.reason == "planned" else self._options.saved_exit
        if ending.code == -signal.SIGILL:
            illegal = NodeProblem(
                "the processor lacks instructions that a library was built for",
                where=node.host(),
                fix="Ask for nodes with them in the site's options.",
            )
            quietly(lambda: write_error(self._options.folder, illegal))
            return illegal.exit_code
        return ending.code if ending.code > 0 else 128 - ending.code

    def _saved_before(self) -> float | None:
        if self._sandbox is not None:
            return self._sandbox.saved
        return newest_change(self._scratch)

    def _saved_after(self, ending: Ending, before: float | None) -> float | None:
        """The time of the state left behind: now, if the task said that it has saved."""
        if ending.code == Interrupted.exit_code:
            return time.time()
        found = newest_change(self._scratch)
        return before if self._sandbox is not None and (found or 0) < self._sandbox.entered else found

    @property
    def _scratch(self) -> Path:
        return Path(self._assignment.store) / f"{self._assignment.task.id}.scratch"

    def _stage_out(self, ending: Ending, saved: float | None) -> None:
        assert self._sandbox is not None
        sandbox = self._sandbox
        if ending.code == 0:
            sandbox.keep_result(self._assignment.task.id)
            return
        quietly(lambda: sandbox.keep_state(saved))
        if ending.reason == "removed":
            quietly(lambda: self._channel.deliver(sandbox.packed_state()))

    def _tell(self, note: Note) -> None:
        quietly(lambda: self._channel.tell(note))

    def _hear(self, step: Step) -> None:
        """Pass on progress, the less often the longer the job runs."""
        now = time.monotonic()
        if now - self._told < pace(now - self._begun):
            return
        self._told = now
        self._tell(Note(kind="progress", at=time.time(), token=self._assignment.token, step=step))

    # --- the process that does the task -------------------------------------------------------------------------
    def _child(self, pipe: int) -> NoReturn:
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        _print_to(self._options.folder / LOG_FILE)
        # No threading.Event: a second signal within its `set` would wait for the first one's lock, for ever.
        asked: list[bool] = []
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: asked.append(True))
        # Before any numerical library is imported: they read these once.
        task = self._assignment.task
        os.environ.update(worker_variables(task.resources.cores, task.backend))
        hooks = Hooks(stop=lambda: bool(asked), progress=lambda progress: _send(pipe, progress))
        try:
            perform(self._assignment, hooks, kinds=self._options.kinds)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the border of the process: all is reported
            known = self._judged(self._known(error))
            quietly(lambda: _say(f"error[{type(known).__name__}] {known}\n"))
            quietly(lambda: write_error(self._options.folder, known))
            _exit(known.exit_code)
        _exit(0)

    def _known(self, error: BaseException) -> GridloomError:
        """The error to report; a disk without room for its traceback is the reason of it."""
        log = self._options.folder / LOG_FILE
        try:
            with full_disk_named(log):
                return known_error(error, what=self._assignment.task.label, log=log)
        except DiskFull as full:
            return full

    def _judged(self, error: GridloomError) -> GridloomError:
        """The error as the submitting side should see it: what only this node cannot do is the node's."""
        mine = (EnvironmentProblem, DiskFull) if self._sandbox is not None else (EnvironmentProblem,)
        if isinstance(error, mine):
            return NodeProblem(f"{error.what} on {node.host()}", where=error.where, fix=error.fix)
        return error


def _send(pipe: int, progress: Progress) -> None:
    try:
        os.write(pipe, step_of(progress).line())
    except BlockingIOError:
        # The parent is busy: the next step says more.
        return


def _print_to(log: Path) -> None:
    """Everything printed from here on, by compiled libraries too, goes to the job's log."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, number in ((empty, 0), (handle, 1), (handle, 2)):
        os.dup2(source, number)
    os.close(handle)
    os.close(empty)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _exit(code: int) -> NoReturn:
    """Leave without taking TensorFlow down in order: that takes seconds and saves nothing."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # a full disk is no reason to leave otherwise
            stream.flush()
    os._exit(code)


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m gridloom.worker.job", description=__doc__)
    parser.add_argument("task", type=Path, help="the task.json to do")
    parser.add_argument("--kinds", default="", metavar="MODULE:DICT", help="kinds in place of the built-in ones")
    parser.add_argument("--grace", type=float, default=30.0, help="seconds from the scheduler's signal to the end")
    parser.add_argument("--wall", type=float, default=0.0, help="save and leave after so many seconds")
    parser.add_argument("--planned", type=float, default=0.0, help="save and leave as planned after so many seconds")
    parser.add_argument("--saved-exit", type=int, default=143, help="exit code after saving on a signal")
    parser.add_argument("--planned-exit", type=int, default=85, help="exit code after saving as planned")
    parser.add_argument("--notes", type=Path, default=None, help="file for notes; without it they go through chirp")
    parser.add_argument("--delivery", default="", help="where chirp puts the saved state of a removed job")
    parser.add_argument("--transferred", action="store_true", help="inputs lie here, outputs go into state/")
    parser.add_argument("--attached", action="store_true", help="save and leave when standard input ends")
    given = parser.parse_args(arguments)
    return Options(
        task=given.task,
        kinds=load_kinds(given.kinds) if given.kinds else KINDS,
        limits=Limits(grace=given.grace, wall=given.wall, planned=given.planned),
        saved_exit=given.saved_exit,
        planned_exit=given.planned_exit,
        notes=given.notes,
        delivery=given.delivery,
        transferred=given.transferred,
        attached=given.attached,
    )


if __name__ == "__main__":
    sys.exit(main())
