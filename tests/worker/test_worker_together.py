"""Workers in processes of their own that prepare the same events at once, or take events from an earlier result."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tasks import dumped

from gridloom.analysis.models import Analysis
from gridloom.assignment import Assignment
from gridloom.data.scan import scan
from gridloom.data.shard import Shard
from gridloom.driver.donors import Donors
from gridloom.origin import ORIGIN
from gridloom.results import Store
from gridloom.task import Task
from gridloom.testing.ntuples import write_sample

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "together",
    "samples": {
        "signal": {"files": "a.root", "class": "s", "weight": "genWeight"},
        "background": {"files": "a.root", "class": "b", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt"],
    "target": {"signal": "s"},
    "folds": 3,
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    write_sample(tmp_path / "a.root", events=20_000, seed=1, basket_entries=500)
    return Store(tmp_path / "store")


def task_of(folder: Path, **changes: Any) -> Task:
    analysis = Analysis.model_validate(CONTENT | changes)
    return Task(
        kind="prepare",
        label="prepare signal",
        parameters={"analysis": dumped(analysis), "sample": "signal"},
        files=scan(analysis, folder).samples["signal"].files,
    )


def start(store: Store, task: Task, token: str, donor: str = "") -> subprocess.Popen[str]:
    path = Assignment(task=task, token=token, store=str(store.root), donor=donor).write(store.root.parent / token)
    return subprocess.Popen(
        [sys.executable, "-m", "gridloom.worker", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str]) -> str:
    """What it said; it must have done its task."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors


def names(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir())


def test_processes_on_one_task_leave_one_whole_result(store: Store) -> None:
    task = task_of(store.root.parent)
    processes = [start(store, task, f"token{number}") for number in range(3)]
    for process in processes:
        told(process)
    assert names(store) == [task.id]
    result = store.verify(task.id, fully=True)
    assert result is not None
    assert result.token in {"token0", "token1", "token2"}
    assert len(Shard.open(store.folder(task.id))) == 20_000


def test_a_killed_one_is_followed_by_the_other(store: Store) -> None:
    task = task_of(store.root.parent)
    first = start(store, task, "first")
    deadline = time.monotonic() + 60
    while not store.attempt(task.id, "first").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    second = start(store, task, "second")
    first.kill()
    first.communicate(timeout=60)
    told(second)
    assert names(store) == [task.id]
    assert len(Shard.open(store.folder(task.id))) == 20_000


def test_events_are_taken_from_the_result_that_the_driver_finds(store: Store) -> None:
    task = task_of(store.root.parent)
    told(start(store, task, "first"))
    other = task_of(store.root.parent, folds=4, features=["MET_pt", "Lepton_pt", "Lepton_eta"])
    told(start(store, other, "other"))
    poor = task_of(store.root.parent, features=["MET_pt"])
    told(start(store, poor, "poor"))
    more = task_of(store.root.parent, features=["Lepton_pt", "Lepton_eta", "MET_pt"])
    donors = Donors(store)
    assert donors.of(more) == task.id
    assert Donors(Store(store.root / "none")).of(more) == ""
    assert more.id == task_of(store.root.parent, features=["Lepton_pt", "Lepton_eta", "MET_pt"]).id
    said = told(start(store, more, "more", donors.of(more)))
    assert f"read 1 of 3 features, 2 from {task.id}" in said
    alone = Store(store.root.parent / "alone")
    told(start(alone, more, "alone"))
    for path in alone.folder(more.id).iterdir():
        if path.name != "result.json":
            assert path.read_bytes() == (store.folder(more.id) / path.name).read_bytes(), path.name


def test_a_result_without_a_readable_origin_is_no_donor(store: Store) -> None:
    task = task_of(store.root.parent)
    told(start(store, task, "first"))
    more = task_of(store.root.parent, features=["MET_pt", "Lepton_pt", "Lepton_eta"])
    (store.folder(task.id) / ORIGIN).write_text("{")
    assert Donors(store).of(more) == ""
    (store.folder(task.id) / ORIGIN).unlink()
    assert Donors(store).of(more) == ""
