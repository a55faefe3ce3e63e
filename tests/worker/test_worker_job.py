"""One batch job, as the rendered script starts it: real processes, with and without a shared folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from small_disk import small_disk

from gridloom.assignment import ERROR_FILE, LOG_FILE, NOTES_FILE, RESULT_FOLDER, SAVED_STATE, SCRATCH, STATE, Assignment
from gridloom.engines.ended import read_errors
from gridloom.engines.notes import Heard, parse_note
from gridloom.environment import environment_digest, versions
from gridloom.errors import DiskFull, EmptyClass, NodeProblem, TaskFailed
from gridloom.messages import Note
from gridloom.results import Store
from gridloom.task import InputFile, Resources, Task

SUPPORT = Path(__file__).parent.parent / "support"
# What of the real module is used: it writes down what it is told, as HTCondor's event log and file transfer would.
_CHIRP = """
import os, pathlib, shutil

class HTChirp:
    def __init__(self, timeout=10):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def ulog(self, text):
        with open(os.environ["ULOG"], "a") as stream:
            stream.write(text + "\\n")

    def put(self, local, remote):
        if os.environ.get("NO_PUT"):
            raise OSError("the line is broken")
        shutil.copy(local, pathlib.Path(os.environ["ULOG"]).with_name(remote))
"""


@dataclass
class Node:
    """A job's folder, and how the script there starts Python."""

    folder: Path
    transferred: bool = False
    options: tuple[str, ...] = ()
    store: Path | None = None
    variables: dict[str, str] = field(default_factory=dict)
    inside: Callable[[list[str]], list[str]] = field(default=lambda command: command)

    def assignment(self, do: str, *, steps: int = 10, kind: str = "train", **task: Any) -> Assignment:
        content = {"kind": kind, "label": f"test {do}", "parameters": {"do": do, "steps": steps}, **task}
        where = "store" if self.transferred else str(self.the_store.root)
        return Assignment(task=Task.model_validate(content), token="aa", store=where)

    @property
    def the_store(self) -> Store:
        return Store(self.store or self.folder.parent / "store")

    @property
    def state(self) -> Path:
        return self.folder / STATE

    @property
    def told(self) -> Path:
        """Where log and errors are."""
        return self.state if self.transferred else self.folder

    def command(self) -> list[str]:
        form = ["--transferred", "--delivery", SAVED_STATE] if self.transferred else ["--notes", NOTES_FILE]
        command = [sys.executable, "-m", "gridloom.worker.job", "task.json", *form, "--kinds", "node_kinds:KINDS"]
        return self.inside([*command, *self.options])

    def environment(self) -> dict[str, str]:
        chirp = self.folder.parent / "chirp"
        chirp.mkdir(exist_ok=True)
        (chirp / "htchirp.py").write_text(_CHIRP)
        paths = [str(SUPPORT), *([str(chirp)] if "NO_CHIRP" not in self.variables else [])]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("_CONDOR", "SLURM"))}
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(paths),
            "ULOG": str(self.folder.parent / "ulog"),
            **self.variables,
        }

    def run(self, job: Assignment) -> int:
        with self.start(job) as process:
            return process.wait(120)

    @contextmanager
    def start(self, job: Assignment) -> Iterator[subprocess.Popen[bytes]]:
        job.write(self.folder)
        with (self.folder.parent / "printed").open("ab") as stream:
            process = subprocess.Popen(
                self.command(), cwd=self.folder, env=self.environment(), stdout=stream, stderr=stream
            )
        with process:
            yield process
            if process.poll() is None:
                process.wait(60)

    def printed(self) -> str:
        return (self.folder.parent / "printed").read_text()

    def notes(self) -> list[Note]:
        path = self.folder.parent / "ulog" if self.transferred else self.folder / NOTES_FILE
        found = [parse_note(line) for line in path.read_bytes().splitlines()]
        assert all(found)
        return [note for note in found if note is not None]

    def heard(self) -> Heard:
        found = Heard()
        for note in self.notes():
            found.hear(note)
        return found

    def left(self) -> Note:
        left = self.notes()[-1]
        assert left.kind == "left"
        return left


@pytest.fixture(params=["shared", "transferred"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Node:
    folder = tmp_path / "job"
    folder.mkdir()
    return Node(folder, transferred=request.param == "transferred")


@pytest.fixture
def shared(tmp_path: Path) -> Node:
    (tmp_path / "job").mkdir()
    return Node(tmp_path / "job")


@pytest.fixture
def transferred(tmp_path: Path) -> Node:
    (tmp_path / "job").mkdir()
    return Node(tmp_path / "job", transferred=True)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def count_path(node: Node, job: Assignment) -> Path:
    return (node.state / SCRATCH if node.transferred else node.the_store.scratch(job.task.id)) / "count"


def count_of(node: Node, job: Assignment) -> int:
    path = count_path(node, job)
    return int(path.read_text()) if path.exists() else 0


def set_count(node: Node, job: Assignment, number: int) -> None:
    """Put a saved state forward, so that a test need not wait for its end."""
    assert count_of(node, job)
    count_path(node, job).write_text(str(number))


def is_in_its_task(node: Node) -> bool:
    """Whether the task's own process has begun."""
    return (node.told / LOG_FILE).exists()


# --- ends ---------------------------------------------------------------------------------------------------------
def test_a_job_that_is_done(node: Node) -> None:
    (node.told).mkdir(exist_ok=True)
    (node.told / ERROR_FILE).write_text("[]")
    job = node.assignment("print")
    before = time.time()
    assert node.run(job) == 0
    log = (node.told / LOG_FILE).read_text()
    assert sorted(log.splitlines()) == ["from Python", "from a compiled library", "from standard error"]
    assert not (node.told / ERROR_FILE).exists()
    began, left = node.notes()
    assert (began.kind, began.token, began.saved, bool(began.host)) == ("began", "aa", None, True)
    assert (left.kind, left.token, left.exit_code, left.reason) == ("left", "aa", 0, "")
    assert before < began.at <= left.at < time.time()
    assert left.memory_mb > 10
    assert node.printed() == ""
    if node.transferred:
        assert sorted(path.name for path in node.state.iterdir()) == [LOG_FILE, RESULT_FOLDER]
        (node.state / RESULT_FOLDER).rename(node.folder / "store" / job.task.id)
    store = Store(node.folder / "store") if node.transferred else node.the_store
    result = store.verify(job.task.id, fully=True)
    assert result is not None
    assert [output.path for output in result.outputs] == ["read.txt", "value.txt"]


def test_a_task_that_has_a_result_is_not_done_again(shared: Node) -> None:
    job = shared.assignment("write")
    assert shared.run(job) == 0
    made = shared.the_store.find(job.task.id)
    assert shared.run(job) == 0
    assert shared.the_store.find(job.task.id) == made


@pytest.mark.parametrize(
    ("do", "code", "kind", "words"),
    [
        ("fail", 32, EmptyClass, "class `s` has no events"),
        ("crash", 52, TaskFailed, "test crash failed: ValueError: the unforeseen"),
        ("leave", 52, TaskFailed, "SystemExit: 3"),
        ("unusable", 60, NodeProblem, "a library is missing on "),
    ],
)
def test_errors_come_out_with_their_exit_codes(do: str, code: int, kind: type, words: str, node: Node) -> None:
    assert node.run(node.assignment(do)) == code
    (error,) = read_errors(node.told)
    assert type(error) is kind
    assert words in error.what
    assert node.left().exit_code == code
    assert ("Traceback" in (node.told / LOG_FILE).read_text()) == (do in ("crash", "leave"))
    assert node.printed() == ""


def test_a_full_disk_is_the_nodes_fault_where_the_disk_is_its_own(node: Node) -> None:
    code = node.run(node.assignment("full"))
    (error,) = read_errors(node.told)
    if node.transferred:
        assert (code, type(error)) == (60, NodeProblem)
        assert "no space left on the disk on " in error.what
    else:
        assert (code, type(error)) == (50, DiskFull)


@pytest.mark.parametrize(
    ("do", "code", "reason"), [("die", 137, "ended by signal 9"), ("end", 3, ""), ("bigger", 137, "ended by signal 9")]
)
def test_a_task_whose_process_dies(do: str, code: int, reason: str, shared: Node) -> None:
    assert shared.run(shared.assignment(do)) == code
    left = shared.left()
    assert (left.exit_code, left.reason) == (code, reason)
    assert (left.memory_mb > 300) == (do == "bigger")
    if do == "end":
        assert (shared.told / LOG_FILE).read_text() == "last words\n"


def test_a_processor_without_the_instructions(node: Node) -> None:
    assert node.run(node.assignment("illegal")) == 60
    (error,) = read_errors(node.told)
    assert isinstance(error, NodeProblem)
    assert "lacks instructions" in error.what
    assert node.left().exit_code == 60


def test_another_environment_is_refused_before_it_makes_results(node: Node) -> None:
    planned = {**versions(), "numpy": "1.0", "keras": "2.0", "gridloom": "0.0"}
    job = node.assignment("write", environment="f" * 64).model_copy(update={"versions": planned})
    assert node.run(job) == 60
    (error,) = read_errors(node.told)
    assert isinstance(error, NodeProblem)
    assert f"numpy {versions()['numpy']} instead of 1.0" in error.what
    assert f"keras {versions()['keras']} instead of 2.0" in error.what
    assert "gridloom" not in error.what.replace("gridloom.", "")
    assert "scipy" not in error.what
    (left,) = node.notes()
    assert (left.kind, left.exit_code, left.reason) == ("left", 60, error.what)
    assert not is_in_its_task(node)


def test_the_environment_of_the_plan_is_accepted(shared: Node) -> None:
    job = shared.assignment("write", environment=environment_digest("train"))
    assert shared.run(job) == 0


@pytest.mark.parametrize("content", ["", "{", '{"task": 1}'])
def test_a_task_that_cannot_be_read(content: str, shared: Node) -> None:
    (shared.folder / "task.json").write_text(content)
    with subprocess.Popen(
        shared.command(), cwd=shared.folder, env=shared.environment(), stderr=subprocess.PIPE
    ) as process:
        _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (60, b"")
    (error,) = read_errors(shared.folder)
    assert "no task that a worker can read (task.json)" in error.what
    assert shared.left().exit_code == 60


def test_an_input_that_was_not_brought_is_the_nodes_fault(transferred: Node) -> None:
    assert transferred.run(transferred.assignment("write", inputs=("prepare-0123",))) == 60
    (error,) = read_errors(transferred.told)
    assert "the job cannot begin" in error.what
    assert "prepare-0123" in error.what


# --- saving and going on ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "reason"),
    [(signal.SIGTERM, "preempted"), (signal.SIGUSR2, "wall time")],
)
def test_a_signal_saves_and_the_next_start_goes_on(number: int, reason: str, node: Node) -> None:
    """In the same folder: of a shared file system, or of what HTCondor brings along."""
    job = node.assignment("steps", steps=2000)
    with node.start(job) as process:
        until(lambda: count_of(node, job) > 5)
        process.send_signal(number)
        assert process.wait(60) == 143
    assert 5 < count_of(node, job) < 2000
    left = node.left()
    assert (left.reason, left.exit_code) == (reason, 143)
    assert left.saved is not None
    assert abs(left.saved - left.at) < 20
    if node.transferred:
        assert abs(json.loads((node.state / "left.json").read_text())["saved"] - left.saved) < 0.1
        assert not (node.folder.parent / SAVED_STATE).exists()
    set_count(node, job, 1995)
    assert node.run(job) == 0
    result = node.state / RESULT_FOLDER if node.transferred else node.the_store.folder(job.task.id)
    assert int((result / "first.txt").read_text()) == 1995
    began = [note for note in node.notes() if note.kind == "began"]
    assert len(began) == 2
    assert began[1].saved is not None
    assert abs(began[1].saved - left.saved) < 20
    heard = node.heard()
    assert heard.restarts == 1
    assert heard.lost_seconds is not None
    assert heard.lost_seconds < 20
    assert heard.progress is not None
    assert not node.state.joinpath(SCRATCH).exists()


def test_a_burst_of_signals_is_one_request(shared: Node) -> None:
    """Slurm signals every process of a job, and its parent passes on what it hears."""
    shared.options = ("--grace", "100")
    job = shared.assignment("steps", steps=2000)
    with shared.start(job) as process:
        until(lambda: count_of(shared, job) > 2)
        for _ in range(200):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGUSR2)
        assert process.wait(60) == 143
    assert count_of(shared, job) > 2
    assert shared.left().saved is not None
    assert shared.left().reason in ("preempted", "wall time")


def test_a_removed_job_delivers_its_state(transferred: Node) -> None:
    """HTCondor brings nothing back of a job that is removed: the state goes as one file, and is a state elsewhere."""
    job = transferred.assignment("steps", steps=2000)
    with transferred.start(job) as process:
        until(lambda: count_of(transferred, job) > 5)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 143
    saved = count_of(transferred, job)
    delivered = transferred.folder.parent / SAVED_STATE
    with tarfile.open(delivered) as archive:
        names = set(archive.getnames())
        assert {f"{STATE}/{SCRATCH}/count", f"{STATE}/left.json", f"{STATE}/{LOG_FILE}"} <= names
        archive.extractall(delivered.parent / "home", filter="data")
    assert int((delivered.parent / "home" / STATE / SCRATCH / "count").read_text()) == saved
    assert transferred.left().reason == "removed"


def test_a_state_that_cannot_be_delivered_is_no_failure(transferred: Node) -> None:
    transferred.variables["NO_PUT"] = "1"
    job = transferred.assignment("steps", steps=2000)
    with transferred.start(job) as process:
        until(lambda: count_of(transferred, job) > 5)
        process.send_signal(signal.SIGUSR1)
        assert process.wait(60) == 143
    assert "could not tell the submitting side: OSError: the line is broken" in transferred.printed()
    assert transferred.left().exit_code == 143


def test_planned_saves_bring_a_training_to_its_end(node: Node) -> None:
    """85, and a start in place that goes on: a few times, and nothing of it counts as an eviction."""
    node.options = ("--planned", "0.3")
    job = node.assignment("steps", steps=30)
    codes = [node.run(job)]
    while codes[-1] == 85 and len(codes) < 9:
        left = node.left()
        assert (left.reason, left.exit_code) == ("planned", 85)
        codes.append(node.run(job))
    assert codes[-1] == 0
    assert len(codes) > 1
    assert (node.heard().restarts, node.heard().lost_seconds) == (0, None)


@pytest.mark.parametrize("kind", ["prepare", "evaluate"])
def test_a_task_that_saves_nothing_is_not_interrupted_by_plan(kind: str, transferred: Node) -> None:
    """It would begin again each time, and never end."""
    transferred.options = ("--planned", "0.1")
    assert transferred.run(transferred.assignment("steps", steps=35, kind=kind)) == 0


def test_the_wall_time_is_heeded_by_the_job_itself(shared: Node) -> None:
    shared.options = ("--wall", "1", "--grace", "0.2")
    job = shared.assignment("steps", steps=2000)
    assert shared.run(job) == 143
    assert shared.left().reason == "wall time"
    assert count_of(shared, job) > 5


def test_exit_codes_are_those_of_the_wrapper(shared: Node) -> None:
    shared.options = ("--wall", "0.5", "--grace", "0.1", "--saved-exit", "77")
    assert shared.run(shared.assignment("steps", steps=2000)) == 77
    shared.options = ("--planned", "0.3", "--planned-exit", "78")
    assert shared.run(shared.assignment("steps", steps=2000)) == 78


def test_a_task_that_does_not_listen_is_ended_in_time(node: Node) -> None:
    """Its last save is what the next attempt goes on from."""
    node.options = ("--grace", "1")
    job = node.assignment("deaf")
    with node.start(job) as process:
        until(lambda: count_of(node, job) == 1)
        saved_at = time.time()
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 143  # it would have slept for a minute
    left = node.left()
    assert left.reason == "preempted"
    assert left.saved is not None
    assert left.saved < saved_at + 0.1
    assert count_of(node, job) == 1


def test_the_task_does_not_outlive_its_parent(shared: Node) -> None:
    job = shared.assignment("steps", steps=3000)
    with shared.start(job) as process:
        until(lambda: count_of(shared, job) > 2)
        process.kill()
    time.sleep(0.2)
    saved = count_of(shared, job)
    time.sleep(0.2)
    assert count_of(shared, job) == saved


# --- without a shared folder ------------------------------------------------------------------------------------------
def test_all_that_is_brought_is_found(transferred: Node) -> None:
    folder = transferred.folder
    before = Node(folder.parent / "before", transferred=True)
    before.folder.mkdir()
    first = before.assignment("write", kind="prepare")
    assert before.run(first) == 0
    (before.state / RESULT_FOLDER).rename(folder / first.task.id)
    (folder / "input-0-a-b.root").write_text("events")
    (folder / "input-1-friend.root").write_text("friends")
    (folder / "code").mkdir()
    (folder / "code" / "own_module.py").write_text("TEXT = 'the copy'\n")
    file = InputFile(
        path='/data/a, "b".root',
        uuid="u",
        size=1,
        entries=1,
        friends=("/data/friend.root", "root://eos//remote.root"),
        copies={'/data/a, "b".root': "input-0-a-b.root", "/data/friend.root": "input-1-friend.root"},
    )
    job = transferred.assignment(
        "where", inputs=(first.task.id,), files=(file,), folder="/not/here", resources=Resources(cores=3)
    )
    assert transferred.run(job) == 0
    found = json.loads((transferred.state / RESULT_FOLDER / "found.json").read_text())
    assert found == {
        "files": {'/data/a, "b".root': "events", "/data/friend.root": "friends"},
        "inputs": {first.task.id: "test write\n"},
        "own": "the copy",
        "threads": "3",
    }
    # Started again in the same place: what has been moved is found where it is.
    shutil.rmtree(transferred.state)
    shutil.rmtree(folder / "store" / job.task.id, ignore_errors=True)
    assert transferred.run(job) == 0


def test_a_state_of_the_store_is_taken_over_unless_there_is_a_newer_one(transferred: Node) -> None:
    job = transferred.assignment("steps", steps=30)
    brought = transferred.folder / f"{job.task.id}.scratch"
    brought.mkdir()
    (brought / "count").write_text("20")
    with transferred.start(job) as process:
        until(lambda: count_of(transferred, job) > 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    saved = count_of(transferred, job)
    # HTCondor brings both again: the job's own is newer.
    brought.mkdir()
    (brought / "count").write_text("3")
    assert transferred.run(job) == 0
    assert int((transferred.state / RESULT_FOLDER / "first.txt").read_text()) == saved


def test_without_chirp_the_job_goes_on(transferred: Node) -> None:
    """The real module finds no line to the submitting side, or there is no module."""
    transferred.variables["NO_CHIRP"] = "1"
    assert transferred.run(transferred.assignment("write")) == 0
    assert (transferred.state / RESULT_FOLDER / "value.txt").exists()
    printed = transferred.printed().splitlines()
    assert len(printed) == 2
    assert all(line.startswith("could not tell the submitting side: ") for line in printed)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The state of before stays whole, and the submitting side hears why the job left."""
    with small_disk() as disk:
        folder = disk.seen / "job"
        folder.mkdir()
        node = Node(folder, transferred=True, inside=disk.inside)
        node.variables["ULOG"] = str(tmp_path / "ulog")
        job = node.assignment("fill")
        disk.leave(3_000_000)
        assert node.run(job) == 60
        said = [note for line in (tmp_path / "ulog").read_bytes().splitlines() if (note := parse_note(line))]
        assert [note.kind for note in said] == ["began", "left"]
        assert said[1].exit_code == 60
