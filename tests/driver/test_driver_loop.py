"""The driver with real worker processes: retries, errors, stops, kills, and going on afterwards."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gridloom.assignment import Assignment
from gridloom.driver.events import Event, ResultDamaged, Stopping, TaskChanged
from gridloom.driver.loop import Driver
from gridloom.driver.workplace import Pace, StopRequest, Workplace
from gridloom.engines.base import Engine, JobStatus, State
from gridloom.engines.local import LocalEngine, LocalSettings
from gridloom.errors import DamagedResult, EmptyClass, GridloomError, Interrupted, Problems, TaskFailed
from gridloom.journal import JOURNAL, History, history, lease, read_journal
from gridloom.plan import Plan
from gridloom.results import Store
from gridloom.task import Kind, Task
from gridloom.testing.engine import KINDS
from gridloom.testing.pool import ToyPool
from gridloom.worker.tasks import Hooks, perform

TINY = dict.fromkeys(("prepare", "train", "evaluate", "report"), "gridloom.testing.kinds:run")


def task(do: str, label: str, *, kind: Kind = "train", steps: int = 10, inputs: Sequence[Task] = ()) -> Task:
    parameters = {"do": do, "steps": steps, "name": label}
    return Task(kind=kind, label=label, parameters={**parameters}, inputs=tuple(one.id for one in inputs))


def chain(*deeds: str, steps: int = 10) -> Plan:
    """Tasks that each need the one before."""
    tasks: list[Task] = []
    for number, do in enumerate(deeds):
        tasks.append(task(do, f"task {number}", steps=steps, inputs=tasks[-1:]))
    return Plan(tasks=tuple(tasks))


@dataclass
class House:
    """A run's folder with its store, as a driver finds it."""

    folder: Path
    jobs: int = 2
    pace: Pace = field(default_factory=lambda: Pace(unknown=0.3))
    heard: list[Event] = field(default_factory=list)
    stop: StopRequest = field(default_factory=StopRequest)
    on_event: Callable[[Event], None] = field(default=lambda event: None)

    @property
    def store(self) -> Store:
        return Store(self.folder / ".store")

    def listen(self, event: Event) -> None:
        self.heard.append(event)
        self.on_event(event)

    def drive(self, plan: Plan, engine: Engine | None = None) -> None:
        used = engine or LocalEngine(LocalSettings(jobs=self.jobs, kinds=KINDS, grace=5), self.folder / "logs")
        try:
            with lease(self.folder) as journal:
                place = Workplace(
                    store=self.store,
                    engine=used,
                    journal=journal,
                    listener=self.listen,
                    stop=self.stop,
                    pace=self.pace,
                )
                driver = Driver(plan, place)
                driver.look()
                driver.run()
        finally:
            used.close()

    def history(self) -> History:
        return history(read_journal(self.folder / JOURNAL))

    def states(self, label: str) -> list[str]:
        return [
            event.state
            for event in self.heard
            if isinstance(event, TaskChanged) and event.label == label and event.state != "running"
        ]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "run")


def test_a_chain_is_done_in_order_and_not_again(house: House) -> None:
    plan = chain("write", "write", "write")
    house.drive(plan)
    assert (house.store.folder(plan.ids[2]) / "value.txt").read_text() == "task 0\ntask 1\ntask 2\n"
    assert house.history().state == "finished"
    made = [house.store.find(task_id) for task_id in plan.ids]
    house.heard.clear()
    house.drive(plan)
    assert [house.store.find(task_id) for task_id in plan.ids] == made
    assert house.heard == []
    assert house.history().fence == 2


def test_independent_tasks_run_side_by_side(house: House) -> None:
    tasks = tuple(task("steps", f"task {number}", steps=20) for number in range(2))
    house.drive(Plan(tasks=tasks))
    running = [event.label for event in house.heard if isinstance(event, TaskChanged) and event.state == "running"]
    assert set(running) == {"task 0", "task 1"}
    assert running.index("task 1") < len(running) - 1 - running[::-1].index("task 0")


def test_a_lost_worker_is_replaced(house: House) -> None:
    plan = chain("die once")
    house.drive(plan)
    assert house.states("task 0") == ["retried", "done"]
    record = house.history().tasks[plan.ids[0]]
    assert (record.state, record.attempts) == ("done", 2)
    (retried,) = (record for record in read_journal(house.folder / JOURNAL) if record.event == "evicted")
    assert "SIGKILL" in retried.reason


def test_a_task_whose_workers_always_die_fails(house: House) -> None:
    with pytest.raises(TaskFailed, match=r"lost 3 times.*SIGKILL"):
        house.drive(chain("die"))
    assert house.states("task 0") == ["retried", "retried", "failed"]
    assert house.history().state == "failed"


def test_an_error_stops_early_finishes_what_runs_and_saves_what_trains(house: House) -> None:
    fails = task("fail", "fails", kind="prepare")
    short = task("steps", "short", kind="prepare", steps=30)
    long = task("steps", "long", steps=2000)
    waits = task("write", "waits", kind="evaluate", inputs=[fails, short, long])
    house.jobs = 3
    with pytest.raises(EmptyClass) as caught:
        house.drive(Plan(tasks=(short, long, fails, waits)))
    assert caught.value.key == ("samples",)
    assert caught.value.fix == "Loosen the cut."
    assert house.states("short") == ["done"]
    assert house.states("long") == ["saved"]
    assert house.states("waits") == []
    assert any(isinstance(event, Stopping) for event in house.heard)
    record = house.history().tasks[fails.id]
    assert (record.state, record.reason) == ("failed", "class `s` has no events")


def test_several_errors_are_all_reported(house: House) -> None:
    with pytest.raises(Problems, match="unknown key `a`\nunknown key `b`"):
        house.drive(chain("fail twice"))


def test_a_stop_saves_and_the_next_run_goes_on(house: House) -> None:
    plan = chain("steps", "write", steps=200)

    def stop(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.progress is not None and event.progress.done > 5:
            house.stop.ask()

    house.on_event = stop
    with pytest.raises(Interrupted) as caught:
        house.drive(plan)
    assert caught.value.exit_code == 130
    assert house.history().state == "interrupted"
    saved = int((house.store.scratch(plan.ids[0]) / "count").read_text())
    assert 5 < saved < 200
    house.on_event, house.stop = (lambda event: None), StopRequest()
    house.drive(plan)
    assert int((house.store.folder(plan.ids[0]) / "first.txt").read_text()) == saved
    assert not house.store.scratch(plan.ids[0]).exists()


def test_a_second_stop_ends_what_does_not_listen(house: House) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, TaskChanged | Stopping):
            house.stop.ask()

    house.on_event = stop
    started = time.monotonic()
    with pytest.raises(Interrupted):
        house.drive(chain("hang"))
    assert time.monotonic() - started < 20
    assert [event.at_once for event in house.heard if isinstance(event, Stopping)] == [False, True]
    assert house.states("task 0") == ["saved"]


def damage(house: House, task_id: str, *, hidden: bool = False) -> None:
    path = house.store.folder(task_id) / "value.txt"
    time_ns = path.stat().st_mtime_ns
    path.write_text(path.read_text().upper())
    if hidden:
        os.utime(path, ns=(time_ns, time_ns))


def test_a_damaged_result_is_set_aside_and_made_again(house: House) -> None:
    plan = chain("write", "write")
    house.drive(plan)
    damage(house, plan.ids[0])
    house.drive(plan)
    (event,) = (event for event in house.heard if isinstance(event, ResultDamaged))
    assert event.task == plan.ids[0]
    assert (event.aside / "value.txt").read_text() == "TASK 0\n"
    assert house.store.verify(plan.ids[0], fully=True) is not None


def test_an_input_is_read_in_full_before_it_is_used(house: House) -> None:
    first = task("write", "first")
    house.drive(Plan(tasks=(first,)))
    damage(house, first.id, hidden=True)
    second = task("write", "second", inputs=[first])
    house.drive(Plan(tasks=(first, second)))
    assert (house.store.folder(second.id) / "value.txt").read_text() == "first\nsecond\n"
    assert len([event for event in house.heard if isinstance(event, ResultDamaged)]) == 1


DRIVE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_driver_loop import House, chain
House(Path(sys.argv[1])).drive(chain("steps", "write", steps=int(sys.argv[3])))
"""


def start_driver(house: House, steps: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVE, str(house.folder), str(Path(__file__).parent), str(steps)],
        stderr=subprocess.PIPE,
        text=True,
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_damaged_input_of_another_plan_is_named(house: House) -> None:
    """Predictions and exports cannot make what they read: the run does."""
    first = task("write", "first")
    house.drive(Plan(tasks=(first,)))
    path = house.store.folder(first.id) / "value.txt"
    path.write_text("other\n")
    later = Plan(tasks=(task("write", "later", inputs=[first]), task("write", "aside")))
    with pytest.raises(DamagedResult, match="set aside") as caught:
        house.drive(later)
    assert first.id in caught.value.where
    assert "gridloom resume" in caught.value.fix
    house.drive(Plan(tasks=(first,)))
    house.drive(later)


def test_a_killed_driver_loses_nothing(house: House) -> None:
    """SIGKILL to the driver: its workers see the end of their requests, save and leave; the next driver goes on."""
    plan = chain("steps", "write", steps=200)
    count = house.store.scratch(plan.ids[0]) / "count"
    with start_driver(house, 200) as driver:
        until(lambda: count.exists() and int(count.read_text() or 0) > 5)
        driver.kill()
    house.drive(plan)
    assert int((house.store.folder(plan.ids[0]) / "first.txt").read_text()) >= 5
    assert [path.name for path in house.store.entries()] == sorted(plan.ids)
    assert house.history().fence == 2


def test_workers_leave_after_their_driver_was_killed(house: House) -> None:
    plan = chain("steps", "write", steps=100_000)
    count = house.store.scratch(plan.ids[0]) / "count"
    with start_driver(house, 100_000) as driver:
        until(lambda: count.exists() and int(count.read_text() or 0) > 5)
        workers = children(driver.pid)
        assert workers
        driver.kill()
    until(lambda: not any(is_alive(pid) for pid in workers))
    saved = int(count.read_text())
    time.sleep(0.1)
    assert int(count.read_text()) == saved
    assert not house.store.attempt(plan.ids[0], "").parent.joinpath(f"{plan.ids[0]}.attempt-").exists()
    logs = [json.loads(path.read_text()) for path in (house.folder / "logs").rglob("error.json")]
    assert [error["kind"] for (error,) in logs] == ["Interrupted"]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


# --- an engine that outlives its drivers, in this process -----------------------------------------------------------
def done_here(job: Assignment) -> None:
    perform(job, Hooks(stop=lambda: False, progress=lambda progress: None), kinds=TINY)


def make_pool(*away: bool, patience: int = 0) -> ToyPool:
    return ToyPool(work=done_here, away=itertools.chain(away, itertools.repeat(False)), patience=patience)


def test_an_engine_that_is_away_loses_no_job(house: House) -> None:
    pool = make_pool(True, False, True, True)
    house.drive(chain("write", "write"), pool)
    assert pool.submitted == 2
    assert house.states("task 0") == ["done"]


def test_a_job_of_a_former_driver_is_adopted_not_submitted_again(house: House) -> None:
    plan = chain("write")
    pool = make_pool()
    first = Assignment(task=plan.tasks[0], token="former", store=str(house.store.root))
    with lease(house.folder) as journal:
        journal.write("started")
        journal.write("submitting", task=plan.ids[0], token="former")
        pool.submit([first])
    house.drive(plan, pool)
    assert pool.submitted == 1
    result = house.store.find(plan.ids[0])
    assert result is not None
    assert result.token == "former"


def test_a_vanished_job_counts_as_lost_after_a_while(house: House) -> None:
    pool = make_pool(patience=1_000_000)
    forgotten = False

    def forget(event: Event) -> None:
        nonlocal forgotten
        forgotten = True

    house.on_event = forget
    real = pool.submit

    def submit(jobs: Sequence[Assignment]) -> tuple[str, ...]:
        ids = real(jobs)
        if pool.submitted == 1:
            pool.states.clear()
        else:
            pool.patience = 0
        return ids

    pool.submit = submit  # type: ignore[method-assign]
    house.drive(chain("write"), pool)
    assert house.states("task 0") == ["retried", "done"]
    assert pool.submitted == 2


def test_done_without_a_result_is_no_success(house: House) -> None:
    pool = make_pool(patience=1)
    real = pool.poll

    def poll(ids: Sequence[str]) -> Mapping[str, JobStatus]:
        if pool.submitted == 1:
            return {job_id: JobStatus(state=State.DONE) for job_id in ids}
        return real(ids)

    pool.poll = poll  # type: ignore[method-assign]
    house.drive(chain("write"), pool)
    assert house.states("task 0") == ["retried", "done"]


def test_an_engine_that_only_says_failed(house: House) -> None:
    pool = make_pool(patience=1)
    pool.poll = lambda ids: {  # type: ignore[method-assign]
        job_id: JobStatus(state=State.FAILED, reason="exit code 7", exit_code=7) for job_id in ids
    }
    with pytest.raises(GridloomError, match="task 0 failed: exit code 7"):
        house.drive(chain("write"), pool)


def test_a_worker_ended_softly_by_someone_else_is_tried_again(house: House) -> None:
    sent: list[int] = []

    def end(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.progress is not None and not sent:
            sent.extend(children(os.getpid()))
            for pid in sent:
                os.kill(pid, signal.SIGTERM)

    house.on_event = end
    house.jobs = 1
    house.drive(chain("steps", steps=150))
    assert house.states("task 0") == ["retried", "done"]
