"""The contract of an engine as tests that ship: every function in CONTRACT takes a fresh engine and must not raise.

    @pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
    def test_contract(check, tmp_path):
        check(Bench(make_my_engine(tmp_path / "jobs"), Store(tmp_path / "store")))

The engine must run its workers with `--kinds gridloom.testing.kinds:TINY`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gridloom.assignment import FILE, Assignment
from gridloom.engines.base import ENDED, Engine, JobStatus, State
from gridloom.results import Store
from gridloom.task import Task

KINDS = "gridloom.testing.kinds:TINY"
PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Bench:
    """An engine to be tested, and the store its workers write to."""

    engine: Engine
    store: Store

    def job(self, token: str, *, do: str = "write", steps: int = 10, inputs: Iterable[str] = ()) -> Assignment:
        task = Task(kind="train", label=f"test {do}", parameters={"do": do, "steps": steps}, inputs=tuple(inputs))
        return Assignment(task=task, token=token, store=str(self.store.root.resolve()))

    def until(self, job_id: str, wanted: Callable[[JobStatus], bool]) -> JobStatus:
        """Poll until a status is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = self.engine.poll([job_id])[job_id]
            if wanted(status):
                return status
            self.engine.wait(0.1)
        raise AssertionError(f"after {PATIENCE} s the job is {status}")

    def ended(self, job_id: str) -> JobStatus:
        return self.until(job_id, lambda status: status.state in ENDED)


def runs_a_job(bench: Bench) -> None:
    """A job that is submitted ends DONE, and its result is in the store after `collect`."""
    job = bench.job("aa")
    (job_id,) = bench.engine.submit([job])
    assert bench.ended(job_id).state is State.DONE
    bench.engine.collect([job_id])
    result = bench.store.verify(job.task.id, fully=True)
    assert result is not None
    assert [output.path for output in result.outputs] == ["value.txt"]
    assert result.task == job.task.id


def renders_purely(bench: Bench) -> None:
    """The same jobs give the same files, and nothing is touched."""
    jobs = [bench.job("aa"), bench.job("bb", do="steps")]
    first, second = bench.engine.render(jobs), bench.engine.render(jobs)
    assert first == second
    assert len({name for name in first if name.endswith(FILE)}) == len(jobs)
    assert bench.engine.find(["aa"]) == {}


def finds_by_token(bench: Bench) -> None:
    """A token leads to the job that was submitted under it, while it runs and afterwards."""
    (job_id,) = bench.engine.submit([bench.job("aa")])
    assert bench.engine.find(["aa", "bb"]) == {"aa": job_id}
    bench.ended(job_id)
    assert bench.engine.find(["aa", "bb"]) == {"aa": job_id}


def answers_for_every_id(bench: Bench) -> None:
    """`poll` answers for every id it is asked for; one it never heard of is UNKNOWN."""
    ids = bench.engine.submit([bench.job("aa"), bench.job("bb", do="steps")])
    answer = bench.engine.poll([*ids, "nobody"])
    assert set(answer) == {*ids, "nobody"}
    assert answer["nobody"].state is State.UNKNOWN
    for job_id in ids:
        assert bench.ended(job_id).state is State.DONE
    assert bench.engine.poll([]) == {}


def tells_an_error(bench: Bench) -> None:
    """A task's own error comes back with its exit code; nothing of it is in the store."""
    job = bench.job("aa", do="fail")
    (job_id,) = bench.engine.submit([job])
    status = bench.ended(job_id)
    assert (status.state, status.exit_code) == (State.FAILED, 32)
    assert bench.store.find(job.task.id) is None


def sees_a_lost_worker(bench: Bench) -> None:
    """A worker that is killed makes its job EVICTED, with a reason; submitted again, the task goes on."""
    job = bench.job("aa", do="die once")
    (first,) = bench.engine.submit([job])
    status = bench.ended(first)
    assert status.state is State.EVICTED
    assert status.reason
    bench.engine.collect([first])
    (second,) = bench.engine.submit([bench.job("bb", do="die once").model_copy(update={"goes_on": True})])
    assert bench.ended(second).state is State.DONE


def cancels_softly(bench: Bench) -> None:
    """A job asked to stop saves and leaves; the same task goes on from what it saved."""
    job = bench.job("aa", do="steps", steps=200)
    (job_id,) = bench.engine.submit([job])
    bench.until(job_id, lambda status: status.progress is not None and status.progress.done > 2)
    bench.engine.cancel([job_id])
    assert bench.ended(job_id).state in (State.FAILED, State.CANCELLED)
    bench.engine.collect([job_id])
    saved = _counted(bench, job)
    assert 0 < saved < 200
    again = bench.job("bb", do="steps", steps=200).model_copy(update={"goes_on": True})
    (job_id,) = bench.engine.submit([again])
    assert bench.ended(job_id).state is State.DONE
    bench.engine.collect([job_id])
    assert int((bench.store.folder(job.task.id) / "first.txt").read_text()) >= saved


def cancels_at_once(bench: Bench) -> None:
    """A job that listens to nobody can be ended; one that has ended is left alone."""
    (job_id,) = bench.engine.submit([bench.job("aa", do="hang")])
    bench.until(job_id, lambda status: status.state is State.RUNNING)
    bench.engine.cancel([job_id], at_once=True)
    assert bench.ended(job_id).state is State.CANCELLED
    bench.engine.cancel([job_id, "nobody"])
    assert bench.engine.poll([job_id])[job_id].state is State.CANCELLED


def _counted(bench: Bench, job: Assignment) -> int:
    count = bench.store.scratch(job.task.id) / "count"
    return int(count.read_text()) if count.exists() else 0


CONTRACT: tuple[Callable[[Bench], None], ...] = (
    runs_a_job,
    renders_purely,
    finds_by_token,
    answers_for_every_id,
    tells_an_error,
    sees_a_lost_worker,
    cancels_softly,
    cancels_at_once,
)
