"""The seam to HTCondor's bindings: how they are called, and what their errors mean."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_htcondor import CondorError, FakeCondor

from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.htcondor.schedd import Schedd
from gridloom.errors import EngineUnavailable, SiteProblem, SubmissionRefused


def schedd(**options: Any) -> Schedd:
    return Schedd(options=HTCondorOptions.model_validate(options))


def test_a_submission(condor: FakeCondor) -> None:
    assert schedd().submit("queue 1\n") == 7
    assert condor.submitted == ["queue 1\n"]
    assert condor.locations == [None]


def test_which_schedd_and_which_pool(condor: FakeCondor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDOR_CONFIG", "/the/users")
    schedd(schedd="schedd.cern.ch", collector="pool.cern.ch", config="/the/sites").submit("queue 1\n")
    assert condor.locations == [{"Name": "schedd.cern.ch", "CondorVersion": condor_version()}]
    assert condor.pools == ["pool.cern.ch"]
    assert os.environ["CONDOR_CONFIG"] == "/the/sites"
    schedd(collector="pool.cern.ch").submit("queue 1\n")
    assert condor.locations[1]["Name"] == "here"


def condor_version() -> str:
    return "$CondorVersion: 23.9.6 2024-08-08 BuildID: 2 $"


@pytest.mark.parametrize(
    "words",
    [
        "Failed to connect to schedd.",
        "Unable to locate local daemon",
        "Failed to communicate with schedd\nfor some reason",
        "Timed out waiting",
        "AUTHENTICATE:1003:Failed to authenticate with any method",
    ],
)
def test_no_answer_is_no_refusal(words: str, condor: FakeCondor) -> None:
    condor.errors["submit"] = CondorError(words)
    with pytest.raises(EngineUnavailable, match="did not answer a submission") as caught:
        schedd().submit("queue 1\n")
    assert " ".join(words.split()) in caught.value.what


@pytest.mark.parametrize(
    "words",
    [
        "Invalid accounting group",
        "No 'queue' statement",
        "Number of submitted jobs would exceed MAX_JOBS_SUBMITTED",
        "",
    ],
)
def test_a_refusal_is_no_silence(words: str, condor: FakeCondor) -> None:
    condor.errors["submit"] = CondorError(words)
    with pytest.raises(SubmissionRefused, match="HTCondor refused the jobs") as caught:
        schedd().submit("queue 1\n")
    assert words in caught.value.what


@pytest.mark.parametrize("error", [CondorError("gone"), OSError("reset"), RuntimeError("lost")])
def test_a_schedd_that_is_away(error: Exception, condor: FakeCondor) -> None:
    asks: dict[str, Callable[[], object]] = {
        "schedd": lambda: schedd().submit("queue 1\n"),
        "query": lambda: schedd().query("A == 1", ["A"]),
        "history": lambda: schedd().history("A == 1", ["A"], at_most=1),
        "act": lambda: schedd().act("Remove", ["7.0"]),
        "edit": lambda: schedd().edit("7.0", "RequestMemory", "1"),
        "locate": lambda: schedd().versions(),
        "collector": lambda: schedd().machines(),
    }
    for name, ask in asks.items():
        condor.errors = {name: error}
        with pytest.raises(EngineUnavailable, match="the schedd did not answer") as caught:
            ask()
        assert str(error) in caught.value.what
        assert "Jobs go on" in caught.value.fix


def test_another_error_is_a_bug_and_not_hidden(condor: FakeCondor) -> None:
    condor.errors["query"] = TypeError("a bug")
    with pytest.raises(TypeError):
        schedd().query("A == 1", ["A"])


def test_the_queue_and_its_past(condor: FakeCondor) -> None:
    condor.queue = [{"A": 1, "ClusterId": 7}, {"A": 1, "ClusterId": 7, "ProcId": 0, "Other": 5}, {"A": 2, "ProcId": 1}]
    condor.past = [{"A": 1, "ProcId": 3}, {"A": 1, "ProcId": 2}]
    assert schedd().query("A == 1", ["ClusterId", "ProcId"]) == [{"ClusterId": 7, "ProcId": 0}]
    assert len(schedd().query("A == 1", ["ClusterId"], clusters=True)) == 2
    assert schedd().history("A == 1", ["ProcId"], at_most=1) == [{"ProcId": 3}]


def test_actions_are_done_in_parts(condor: FakeCondor) -> None:
    ids = [f"7.{number}" for number in range(1001)]
    schedd().act("Remove", ids)
    assert [len(target) for _, target in condor.acted] == [500, 500, 1]
    assert [job for _, target in condor.acted for job in target] == ids
    schedd().act("VacateFast", "ClusterId == 7")
    assert condor.acted[-1] == ("VacateFast", "ClusterId == 7")
    schedd().edit("7.1", "RequestMemory", "4000")
    assert condor.edited == [(["7.1"], "RequestMemory", "4000")]


def test_the_pool(condor: FakeCondor) -> None:
    condor.machines = [{"Machine": "node1", "MachineMaxVacateTime": 600}, {"Machine": "node2"}, {"Name": "odd"}]
    assert schedd().machines() == {"node1", "node2"}
    assert schedd().vacate_times() == (600,)
    assert schedd().versions() == ("23.9.6", "23.10.29")
    condor.version = "unknown"
    assert schedd().versions()[1] == "unknown"


def test_without_the_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "htcondor2", None)
    with pytest.raises(SiteProblem, match="Python bindings are not installed") as caught:
        schedd()
    assert "htcondor" in caught.value.fix


@pytest.mark.skipif(Path("/etc/condor/condor_config").exists(), reason="this machine has HTCondor")
def test_a_machine_without_htcondor_is_told_so_at_once() -> None:
    """The real bindings without a configuration: nobody is to wait for a schedd that cannot be there."""
    code = "from gridloom.engines.htcondor.schedd import Schedd, HTCondorOptions; Schedd(options=HTCondorOptions())"
    home = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=home)
    assert "SiteProblem: this machine has no configuration of HTCondor" in done.stderr
    assert "UserWarning" not in done.stderr


def test_a_process_with_tensorflow_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bindings load there, and then no schedd answers for ever."""
    monkeypatch.delitem(sys.modules, "htcondor2", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(SiteProblem, match="TensorFlow"):
        schedd()
