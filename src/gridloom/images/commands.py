"""Programs that work for minutes: their words go to a log, their steps to whoever waits."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gridloom.containers.failures import own_words
from gridloom.errors import DiskFull, ImageProblem, Interrupted
from gridloom.files import writing
from gridloom.images.failures import explain, last_lines

Say = Callable[[str], None]

# How docker (with BuildKit, and without) and podman begin a step of a build.
_STEP = re.compile(r"^(?:#\d+ (?=\[(?!internal))|(?:\[\d+/\d+\] )?STEP \d+/\d+: |Step \d+/\d+ : )(?P<step>.+)$")
_WIDTH = 100
_GRACE = 20  # seconds to clean up in, for a program that is ended


@dataclass(frozen=True, kw_only=True)
class Log:
    """Where the words of programs are kept, and how their steps are told."""

    path: Path
    say: Say


@contextmanager
def log_file(say: Say) -> Iterator[Log]:
    """A log that is kept when something fails, for the error names it."""
    handle, name = tempfile.mkstemp(prefix="gridloom-image-", suffix=".log")
    os.close(handle)
    path = Path(name)
    try:
        yield Log(path=path, say=say)
    except (ImageProblem, DiskFull):
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def run(command: Sequence[str], log: Log, what: str, *, variables: Mapping[str, str] | None = None) -> None:
    """Run a program to its end. Raises ImageProblem or DiskFull, with its last words and the place of all of them.

    `what` is said when it fails: "the image cannot be built".
    """
    words: list[str] = []
    with writing(log.path), log.path.open("a", buffering=1) as kept, _started(command, variables or {}) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kept.write(line)
            words.append(line)
            step = step_in(line)
            if step:
                log.say(f"  {step}")
    if process.returncode:
        raise explain(what, "".join(words), log.path)


def step_in(line: str) -> str:
    """The beginning of a step of a build that may take its time; nothing for other lines."""
    found = _STEP.match(line.rstrip())
    return found["step"].partition(" && ")[0].strip()[:_WIDTH] if found and "RUN " in line else ""


def answer(command: Sequence[str]) -> str:
    """What a program says at once. Raises ImageProblem when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ImageProblem(f"cannot be started: {error.strerror}", where=command[0]) from error
    if done.returncode:
        raise ImageProblem(own_words(done.stderr) or last_lines(done.stderr), where=" ".join(command[:3]))
    return done.stdout.strip()


@contextmanager
def _started(command: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **variables},
        )
    except OSError as error:
        raise ImageProblem(f"cannot be started: {error.strerror}", where=command[0]) from error
    with process:
        try:
            yield process
        except BaseException:
            end(process)
            raise


def end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """End a program, politely first: it may have folders and mounts to clean up."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except (subprocess.TimeoutExpired, Interrupted):  # or a second Ctrl-C
        process.kill()
        process.wait()
