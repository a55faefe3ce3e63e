"""The engine for Slurm against commands that say what tests tell them to: nothing is lost, nothing is made up."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import job, site
from fake_slurm import FakeSlurm, put_on_path, record

from gridloom.assignment import ERROR_FILE, NOTES_FILE, Assignment
from gridloom.engines.base import Cause, JobStatus, State
from gridloom.engines.slurm.engine import SlurmEngine
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.errors import EngineUnavailable, NodeProblem, SiteProblem, SubmissionRefused
from gridloom.messages import Note, Step, errors_as_json
from gridloom.task import Resources

AWAY = "error: Unable to contact slurm controller\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    found = FakeSlurm(tmp_path / "slurm")
    put_on_path(found, monkeypatch)
    return found


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder of logs; every poll asks Slurm."""
    monkeypatch.setattr("gridloom.engines.slurm.engine._SOONEST", 0.0)
    monkeypatch.setattr("gridloom.engines.slurm.engine._SHARE", 0.0)
    return tmp_path / "logs"


def engine_of(logs: Path, **options: Any) -> SlurmEngine:
    return SlurmEngine(site("slurm", grace=20), SlurmOptions.model_validate(options), logs)


def jobs(number: int, **changes: Any) -> list[Assignment]:
    return [job(f"t{index}", **changes) for index in range(number)]


def says(logs: Path, of: Assignment, *notes: Note) -> None:
    with (logs / of.folder / NOTES_FILE).open("ab") as stream:
        for note in notes:
            stream.write(note.line())


def began(at: float = 100, **more: Any) -> Note:
    return Note(kind="began", at=at, host="node1", job="54_0", **more)


def left(code: int, reason: str = "", **more: Any) -> Note:
    return Note(kind="left", at=200, exit_code=code, reason=reason, **more)


def status(engine: SlurmEngine, job_id: str = "54_0") -> JobStatus:
    return engine.poll([job_id])[job_id]


# --- submitting and finding -------------------------------------------------------------------------------------------
def test_an_array_is_submitted_with_its_files(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    wanted = jobs(3)
    assert engine.submit(wanted) == ("54_0", "54_1", "54_2")
    files = engine.render(wanted)
    assert slurm.script == files["batch-t0/array.sh"].decode()
    assert {name: (logs / name).read_bytes() for name in files} == files
    assert (logs / "batch-t0" / "scheduler-id.txt").read_text() == "54\n"
    assert engine.find(["t1", "t9"]) == {"t1": "54_1"}
    assert slurm.calls("squeue") == []


def test_jobs_of_other_needs_are_other_arrays(slurm: FakeSlurm, logs: Path) -> None:
    small = jobs(3)
    big = job("big", resources=Resources(memory_mb=9000))
    ids = engine_of(logs, array=2).submit([small[0], big, small[1], small[2]])
    assert len(slurm.calls("sbatch")) == 3
    # The fake gives each array the same number: what counts is the place in it, in the order of what was asked.
    assert [job_id.partition("_")[2] for job_id in ids] == ["0", "0", "1", "0"]


def test_a_refusal_and_a_silence_are_passed_on(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    slurm.says("sbatch", err="Invalid partition name specified\n", code=1)
    with pytest.raises(SubmissionRefused):
        engine.submit(jobs(1))
    assert engine.find(["t0"]) == {}
    slurm.says("sbatch", err=AWAY, code=1)
    with pytest.raises(EngineUnavailable):
        engine.submit(jobs(1))
    slurm.says("squeue", err=AWAY, code=1)
    with pytest.raises(EngineUnavailable):
        engine.find(["t0"])


def test_another_driver_finds_jobs_by_the_number_that_was_written_down(slurm: FakeSlurm, logs: Path) -> None:
    engine_of(logs).submit(jobs(3))
    engine = engine_of(logs)
    assert engine.find(["t1", "t2", "other"]) == {"t1": "54_1", "t2": "54_2"}
    slurm.has_queue(record("RUNNING", element=1, node="node1"))
    assert status(engine, "54_1").state is State.RUNNING


def forget_the_number(logs: Path) -> None:
    (logs / "batch-t0" / "scheduler-id.txt").unlink()


def test_a_driver_killed_during_a_submission(slurm: FakeSlurm, logs: Path) -> None:
    """The number was never written down: the queue has it under the batch's name."""
    engine_of(logs).submit(jobs(2))
    forget_the_number(logs)
    slurm.has_queue(record("PENDING", array=77, waiting="0-1"))
    assert engine_of(logs).find(["t0", "t1"]) == {"t0": "77_0", "t1": "77_1"}
    assert slurm.calls("squeue")[-1][-1] == "--name=gridloom-t0"
    # From here on it is known without asking.
    slurm.says("squeue", err=AWAY, code=1)
    assert engine_of(logs).find(["t0"]) == {"t0": "77_0"}


def test_the_accounting_remembers_what_the_queue_has_forgotten(slurm: FakeSlurm, logs: Path) -> None:
    engine_of(logs).submit(jobs(2))
    forget_the_number(logs)
    slurm.accounts(("78_0", "COMPLETED", "0:0", "node1", "None"), ("78_1", "FAILED", "1:0", "node1", "None"))
    assert engine_of(logs).find(["t1"]) == {"t1": "78_1"}
    assert slurm.calls("sacct")[-1][-4:-2] == ["--name", "gridloom-t0"]


def test_a_job_that_began_has_said_its_number(slurm: FakeSlurm, logs: Path) -> None:
    engine_of(logs).submit(jobs(3))
    forget_the_number(logs)
    says(logs, jobs(3)[2], Note(kind="began", at=1, host="node1", job="79_2"))
    assert engine_of(logs).find(["t0", "t2"]) == {"t0": "79_0", "t2": "79_2"}


def test_a_batch_that_nobody_knows_was_never_submitted(slurm: FakeSlurm, logs: Path) -> None:
    engine_of(logs).submit(jobs(1))
    forget_the_number(logs)
    assert engine_of(logs).find(["t0"]) == {}
    assert engine_of(logs).find(["other"]) == {}


# --- what became of jobs ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("known", "notes", "state", "cause", "reason"),
    [
        (record("PENDING", element=0, reason="Resources"), (), State.PENDING, Cause.NONE, "Resources"),
        (record("PENDING", element=0, reason="JobHeldUser"), (), State.HELD, Cause.USER, "JobHeldUser"),
        (record("RUNNING", element=0, node="node1"), (began(),), State.RUNNING, Cause.NONE, ""),
        # Preempted: it saved, left, and waits for another slot.
        (record("PENDING", element=0), (began(), left(143, "preempted")), State.PENDING, Cause.NONE, ""),
        (record("COMPLETED", element=0), (began(), left(0)), State.DONE, Cause.NONE, ""),
        (record("COMPLETED", element=0), (), State.DONE, Cause.NONE, ""),
        # The job says that it is done before Slurm does, and also when it was ended in its last moment.
        (record("RUNNING", element=0), (began(), left(0)), State.DONE, Cause.NONE, ""),
        (record("NODE_FAIL", element=0), (began(), left(0)), State.DONE, Cause.NONE, ""),
        # Slurm has forgotten it.
        (None, (began(), left(0)), State.DONE, Cause.NONE, ""),
        (None, (began(), left(143, "preempted")), State.EVICTED, Cause.PREEMPTED, "took its slot"),
        (None, (began(),), State.UNKNOWN, Cause.NONE, "does not know the job any more"),
        # Exit codes: the job's own where it gave one.
        (record("FAILED", element=0, code=143), (began(), left(143, "preempted")), State.EVICTED, Cause.PREEMPTED,
         "took its slot"),
        (record("FAILED", element=0, code=143), (), State.EVICTED, Cause.PREEMPTED, "took its slot"),
        (record("FAILED", element=0, code=1), (began(), left(52)), State.FAILED, Cause.NONE, "exit code 52"),
        (record("FAILED", element=0, code=7), (), State.FAILED, Cause.NONE, "exit code 7"),
        # Whether it worked is told by its result.
        (record("FAILED", element=0, code=None), (), State.DONE, Cause.NONE, ""),
        (record("FAILED", element=0, code=None, signal=11), (began(),), State.EVICTED, Cause.NONE, "SIGSEGV"),
        (record("FAILED", element=0, code=137), (began(), left(137, memory_mb=1900)), State.EVICTED, Cause.MEMORY,
         "memory"),
        (record("COMPLETED", element=0), (began(), left(143, "wall time")), State.EVICTED, Cause.WALL_TIME, "its wall"),
        # What Slurm itself did.
        (record("TIMEOUT", element=0), (began(),), State.EVICTED, Cause.WALL_TIME, "its time limit was over"),
        (record("TIMEOUT", element=0), (began(), left(143, "wall time")), State.EVICTED, Cause.WALL_TIME, "wall time"),
        # A job that leaves by itself after its preemption began shows TIMEOUT.
        (record("TIMEOUT", element=0), (began(), left(143, "preempted")), State.EVICTED, Cause.PREEMPTED, "slot"),
        (record("OUT_OF_MEMORY", element=0), (began(), left(137)), State.EVICTED, Cause.MEMORY, "ran out of memory"),
        (record("PREEMPTED", element=0), (began(),), State.EVICTED, Cause.PREEMPTED, "another job took its slot"),
        (record("NODE_FAIL", element=0, node="node1"), (began(),), State.EVICTED, Cause.NODE, "its node node1 failed"),
        (record("CANCELLED", element=0), (began(), left(143, "preempted")), State.CANCELLED, Cause.NONE, "CANCELLED"),
        (record("ODD", element=0), (), State.UNKNOWN, Cause.NONE, "Slurm says ODD"),
    ],
)  # fmt: skip
def test_what_slurm_and_the_job_say(
    known: dict[str, Any] | None,
    notes: tuple[Note, ...],
    state: State,
    cause: Cause,
    reason: str,
    slurm: FakeSlurm,
    logs: Path,
) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    slurm.has_queue(*([known] if known else []))
    says(logs, jobs(1)[0], *notes)
    found = status(engine)
    assert (found.state, found.cause) == (state, cause)
    assert reason in found.reason


def test_progress_and_restarts_come_from_the_notes(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    slurm.has_queue(record("RUNNING", element=0, node="node1"))
    step = Note(kind="progress", at=110, step=Step(done=3, total=9))
    says(logs, jobs(1)[0], began(), step, began(200, saved=105))
    found = status(engine)
    assert (found.host, found.restarts, found.lost_seconds) == ("node1", 1, 5)
    assert found.progress is not None
    assert found.progress.done == 3


def test_a_job_that_never_came_to_say_where_it_is(slurm: FakeSlurm, logs: Path) -> None:
    """A script that refuses a node leaves an error and no note: Slurm knows which node it was."""
    engine = engine_of(logs)
    engine.submit(jobs(1))
    refused = NodeProblem("setup command 1 of the site failed on node2", fix="Correct it.")
    (logs / jobs(1)[0].folder / ERROR_FILE).write_text(json.dumps(errors_as_json(refused)))
    slurm.has_queue(record("FAILED", element=0, node="node2", code=60))
    found = status(engine)
    assert (found.state, found.cause, found.host, found.reason) == (
        State.EVICTED,
        Cause.NODE,
        "node2",
        "setup command 1 of the site failed on node2",
    )


def test_ends_are_kept_when_slurm_has_forgotten_them(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(2))
    slurm.has_queue(record("FAILED", element=0, code=7), record("RUNNING", element=1))
    first = engine.poll(["54_0", "54_1"])
    slurm.has_queue(record("RUNNING", element=1))
    assert engine.poll(["54_0", "54_1"])["54_0"] == first["54_0"]
    slurm.says("squeue", err=AWAY, code=1)
    assert status(engine) == first["54_0"]  # nobody needs to be asked
    with pytest.raises(EngineUnavailable):
        engine.poll(["54_0", "54_1"])


def test_the_accounting_is_asked_for_what_is_missing_only(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    slurm.has_queue(record("RUNNING", element=0))
    slurm.accounts(
        ("54_0", "FAILED", "9:0", "node1", "None"),  # an earlier start of a job that was queued again
        ("54_1", "TIMEOUT", "0:0", "node2", "None"),
        ("54_9", "FAILED", "1:0", "node1", "None"),
    )
    found = engine.poll(["54_0", "54_1", "54_2"])
    assert [one.state for one in found.values()] == [State.RUNNING, State.EVICTED, State.UNKNOWN]
    asked = slurm.calls("sacct")
    assert asked[0][-2:] == ["--jobs", "0"]  # whether there is one is tried once
    assert asked[1][-1] == "54_1,54_2"
    engine.poll(["54_2"])
    assert len(slurm.calls("sacct")) == 3
    slurm.says("sacct", err="sacct: error: something\n", code=1)
    with pytest.raises(EngineUnavailable):
        engine.poll(["54_2"])


def test_without_accounting_it_is_asked_once(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    for _ in range(3):
        assert status(engine).state is State.UNKNOWN
    assert len(slurm.calls("sacct")) == 1


def test_ids_of_nobody(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    assert engine.poll([]) == {}
    assert engine.poll(["99_1", "nonsense"])["nonsense"].state is State.UNKNOWN
    assert slurm.calls("squeue") == []


# --- ending jobs, and the rest of the contract ------------------------------------------------------------------------
def test_jobs_are_cancelled_softly_or_at_once(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(3))
    slurm.has_queue(record("COMPLETED", element=0), record("RUNNING", element=1), record("PENDING", waiting="2"))
    engine.poll(["54_0", "54_1", "54_2"])
    engine.cancel(["54_0", "54_1", "54_2", "nobody"])
    assert slurm.calls("scancel") == [["54_1", "54_2"]]
    engine.cancel(["54_1"], at_once=True)
    assert slurm.calls("scancel")[1:] == [["--signal=KILL", "--full", "54_1"], ["54_1"]]
    engine.cancel(["54_0", "nobody"])
    assert len(slurm.calls("scancel")) == 3


def test_a_held_job_is_released_with_more_memory_and_elsewhere(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    engine.submit(jobs(1))
    engine.release("54_0", memory_mb=4000, avoid=["node1", "node2"])
    engine.release("54_0", memory_mb=None, avoid=[])
    assert slurm.calls("scontrol") == [
        ["update", "JobId=54_0", "MinMemoryNode=4000", "ExcNodeList=node1,node2"],
        ["release", "54_0"],
        ["release", "54_0"],
    ]
    slurm.says("scontrol", err=AWAY, code=1)
    with pytest.raises(EngineUnavailable):
        engine.release("54_0", memory_mb=None, avoid=[])


def test_the_rest_of_the_contract(slurm: FakeSlurm, logs: Path) -> None:
    engine = engine_of(logs)
    slurm.says("sinfo", "node1\nnode1\nnode2\n")
    assert engine.nodes() == {"node1", "node2"}
    assert engine.collect(["54_0"]) == {}
    started = time.monotonic()
    engine.wait(0.05)
    assert time.monotonic() - started >= 0.05
    engine.close()
    with pytest.raises(SiteProblem, match="shared folder"):
        SlurmEngine(site("slurm", shared_folder=False), SlurmOptions(), logs)


CONFIG = """\
Configuration data as of 2026-11-25T22:00:00
KillWait                = 10 sec
MaxArraySize            = 501
SLURM_VERSION           = 24.11.5
"""


def test_slurm_is_asked_the_less_the_older_the_jobs_are(
    slurm: FakeSlurm, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two questions the jobs' own notes tell; after a submission or a request Slurm is asked at once."""
    monkeypatch.setattr("gridloom.engines.slurm.engine._SOONEST", 60.0)
    engine = engine_of(logs)
    slurm.has_queue(record("RUNNING", element=0))
    engine.submit(jobs(1))
    for _ in range(3):
        assert status(engine).state is State.RUNNING
    assert len(slurm.calls("squeue")) == 1
    says(logs, jobs(1)[0], began(), left(0))
    assert status(engine).state is State.DONE
    slurm.has_queue(record("RUNNING", element=0), record("RUNNING", element=1))
    more = [job("u0"), job("u1")]
    engine.submit(more)
    engine.poll(["54_1"])
    assert len(slurm.calls("squeue")) == 2
    engine.cancel(["54_1"])
    engine.poll(["54_1"])
    engine.poll(["54_1"])
    assert len(slurm.calls("squeue")) == 3


def test_what_slurm_says_of_itself(slurm: FakeSlurm, logs: Path) -> None:
    slurm.says("scontrol", CONFIG)
    slurm.says("sinfo", "low*\nhigh\n")
    slurm.says_to("sinfo", "--format=%P %l", "low* 30:00\nnightly 20:00\nhigh infinite\n")
    facts = {fact.name: fact for fact in engine_of(logs, partition="low,nightly").describe()}
    assert facts["Slurm"].value == "version 24.11.5"
    assert "there is none" in facts["accounting"].value
    assert (facts["partition"].verdict, facts["partition"].fix) == ("bad", "There are: high, low.")
    assert (facts["grace"].verdict, facts["grace"].fix) == ("look", "Set grace: 10 s, or fewer.")
    assert (facts["arrays"].verdict, facts["arrays"].fix) == ("bad", "Set options: array: 500.")
    limit = facts["time limit"]
    assert (limit.verdict, limit.fix) == ("bad", "Ask for less: resources: {default: {wall: 30 min}}.")
    assert "prepare, train" in limit.value


def test_nothing_to_say_against_a_cluster(slurm: FakeSlurm, logs: Path) -> None:
    slurm.says("scontrol", CONFIG.replace("10 sec", "60 sec").replace("501", "100001"))
    slurm.says("sinfo", "low*\nhigh\n")
    slurm.says_to("sinfo", "--format=%P %l", "low* 2-00:00:00\nhigh 1:00\n")
    slurm.accounts()
    facts = {fact.name: fact for fact in engine_of(logs, partition="low").describe()}
    assert {fact.verdict for fact in facts.values()} == {"ok"}
    assert facts["accounting"].value == "there is"
    assert "arrays" not in facts
    assert "partition" not in {fact.name for fact in engine_of(logs).describe()}
    # Without a limit in its configuration, Slurm has one of its own.
    slurm.says("scontrol", "KillWait = 60 sec\n")
    assert "arrays" not in {fact.name for fact in engine_of(logs, array=1000).describe()}
    assert "arrays" in {fact.name for fact in engine_of(logs, array=1001).describe()}
