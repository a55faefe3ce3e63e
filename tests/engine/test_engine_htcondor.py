"""The engine for HTCondor against a pool in this process: its event logs, its queue, and where the two disagree."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import full_jobs, job, site
from fake_htcondor import CondorError, FakeCondor

from gridloom.assignment import LOG_FILE, NOTES_FILE, RESULT_FOLDER, SCRATCH, STATE, Assignment
from gridloom.engines.base import Cause, JobStatus, State
from gridloom.engines.htcondor.engine import HTCondorEngine
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.errors import EngineUnavailable, SubmissionRefused
from gridloom.files import write_json
from gridloom.messages import Note, Step
from gridloom.results import RESULT, Result, Store, list_outputs
from gridloom.task import Resources

ENGINE = "gridloom.engines.htcondor.engine"
IDLE, RUNNING, REMOVED, COMPLETED, HELD, TRANSFERRING = 1, 2, 3, 4, 5, 6
Check = Callable[[], None]


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder of logs; the queue is compared with the event log when a test says so."""
    monkeypatch.setattr(f"{ENGINE}._CHECK_EVERY", float("inf"))
    return tmp_path / "logs"


@pytest.fixture
def with_checks(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every poll asks the queue, too."""
    monkeypatch.setattr(f"{ENGINE}._CHECK_EVERY", -1.0)


def engine_of(logs: Path, *, shared: bool = False, **options: Any) -> HTCondorEngine:
    return HTCondorEngine(site(shared_folder=shared, grace=20), HTCondorOptions.model_validate(options), logs)


def jobs(number: int, store: Path | None = None, **changes: Any) -> list[Assignment]:
    where: dict[str, Any] = {} if store is None else {"store": str(store)}
    return [job(f"t{index}", **where, **changes) for index in range(number)]


def tell(condor: FakeCondor, logs: Path, proc: int, *kinds: str, cluster: int = 7, **attributes: Any) -> None:
    for kind in kinds:
        condor.tell(logs / "batch-t0" / "events.log", cluster, proc, kind, **attributes)


def ended(condor: FakeCondor, logs: Path, proc: int, code: int) -> None:
    tell(condor, logs, proc, "JOB_TERMINATED", TerminatedNormally=True, ReturnValue=code)


def note(condor: FakeCondor, logs: Path, proc: int, told: Note) -> None:
    tell(condor, logs, proc, "GENERIC", Info=told.line().decode().strip())


def ad(proc: int | None, state: int = IDLE, **more: Any) -> dict[str, Any]:
    """A job in the queue, or its cluster."""
    found = {"ClusterId": 7, "JobStatus": state, "GridloomBatch": "t0", "GridloomRun": "", **more}
    return found if proc is None else {**found, "ProcId": proc}


def queue(engine: HTCondorEngine, condor: FakeCondor, *ads: dict[str, Any]) -> None:
    run = engine._places("/").run
    condor.queue = [{**one, "GridloomRun": run} for one in ads]


def status(engine: HTCondorEngine, job_id: str = "7.0") -> JobStatus:
    return engine.poll([job_id])[job_id]


# --- submitting and finding -------------------------------------------------------------------------------------------
def test_a_cluster_is_submitted_with_its_files(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    assert engine.submit(jobs(3)) == ("7.0", "7.1", "7.2")
    files = engine.render(jobs(3))
    assert condor.submitted == [files["batch-t0/submit.sub"].decode()]
    assert {name: (logs / name).read_bytes() for name in files} == files
    assert (logs / "batch-t0" / "scheduler-id.txt").read_text() == "7\n"
    assert engine.find(["t1", "other"]) == {"t1": "7.1"}
    assert status(engine).state is State.PENDING  # no event yet, and no log


def test_jobs_of_other_needs_are_another_cluster(condor: FakeCondor, logs: Path) -> None:
    first, second = jobs(2)
    big = job("big", resources=Resources(memory_mb=9000))
    assert len(set(engine_of(logs).submit([first, big, second]))) == 3
    assert len(condor.submitted) == 2


def test_what_is_transferred_lies_beside_the_job_under_plain_names(condor: FakeCondor, logs: Path) -> None:
    wanted = full_jobs()[0]
    engine_of(logs).submit([wanted])
    folder = logs / wanted.folder
    found = {path.name: str(path.readlink()) for path in folder.iterdir() if path.is_symlink()}
    paths = {path for file in wanted.task.files for path in (file.path, *file.friends) if "://" not in path}
    assert set(found.values()) == {*paths, wanted.task.folder}
    assert found["code"] == wanted.task.folder
    for name in found:
        assert name in condor.submitted[0]
    told = json.loads((folder / "task.json").read_text())["task"]["files"]
    assert {path: found[name] for file in told for path, name in file["copies"].items()} == {
        path: path for path in paths
    }


def test_with_a_shared_folder_nothing_is_linked(condor: FakeCondor, logs: Path) -> None:
    engine_of(logs, shared=True).submit([full_jobs()[0]])
    assert not [path for path in logs.rglob("*") if path.is_symlink()]
    assert "should_transfer_files = NO" in condor.submitted[0]


def test_refusals_and_silence(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    condor.errors["submit"] = CondorError("Invalid accounting group")
    with pytest.raises(SubmissionRefused):
        engine.submit(jobs(1))
    condor.errors["submit"] = CondorError("Failed to connect")
    with pytest.raises(EngineUnavailable):
        engine.submit([job("u0")])
    condor.errors = {"query": CondorError("gone")}
    with pytest.raises(EngineUnavailable):
        engine.find(["t0", "u0"])
    condor.errors = {}
    assert engine.find(["t0", "u0"]) == {}


def test_another_driver_finds_jobs_by_the_number_that_was_written_down(condor: FakeCondor, logs: Path) -> None:
    engine_of(logs).submit(jobs(2))
    tell(condor, logs, 1, "SUBMIT", "EXECUTE")
    engine = engine_of(logs)
    assert engine.find(["t1"]) == {"t1": "7.1"}
    assert "query" not in condor.asked
    assert status(engine, "7.1").state is State.RUNNING


@pytest.mark.parametrize("where", ["queue", "past"])
def test_a_driver_killed_during_a_submission(where: str, condor: FakeCondor, logs: Path) -> None:
    """The number was never written down: the schedd has it under the batch's token, as long as it remembers."""
    engine_of(logs).submit(jobs(2))
    (logs / "batch-t0" / "scheduler-id.txt").unlink()
    setattr(condor, where, [ad(0, GridloomBatch="other"), {**ad(1), "ClusterId": 12}])
    assert engine_of(logs).find(["t0", "t1"]) == {"t0": "12.0", "t1": "12.1"}
    assert (logs / "batch-t0" / "scheduler-id.txt").read_text() == "12\n"


def test_a_batch_that_the_schedd_does_not_know_was_never_submitted(condor: FakeCondor, logs: Path) -> None:
    engine_of(logs).submit(jobs(1))
    (logs / "batch-t0" / "scheduler-id.txt").unlink()
    assert engine_of(logs).find(["t0"]) == {}


# --- the event log ----------------------------------------------------------------------------------------------------
def test_jobs_are_followed_by_their_events(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    tell(condor, logs, -1, "CLUSTER_SUBMIT")
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    tell(condor, logs, 1, "SUBMIT")
    # A number that another pool has given before, in a log that was written on.
    tell(condor, logs, 2, "SUBMIT", "EXECUTE", cluster=6)
    found = engine.poll(["7.0", "7.1", "7.2"])
    assert [one.state for one in found.values()] == [State.RUNNING, State.PENDING, State.PENDING]
    tell(condor, logs, 0, "JOB_EVICTED", Reason="preempted")
    tell(condor, logs, 1, "JOB_HELD", HoldReason="memory of 200 MB", HoldReasonCode=34)
    tell(condor, logs, 2, "SUBMIT", "EXECUTE")
    found = engine.poll(["7.0", "7.1", "7.2"])
    assert [(one.state, one.cause) for one in found.values()] == [
        (State.PENDING, Cause.PREEMPTED),
        (State.HELD, Cause.MEMORY),
        (State.RUNNING, Cause.NONE),
    ]


def test_the_exit_code_and_the_jobs_words_tell_how_it_ended(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    for proc in range(3):
        tell(condor, logs, proc, "SUBMIT", "EXECUTE")
        note(condor, logs, proc, Note(kind="began", at=100, host="node1"))
    note(condor, logs, 0, Note(kind="progress", at=110, step=Step(done=3, total=9)))
    note(condor, logs, 1, Note(kind="left", at=120, exit_code=143, reason="wall time"))
    running = status(engine)
    assert (running.state, running.host) == (State.RUNNING, "node1")
    assert running.progress is not None
    assert running.progress.done == 3
    for proc, code in enumerate((0, 143, 1)):
        ended(condor, logs, proc, code)
    # What a job prints comes back with it.
    (logs / jobs(3)[2].folder / STATE).mkdir()
    (logs / jobs(3)[2].folder / STATE / LOG_FILE).write_text("the last words\n")
    found = engine.poll(["7.0", "7.1", "7.2"])
    assert [(one.state, one.cause, one.reason) for one in found.values()] == [
        (State.DONE, Cause.NONE, ""),
        (State.EVICTED, Cause.WALL_TIME, "its wall time was over"),
        (State.FAILED, Cause.NONE, "the last words"),
    ]
    assert (logs / jobs(3)[2].folder / LOG_FILE).exists()


def test_with_a_shared_folder_the_notes_are_a_file(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs, shared=True)
    engine.submit(jobs(1))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    path = logs / jobs(1)[0].folder / NOTES_FILE
    path.write_bytes(Note(kind="began", at=1, host="node2").line())
    assert status(engine).host == "node2"
    path.write_bytes(path.read_bytes() + Note(kind="began", at=9, host="node3", saved=0).line())
    found = status(engine)
    assert (found.host, found.restarts) == ("node3", 1)
    ended(condor, logs, 0, 143)
    assert status(engine).state is State.EVICTED


def test_a_log_that_cannot_be_read_is_no_statement(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    condor.errors["events"] = CondorError("an event is cut short")
    with pytest.raises(EngineUnavailable, match="event log cannot be read"):
        engine.poll(["7.0"])
    condor.errors = {}
    assert status(engine).state is State.RUNNING  # from its beginning again


def test_ids_of_nobody(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    found = engine.poll(["7.9", "8.0", "nonsense", "7.x", "7"])
    assert {one.state for one in found.values()} == {State.UNKNOWN}
    assert engine.poll([]) == {}


# --- where log and queue disagree -------------------------------------------------------------------------------------
@pytest.mark.usefixtures("with_checks")
def test_the_queue_knows_what_the_log_does_not_tell(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(4))
    for proc in range(3):
        tell(condor, logs, proc, "SUBMIT")
    queue(
        engine,
        condor,
        ad(None),
        ad(0, HELD, HoldReason="via condor_hold", HoldReasonCode=1),
        ad(1, RUNNING),
        ad(2, TRANSFERRING),
        ad(3, IDLE),
        {**ad(0, RUNNING), "ClusterId": 99},
    )
    found = engine.poll([f"7.{proc}" for proc in range(4)])
    assert [(one.state, one.cause) for one in found.values()] == [
        (State.HELD, Cause.USER),
        (State.RUNNING, Cause.NONE),
        (State.RUNNING, Cause.NONE),
        (State.PENDING, Cause.NONE),
    ]
    # Seen in the queue, it has been made: when it is there no more, it is gone.
    queue(engine, condor, ad(None), ad(0, COMPLETED), ad(1, RUNNING), ad(2, REMOVED))
    found = engine.poll([f"7.{proc}" for proc in range(4)])
    assert [one.state for one in found.values()] == [State.HELD, State.RUNNING, State.RUNNING, State.UNKNOWN]


@pytest.mark.usefixtures("with_checks")
def test_jobs_that_are_not_made_yet_wait(condor: FakeCondor, logs: Path) -> None:
    """Late materialisation: the cluster is in the queue, its jobs come one after the other."""
    engine = engine_of(logs)
    engine.submit(jobs(2))
    queue(engine, condor, ad(None), ad(0))
    for _ in range(3):
        assert status(engine, "7.1").state is State.PENDING
    assert "history" not in condor.asked
    # Without its cluster there is nothing that would still make it.
    queue(engine, condor)
    for _ in range(3):
        assert status(engine, "7.1").state is State.UNKNOWN


@pytest.mark.usefixtures("with_checks")
@pytest.mark.parametrize(
    ("past", "state", "cause", "reason"),
    [
        (ad(0, REMOVED), State.CANCELLED, Cause.NONE, "removed from the queue"),
        (ad(0, COMPLETED, ExitCode=0, ExitBySignal=False), State.DONE, Cause.NONE, ""),
        (ad(0, COMPLETED, ExitCode=143), State.EVICTED, Cause.PREEMPTED, "took its slot"),
        (ad(0, COMPLETED, ExitBySignal=True, ExitSignal=11), State.EVICTED, Cause.NONE, "SIGSEGV"),
        (ad(0, COMPLETED), State.FAILED, Cause.NONE, "exit code 1"),
        (ad(1, COMPLETED, ExitCode=0), State.UNKNOWN, Cause.NONE, "the schedd does not know the job any more"),
    ],
)
def test_a_job_whose_end_the_log_does_not_tell(
    past: dict[str, Any], state: State, cause: Cause, reason: str, condor: FakeCondor, logs: Path
) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    condor.past = [past]
    # Its last events may be on their way: at first nothing is said.
    assert status(engine).state is State.UNKNOWN
    assert "history" not in condor.asked
    found = status(engine)
    assert (found.state, found.cause) == (state, cause)
    assert reason in found.reason


@pytest.mark.usefixtures("with_checks")
def test_a_job_that_is_back_in_the_queue_was_never_lost(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    assert status(engine).state is State.UNKNOWN
    queue(engine, condor, ad(0, RUNNING))
    found = status(engine)
    assert (found.state, found.reason) == (State.RUNNING, "")


@pytest.mark.usefixtures("with_checks")
def test_events_that_come_late_count(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    assert status(engine).state is State.UNKNOWN
    ended(condor, logs, 0, 0)
    assert status(engine).state is State.DONE
    assert "history" not in condor.asked


@pytest.mark.usefixtures("with_checks")
def test_a_schedd_that_is_away_is_no_statement(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    condor.errors["query"] = CondorError("gone")
    with pytest.raises(EngineUnavailable):
        engine.poll(["7.0"])


def test_the_queue_is_asked_now_and_then_and_not_for_nothing(
    condor: FakeCondor, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{ENGINE}._CHECK_EVERY", 0.3)
    engine = engine_of(logs)
    engine.submit(jobs(1))
    queue(engine, condor, ad(0))
    for _ in range(5):
        status(engine)
    assert condor.asked.count("query") == 1
    time.sleep(0.35)
    status(engine)
    assert condor.asked.count("query") == 2
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    ended(condor, logs, 0, 0)
    time.sleep(0.35)
    status(engine)
    assert condor.asked.count("query") == 2  # no job is alive


# --- ending jobs ------------------------------------------------------------------------------------------------------
def test_all_of_a_cluster_are_removed_at_once(condor: FakeCondor, logs: Path) -> None:
    """By a constraint, so that jobs that are not made yet go, too."""
    engine = engine_of(logs)
    engine.submit(jobs(3))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    tell(condor, logs, 1, "SUBMIT", "EXECUTE")
    ended(condor, logs, 1, 0)
    engine.poll(["7.0"])
    engine.cancel(["7.0", "7.1", "7.2", "nobody", "99.0"])
    assert condor.acted == [("Remove", "ClusterId == 7")]
    # The one that was not made is over now, the other one saves.
    found = engine.poll(["7.0", "7.1", "7.2"])
    assert [one.state for one in found.values()] == [State.RUNNING, State.DONE, State.CANCELLED]
    tell(condor, logs, 0, "JOB_ABORTED", Reason="asked for by Gridloom")
    assert status(engine).state is State.CANCELLED
    condor.acted.clear()
    engine.cancel(["7.0", "7.1", "7.2"])
    assert condor.acted == []


def test_jobs_that_listen_to_nobody_are_ended_at_once(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(2))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    engine.poll([])
    engine.cancel(["7.0"], at_once=True)
    assert condor.acted == [("VacateFast", ["7.0"]), ("Remove", ["7.0"])]


def test_a_job_that_is_not_made_yet_is_removed_as_soon_as_it_is(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    engine.poll([])
    engine.cancel(["7.2"])
    assert status(engine, "7.2").state is State.CANCELLED
    condor.acted.clear()
    tell(condor, logs, 1, "SUBMIT")
    engine.poll([])
    assert condor.acted == []
    tell(condor, logs, 2, "SUBMIT")
    condor.errors["act"] = CondorError("gone")
    with pytest.raises(EngineUnavailable):
        engine.poll([])
    condor.errors = {}
    assert status(engine, "7.2").state is State.CANCELLED
    engine.poll([])
    assert condor.acted == [("Remove", ["7.2"])]


def test_a_cluster_that_somebody_removes_makes_no_jobs_any_more(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    tell(condor, logs, 0, "SUBMIT", "EXECUTE")
    ended(condor, logs, 0, 0)
    tell(condor, logs, 1, "SUBMIT", "EXECUTE")
    tell(condor, logs, -1, "CLUSTER_REMOVE")
    found = engine.poll(["7.0", "7.1", "7.2"])
    assert [one.state for one in found.values()] == [State.DONE, State.RUNNING, State.CANCELLED]
    assert found["7.2"].reason == "it was removed before it began"


def test_a_held_job_is_released_with_more_memory_and_elsewhere(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    condor.queue = [ad(0, Requirements='Arch == "X86_64" || true')]
    engine.release("7.0", memory_mb=4000, avoid=["node1", "node2"])
    assert condor.edited == [
        (["7.0"], "RequestMemory", "4000"),
        (
            ["7.0"],
            "Requirements",
            '(Arch == "X86_64" || true) && (TARGET.Machine =!= "node1") && (TARGET.Machine =!= "node2")',
        ),
    ]
    assert condor.acted == [("Release", ["7.0"])]
    condor.queue, condor.edited = [], []
    engine.release("7.0", memory_mb=None, avoid=["node1"])
    engine.release("7.0", memory_mb=None, avoid=[])
    assert condor.edited == [(["7.0"], "Requirements", '(TARGET.Machine =!= "node1")')]


# --- bringing work home -----------------------------------------------------------------------------------------------
def brought(logs: Path, of: Assignment, text: str) -> Path:
    """What a finished job leaves in its folder on the submitting machine."""
    folder = logs / of.folder / STATE / RESULT_FOLDER
    folder.mkdir(parents=True)
    (folder / "value.txt").write_text("value")
    result = Result(
        task=of.task.id,
        kind="train",
        label="train",
        token=of.token,
        outputs=list_outputs(folder),
        host="node1",
        user="me",
        started=1.0,
        seconds=2.0,
        versions={},
    )
    write_json(folder / RESULT, result.model_dump(mode="json"))
    (folder / "value.txt").write_text(text)
    return folder


def test_results_and_states_are_brought_into_the_store(condor: FakeCondor, logs: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    engine = engine_of(logs)
    first, second, third = jobs(3, store.root)
    engine.submit([first, second, third])
    brought(logs, first, "value")
    brought(logs, second, "VALUE")
    (logs / third.folder / STATE / SCRATCH).mkdir(parents=True)
    (logs / third.folder / STATE / SCRATCH / "count").write_text("3")
    damaged = engine.collect(["7.0", "7.1", "7.2", "nobody"])
    assert list(damaged) == ["7.1"]
    assert "digest" in damaged["7.1"].what
    assert store.verify(first.task.id, fully=True) is not None
    assert store.find(second.task.id) is None
    assert (store.scratch(third.task.id) / "count").read_text() == "3"


def test_with_a_shared_folder_there_is_nothing_to_bring(condor: FakeCondor, logs: Path) -> None:
    engine = engine_of(logs, shared=True)
    engine.submit(jobs(1))
    brought(logs, jobs(1)[0], "value")
    assert engine.collect(["7.0"]) == {}


# --- what the pool says of itself -------------------------------------------------------------------------------------
def test_facts_about_a_pool(condor: FakeCondor, logs: Path) -> None:
    condor.machines = [{"Machine": "node1", "MachineMaxVacateTime": 10}, {"Machine": "node2"}]
    version, grace = engine_of(logs).describe()
    assert (version.verdict, version.value) == ("ok", "schedd 23.9.6, Python bindings 23.10.29")
    assert (grace.verdict, grace.fix) == ("look", "Set grace: 10 s, or fewer.")
    condor.version = "$CondorVersion: 25.14.1 2026-01-01 BuildID: 3 $"
    condor.machines = [{"Machine": "node1", "MachineMaxVacateTime": 600}]
    version, grace = engine_of(logs).describe()
    assert version.verdict == "look"
    assert "htcondor==23.*" in version.fix
    assert grace.verdict == "ok"
    condor.machines = []
    assert len(engine_of(logs).describe()) == 1


def test_the_rest_of_the_contract(condor: FakeCondor, logs: Path) -> None:
    condor.machines = [{"Machine": "node1"}, {"Machine": "node2"}]
    engine = engine_of(logs)
    assert engine.nodes() == {"node1", "node2"}
    started = time.monotonic()
    engine.wait(0.05)
    assert time.monotonic() - started >= 0.05
    engine.close()
    assert engine.capabilities.checkpoint_transfer
    assert not engine.capabilities.shared_file_system
    shared = engine_of(logs, shared=True).capabilities
    assert (shared.shared_file_system, shared.checkpoint_transfer) == (True, False)


def test_runs_do_not_see_each_others_jobs(condor: FakeCondor, logs: Path) -> None:
    first, second = engine_of(logs / "a"), engine_of(logs / "b")
    assert first._places("/").run != second._places("/").run
    assert first._places("/").run == engine_of(logs / "a")._places("/").run
