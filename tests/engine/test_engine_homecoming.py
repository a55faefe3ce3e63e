"""What comes back from a node without a shared folder: logs to the job's folder, results and states to the store."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from batch_jobs import job
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom.assignment import ERROR_FILE, LOG_FILE, RESULT_FOLDER, SAVED_STATE, SCRATCH, STATE
from gridloom.engines.homecoming import bring_log_home, bring_work_home
from gridloom.files import write_json
from gridloom.results import RESULT, Result, Store, list_outputs

TASK = job().task.id


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A job's folder on the submitting machine, with what every job brings back."""
    folder = tmp_path / "logs" / "train-aa"
    (folder / STATE / SCRATCH).mkdir(parents=True)
    (folder / STATE / LOG_FILE).write_text("printed")
    (folder / STATE / ERROR_FILE).write_text("[]")
    return folder


def result_of(folder: Path, task: str = TASK) -> Result:
    return Result(
        task=task,
        kind="train",
        label="train",
        token="aa",
        outputs=list_outputs(folder),
        host="node1",
        user="me",
        started=1.0,
        seconds=2.0,
        versions={},
    )


def make_result(home: Path, task: str = TASK) -> Path:
    """A finished result in what was brought back, as a worker leaves it."""
    folder = home / STATE / RESULT_FOLDER
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "model.txt").write_text("weights")
    write_json(folder / RESULT, result_of(folder, task).model_dump(mode="json"))
    return folder


def test_a_result_comes_into_the_store(home: Path, store: Store) -> None:
    folder = make_result(home)
    # Another disk, and another time of change than the one written down.
    os.utime(folder / "deep" / "model.txt", ns=(1, 1))
    assert bring_work_home(home, store, TASK, "aa") is None
    assert (home / LOG_FILE).read_text() == "printed"
    assert (home / ERROR_FILE).read_text() == "[]"
    assert not (home / STATE).exists()
    found = store.verify(TASK, fully=True)
    assert found is not None
    assert found.host == "node1"
    assert [output.changed_ns for output in found.outputs] == [1]
    assert [path.name for path in store.entries()] == [TASK]
    # Asked again, there is nothing to be done.
    assert bring_work_home(home, store, TASK, "aa") is None
    assert store.verify(TASK, fully=True) == found


def test_the_first_result_of_a_task_wins(home: Path, store: Store) -> None:
    make_result(home)
    assert bring_work_home(home, store, TASK, "aa") is None
    first = store.find(TASK)
    make_result(home)
    assert bring_work_home(home, store, TASK, "bb") is None
    assert store.find(TASK) == first
    assert [path.name for path in store.entries()] == [TASK]


def corrupt(folder: Path) -> None:
    (folder / "deep" / "model.txt").write_text("WEIGHTS")


def truncate(folder: Path) -> None:
    (folder / "deep" / "model.txt").write_text("wei")


def lose(folder: Path) -> None:
    (folder / "deep" / "model.txt").unlink()


def lose_the_end(folder: Path) -> None:
    (folder / RESULT).unlink()


def cut_the_end(folder: Path) -> None:
    (folder / RESULT).write_bytes((folder / RESULT).read_bytes()[:-20])


def lead_out(folder: Path) -> None:
    text = (folder / RESULT).read_text()
    (folder.parent / "outside").write_text("weights")
    (folder / RESULT).write_text(text.replace("deep/model.txt", "../outside"))


def be_another(folder: Path) -> None:
    text = (folder / RESULT).read_text()
    (folder / RESULT).write_text(text.replace(TASK, "train-00000000000000000000"))


def link_a_file(folder: Path) -> None:
    (folder / "deep" / "model.txt").rename(folder.parent / "elsewhere")
    (folder / "deep" / "model.txt").symlink_to("../../elsewhere")


def link_a_folder(folder: Path) -> None:
    (folder / "deep").rename(folder.parent / "elsewhere")
    (folder / "deep").symlink_to("../elsewhere")


def link_all(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (corrupt, "disagrees with its digest"),
        (truncate, "3 bytes"),
        (lose, "missing"),
        (lose_the_end, "no readable result.json"),
        (cut_the_end, "no readable result.json"),
        (lead_out, "no readable result.json"),
        (be_another, "is one of train-00000000000000000000"),
        (link_a_file, "missing"),
        (link_a_folder, "missing"),
        (link_all, "link"),
    ],
)
def test_a_damaged_result_stays_outside_and_can_be_looked_at(
    damage: Callable[[Path], None], words: str, home: Path, store: Store
) -> None:
    damage(make_result(home))
    error = bring_work_home(home, store, TASK, "aa")
    assert error is not None
    assert words in error.what
    assert store.find(TASK) is None
    assert store.entries() == ()
    aside = home / "damaged-aa"
    assert aside.exists() or aside.is_symlink()
    assert error.where.startswith(str(aside))
    assert (home / LOG_FILE).read_text() == "printed"


def test_what_a_result_does_not_list_does_not_come_into_the_store(home: Path, store: Store) -> None:
    folder = make_result(home)
    (folder / "more.txt").write_text("unasked")
    (folder / "link").symlink_to("/etc/passwd")
    assert bring_work_home(home, store, TASK, "aa") is None
    assert sorted(path.name for path in store.folder(TASK).rglob("*")) == ["deep", "model.txt", RESULT]


def test_a_state_comes_where_the_next_attempt_goes_on(home: Path, store: Store) -> None:
    (home / STATE / SCRATCH / "count").write_text("7")
    assert not store.has_state(TASK)
    store.scratch(TASK).mkdir(parents=True)
    assert not store.has_state(TASK)
    (store.scratch(TASK) / "older").write_text("3")
    assert store.has_state(TASK)
    assert bring_work_home(home, store, TASK, "aa") is None
    assert [path.name for path in store.scratch(TASK).iterdir()] == ["count"]
    assert store.has_state(TASK)
    assert not (home / STATE).exists()


def test_a_job_that_saved_nothing_leaves_the_state_there_is(home: Path, store: Store) -> None:
    store.scratch(TASK).mkdir(parents=True)
    (store.scratch(TASK) / "count").write_text("3")
    assert bring_work_home(home, store, TASK, "aa") is None
    assert (store.scratch(TASK) / "count").read_text() == "3"


def test_a_state_does_not_disturb_an_attempt_that_is_under_way(home: Path, store: Store) -> None:
    (home / STATE / SCRATCH / "count").write_text("7")
    with store.work(TASK, "bb", lambda: False):
        (store.scratch(TASK) / "count").write_text("9")
        assert not store.keep_scratch(home / STATE / SCRATCH, TASK)
        assert (store.scratch(TASK) / "count").read_text() == "9"


def test_logs_come_home_while_the_state_stays(home: Path) -> None:
    (home / STATE / SCRATCH / "count").write_text("7")
    for _ in range(2):
        bring_log_home(home)
        assert (home / LOG_FILE).read_text() == "printed"
        assert (home / STATE / SCRATCH / "count").read_text() == "7"
    bring_log_home(home.parent / "no such job")


# --- the state of a removed job comes as one file ---------------------------------------------------------------------
def packed(home: Path) -> bytes:
    """What `Sandbox.packed_state` sends; the folder is then as on the submitting side: without a state."""
    (home / STATE / SCRATCH / "count").write_text("7" * 3000)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(home / STATE, arcname=STATE)
    return stream.getvalue()


def test_a_packed_state_is_a_state(home: Path, store: Store) -> None:
    content = packed(home)
    (home / STATE / LOG_FILE).write_text("older")
    (home / SAVED_STATE).write_bytes(content)
    assert bring_work_home(home, store, TASK, "aa") is None
    assert (store.scratch(TASK) / "count").read_text() == "7" * 3000
    assert (home / LOG_FILE).read_text() == "printed"
    assert not (home / SAVED_STATE).exists()


def test_a_state_cut_off_on_its_way_counts_for_nothing(home: Path, store: Store) -> None:
    """Wherever it was cut, the state of before is what there is, whole."""
    content = packed(home)
    for size in (*range(0, len(content), 256), len(content) - 1):
        store.scratch(TASK).mkdir(parents=True, exist_ok=True)
        (store.scratch(TASK) / "count").write_text("3")
        (home / SAVED_STATE).write_bytes(content[:size])
        assert bring_work_home(home, store, TASK, "aa") is None
        assert (store.scratch(TASK) / "count").read_text() == "3", size
        assert not (home / SAVED_STATE).exists()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, target
    return found


@pytest.mark.parametrize(
    "members",
    [
        [member("../../evil")],
        [member(f"{STATE}/scratch/../../../../evil")],
        [member(f"{STATE}/out", tarfile.SYMTYPE, "../../.."), member(f"{STATE}/out/evil")],
        [member(f"{STATE}/scratch/out", tarfile.SYMTYPE, "/etc")],
        [member(f"{STATE}/scratch/device", tarfile.CHRTYPE)],
        [member(f"{STATE}/scratch/pipe", tarfile.FIFOTYPE)],
    ],
)
def test_names_that_lead_out_are_refused(members: list[tarfile.TarInfo], home: Path, store: Store) -> None:
    with tarfile.open(home / SAVED_STATE, "w") as archive:
        archive.addfile(member(f"{STATE}/scratch/count"), io.BytesIO())
        for one in members:
            archive.addfile(one)
    assert bring_work_home(home, store, TASK, "aa") is None
    assert not list(home.parent.parent.rglob("evil"))
    assert not store.has_state(TASK)
    assert not (home / SAVED_STATE).exists()


def test_an_absolute_name_is_one_below_the_folder(home: Path, tmp_path: Path) -> None:
    with tarfile.open(home / SAVED_STATE, "w") as archive:
        archive.addfile(member(str(tmp_path / "evil")))
    bring_log_home(home)
    assert not (tmp_path / "evil").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_damage_of_an_archive_stops_the_driver(data: st.DataObject, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / STATE / SCRATCH).mkdir(parents=True, exist_ok=True)
    content = bytearray(packed(home))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, 2048))] = data.draw(st.integers(0, 255))
    (home / SAVED_STATE).write_bytes(content)
    bring_log_home(home)
    assert not (home / SAVED_STATE).exists()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=2000), magic=st.sampled_from([b"", b"\x1f\x8b\x08\0", b"BZh9", b"\xfd7zXZ\0\0\4"]))
def test_no_archive_at_all_stops_the_driver(content: bytes, magic: bytes, tmp_path: Path) -> None:
    size = len(magic + content) // tarfile.RECORDSIZE * tarfile.RECORDSIZE + 2 * tarfile.RECORDSIZE
    (tmp_path / SAVED_STATE).write_bytes((magic + content).ljust(size, b"\0"))
    bring_log_home(tmp_path)
    assert not (tmp_path / SAVED_STATE).exists()
