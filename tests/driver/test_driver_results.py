"""The store: whole results or none, the first one wins, damage is seen, `clean` keeps what is used."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from gridloom.errors import DamagedResult, DiskFull, Interrupted, RunLocked
from gridloom.results import RESULT, Result, Store, list_outputs

TASK = "train-0123456789"


def never() -> bool:
    return False


def result_of(attempt: Path, token: str = "aa", task: str = TASK) -> Result:
    return Result(
        task=task,
        kind="train",
        label="train fold 0",
        token=token,
        outputs=list_outputs(attempt),
        host="here",
        user="me",
        started=1.0,
        seconds=2.0,
        versions={"numpy": "2"},
    )


def make(store: Store, task: str = TASK, token: str = "aa", text: str = "weights") -> Result:
    with store.work(task, token, never) as attempt:
        assert attempt is not None
        (attempt / "deep").mkdir()
        (attempt / "deep" / "model.txt").write_text(text)
        return store.finish(attempt, result_of(attempt, token, task))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_finished_result_is_found_whole(store: Store) -> None:
    assert store.find(TASK) is None
    assert store.verify(TASK) is None
    made = make(store)
    assert store.find(TASK) == made
    assert store.verify(TASK, fully=True) == made
    assert [(output.path, output.size) for output in made.outputs] == [("deep/model.txt", 7)]
    assert [path.name for path in store.entries()] == [TASK]


def test_an_attempt_that_fails_leaves_only_its_scratch(store: Store) -> None:
    def fail() -> None:
        with store.work(TASK, "aa", never) as attempt:
            assert attempt is not None
            (store.scratch(TASK) / "checkpoint").write_text("state")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert [path.name for path in store.entries()] == [f"{TASK}.scratch"]
    make(store)
    assert [path.name for path in store.entries()] == [TASK]


def test_what_a_killed_attempt_left_is_removed_by_the_next(store: Store) -> None:
    store.attempt(TASK, "dead").mkdir(parents=True)
    (store.attempt(TASK, "dead") / "half.npy").write_text("half")
    make(store)
    assert [path.name for path in store.entries()] == [TASK]


def test_a_task_with_a_result_is_not_done_again(store: Store) -> None:
    make(store)
    with store.work(TASK, "bb", never) as attempt:
        assert attempt is None


def test_the_first_result_wins(store: Store) -> None:
    with store.work(TASK, "aa", never) as attempt:
        assert attempt is not None
        other = store.attempt(TASK, "other")
        other.mkdir()
        first = store.finish(other, result_of(other, "other"))
        assert store.finish(attempt, result_of(attempt)) == first
    assert [path.name for path in store.entries()] == [TASK]


def test_two_workers_on_one_task_take_turns(store: Store) -> None:
    seen: list[Path | None] = []

    def second() -> None:
        with store.work(TASK, "bb", never) as attempt:
            seen.append(attempt)

    with store.work(TASK, "aa", never) as attempt:
        assert attempt is not None
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        assert seen == []
        store.finish(attempt, result_of(attempt))
    thread.join(10)
    assert seen == [None]


def test_a_waiting_worker_hears_stop(store: Store) -> None:
    with store.work(TASK, "aa", never), pytest.raises(Interrupted), store.work(TASK, "bb", lambda: True):
        raise AssertionError


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda path: path.write_text("WEIGHTS"), "digest"),
        (lambda path: path.write_text("longer weights"), "14 bytes"),
        (lambda path: path.unlink(), "missing"),
        (lambda path: (path.parent.parent / RESULT).write_text("{"), "cannot be read"),
        (lambda path: (path.parent.parent / RESULT).unlink(), "no result.json"),
    ],
)
def test_damage_is_seen_and_set_aside(store: Store, damage: object, text: str) -> None:
    make(store)
    assert callable(damage)
    damage(store.folder(TASK) / "deep" / "model.txt")
    with pytest.raises(DamagedResult, match=text):
        store.verify(TASK)
    aside = store.quarantine(TASK, "cc")
    assert aside.is_dir()
    assert store.verify(TASK) is None


def test_swapped_results_are_damage(store: Store) -> None:
    make(store)
    make(store, "train-other")
    store.folder(TASK).rename(store.root / "aside")
    store.folder("train-other").rename(store.folder(TASK))
    with pytest.raises(DamagedResult, match="another task, train-other"):
        store.verify(TASK)


def test_damage_behind_an_unchanged_time_needs_a_full_look(store: Store) -> None:
    made = make(store)
    path = store.folder(TASK) / "deep" / "model.txt"
    path.write_text("WEIGHTS")
    os.utime(path, ns=(made.outputs[0].changed_ns, made.outputs[0].changed_ns))
    assert store.verify(TASK) == made
    with pytest.raises(DamagedResult, match="digest"):
        store.verify(TASK, fully=True)


def test_a_copied_store_is_sound(store: Store) -> None:
    made = make(store)
    os.utime(store.folder(TASK) / "deep" / "model.txt", ns=(1, 1))
    assert store.verify(TASK) == made


def test_clean_keeps_what_is_referred_to_and_what_is_being_made(store: Store) -> None:
    make(store, "train-kept")
    make(store, "train-old")
    store.attempt("train-kept", "dead").mkdir()
    store.scratch("train-kept").mkdir()
    store.scratch("train-gone").mkdir()
    with store.work("train-live", "aa", never):
        named = {removed.name for removed in store.clean({"train-kept"}, dry_run=True)}
        assert named == {"train-old", "train-kept.attempt-dead", "train-gone.scratch"}
        removed = store.clean({"train-kept"})
        assert {one.name for one in removed} == named
        assert sum(one.size for one in removed) > 7
        left = {path.name for path in store.entries()}
        assert left == {"train-kept", "train-kept.scratch", "train-live.scratch", "train-live.attempt-aa"}


def test_clean_and_a_beginning_run_hold_each_other_off(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom.results._SHORT", 0.2)
    with store.referring(), store.referring(), pytest.raises(RunLocked), store.cleaning():
        raise AssertionError
    with store.cleaning():
        pass


def test_a_full_disk_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DiskFull):
        make(store)
    assert store.find(TASK) is None


def test_a_scratch_folder_replaced_meanwhile_is_taken_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the former holder may remove the folder and another one be made."""
    real = fcntl.flock
    turns: list[int] = []

    def slow(handle: int, how: int) -> None:
        turns.append(how)
        if len(turns) == 1:
            store.scratch(TASK).rmdir()
        real(handle, how)

    monkeypatch.setattr("gridloom.results.fcntl.flock", slow)
    make(store)
    assert len(turns) >= 2
