"""What became of a job that has ended on a node, from its exit code, its notes and the error it left."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

from gridloom.assignment import ERROR_FILE, LOG_FILE
from gridloom.containers.failures import CODES, failure_in, own_words
from gridloom.engines.base import Cause, JobStatus, State
from gridloom.engines.notes import Heard
from gridloom.errors import GridloomError, ImageProblem, Interrupted, NodeProblem, TaskFailed
from gridloom.messages import errors_from_json

SAVED_EXIT = 143  # the job saved on a signal
PLANNED_EXIT = 85  # the job saved as planned and is to be started again in place

_CAUSES = {"preempted": Cause.PREEMPTED, "wall time": Cause.WALL_TIME, "removed": Cause.PREEMPTED}
_WORDS = {
    Cause.PREEMPTED: "the batch system took its slot",
    Cause.WALL_TIME: "its wall time was over",
    Cause.MEMORY: "it ran out of memory",
    Cause.NODE: "its node failed",
}
_NEARLY = 0.9  # of the memory asked for: a job killed at that size was killed for its size
_TAIL = 2000  # characters
_LINES = 12


def judge(exit_code: int, heard: Heard, folder: Path, *, memory_mb: int) -> JobStatus:
    """The status of a job that ended with an exit code of Gridloom's own; `folder` has its error and log."""
    errors = read_errors(folder)
    left = heard.left
    if exit_code == 0:
        return status(State.DONE, heard, exit_code=0)
    if exit_code in (SAVED_EXIT, PLANNED_EXIT, Interrupted.exit_code):
        cause = _CAUSES.get(left.reason if left else "", Cause.PREEMPTED)
        return status(State.EVICTED, heard, cause=cause, exit_code=exit_code)
    if exit_code == NodeProblem.exit_code:
        told = errors[0] if errors else NodeProblem(left.reason if left and left.reason else "the node cannot do it")
        found = status(State.EVICTED, heard, cause=Cause.NODE, reason=told.what, exit_code=exit_code, errors=(told,))
        # Where not even Python began, the wrapper has written the node's name into the error.
        return found if found.host else replace(found, host=told.where)
    if not errors and heard.began is None:
        problem = _not_begun(exit_code, heard, folder)
        if problem is not None:
            return problem
    if exit_code > 128:
        big = left is not None and left.memory_mb >= _NEARLY * memory_mb
        killed = exit_code == 128 + signal.SIGKILL
        cause = Cause.MEMORY if killed and big else Cause.NONE
        return status(State.EVICTED, heard, cause=cause, reason=_signal_words(exit_code - 128), exit_code=exit_code)
    if not errors:
        text = last_words(folder) or f"it ended with exit code {exit_code}"
        errors = (TaskFailed(text.splitlines()[-1], where=str(folder)),)
    errors = tuple(_with_log(error, folder) for error in errors)
    return status(State.FAILED, heard, reason=errors[0].what, exit_code=errors[0].exit_code, errors=errors)


def _not_begun(exit_code: int, heard: Heard, folder: Path) -> JobStatus | None:
    """The status of a job whose container did not start, by its runtime's words; None for all else.

    What another node may do better is tried there; with a wrong image no node can help.
    """
    words = last_words(folder)
    known = failure_in(words)
    if exit_code not in CODES and (known is None or known.node):
        return None
    what = known.what if known is not None else "the job could not begin"
    fix = known.fix if known is not None else "The job's log holds all that was said."
    told = f"{what} ({own_words(words)})" if words else what
    if known is not None and not known.node:
        error: GridloomError = ImageProblem(told, where=str(folder / LOG_FILE), fix=fix)
        return status(State.FAILED, heard, reason=error.what, exit_code=error.exit_code, errors=(error,))
    error = NodeProblem(told, fix=fix)
    return status(State.EVICTED, heard, cause=Cause.NODE, reason=error.what, exit_code=error.exit_code, errors=(error,))


def status(
    state: State,
    heard: Heard,
    *,
    cause: Cause = Cause.NONE,
    reason: str = "",
    exit_code: int | None = None,
    errors: tuple[GridloomError, ...] = (),
) -> JobStatus:
    """A status with what the job itself has said."""
    return JobStatus(
        state=state,
        cause=cause,
        reason=reason or _WORDS.get(cause, ""),
        exit_code=exit_code,
        errors=errors,
        progress=heard.progress,
        host=heard.host,
        restarts=heard.restarts,
        lost_seconds=heard.lost_at_end if state is State.EVICTED else heard.lost_seconds,
    )


def _with_log(error: GridloomError, folder: Path) -> GridloomError:
    """An unforeseen error with the end of its log; the others say themselves what to do."""
    if not isinstance(error, TaskFailed):
        return error
    lines = last_words(folder).splitlines()[-_LINES:]
    told = (
        "\n".join(["The end of its log:", *(f"    {line}" for line in lines)]) if lines else "It has printed nothing."
    )
    return TaskFailed(error.what, where=str(folder / LOG_FILE), fix=told)


def read_errors(folder: Path) -> tuple[GridloomError, ...]:
    """The errors that a job left; none if it left none that can be read."""
    try:
        found = json.loads((folder / ERROR_FILE).read_text())
        return errors_from_json(found)
    except (OSError, ValueError, TypeError, AttributeError):
        return ()


def last_words(folder: Path) -> str:
    """The end of what a job printed: of its own log, or of what stood before it."""
    for name in (LOG_FILE, "job.err", "job.out"):
        try:
            text = (folder / name).read_text(errors="replace").strip()
        except OSError:
            continue
        if text:
            return text[-_TAIL:]
    return ""


def _signal_words(number: int) -> str:
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    hint = "; the system does so when memory runs out" if number == signal.SIGKILL else ""
    return f"the task's process was ended by signal {name}{hint}"
