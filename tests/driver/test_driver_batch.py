"""The driver with a batch system that tests write: refusals, silence, holds, restarts, leaving, cancelling."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gridloom.assignment import Assignment
from gridloom.driver.events import EngineSilent, Event, JobsLeft, ResultDamaged, Stopping, TaskChanged
from gridloom.driver.loop import Driver
from gridloom.driver.workplace import CANCEL_FILE, Pace, StopRequest, Terms, Workplace
from gridloom.engines.base import Capabilities, Cause, JobStatus, State
from gridloom.errors import (
    DamagedResult,
    EmptyClass,
    EngineUnavailable,
    GridloomError,
    Interrupted,
    NodeProblem,
    RunLocked,
    SubmissionRefused,
    TaskFailed,
)
from gridloom.journal import JOURNAL, LEASE, History, Record, history, lease, read_journal
from gridloom.plan import Plan
from gridloom.results import Store
from gridloom.sites.models import Site
from gridloom.task import Kind, Progress, Task
from gridloom.testing.pool import ToyPool
from gridloom.worker.tasks import Hooks, perform

TINY = dict.fromkeys(("prepare", "train", "evaluate", "report"), "gridloom.testing.kinds:run")
OUTLIVES = Capabilities(
    shared_file_system=True,
    file_transfer=False,
    arrays=True,
    gpus=False,
    containers=False,
    checkpoint_transfer=False,
    outlives_driver=True,
)
RUNNING = JobStatus(state=State.RUNNING, host="node1")
PENDING = JobStatus(state=State.PENDING)


def held(cause: Cause, reason: str = "a hold", **more: Any) -> JobStatus:
    return JobStatus(state=State.HELD, cause=cause, reason=reason, **more)


def evicted(cause: Cause = Cause.PREEMPTED, reason: str = "its slot was taken", **more: Any) -> JobStatus:
    return JobStatus(state=State.EVICTED, cause=cause, reason=reason, **more)


def task(label: str, *, kind: Kind = "train", inputs: Sequence[Task] = (), code: str = "") -> Task:
    parameters: dict[str, Any] = {"do": "write", "name": label}
    return Task(kind=kind, label=label, parameters=parameters, inputs=tuple(one.id for one in inputs), code=code)


def plan(number: int = 1, kind: Kind = "train") -> Plan:
    """Independent tasks: t0, t1, ..."""
    return Plan(tasks=tuple(task(f"t{index}", kind=kind) for index in range(number)))


def work(job: Assignment) -> None:
    perform(job, Hooks(stop=lambda: False, progress=lambda _: None), kinds=TINY)


@dataclass
class Scripted(ToyPool):
    """A pool whose jobs go through the statuses that were written for their task's label, then do their work.

    What was written counts for one job of the task; jobs of a task without more of it are done at once.
    """

    work: Callable[[Assignment], None] = work
    capabilities: Capabilities = OUTLIVES
    told: dict[str, list[list[JobStatus]]] = field(default_factory=dict)
    going: dict[str, deque[JobStatus]] = field(default_factory=dict)
    cancelled: list[tuple[str, bool]] = field(default_factory=list)
    errors: dict[str, Iterator[GridloomError | None]] = field(default_factory=dict)
    at_once: int = 0  # most jobs that were in the pool at a time

    def _fail(self, call: str) -> None:
        error = next(self.errors.get(call, iter(())), None)
        if error is not None:
            raise error

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        self._fail("submit")
        ids = super().submit(jobs)
        for job_id, job in zip(ids, jobs, strict=True):
            statuses = self.told.get(job.task.label, [])
            self.going[job_id] = deque(statuses.pop(0) if statuses else ())
        self.at_once = max(self.at_once, sum(status.state is State.PENDING for status in self.states.values()))
        return ids

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        self._fail("find")
        return super().find(tokens)

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        self._fail("poll")
        return {job_id: self._next(job_id) for job_id in ids}

    def _next(self, job_id: str) -> JobStatus:
        if job_id in dict(self.cancelled):
            return JobStatus(state=State.CANCELLED, reason="on request")
        if self.going[job_id]:
            return self.going[job_id].popleft()
        self.work(self.jobs[job_id])
        self.states[job_id] = JobStatus(state=State.DONE)
        return self.states[job_id]

    def wait(self, seconds: float) -> None:
        """No time passes."""

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        self._fail("cancel")
        self.cancelled += [(job_id, at_once) for job_id in ids]

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        self._fail("release")
        super().release(job, memory_mb=memory_mb, avoid=avoid)


@dataclass
class House:
    """A run's folder with its store, and what its driver has told."""

    folder: Path
    pool: Scripted = field(default_factory=Scripted)
    pace: Pace = field(default_factory=lambda: Pace(wait=0, unknown=0.05, settle=0.05))
    terms: Terms = field(default_factory=Terms)
    stop: StopRequest = field(default_factory=StopRequest)
    heard: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = field(default=lambda event: None)
    ticks: int = 0

    @property
    def store(self) -> Store:
        return Store(self.folder / ".store")

    def listen(self, event: Event) -> None:
        self.heard.append(event)
        self.on_event(event)

    def tick(self) -> None:
        self.ticks += 1
        assert self.ticks < 5000, "the driver goes on for ever"

    def drive(self, what: Plan) -> None:
        with lease(self.folder) as journal:
            journal.write("started")
            place = Workplace(
                store=self.store,
                engine=self.pool,
                journal=journal,
                listener=self.listen,
                stop=self.stop,
                pace=self.pace,
                terms=self.terms,
                tick=self.tick,
            )
            driver = Driver(what, place)
            driver.look()
            driver.run()

    def history(self) -> History:
        return history(read_journal(self.folder / JOURNAL))

    def records(self, event: str) -> list[Record]:
        return [record for record in read_journal(self.folder / JOURNAL) if record.event == event]

    def states(self, label: str = "t0") -> list[str]:
        return [event.state for event in self.heard if isinstance(event, TaskChanged) and event.label == label]

    def reasons(self, state: str) -> list[str]:
        return [event.reason for event in self.heard if isinstance(event, TaskChanged) and event.state == state]

    def silences(self) -> list[bool]:
        return [event.back for event in self.heard if isinstance(event, EngineSilent)]

    def check_done(self, what: Plan, *, submitted: int) -> None:
        """Every task is done, by so many jobs in all, and the journal says so."""
        assert all(self.store.verify(task_id, fully=True) is not None for task_id in what.ids)
        assert self.pool.submitted == submitted
        assert self.history().state == "finished"
        assert {record.state for record in self.history().tasks.values()} == {"done"}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr("gridloom.driver.loop._HOLD_PATIENCE", 0.0)
    return House(tmp_path / "run")


# --- submitting -------------------------------------------------------------------------------------------------------
def test_a_refused_submission_ends_the_run_with_its_reason(house: House) -> None:
    house.pool.errors["submit"] = iter([SubmissionRefused("invalid partition", fix="Correct it.")])
    with pytest.raises(SubmissionRefused, match="invalid partition"):
        house.drive(plan(3))
    assert house.history().state == "failed"
    assert {record.state for record in house.history().tasks.values()} == {"waiting"}
    assert [event.reason for event in house.heard if isinstance(event, Stopping)] == ["invalid partition"]
    # Corrected, the same run goes on.
    house.drive(plan(3))
    house.check_done(plan(3), submitted=3)


def test_a_refusal_lets_what_runs_save(house: House) -> None:
    """The first task runs when the second one, which waited for a place, is refused."""
    house.terms = Terms(most_jobs=2)
    house.pool.told = {"t0": [[RUNNING] * 100], "t1": [[RUNNING]]}
    house.pool.errors["submit"] = iter([None, SubmissionRefused("over your limit")])
    with pytest.raises(SubmissionRefused):
        house.drive(plan(3))
    assert house.states("t0")[-1] == "saved"
    assert house.history().tasks[plan(3).ids[0]].state == "saved"
    assert house.history().tasks[plan(3).ids[1]].state == "done"
    assert house.history().state == "failed"


def test_a_silence_during_a_submission_submits_nothing_twice(house: House) -> None:
    """Two of three jobs were taken before it fell silent: these are found, and the third is submitted again."""
    real = house.pool.submit

    def submit(jobs: Sequence[Assignment]) -> tuple[str, ...]:
        house.pool.submit = real  # type: ignore[method-assign]
        real(jobs[:2])
        raise EngineUnavailable("connection lost")

    house.pool.submit = submit  # type: ignore[method-assign]
    house.pool.errors["find"] = iter([EngineUnavailable("still away"), EngineUnavailable("still away")])
    house.drive(plan(3))
    house.check_done(plan(3), submitted=3)
    assert [record.attempts for record in house.history().tasks.values()] == [1, 1, 2]
    assert len(house.records("submitted")) == 3
    assert [record.task for record in house.records("withdrawn")] == [plan(3).ids[2]]
    assert house.silences() == [False, True]


def test_a_silence_is_told_once_however_long(house: House) -> None:
    house.pool.errors["submit"] = iter([EngineUnavailable("away")])
    house.pool.errors["find"] = iter([EngineUnavailable("away")] * 20)
    house.drive(plan(1))
    assert house.silences() == [False, True]
    assert [event.reason for event in house.heard if isinstance(event, EngineSilent)] == ["away", ""]


def test_a_silence_while_jobs_run_says_nothing_of_them(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING]]}
    house.pool.errors["poll"] = iter([None, *[EngineUnavailable("away")] * 9])
    house.drive(plan(1))
    house.check_done(plan(1), submitted=1)
    assert house.silences() == [False, True]


def test_an_engine_that_answers_and_takes_no_jobs_is_asked_less_and_less(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try writes the files of all ready tasks anew: not in every round, and not for ever less often."""
    now = [0.0]

    def wait(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("gridloom.driver.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr("gridloom.driver.loop._LONGEST_PAUSE", 10.0)
    house.pool.wait = wait  # type: ignore[method-assign]
    house.pace = Pace(wait=1.0)
    tries: list[float] = []
    real = house.pool.submit

    def submit(jobs: Sequence[Assignment]) -> tuple[str, ...]:
        tries.append(now[0])
        return real(jobs)

    house.pool.submit = submit  # type: ignore[method-assign]
    house.pool.errors["submit"] = iter([EngineUnavailable("resource temporarily unavailable")] * 6)
    house.drive(plan(2))
    house.check_done(plan(2), submitted=2)
    assert [second - first for first, second in itertools.pairwise(tries)] == [1, 2, 4, 8, 10, 10]


def test_no_more_jobs_at_a_time_than_the_site_allows(house: House) -> None:
    house.terms = Terms(most_jobs=3)
    house.drive(plan(10))
    house.check_done(plan(10), submitted=10)
    assert house.pool.at_once == 3


def test_with_late_materialisation_all_jobs_are_given_at_once(house: House) -> None:
    """The batch system itself then keeps to the limit."""
    house.terms = Terms(most_jobs=3)
    house.pool.capabilities = replace(OUTLIVES, late_materialisation=True)
    house.drive(plan(10))
    assert house.pool.at_once == 10


def test_jobs_ask_for_what_the_site_says(house: House) -> None:
    where = Site.model_validate(
        {"engine": "slurm", "resources": {"default": {"memory": "3 GB", "cores": 2}, "train": {"wall": "2 h"}}}
    )
    house.terms = Terms.of(where, {"numpy": "2"}, code="/a/copy")
    first, second = task("a", code="c0de"), task("b", kind="prepare")
    house.drive(Plan(tasks=(first, second)))
    one, two = house.pool.jobs.values()
    assert (one.task.resources.memory_mb, one.task.resources.cores, one.task.resources.wall_seconds) == (3000, 2, 7200)
    assert (two.task.resources.wall_seconds, two.task.folder) == (86_400, "")
    assert (one.task.folder, one.versions) == ("/a/copy", {"numpy": "2"})
    assert one.task.id == first.id
    assert house.terms.most_jobs == 1000


def test_a_state_is_brought_along_where_it_has_to_be(house: House) -> None:
    house.pool.capabilities = replace(OUTLIVES, checkpoint_transfer=True)
    house.pool.told = {"t0": [[RUNNING, evicted()]]}
    real = house.pool.collect

    def collect(ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        scratch = house.store.scratch(plan().ids[0])
        if not scratch.exists() and house.pool.submitted == 1:
            scratch.mkdir(parents=True)
            (scratch / "count").write_text("3")
        return real(ids)

    house.pool.collect = collect  # type: ignore[method-assign]
    house.drive(plan())
    assert [job.goes_on for job in house.pool.jobs.values()] == [False, True]


# --- holds ------------------------------------------------------------------------------------------------------------
def test_a_job_held_for_memory_is_given_more(house: House) -> None:
    house.pool.told = {"t0": [[PENDING, held(Cause.MEMORY, "too big"), PENDING, RUNNING]]}
    house.drive(plan())
    house.check_done(plan(), submitted=1)
    assert house.pool.released == [("0", 4000, ())]
    (record,) = house.records("released")
    assert record.reason == "too big; it is given 4000 MB instead of 2000 MB"
    assert house.reasons("held") == [record.reason]


def test_memory_has_an_end(house: House) -> None:
    house.terms = Terms(most_memory_mb=2500)
    house.pool.told = {"t0": [[held(Cause.MEMORY, "too big"), RUNNING, held(Cause.MEMORY, "too big")]]}
    with pytest.raises(TaskFailed, match="t0 needs more than 2500 MB of memory: too big"):
        house.drive(plan())
    assert house.pool.released == [("0", 2500, ())]
    assert house.pool.cancelled == [("0", True)]
    assert house.history().tasks[plan().ids[0]].state == "failed"


def test_a_job_ended_for_memory_is_submitted_with_more(house: House) -> None:
    house.pool.told = {"t0": [[evicted(Cause.MEMORY, "out of memory")]] * 2}
    house.drive(plan())
    assert [job.task.resources.memory_mb for job in house.pool.jobs.values()] == [2000, 4000, 8000]
    assert [record.reason for record in house.records("evicted")] == [
        "out of memory; it is given 4000 MB instead of 2000 MB",
        "out of memory; it is given 8000 MB instead of 4000 MB",
    ]


def test_a_hold_by_the_user_is_hers_to_end(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING, *[held(Cause.USER, "via condor_hold")] * 5, RUNNING]]}
    house.drive(plan())
    house.check_done(plan(), submitted=1)
    assert house.states() == ["running", "held", "running", "done"]
    assert house.reasons("held") == ["via condor_hold"]
    assert house.pool.released == []


def test_a_job_held_by_its_node_goes_elsewhere(house: House) -> None:
    house.pool.hosts = frozenset({"node1", "node2"})
    house.pool.told = {"t0": [[held(Cause.NODE, "no such file", host="node1"), RUNNING]]}
    house.drive(plan())
    house.check_done(plan(), submitted=1)
    assert house.pool.released == [("0", None, ("node1",))]


def test_a_release_that_is_not_answered_is_given_again(house: House) -> None:
    """And decided once: the memory does not grow with every try."""
    house.pool.told = {"t0": [[held(Cause.MEMORY, "too big")] * 4]}
    house.pool.errors["release"] = iter([EngineUnavailable("away")] * 3)
    house.drive(plan())
    house.check_done(plan(), submitted=1)
    assert house.pool.released == [("0", 4000, ())]
    assert house.silences() == [False, True] * 3  # each poll in between was answered


def test_a_release_that_is_not_allowed_makes_another_job(house: House) -> None:
    house.pool.told = {"t0": [[held(Cause.MEMORY, "too big")]]}
    house.pool.errors["release"] = iter([SubmissionRefused("permission denied")])
    house.drive(plan())
    assert house.pool.cancelled == [("0", True)]
    assert [job.task.resources.memory_mb for job in house.pool.jobs.values()] == [2000, 4000]
    (record,) = house.records("evicted")
    assert "submitted anew, since permission denied" in record.reason


def test_an_answer_to_a_hold_has_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine may tell of the hold for a while: that is not another one."""
    monkeypatch.setattr("gridloom.driver.loop._HOLD_PATIENCE", 1000.0)
    house.pool.told = {"t0": [[held(Cause.MEMORY, "too big")] * 9]}
    house.drive(plan())
    assert house.pool.released == [("0", 4000, ())]


@pytest.mark.parametrize("kind", ["train", "prepare"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_held_job_does_not_keep_a_failed_run_going(when: str, kind: Kind, house: House) -> None:
    """Nobody may ever release it."""
    hold = held(Cause.USER if when == "before" else Cause.MEMORY)
    steps = [RUNNING, *([hold] * 100 if when == "before" else [RUNNING, RUNNING, RUNNING, *[hold] * 100])]
    fails = JobStatus(state=State.FAILED, errors=(EmptyClass("no events"),))
    house.pool.told = {"t0": [steps], "t1": [[RUNNING, RUNNING, RUNNING, fails]]}
    with pytest.raises(EmptyClass):
        house.drive(plan(2, kind))
    assert house.history().state == "failed"
    assert ("0", False) in house.pool.cancelled


# --- evictions and nodes ----------------------------------------------------------------------------------------------
def test_restarts_by_the_batch_system_are_in_the_journal(house: House) -> None:
    steps = [
        RUNNING,
        JobStatus(state=State.PENDING, host="node1", reason="preempted"),
        JobStatus(state=State.RUNNING, host="node2", restarts=1, lost_seconds=3.25),
        JobStatus(state=State.RUNNING, host="node2", restarts=1, lost_seconds=3.25),
        JobStatus(state=State.RUNNING, host="node3", restarts=2),
    ]
    house.pool.told = {"t0": [steps]}
    house.drive(plan())
    house.check_done(plan(), submitted=1)
    assert [(record.host, record.lost) for record in house.records("resumed")] == [("node2", 3.25), ("node3", None)]
    assert [record.host for record in house.records("began")] == ["node1"]
    assert house.reasons("resumed") == ["3.2 s of work are done again", ""]
    record = house.history().tasks[plan().ids[0]]
    assert (record.evictions, record.lost, record.attempts, record.host) == (2, 3.25, 1, "node3")
    assert house.states() == ["running", "queued", "resumed", "running", "resumed", "running", "done"]


def test_a_job_that_is_evicted_for_good_is_submitted_again(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING, evicted(lost_seconds=1.23456)]] * 5}
    house.drive(plan())
    house.check_done(plan(), submitted=6)
    assert [(record.reason, record.lost) for record in house.records("evicted")] == [("its slot was taken", 1.235)] * 5
    assert house.history().tasks[plan().ids[0]].lost == pytest.approx(5 * 1.235)


def test_a_bad_node_is_avoided_by_the_task_and_then_by_all(house: House) -> None:
    house.pool.hosts = frozenset({"node1", "node2"})
    refused = evicted(Cause.NODE, "no Python on node1", host="node1", errors=(NodeProblem("no Python on node1"),))
    house.pool.told = {"t0": [[refused]], "t1": [[refused]]}
    last = task("last", inputs=plan(2).tasks)
    house.drive(Plan(tasks=(*plan(2).tasks, last)))
    avoided = {(job.task.label, job.avoid) for job in house.pool.jobs.values()}
    assert avoided == {("t0", ()), ("t1", ()), ("t0", ("node1",)), ("t1", ("node1",)), ("last", ("node1",))}
    assert all("goes elsewhere than node1" in record.reason for record in house.records("evicted"))


def test_nodes_that_all_fail_alike_end_the_run(house: House) -> None:
    house.pool.told = {
        "t0": [[evicted(Cause.NODE, f"no Python on node{number}", host=f"node{number}")] for number in (1, 2)]
    }
    with pytest.raises(NodeProblem, match="t0 cannot be done on node1, node2: no Python on node2"):
        house.drive(plan())
    assert house.pool.submitted == 2


def test_an_engine_that_cannot_name_its_nodes_now(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def nodes() -> frozenset[str]:
        raise EngineUnavailable("away")

    monkeypatch.setattr(house.pool, "nodes", nodes)
    house.pool.told = {"t0": [[evicted(Cause.NODE, "no Python", host="node1")]]}
    house.drive(plan())
    assert [job.avoid for job in house.pool.jobs.values()] == [(), ("node1",)]


# --- ends that are none -----------------------------------------------------------------------------------------------
def test_a_job_that_somebody_else_removed_ends_the_run(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING, JobStatus(state=State.CANCELLED, reason="via condor_rm (by user me)")]]}
    with pytest.raises(TaskFailed, match=r"removed from the queue by somebody else: via condor_rm \(by user me\)"):
        house.drive(plan())
    assert house.pool.submitted == 1
    assert house.history().state == "failed"


def test_a_job_removed_after_its_work_was_done_is_done(house: House) -> None:
    class Late(Scripted):
        def _next(self, job_id: str) -> JobStatus:
            self.work(self.jobs[job_id])
            return JobStatus(state=State.CANCELLED)

    house.pool = Late()
    house.drive(plan())
    house.check_done(plan(), submitted=1)


def test_an_unknown_job_whose_result_is_there_is_done(house: House) -> None:
    class Forgetful(Scripted):
        def _next(self, job_id: str) -> JobStatus:
            self.work(self.jobs[job_id])
            return JobStatus(state=State.UNKNOWN)

    house.pool = Forgetful()
    house.drive(plan())
    house.check_done(plan(), submitted=1)


def test_an_unknown_job_has_its_time(house: House) -> None:
    house.pool.told = {"t0": [[JobStatus(state=State.UNKNOWN), RUNNING, JobStatus(state=State.UNKNOWN), RUNNING]]}
    house.pace = Pace(wait=0, unknown=1000)
    house.drive(plan())
    house.check_done(plan(), submitted=1)


def test_a_result_that_arrived_damaged_is_computed_again(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING, JobStatus(state=State.DONE)]]}
    house.pool.damaged = {"0": DamagedResult("the digest disagrees", where="/logs/damaged-aa")}
    house.drive(plan())
    house.check_done(plan(), submitted=2)
    (event,) = (event for event in house.heard if isinstance(event, ResultDamaged))
    assert (event.aside, event.error.what) == (Path("/logs/damaged-aa"), "the digest disagrees")
    assert house.reasons("retried") == ["its result is damaged: the digest disagrees"]
    assert [record.reason for record in house.records("quarantined")] == ["the digest disagrees"]


def test_results_that_are_damaged_again_and_again_end_the_run(house: House) -> None:
    house.pool.told = {"t0": [[JobStatus(state=State.DONE)]] * 3}
    house.pool.damaged = {str(number): DamagedResult("bad", where="/x") for number in range(3)}
    with pytest.raises(TaskFailed, match=r"lost 3 times.*its result is damaged: bad"):
        house.drive(plan())


def test_damage_seen_at_an_eviction_is_told_and_no_loss_of_its_own(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING, evicted()]]}
    house.pool.damaged = {"0": DamagedResult("cut off", where="/x")}
    house.drive(plan())
    assert house.reasons("retried") == ["its slot was taken"]
    assert [event.error.what for event in house.heard if isinstance(event, ResultDamaged)] == ["cut off"]


def test_a_result_may_take_a_while_to_be_seen(house: House) -> None:
    """On a shared file system: the batch system says that the job is done before its result shows."""

    class Slow(Scripted):
        looks: int = 0

        def _next(self, job_id: str) -> JobStatus:
            self.looks += 1
            if self.looks == 20:
                self.work(self.jobs[job_id])
            return JobStatus(state=State.DONE)

    house.pool = Slow()
    house.pace = Pace(wait=0, settle=1000)
    house.drive(plan())
    house.check_done(plan(), submitted=1)


def test_a_result_that_never_shows_is_a_loss(house: House) -> None:
    house.pool.told = {"t0": [[JobStatus(state=State.DONE)] * 4000]}
    house.drive(plan())
    house.check_done(plan(), submitted=2)
    assert house.reasons("retried") == ["it ended without a valid result"]


# --- leaving, cancelling, stopping ------------------------------------------------------------------------------------
def running(house: House, number: int) -> Callable[[Event], None]:
    """Asks to stop when so many tasks run."""
    seen: set[str] = set()

    def stop(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.state == "running":
            seen.add(event.label)
            if len(seen) == number:
                house.stop.ask()

    return stop


def test_a_driver_leaves_and_its_jobs_go_on(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING] * 9], "t1": [[RUNNING] * 9]}
    house.on_event = running(house, 2)
    with pytest.raises(Interrupted, match="left, while 2 jobs go on") as caught:
        house.drive(plan(2))
    assert "gridloom resume" in caught.value.fix
    assert house.stop.left
    assert [event.jobs for event in house.heard if isinstance(event, JobsLeft)] == [2]
    assert house.pool.cancelled == []
    assert house.history().state == "left"
    # The next one takes them up.
    house.on_event, house.stop = (lambda event: None), StopRequest()
    house.drive(plan(2))
    house.check_done(plan(2), submitted=2)
    assert [record.attempts for record in house.history().tasks.values()] == [1, 1]


def test_jobs_that_would_not_go_on_are_asked_to_save(house: House) -> None:
    house.pool.capabilities = replace(OUTLIVES, outlives_driver=False)
    house.pool.told = {"t0": [[RUNNING] * 9]}
    house.on_event = running(house, 1)
    with pytest.raises(Interrupted, match="stopped on request"):
        house.drive(plan())
    assert house.pool.cancelled == [("0", False)]
    assert house.states()[-1] == "saved"
    assert house.history().state == "interrupted"


def test_another_process_asks_to_cancel(house: House) -> None:
    """Running trainings save, other tasks are ended, and what has not begun is taken back."""
    house.stop.watched = house.folder
    short = task("short", kind="prepare")
    house.pool.told = {"t0": [[RUNNING] * 9], "short": [[RUNNING] * 9], "t1": [[PENDING] * 9]}

    def ask(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.label == "short":
            (house.folder / CANCEL_FILE).touch()

    house.on_event = ask
    with pytest.raises(Interrupted, match="stopped on request"):
        house.drive(Plan(tasks=(*plan(2).tasks, short)))
    assert house.pool.cancelled == [("0", False), ("1", False), ("2", False)]
    ends = {label: house.states(label)[-1] for label in ("t0", "t1", "short")}
    assert ends == {"t0": "saved", "t1": "waiting", "short": "cancelled"}
    assert not [event for event in house.heard if isinstance(event, JobsLeft)]
    assert house.history().state == "interrupted"
    # Cancelled, it goes on from there when asked to.
    (house.folder / CANCEL_FILE).unlink()
    house.stop, house.on_event = StopRequest(), lambda event: None
    house.drive(Plan(tasks=(*plan(2).tasks, short)))
    assert house.history().state == "finished"


def test_a_cancel_that_is_not_answered_is_given_again(house: House) -> None:
    house.pool.told = {"t0": [[RUNNING] * 99]}
    house.pool.errors["cancel"] = iter([EngineUnavailable("away")] * 3)
    house.stop.cancel()
    with pytest.raises(Interrupted):
        house.drive(plan())
    assert house.pool.submitted == 0  # nothing is begun any more

    house.stop = StopRequest()
    house.on_event = lambda event: house.stop.cancel() if isinstance(event, TaskChanged) else None
    with pytest.raises(Interrupted):
        house.drive(plan())
    assert house.pool.cancelled == [("0", False)]


def test_jobs_found_while_stopping_are_cancelled_too(house: House) -> None:
    """A submission was not answered, and then the user cancelled."""
    real = house.pool.submit

    def submit(jobs: Sequence[Assignment]) -> tuple[str, ...]:
        real(jobs)
        house.stop.cancel()
        raise EngineUnavailable("connection lost")

    house.pool.submit = submit  # type: ignore[method-assign]
    house.pool.told = {"t0": [[PENDING] * 99]}
    house.pool.errors["find"] = iter([EngineUnavailable("away")] * 2)
    with pytest.raises(Interrupted, match="stopped on request"):
        house.drive(plan())
    assert house.pool.cancelled == [("0", False)]
    assert house.history().tasks[plan().ids[0]].state == "waiting"


def test_the_second_request_ends_jobs_at_once(house: House) -> None:
    house.pool.capabilities = replace(OUTLIVES, outlives_driver=False)

    class Deaf(Scripted):
        def _next(self, job_id: str) -> JobStatus:
            return RUNNING if (job_id, True) not in self.cancelled else JobStatus(state=State.CANCELLED)

    house.pool = Deaf(capabilities=replace(OUTLIVES, outlives_driver=False))
    asked = itertools.count()

    def ask(event: Event) -> None:
        if isinstance(event, TaskChanged | Stopping) and next(asked) < 2:
            house.stop.ask()

    house.on_event = ask
    with pytest.raises(Interrupted):
        house.drive(plan())
    assert house.pool.cancelled == [("0", False), ("0", True)]


def test_a_failure_ends_what_has_not_begun_and_lets_the_rest_finish(house: House) -> None:
    fails, short, waits = task("fails"), task("short", kind="prepare"), task("waits", kind="prepare")
    error = JobStatus(state=State.FAILED, errors=(EmptyClass("no events", fix="Loosen it."),))
    house.pool.told = {"fails": [[RUNNING, error]], "short": [[RUNNING] * 20], "waits": [[PENDING] * 20]}
    with pytest.raises(EmptyClass) as caught:
        house.drive(Plan(tasks=(fails, short, waits)))
    assert caught.value.fix == "Loosen it."
    assert house.pool.cancelled == [("2", False)]
    assert house.states("short")[-1] == "done"
    assert house.states("waits") == ["waiting"]


# --- one driver at a time ---------------------------------------------------------------------------------------------
def test_a_driver_that_lost_its_lease_submits_nothing_more(house: House) -> None:
    """Another one has taken the run over, since the file server forgot the lock."""
    first = task("first")
    second = task("second", inputs=[first])

    def lose(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.state == "done":
            (house.folder / LEASE).write_text(json.dumps({"pid": 1, "host": "elsewhere", "fence": 99}))

    house.on_event = lose
    with pytest.raises(RunLocked, match="another driver has taken over"):
        house.drive(Plan(tasks=(first, second)))
    assert house.pool.submitted == 1
    assert [record.task for record in house.records("submitting")] == [first.id]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fence": "x"}', '{"pid": 1}'])
def test_a_lease_that_cannot_be_read_holds_nobody_up(content: str, house: House) -> None:
    def spoil(event: Event) -> None:
        (house.folder / LEASE).write_text(content)

    house.on_event = spoil
    house.drive(Plan(tasks=(first := task("first"), task("second", inputs=[first]))))
    assert house.history().state == "finished"


def test_jobs_of_a_killed_driver_are_taken_up_in_every_state(house: House) -> None:
    """Submitted and never recorded; recorded; and never come so far."""
    what = plan(3)
    jobs = [
        Assignment(task=one, token=f"old{number}", store=str(house.store.root)) for number, one in enumerate(what.tasks)
    ]
    with lease(house.folder) as journal:
        journal.write("started")
        journal.write_all(journal.record("submitting", task=job.task.id, token=job.token) for job in jobs)
        ids = house.pool.submit(jobs[:2])
        journal.write("submitted", task=what.ids[0], token="old0", job=ids[0])
    house.drive(what)
    house.check_done(what, submitted=3)
    made = [house.store.find(task_id) for task_id in what.ids]
    assert [result.token for result in made if result is not None][:2] == ["old0", "old1"]
    assert made[2] is not None
    assert made[2].token != "old2"


def test_progress_and_hosts_are_told(house: House) -> None:
    steps = [
        PENDING,
        JobStatus(state=State.RUNNING),
        RUNNING,
        replace(RUNNING, progress=Progress(done=1, total=4)),
        replace(RUNNING, progress=Progress(done=1, total=4)),
        replace(RUNNING, progress=Progress(done=2, total=4)),
    ]
    house.pool.told = {"t0": [steps]}
    house.drive(plan())
    told = [
        (event.host, event.progress.done if event.progress else None)
        for event in house.heard
        if isinstance(event, TaskChanged) and event.state == "running"
    ]
    assert told == [("", None), ("node1", None), ("node1", 1), ("node1", 2)]
    assert [(record.host, record.job) for record in house.records("began")] == [("node1", "0")]
