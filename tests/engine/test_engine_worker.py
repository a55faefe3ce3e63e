"""The worker alone: one task per process with an exit code, or many over a pipe that nothing spoils."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import JsonValue

from gridloom.assignment import ERROR_FILE, LOG_FILE, Assignment, read_assignment
from gridloom.environment import code_digest
from gridloom.errors import EmptyClass, NotFound, Problems, UnknownKey, UserModelError
from gridloom.messages import (
    Reply,
    Request,
    errors_as_json,
    errors_from_json,
    one_error,
    progress_of,
    step_of,
)
from gridloom.results import Store
from gridloom.task import Progress, Resources, Task
from gridloom.testing.kinds import TINY
from gridloom.worker.tasks import Hooks, perform

KINDS = ("--kinds", "gridloom.testing.kinds:TINY")


def assignment(folder: Path, do: str, *, inputs: tuple[str, ...] = (), cores: int = 1, steps: int = 10) -> Assignment:
    parameters: dict[str, JsonValue] = {"do": do, "steps": steps}
    resources = Resources(cores=cores)
    task = Task(kind="train", label=f"test {do}", parameters=parameters, inputs=inputs, resources=resources)
    return Assignment(task=task, token="aa", store=str(folder / "store"))


def command(path: Path) -> list[str]:
    return [sys.executable, "-m", "gridloom.worker", str(path), *KINDS]


def run(folder: Path, job: Assignment) -> subprocess.CompletedProcess[str]:
    path = job.write(folder / "job")
    return subprocess.run(command(path), capture_output=True, text=True, timeout=60, check=False)


def test_one_task_one_process(tmp_path: Path) -> None:
    job = assignment(tmp_path, "threads", cores=3)
    done = run(tmp_path, job)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    result = Store(tmp_path / "store").verify(job.task.id, fully=True)
    assert result is not None
    assert {output.path for output in result.outputs} == {"threads.txt", "value.txt"}
    assert result.versions["gridloom"]
    assert (tmp_path / "store" / job.task.id / "threads.txt").read_text() == "3"


@pytest.mark.parametrize(
    ("do", "code", "text"),
    [
        ("fail", 32, "error[EmptyClass] test fail: class `s` has no events\n  Loosen the cut.\n"),
        ("crash", 52, "error[TaskFailed]"),
        ("fail twice", 11, "unknown key `b`"),
        ("full", 50, "error[DiskFull]"),
    ],
)
def test_the_exit_code_is_the_errors(tmp_path: Path, do: str, code: int, text: str) -> None:
    done = run(tmp_path, assignment(tmp_path, do))
    assert done.returncode == code
    assert text in done.stderr
    written = json.loads((tmp_path / "job" / ERROR_FILE).read_text())
    assert len(written) == (2 if do == "fail twice" else 1)


def test_a_signal_saves(tmp_path: Path) -> None:
    job = assignment(tmp_path, "steps", steps=5000)
    path = job.write(tmp_path / "job")
    count = Store(tmp_path / "store").scratch(job.task.id) / "count"
    with subprocess.Popen(command(path), stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (count.exists() and count.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "error[Interrupted] test steps: saved at step" in told
    assert int(count.read_text()) > 0


def test_what_is_no_task_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path / "none.json"), capture_output=True, text=True, check=False)
    assert done.returncode == 54
    assert "error[NotFound]" in done.stderr
    (tmp_path / "task.json").write_text("{}")
    with pytest.raises(NotFound):
        read_assignment(tmp_path / "task.json")


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path, assignment(tmp_path, "write", inputs=("prepare-0123",)))
    assert done.returncode == 51
    assert "prepare-0123" in done.stderr


def test_the_users_code_must_be_what_was_planned(tmp_path: Path) -> None:
    (tmp_path / "my_network.py").write_text("def build(): ...\n")
    digest = code_digest("my_network:build", tmp_path)
    parameters: dict[str, JsonValue] = {"analysis": {"model": {"function": "my_network:build"}}}
    task = Task(kind="train", label="train", parameters=parameters, code=digest, folder=str(tmp_path))
    job = Assignment(task=task, token="aa", store=str(tmp_path / "store"))
    (tmp_path / "my_network.py").write_text("def build(): return 1\n")
    hooks = Hooks(stop=lambda: False, progress=lambda _: None)
    with pytest.raises(UserModelError, match="has changed since"):
        perform(job, hooks, kinds=TINY)
    (tmp_path / "my_network.py").write_text("def build(): ...\n")
    assert perform(job, hooks, kinds=TINY) == perform(job, hooks, kinds=TINY)


def serve(*options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gridloom.worker", "--serve", *KINDS, *options]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_a_warm_worker_answers_line_by_line(tmp_path: Path) -> None:
    job = assignment(tmp_path, "print")
    path = job.write(tmp_path / "job")
    with serve("--preload", "colorsys") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert Reply.model_validate_json(process.stdout.readline()).kind == "ready"
        process.stdin.write(Request(do="task", path=str(path), token="aa").line())
        process.stdin.flush()
        assert Reply.model_validate_json(process.stdout.readline()) == Reply(kind="done", token="aa")
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(20) == 0
    assert "from a compiled library" in (path.parent / LOG_FILE).read_text()


def test_a_task_that_hears_nothing_is_left_after_the_grace(tmp_path: Path) -> None:
    job = assignment(tmp_path, "hang")
    path = job.write(tmp_path / "job")
    with serve("--grace", "0.2") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        process.stdin.write(Request(do="task", path=str(path), token="aa").line())
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while not (path.parent / LOG_FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(20) == 0
    assert Store(tmp_path / "store").find(job.task.id) is None


def test_a_stop_before_the_task_begins_counts(tmp_path: Path) -> None:
    path = assignment(tmp_path, "steps").write(tmp_path / "job")
    with serve() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(Request(do="stop", token="aa").line())
        process.stdin.write(Request(do="task", path=str(path), token="aa").line())
        process.stdin.flush()
        replies = [Reply.model_validate_json(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
    assert [reply.kind for reply in replies] == ["ready", "failed"]
    assert one_error(errors_from_json(replies[1].errors)).exit_code == 130


def test_progress_and_errors_travel_as_json() -> None:
    progress = Progress(done=1, total=2, text="epoch 1", values={"loss": 0.5, "bad": float("nan")})
    reply = Reply(kind="progress", token="aa", step=step_of(progress))
    again = Reply.model_validate_json(reply.line())
    assert again.step is not None
    assert progress_of(again.step) == Progress(done=1, total=2, text="epoch 1", values={"loss": 0.5})
    error = EmptyClass("none", where="here", fix="do", key=("samples", 0))
    (back,) = errors_from_json(errors_as_json(error))
    assert (type(back), back.as_json()) == (EmptyClass, error.as_json())
    several = Problems([error, UnknownKey("b")])
    assert isinstance(one_error(errors_from_json(errors_as_json(several))), Problems)
