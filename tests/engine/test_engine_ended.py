"""What an exit code, the notes and the files of a job tell of its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gridloom.assignment import ERROR_FILE, LOG_FILE
from gridloom.engines.base import Cause, State
from gridloom.engines.ended import judge, last_words, read_errors
from gridloom.engines.notes import Heard
from gridloom.errors import EmptyClass, GridloomError, Interrupted, NodeProblem, Problems, TaskFailed, UnknownKey
from gridloom.messages import Note, Step, errors_as_json

REFUSED = NodeProblem("no Python on node1", fix="Correct it.")


def leave(folder: Path, error: GridloomError) -> None:
    (folder / ERROR_FILE).write_text(json.dumps(errors_as_json(error)))


def heard(reason: str = "", *, code: int | None = None, memory: float = 0.0, left: bool = True) -> Heard:
    found = Heard()
    found.hear(Note(kind="began", at=1, host="node1"))
    found.hear(Note(kind="progress", at=2, step=Step(done=3, total=4)))
    if left:
        found.hear(Note(kind="left", at=3, reason=reason, exit_code=code, memory_mb=memory))
    return found


@pytest.mark.parametrize(
    ("code", "notes", "state", "cause", "reason"),
    [
        (0, heard(), State.DONE, Cause.NONE, ""),
        (143, heard("preempted"), State.EVICTED, Cause.PREEMPTED, "the batch system took its slot"),
        (143, heard("removed"), State.EVICTED, Cause.PREEMPTED, "the batch system took its slot"),
        (143, heard("wall time"), State.EVICTED, Cause.WALL_TIME, "its wall time was over"),
        (143, heard(left=False), State.EVICTED, Cause.PREEMPTED, "the batch system took its slot"),
        # A planned save whose start in place the batch system did not do.
        (85, heard("planned"), State.EVICTED, Cause.PREEMPTED, "the batch system took its slot"),
        # The task's process heard the signal before its parent did.
        (130, heard(left=False), State.EVICTED, Cause.PREEMPTED, "the batch system took its slot"),
        (60, heard("it is too old"), State.EVICTED, Cause.NODE, "it is too old"),
        (60, heard(left=False), State.EVICTED, Cause.NODE, "the node cannot do it"),
        (137, heard(memory=900), State.EVICTED, Cause.MEMORY, "SIGKILL; the system does so when memory runs out"),
        (137, heard(memory=899), State.EVICTED, Cause.NONE, "SIGKILL; the system does so when memory runs out"),
        (137, heard(left=False), State.EVICTED, Cause.NONE, "SIGKILL; the system does so when memory runs out"),
        (139, heard(memory=2000), State.EVICTED, Cause.NONE, "the task's process was ended by signal SIGSEGV"),
        (255, heard(), State.EVICTED, Cause.NONE, "ended by signal 127"),
        (1, heard(), State.FAILED, Cause.NONE, "it ended with exit code 1"),
        (52, heard(left=False), State.FAILED, Cause.NONE, "it ended with exit code 52"),
    ],
)
def test_ends_by_their_exit_codes(
    code: int, notes: Heard, state: State, cause: Cause, reason: str, tmp_path: Path
) -> None:
    found = judge(code, notes, tmp_path, memory_mb=1000)
    assert (found.state, found.cause) == (state, cause)
    assert reason in found.reason
    assert (reason == "") == (found.reason == "")
    assert found.host == "node1"
    assert found.progress is not None
    assert found.progress.done == 3


def test_a_task_that_succeeded_has_no_errors_of_before(tmp_path: Path) -> None:
    leave(tmp_path, EmptyClass("none"))
    assert judge(0, heard(), tmp_path, memory_mb=1000).errors == ()


def test_the_tasks_own_error_decides(tmp_path: Path) -> None:
    leave(tmp_path, Problems([EmptyClass("none", where="here"), UnknownKey("two")]))
    found = judge(32, heard(), tmp_path, memory_mb=1000)
    assert (found.state, found.exit_code, found.reason) == (State.FAILED, 32, "none")
    assert [type(error) for error in found.errors] == [EmptyClass, UnknownKey]
    # The scheduler may know the exit code less well than the task does.
    assert judge(1, heard(), tmp_path, memory_mb=1000).exit_code == 32


def test_an_end_costs_what_was_done_since_the_last_save(tmp_path: Path) -> None:
    notes = heard(left=False)
    notes.hear(Note(kind="began", at=10, saved=5))  # started again by the batch system: told as a restart
    notes.hear(Note(kind="left", at=30, saved=28, exit_code=143, reason="preempted"))
    found = judge(143, notes, tmp_path, memory_mb=1000)
    assert (found.restarts, found.lost_seconds) == (1, 2)


def test_a_node_that_refused_says_why(tmp_path: Path) -> None:
    leave(tmp_path, REFUSED)
    found = judge(60, heard("something else"), tmp_path, memory_mb=1000)
    assert (found.reason, found.errors[0].fix) == ("no Python on node1", "Correct it.")


def test_an_interruption_that_nobody_asked_for(tmp_path: Path) -> None:
    leave(tmp_path, Interrupted("saved at step 3"))
    found = judge(130, heard(left=False), tmp_path, memory_mb=1000)
    assert (found.state, found.cause, found.exit_code) == (State.EVICTED, Cause.PREEMPTED, 130)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({LOG_FILE: "a\nthe log's end\n\n", "job.err": "other"}, "the log's end"),
        ({LOG_FILE: " \n", "job.err": "bash: no such file", "job.out": "x"}, "bash: no such file"),
        ({"job.out": "from Slurm"}, "from Slurm"),
    ],
)
def test_without_an_error_the_last_words_tell(files: dict[str, str], words: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = judge(2, heard(), tmp_path, memory_mb=1000)
    assert (found.state, found.reason, found.exit_code) == (State.FAILED, words, 52)
    (error,) = found.errors
    assert isinstance(error, TaskFailed)
    assert error.where == str(tmp_path / LOG_FILE)
    assert error.fix.startswith("The end of its log:\n    ")
    assert error.fix.endswith(words)


def test_an_unforeseen_error_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    """Where the log lay on the node is no help: here it is, and how it ends."""
    error = TaskFailed("t failed: ValueError: x", where="state/output.log", fix="The log holds the whole story.")
    (tmp_path / ERROR_FILE).write_text(json.dumps([error.as_json()]))
    (tmp_path / LOG_FILE).write_text("".join(f"line {number}\n" for number in range(40)))
    (told,) = judge(52, heard(), tmp_path, memory_mb=1000).errors
    assert (told.what, told.where) == (error.what, str(tmp_path / LOG_FILE))
    assert told.fix.splitlines()[1:] == [f"    line {number}" for number in range(28, 40)]


def test_only_the_end_of_a_long_log_is_told(tmp_path: Path) -> None:
    (tmp_path / LOG_FILE).write_bytes(b"x" * 100_000 + b"\n\xff the end")
    words = last_words(tmp_path)
    assert len(words) <= 2000
    assert words.endswith(" the end")


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"kind": "EmptyClass"}', '["EmptyClass"]', "[null]"])
def test_an_unreadable_error_is_none(content: Any, tmp_path: Path) -> None:
    (tmp_path / ERROR_FILE).write_text(content)
    assert read_errors(tmp_path) == ()
    assert read_errors(tmp_path / "nowhere") == ()
    (tmp_path / ERROR_FILE).write_bytes(b"\xff\xfe")
    assert read_errors(tmp_path) == ()
