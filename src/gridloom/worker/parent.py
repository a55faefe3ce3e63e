"""A parent process and its one child: signals in, a request to save passed on, the end within the grace."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from pydantic import ValidationError

from gridloom.messages import Step

# The scheduler's signals, and what each means: HTCondor sends USR1 to a job that is removed (its wrapper asks for it).
REASONS = {
    signal.SIGTERM: "preempted",
    signal.SIGINT: "preempted",
    signal.SIGUSR1: "removed",
    signal.SIGUSR2: "wall time",
}
_RESERVE = 0.25  # share of the grace that is kept for bringing the state to safety
_AGAIN = 1.0  # seconds until the child is asked to save once more
_INPUT = 0  # standard input
_WALL_SHARE = 0.1  # of the wall time, at most, is given up for saving in time


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds: from a signal to the end, of wall time, and between planned saves (0: none)."""

    grace: float
    wall: float = 0.0
    planned: float = 0.0

    def due(self, running: float) -> str:
        """Why to leave after running so long; nothing while there is no reason."""
        if self.wall and running > max(self.wall - 2 * self.grace, (1 - _WALL_SHARE) * self.wall):
            return "wall time"
        return "planned" if self.planned and running > self.planned else ""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the child ended: its exit code (negative: the signal), whether it had been asked to save, and why."""

    code: int
    asked: bool
    reason: str
    memory_mb: float


class Family:
    """The parent's side; `child` runs in the forked process and writes steps, as JSON lines, into a pipe."""

    def __init__(
        self, child: Callable[[int], NoReturn], limits: Limits, hear: Callable[[Step], None], *, attached: bool = False
    ) -> None:
        self._child = child
        self._limits = limits
        self._hear = hear
        self._attached = attached  # to standard input: its end means that whoever started this process is gone
        self._reason = ""
        self._kill_at = float("inf")
        self._asked = 0.0
        self._begun = time.monotonic()
        self._buffer = b""

    def live(self) -> Ending:
        """Fork, watch, and return when the child has ended."""
        wake, waker = os.pipe()
        pipe, child_pipe = os.pipe()
        for handle in (wake, waker, pipe, child_pipe):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (*REASONS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            os.close(pipe)
            self._child(child_pipe)
        os.close(child_pipe)
        status = self._watch(pid, wake, pipe)
        return Ending(
            code=os.waitstatus_to_exitcode(status),
            asked=bool(self._reason),
            reason=self._reason,
            memory_mb=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        )

    def _watch(self, pid: int, wake: int, pipe: int) -> int:
        listening = [wake, pipe, *([_INPUT] if self._attached else [])]
        while True:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                self._read(pipe)
                return status
            until_kill = max(0.02, self._kill_at - time.monotonic())
            ready, _, _ = select.select(listening, [], [], min(0.5, until_kill))
            if _INPUT in ready and not os.read(_INPUT, 512):
                listening.remove(_INPUT)
                self._ask(pid, "preempted")
            if wake in ready:
                self._heed(pid, os.read(wake, 512))
            if pipe in ready and not self._read(pipe):
                listening.remove(pipe)
            self._look_at_the_clock(pid)

    def _heed(self, pid: int, numbers: bytes) -> None:
        for number in numbers:
            reason = REASONS.get(signal.Signals(number))
            if reason:
                self._ask(pid, reason)

    def _look_at_the_clock(self, pid: int) -> None:
        now = time.monotonic()
        due = self._limits.due(now - self._begun)
        if due and not self._reason:
            self._ask(pid, due)
        elif self._reason and now - self._asked > _AGAIN:
            self._asked = now
            os.kill(pid, signal.SIGTERM)  # it may not have listened yet
        if now > self._kill_at:
            # What it saved last is whole: better to go on from there than to lose it with the job.
            os.kill(pid, signal.SIGKILL)

    def _ask(self, pid: int, reason: str) -> None:
        """Have the child save. A signal that comes while a planned save is under way counts more."""
        if self._reason in ("", "planned"):
            self._reason = reason
        if reason != "planned":
            self._kill_at = min(self._kill_at, time.monotonic() + (1 - _RESERVE) * self._limits.grace)
        self._asked = time.monotonic()
        os.kill(pid, signal.SIGTERM)

    def _read(self, pipe: int) -> bool:
        """Hear the newest step; false at the end of the pipe."""
        open_still = True
        try:
            while chunk := os.read(pipe, 65536):
                self._buffer += chunk
            open_still = False
        except BlockingIOError:
            pass
        *lines, self._buffer = self._buffer.split(b"\n")
        if lines:
            try:
                self._hear(Step.model_validate_json(lines[-1]))
            except ValidationError:
                # A line that was cut off when the pipe was full.
                return open_still
        return open_still
