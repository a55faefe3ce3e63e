"""The local engine keeps the contract of engines, with real worker processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue

from gridloom.assignment import ERROR_FILE, LOG_FILE
from gridloom.engines.base import State
from gridloom.engines.local import LocalEngine, LocalSettings
from gridloom.environment import DISTRIBUTIONS
from gridloom.errors import EnvironmentProblem, GridloomError, TaskFailed
from gridloom.results import Store
from gridloom.testing.engine import CONTRACT, KINDS, Bench

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[LocalEngine]:
    engine = LocalEngine(LocalSettings(jobs=2, kinds=KINDS, grace=5), tmp_path / "jobs")
    yield engine
    for pid in engine.workers():
        os.kill(pid, 0)  # still ours
    engine.close()


@pytest.fixture
def bench(engine: LocalEngine, tmp_path: Path) -> Bench:
    return Bench(engine, Store(tmp_path / "store"))


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check: object, bench: Bench) -> None:
    assert callable(check)
    check(bench)


def test_rendered_files_are_the_golden_ones(bench: Bench) -> None:
    job = bench.job("0123abcd").model_copy(update={"store": "/runs/.store"})
    rendered = bench.engine.render([job])
    assert list(rendered) == ["test-write-0123abcd/task.json"]
    assert rendered["test-write-0123abcd/task.json"] == (GOLDEN / "task.json").read_bytes()


def test_all_that_is_printed_goes_to_the_log(engine: LocalEngine, bench: Bench, tmp_path: Path) -> None:
    job = bench.job("aa", do="print")
    (job_id,) = engine.submit([job])
    assert bench.ended(job_id).state is State.DONE
    log = (tmp_path / "jobs" / job.folder / LOG_FILE).read_text()
    assert sorted(log.splitlines()) == ["from Python", "from a compiled library", "from standard error"]
    assert (bench.store.folder(job.task.id) / "read.txt").read_text() == ""


@pytest.mark.parametrize(
    ("do", "exit_code", "text"),
    [
        ("crash", 52, "test crash failed: ValueError: the unforeseen"),
        ("leave", 52, "test leave failed: SystemExit: 3"),
        ("no memory", 52, "ran out of memory"),
        ("full", 50, "no space left"),
        ("end", 3, "the worker ended with exit code 3"),
    ],
)
def test_unforeseen_ends_are_told_without_a_traceback(
    engine: LocalEngine, bench: Bench, tmp_path: Path, do: str, exit_code: int, text: str
) -> None:
    job = bench.job("aa", do=do)
    (job_id,) = engine.submit([job])
    status = bench.ended(job_id)
    assert (status.state, status.exit_code) == (State.FAILED, exit_code)
    assert text in status.errors[0].what
    assert "Traceback" not in str(status.errors[0])
    assert bench.store.find(job.task.id) is None
    assert not bench.store.attempt(job.task.id, "aa").exists() or do == "end"
    if do == "crash":
        folder = tmp_path / "jobs" / job.folder
        assert "Traceback" in (folder / LOG_FILE).read_text()
        assert "TaskFailed" in (folder / ERROR_FILE).read_text()
        assert status.errors[0].where == str(folder / LOG_FILE)
    if do == "end":
        assert "last words" in status.errors[0].what


def test_several_errors_come_back_as_several(engine: LocalEngine, bench: Bench) -> None:
    (job_id,) = engine.submit([bench.job("aa", do="fail twice")])
    assert [error.what for error in bench.ended(job_id).errors] == ["unknown key `a`", "unknown key `b`"]


def test_a_worker_stays_warm_and_is_used_again(engine: LocalEngine, bench: Bench) -> None:
    pids: set[int] = set()
    for number, token in enumerate(("aa", "bb")):
        (job_id,) = engine.submit([bench.job(token, steps=number)])
        assert bench.ended(job_id).state is State.DONE
        pids.update(engine.workers())
    assert len(pids) == 1


def test_jobs_wait_for_a_free_slot(tmp_path: Path) -> None:
    engine = LocalEngine(LocalSettings(jobs=1, kinds=KINDS), tmp_path / "jobs")
    bench = Bench(engine, Store(tmp_path / "store"))
    try:
        first, second = engine.submit([bench.job("aa", do="steps", steps=200), bench.job("bb")])
        assert engine.poll([second])[second].state is State.PENDING
        engine.cancel([second, first])
        assert engine.poll([second])[second].state is State.CANCELLED
        assert bench.ended(first).errors[0].exit_code == 130
    finally:
        engine.close()


def test_a_worker_killed_from_outside_evicts_its_job(engine: LocalEngine, bench: Bench) -> None:
    (job_id,) = engine.submit([bench.job("aa", do="steps", steps=500)])
    bench.until(job_id, lambda status: status.progress is not None)
    pid = engine.worker_of(job_id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    status = bench.ended(job_id)
    assert (status.state, status.exit_code) == (State.EVICTED, -signal.SIGKILL)
    assert "SIGKILL" in status.reason


def test_a_worker_asked_to_end_by_the_system_saves(engine: LocalEngine, bench: Bench) -> None:
    (job_id,) = engine.submit([bench.job("aa", do="steps", steps=500)])
    bench.until(job_id, lambda status: status.progress is not None)
    pid = engine.worker_of(job_id)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    assert [error.exit_code for error in bench.ended(job_id).errors] == [130]


def test_ctrl_c_does_not_reach_workers(engine: LocalEngine, bench: Bench) -> None:
    (job_id,) = engine.submit([bench.job("aa", do="steps", steps=30)])
    bench.until(job_id, lambda status: status.progress is not None)
    pid = engine.worker_of(job_id)
    assert pid is not None
    assert os.getsid(pid) == pid
    os.kill(pid, signal.SIGINT)
    assert bench.ended(job_id).state is State.DONE


def test_preloaded_workers_load_while_another_works(tmp_path: Path) -> None:
    settings = LocalSettings(jobs=2, kinds=KINDS, preload=("colorsys", "no_such_module_anywhere"))
    engine = LocalEngine(settings, tmp_path / "jobs")
    bench = Bench(engine, Store(tmp_path / "store"))
    try:
        engine.warm_up(cores=1, workers=5)
        (preloaded,) = engine.workers()
        first, second = engine.submit([bench.job("aa"), bench.job("bb", do="steps")])
        assert bench.ended(first).state is State.DONE
        assert bench.ended(second).state is State.DONE
        assert preloaded in engine.workers()
    finally:
        engine.close()


def test_nothing_is_preloaded_on_a_single_slot(tmp_path: Path) -> None:
    engine = LocalEngine(LocalSettings(jobs=1, preload=("colorsys",)), tmp_path)
    engine.warm_up(cores=1, workers=5)
    assert engine.workers() == ()
    engine.close()


def test_a_job_gets_a_worker_with_its_number_of_threads(tmp_path: Path) -> None:
    engine = LocalEngine(LocalSettings(jobs=2, kinds=KINDS), tmp_path / "jobs")
    bench = Bench(engine, Store(tmp_path / "store"))
    try:
        pids: set[int] = set()
        for token, cores in (("aa", 1), ("bb", 2), ("cc", 2)):
            job = bench.job(token, steps=ord(token[0]))
            resources = job.task.resources.model_copy(update={"cores": cores})
            job = job.model_copy(update={"task": job.task.model_copy(update={"resources": resources})})
            (job_id,) = engine.submit([job])
            assert bench.ended(job_id).state is State.DONE
            pids.update(engine.workers())
        assert len(pids) == 2
    finally:
        engine.close()


def test_a_worker_of_one_back_end_takes_no_training_of_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras decides when it is imported; what the user's shell says of it does not count."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    engine = LocalEngine(LocalSettings(jobs=2, kinds=KINDS), tmp_path / "jobs")
    bench = Bench(engine, Store(tmp_path / "store"))
    pids: dict[str, set[int | None]] = {"tensorflow": set(), "jax": set()}
    try:
        for number, backend in enumerate(("tensorflow", "jax", "tensorflow", "jax")):
            job = bench.job(f"{number:02d}", do="environment", steps=number)
            parameters = {**job.task.parameters, "analysis": {"training": {"backend": backend}}}
            job = job.model_copy(update={"task": job.task.model_copy(update={"parameters": parameters})})
            (job_id,) = engine.submit([job])
            pids[backend].add(engine.worker_of(job_id))
            assert bench.ended(job_id).state is State.DONE
            seen = (bench.store.folder(job.task.id) / "environment.txt").read_text().splitlines()
            assert f"KERAS_BACKEND={backend}" in seen
            assert ("NPROC=1" in seen) is (backend == "jax")
    finally:
        engine.close()
    assert {len(found) for found in pids.values()} == {1}
    assert pids["tensorflow"].isdisjoint(pids["jax"])


def test_an_engine_without_a_folder_takes_no_jobs() -> None:
    engine = LocalEngine(LocalSettings(jobs=1))
    with pytest.raises(TaskFailed, match="no folder"):
        engine.submit([Bench(engine, Store(Path("/nowhere"))).job("aa")])
    engine.wait(0)


def test_operations_answer_or_raise(engine: LocalEngine, tmp_path: Path) -> None:
    analysis: dict[str, JsonValue] = {
        "gridloom": 1,
        "name": "a",
        "samples": {"s": {"files": "a.root", "class": "s", "weight": 1}},
        "features": ["x"],
        "target": {"signal": "s"},
        "model": {"function": "no_such_module:build"},
    }
    with pytest.raises(GridloomError, match="no_such_module") as caught:
        engine.ask("environment", {"analysis": analysis, "folder": str(tmp_path)})
    assert caught.value.key == ("model", "function")
    (tmp_path / "no_such_module.py").write_text("def build(inputs, outputs): ...\n")
    answer = engine.ask("environment", {"analysis": analysis, "folder": str(tmp_path)})
    assert isinstance(answer, dict)
    assert isinstance(answer["kinds"], dict)
    assert set(answer["kinds"]) == set(DISTRIBUTIONS)
    with pytest.raises(TaskFailed, match="KeyError") as unforeseen:
        engine.ask("no such operation", {})
    log = Path(unforeseen.value.where)
    assert "Traceback" in log.read_text()
    log.unlink()


def test_a_kind_that_cannot_be_imported_says_what_is_missing(tmp_path: Path) -> None:
    engine = LocalEngine(LocalSettings(jobs=1, kinds="gridloom.testing.kinds:BROKEN"), tmp_path / "jobs")
    bench = Bench(engine, Store(tmp_path / "store"))
    try:
        (job_id,) = engine.submit([bench.job("aa")])
        error = bench.ended(job_id).errors[0]
        assert isinstance(error, EnvironmentProblem)
        assert "no_such_library" in error.what
    finally:
        engine.close()
