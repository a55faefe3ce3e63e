"""One warm worker process as the driver's side sees it: requests written, replies read without waiting."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gridloom.engines.surroundings import Surroundings, launch
from gridloom.errors import TaskFailed
from gridloom.messages import Reply, Request
from gridloom.task import TENSORFLOW

_TAIL = 2000  # characters of a dead worker's last words


@dataclass(frozen=True, kw_only=True)
class WorkerKind:
    """How to start workers: threads and back end, what to import first, kinds of tasks, the container."""

    cores: int = 1
    backend: str = TENSORFLOW
    preload: tuple[str, ...] = ()
    kinds: str = ""
    grace: float = 60.0
    surroundings: Surroundings | None = None

    def arguments(self) -> list[str]:
        command = ["-m", "gridloom.worker", "--serve", "--grace", str(self.grace)]
        for module in self.preload:
            command += ["--preload", module]
        return [*command, "--kinds", self.kinds] if self.kinds else command


class WorkerProcess:
    """A running worker. It leads its own session: Ctrl-C in the terminal reaches the driver alone."""

    def __init__(self, kind: WorkerKind) -> None:
        self.kind = kind
        self.loading = bool(kind.preload)  # until it has imported what it should
        self.working = False
        self.token = ""  # of the task it is on
        self.silent = True  # it has not said anything yet
        self._buffer = b""
        # Kept open as long as the worker: what it says outside any task, such as a crash in a compiled library.
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._temporary = tempfile.mkdtemp(prefix="gridloom-") if kind.surroundings is not None else ""
        self._launch = launch(
            kind.arguments(),
            cores=kind.cores,
            surroundings=kind.surroundings,
            temporary=self._temporary,
            backend=kind.backend,
        )
        self._process = subprocess.Popen(
            self._launch.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            bufsize=0,
            env=self._launch.environment,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise TaskFailed("a worker has no pipes")
        self._requests = self._process.stdin
        self._replies = self._process.stdout
        os.set_blocking(self._replies.fileno(), False)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def busy(self) -> bool:
        return self.loading or self.working

    @property
    def cores_in_use(self) -> int:
        """Importing takes one core, whatever the worker is for."""
        return self.kind.cores if self.working else int(self.loading)

    def fileno(self) -> int:
        """Readable when the worker has said something, or has ended."""
        return self._replies.fileno()

    def send(self, request: Request) -> None:
        """Write a request; a worker that has ended shows that in `receive`."""
        rest = request.line()
        try:
            while rest:
                rest = rest[os.write(self._requests.fileno(), rest) :]
        except BrokenPipeError:
            return

    def receive(self) -> tuple[Reply, ...]:
        """All replies that have arrived."""
        while chunk := self._read():
            self._buffer += chunk
        *lines, self._buffer = self._buffer.split(b"\n")
        replies = tuple(Reply.model_validate_json(line) for line in lines)
        for reply in replies:
            self.loading = self.silent = False
            if reply.kind in ("done", "failed", "answer"):
                self.working = False
                self.token = ""
        return replies

    def _read(self) -> bytes:
        try:
            return os.read(self._replies.fileno(), 65536)
        except BlockingIOError:
            return b""

    def exit_code(self) -> int | None:
        """None while it lives; negative for the signal that ended it."""
        return self._process.poll()

    def last_words(self) -> str:
        self._words.seek(0)
        return self._words.read().decode(errors="replace").strip()[-_TAIL:]

    def close(self) -> None:
        """End its requests: it saves and leaves."""
        self._requests.close()

    def kill(self) -> None:
        """End it, and whatever it has started, at once."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._launch.end()

    def finish(self, seconds: float) -> None:
        """Wait for its end; kill it when that takes too long."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._requests.close()
        self._replies.close()
        self._words.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)


def ended_how(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = "; the system does so when memory runs out" if -code == signal.SIGKILL else ""
        return f"the worker was ended by signal {name}{hint}"
    return f"the worker ended with exit code {code}"


def last_line(path: Path) -> str:
    """The last line of a log; nothing if there is none."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-1:])
    except FileNotFoundError:
        return ""
