"""What a job knows of its node and its place, and how it is heard."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import pytest
from batch_jobs import job

from gridloom.environment import environment_digest, versions
from gridloom.errors import NodeProblem
from gridloom.messages import Note, Step
from gridloom.worker import node
from gridloom.worker.channel import Chirp, NotesFile, pace, quietly
from gridloom.worker.sandbox import Sandbox, newest_change

CONDOR, SLURM = "_CONDOR_MACHINE_AD", ("SLURMD_NODENAME", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_ID")


@pytest.fixture(autouse=True)
def no_batch_system(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CONDOR, *SLURM):
        monkeypatch.delenv(name, raising=False)


# --- the node ---------------------------------------------------------------------------------------------------------
def test_a_nodes_name_is_the_batch_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.host() == socket.gethostname()
    monkeypatch.setenv("SLURMD_NODENAME", "node7")
    assert node.host() == "node7"
    ad = tmp_path / ".machine.ad"
    monkeypatch.setenv(CONDOR, str(ad))
    assert node.host() == "node7"  # a name of a file that is not there
    ad.write_text('Name = "slot1@other"\nMachine = "b7s01p1.cern.ch"\nMachineMaxVacateTime = 600\n')
    assert node.host() == "b7s01p1.cern.ch"
    ad.write_bytes(b"\xff\xfe")
    assert node.host() == "node7"


def test_a_jobs_name_is_the_batch_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.job_id() == ""
    monkeypatch.setenv("SLURM_JOB_ID", "61")
    assert node.job_id() == "61"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "54")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert node.job_id() == "54_3"


def test_what_differs_between_plan_and_node_is_told() -> None:
    here = versions()
    node.check(job())  # nothing was planned
    node.check(job(environment=environment_digest("train")))
    wrong = job(environment="f" * 64)
    with pytest.raises(NodeProblem, match="another architecture"):
        node.check(wrong.model_copy(update={"versions": here}))
    planned = {**here, "numpy": "0.1", "not_there": "3"}
    with pytest.raises(NodeProblem) as caught:
        node.check(wrong.model_copy(update={"versions": planned}))
    assert f"numpy {here['numpy']} instead of 0.1, not_there missing instead of 3" in caught.value.what
    assert "python:" in caught.value.fix


def test_the_users_packages_must_be_those_of_the_plan() -> None:
    own: dict[str, Any] = {"parameters": {"analysis": {"packages": ["no-such-package", "rich"]}}}
    node.check(job(environment=environment_digest("train", ("no-such-package", "rich")), **own))
    node.check(job(environment=environment_digest("reference"), kind="reference", **own))
    planned = {**versions(("rich",)), "no-such-package": "1.0"}
    with pytest.raises(NodeProblem, match=r": no-such-package missing instead of 1\.0\n"):
        node.check(job(environment="f" * 64, **own).model_copy(update={"versions": planned}))


# --- being heard ------------------------------------------------------------------------------------------------------
def test_notes_are_lines_of_a_file(tmp_path: Path) -> None:
    channel = NotesFile(tmp_path / "notes.jsonl")
    notes = [Note(kind="began", at=1, host="a\nb"), Note(kind="left", at=2, exit_code=0)]
    for note in notes:
        channel.tell(note)
    lines = (tmp_path / "notes.jsonl").read_bytes().splitlines()
    assert [Note.model_validate_json(line) for line in lines] == notes
    channel.deliver(tmp_path / "nothing to deliver")


@pytest.fixture
def chirped(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What the module for chirp was asked to do."""
    told: list[tuple[str, ...]] = []

    class HTChirp:
        def __init__(self, timeout: float = 10) -> None:
            assert timeout <= 10

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            told.append(("closed",))

        def ulog(self, text: str) -> None:
            told.append(("ulog", text))

        def put(self, local: str, remote: str) -> None:
            told.append(("put", local, remote))

    module: Any = ModuleType("htchirp")
    module.HTChirp = HTChirp
    monkeypatch.setitem(sys.modules, "htchirp", module)
    return told


def test_notes_go_through_chirp_on_one_line(chirped: list[tuple[str, ...]], tmp_path: Path) -> None:
    note = Note(kind="left", at=2, exit_code=1, reason="two\nlines")
    Chirp("saved.tar").tell(note)
    Chirp("saved.tar").deliver(tmp_path / "a.tar")
    (_, text), closed, put, _ = chirped
    assert "\n" not in text
    assert Note.model_validate_json(text) == note
    assert closed == ("closed",)
    assert put == ("put", str(tmp_path / "a.tar"), "saved.tar")


@pytest.mark.parametrize("letter", ["x", "ü", "素"])
def test_the_event_log_takes_only_short_notes(letter: str, chirped: list[tuple[str, ...]]) -> None:
    step = Step(done=1, total=2, text="t" * 100)
    for reason in (letter * 5000, letter * 600):
        Chirp("").tell(Note(kind="left", at=2, host="node1", exit_code=60, reason=reason, step=step))
    for told in chirped[::2]:
        assert len(told[1].encode()) <= 900
        note = Note.model_validate_json(told[1])
        assert (note.exit_code, note.host) == (60, "node1")
        assert note.reason.startswith(letter * 100)


def test_a_broken_line_is_said_and_no_more(capfd: pytest.CaptureFixture[str]) -> None:
    quietly(lambda: (_ for _ in ()).throw(OSError("the line is broken")))
    assert capfd.readouterr().err == "could not tell the submitting side: OSError: the line is broken\n"


def test_not_even_saying_so_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job prints may lie on the disk that is full."""

    def full(handle: int, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    quietly(lambda: Path("/no/such/file").unlink())


@pytest.mark.parametrize(
    ("running", "seconds"), [(0, 2), (59, 2), (60, 10), (599, 10), (600, 30), (3599, 30), (3600, 60), (1e6, 60)]
)
def test_a_job_speaks_the_less_the_longer_it_runs(running: float, seconds: float) -> None:
    assert pace(running) == seconds


# --- its place --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "saved"),
    [
        ('{"saved": 12.5}', 12.5),
        ('{"saved": null}', None),
        ("{", None),
        ("{}", None),
        ('{"saved": 0}', 0.0),
        (None, None),
    ],
)
def test_when_the_state_was_saved(content: str | None, saved: float | None, tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    if content is not None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "left.json").write_text(content)
    assert sandbox.saved == saved


def test_a_state_says_when_it_was_saved(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path)
    (tmp_path / "state").mkdir()
    sandbox.keep_state(7.5)
    assert Sandbox(tmp_path).saved == 7.5
    assert json.loads((tmp_path / "state" / "left.json").read_text()) == {"saved": 7.5}
    assert sandbox.entered <= time.time()


def test_a_sandbox_is_laid_out_again_without_harm(tmp_path: Path) -> None:
    """After a planned save the job starts in the same folder."""
    one = job(inputs=("prepare-0",), folder="/home/me")
    (tmp_path / "prepare-0").mkdir()
    for _ in range(2):
        found = Sandbox(tmp_path).stage_in(one)
        assert found.store == str(tmp_path / "store")
        assert found.task.folder == "/home/me"
        assert (tmp_path / "store" / "prepare-0").is_dir()
        scratch = tmp_path / "store" / f"{one.task.id}.scratch"
        assert scratch.resolve() == tmp_path / "state" / "scratch"


def test_the_newest_change(tmp_path: Path) -> None:
    assert newest_change(tmp_path) is None
    assert newest_change(tmp_path / "nowhere") is None
    (tmp_path / "deep").mkdir()
    for name, at in (("a", 10), ("deep/b", 30), ("c", 20)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (at, at))
    assert newest_change(tmp_path) == 30


def test_what_vanishes_while_it_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another job may still be on the task: it writes into the same folder of a shared file system."""
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    real = Path.is_file

    def is_file(path: Path) -> bool:
        found = real(path)
        if path.name == "b":
            path.unlink()
        return found

    monkeypatch.setattr(Path, "is_file", is_file)
    newest_change(tmp_path)
    assert not (tmp_path / "b").exists()
