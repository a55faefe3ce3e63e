"""The seam to Slurm: how its commands are called, and what each of their failures means."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_slurm import NO_ACCOUNTING, FakeSlurm, put_on_path, record

from gridloom.engines.slurm.commands import Commands, seconds_of
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.errors import EngineUnavailable, SiteProblem, SubmissionRefused

AWAY = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    found = FakeSlurm(tmp_path / "slurm")
    put_on_path(found, monkeypatch)
    return found


def commands(**options: object) -> Commands:
    return Commands(options=SlurmOptions.model_validate(options))


def test_a_submission_hands_the_script_over_as_it_is(slurm: FakeSlurm) -> None:
    script = "#!/bin/bash\necho 'ü 素粒子' \"$(x)\" %a\n\ttwo\n"
    assert commands().submit(script, "/work/a b") == "54"
    assert slurm.calls("sbatch") == [["--parsable", "--chdir=/work/a b"]]
    assert slurm.script == script
    slurm.says("sbatch", "55;cluster\n")
    assert commands().submit(script, "/") == "55"


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: Batch job submission failed: Invalid partition name specified",
        "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
        "sbatch: error: Batch job submission failed: Requested node configuration is not available",
        "sbatch: unrecognized option '--nonsense'",
        "",
    ],
)
def test_a_refusal_is_no_silence(words: str, slurm: FakeSlurm) -> None:
    slurm.says("sbatch", err=f"{words}\n", code=1)
    with pytest.raises(SubmissionRefused, match="Slurm refused the jobs") as caught:
        commands().submit("", "/")
    assert (words or "it said nothing") in caught.value.what
    assert "sinfo" in caught.value.fix


@pytest.mark.parametrize(
    "words",
    [
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
        "sbatch: error: Batch job submission failed: Zero Bytes were transmitted or received",
        "sbatch: error: Batch job submission failed: Communication connection failure",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\ntry again",
        "sbatch: error: slurm_persist: Connection refused",
    ],
)
def test_no_answer_is_no_refusal(words: str, slurm: FakeSlurm) -> None:
    slurm.says("sbatch", err=f"{words}\n", code=1)
    with pytest.raises(EngineUnavailable, match="did not answer a submission"):
        commands().submit("", "/")


def test_the_queue_is_asked_in_one_call(slurm: FakeSlurm) -> None:
    slurm.has_queue(record("RUNNING", element=1), record("PENDING", waiting="2-3"))
    assert len(commands().queue()) == 2
    commands().queue("gridloom-aa")
    assert slurm.calls("squeue") == [
        ["--json", "--me", "--states=all"],
        ["--json", "--me", "--states=all", "--name=gridloom-aa"],
    ]
    slurm.says("squeue", json.dumps({"jobs": [None, 7, {"job_id": 1}]}))
    assert commands().queue() == [{"job_id": 1}]
    slurm.says("squeue", "{}")
    assert commands().queue() == []


@pytest.mark.parametrize("out", ["", "not JSON", '{"jobs": [', "\udcff"])
def test_a_queue_that_is_cut_off_is_no_answer(out: str, slurm: FakeSlurm) -> None:
    (slurm.folder / "squeue.out").write_bytes(out.encode(errors="surrogateescape"))
    with pytest.raises(EngineUnavailable, match="no JSON"):
        commands().queue()


def test_a_controller_that_is_away(slurm: FakeSlurm) -> None:
    for name in ("squeue", "scontrol", "sinfo"):
        slurm.says(name, err=AWAY, code=1)
    asks: tuple[Callable[[], object], ...] = (
        lambda: commands().queue(),
        lambda: commands().control("show", "config"),
        lambda: commands().nodes(),
        lambda: commands().partitions(),
    )
    for ask in asks:
        with pytest.raises(EngineUnavailable, match="Unable to contact") as caught:
            ask()
        assert "Jobs go on" in caught.value.fix


def test_a_command_that_hangs_is_no_answer(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom.engines.slurm.commands._PATIENCE", 0.2)
    slurm.is_slow("squeue", 30)
    slurm.is_slow("sbatch", 30)
    started = time.monotonic()
    with pytest.raises(EngineUnavailable, match=r"squeue gave no answer in 0\.2 s"):
        commands().queue()
    with pytest.raises(EngineUnavailable, match="sbatch gave no answer"):
        commands().submit("", "/")
    assert time.monotonic() - started < 25


def test_a_machine_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SiteProblem, match="no command `squeue` on this machine") as caught:
        commands().queue()
    assert "login node" in caught.value.fix
    assert not commands().has_accounting()


def test_only_the_sites_options_count(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the user's shell are options to Slurm's commands, and would change what jobs are or are shown."""
    for name in ("SBATCH_PARTITION", "SLURM_JOB_ID", "SQUEUE_STATES", "SCANCEL_INTERACTIVE", "SINFO_PARTITION"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("SLURM_CONF", "/the/users/slurm.conf")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    commands().queue()
    found = slurm.variables("squeue")
    assert not [name for name in found if name.startswith(("SBATCH", "SLURM_JOB", "SQUEUE", "SCANCEL", "SINFO"))]
    assert (found["SLURM_CONF"], found["LC_ALL"]) == ("/the/users/slurm.conf", "C.UTF-8")
    # The elements of an array that wait are all named, however many.
    assert found["SLURM_BITSTR_LEN"] == "0"
    commands(config="/the/sites/slurm.conf").queue()
    assert slurm.variables("squeue")["SLURM_CONF"] == "/the/sites/slurm.conf"


def test_many_jobs_are_cancelled_in_several_calls(slurm: FakeSlurm) -> None:
    ids = [f"54_{number}" for number in range(401)]
    commands().cancel(ids)
    assert [len(call) for call in slurm.calls("scancel")] == [200, 200, 1]
    assert [job for call in slurm.calls("scancel") for job in call] == ids
    commands().cancel(["54_1"], signal="KILL")
    assert slurm.calls("scancel")[-1] == ["--signal=KILL", "--full", "54_1"]
    commands().cancel([])
    assert len(slurm.calls("scancel")) == 4


def test_jobs_that_have_ended_already_are_no_error(slurm: FakeSlurm) -> None:
    slurm.says("scancel", err="scancel: error: Kill job error on job id 54_1: Invalid job id specified\n", code=1)
    commands().cancel(["54_1"])
    slurm.says("scancel", err="scancel: error: Unable to contact slurm controller\n", code=1)
    with pytest.raises(EngineUnavailable):
        commands().cancel(["54_1"])


def test_the_accounting(slurm: FakeSlurm) -> None:
    slurm.accounts(("54_1", "COMPLETED", "0:0", "node1", "None"), ("54_2", "FAILED", "7:0", "node2", "None"))
    rows = commands().accounted([f"54_{number}" for number in range(201)])
    assert len(rows) == 4
    assert rows[1] == {"JobID": "54_2", "State": "FAILED", "ExitCode": "7:0", "NodeList": "node2", "Reason": "None"}
    first, second = slurm.calls("sacct")
    assert first[-2:] == ["--jobs", ",".join(f"54_{number}" for number in range(200))]
    assert second[-2:] == ["--jobs", "54_200"]
    assert "--format=JobID,State,ExitCode,NodeList,Reason" in first
    commands().accounted_name("gridloom-aa")
    assert slurm.calls("sacct")[-1][-4:] == ["--name", "gridloom-aa", "--starttime", "now-30days"]


def test_without_accounting_nothing_is_remembered(slurm: FakeSlurm) -> None:
    slurm.says("sacct", err=NO_ACCOUNTING, code=1)
    assert commands().accounted(["54_1"]) == []
    assert not commands().has_accounting()
    slurm.says("sacct", err="sacct: error: something else\n", code=1)
    with pytest.raises(EngineUnavailable, match="sacct did not answer: sacct: error: something else"):
        commands().accounted(["54_1"])


def test_whether_there_is_accounting_may_be_said_by_the_site(slurm: FakeSlurm) -> None:
    assert commands(accounting="yes").has_accounting()
    assert not commands(accounting="no").has_accounting()
    assert slurm.calls("sacct") == []
    slurm.accounts()
    assert commands().has_accounting()


@pytest.mark.parametrize(
    ("limit", "seconds"),
    [
        ("infinite", None),
        ("n/a", None),
        ("UNLIMITED", None),
        ("30", 1800),
        ("30:00", 1800),
        ("1:30:15", 5415),
        ("2-00:00:00", 172_800),
        ("1-12", 129_600),
        ("1-12:30", 131_400),
        ("x-12:30", None),
    ],
)
def test_times_as_slurm_writes_them(limit: str, seconds: int | None) -> None:
    assert seconds_of(limit) == seconds


def test_the_time_limit_of_a_partition(slurm: FakeSlurm) -> None:
    slurm.says("sinfo", "low* 30:00\nhigh 2:00:00\nlong infinite\n")
    limits = {name: commands().time_limit(name) for name in ("", "high", "low,high", "long", "low,long", "none")}
    assert limits == {"": 1800, "high": 7200, "low,high": 7200, "long": None, "low,long": None, "none": None}


def test_a_change_that_is_not_allowed_is_no_silence(slurm: FakeSlurm) -> None:
    slurm.says("scontrol", err="Access/permission denied for job 54_1\n", code=1)
    with pytest.raises(SubmissionRefused, match="Slurm refused: Access/permission denied") as caught:
        commands().control("release", "54_1")
    assert caught.value.where == "scontrol release 54_1"


def test_nodes_and_partitions(slurm: FakeSlurm) -> None:
    slurm.says("sinfo", "node1\nnode1\nnode2\n")
    assert commands().nodes() == ["node1", "node1", "node2"]
    commands(partition="short,long").nodes()
    assert slurm.calls("sinfo")[-1][-1] == "--partition=short,long"
    slurm.says("sinfo", "low*\nhigh\n")
    assert commands().partitions() == "low*\nhigh\n"
