"""A probe tells what a node is like, whatever is missing there."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from gridloom import environment
from gridloom.errors import Interrupted
from gridloom.sites.probe import FILE, Gpu, Network, Probe, Scratch, TensorFlow
from gridloom.task import Context, Progress, Task
from gridloom.worker import probe


def never() -> bool:
    return False


@pytest.fixture
def context(tmp_path: Path) -> Context:
    task = Task(kind="probe", label="probe", parameters={"network": "localhost:1", "state_mb": 1})
    for name in ("output", "scratch"):
        (tmp_path / name).mkdir()
    return Context(
        task=task,
        inputs={},
        output=tmp_path / "output",
        scratch=tmp_path / "scratch",
        stop=never,
        progress=lambda _: None,
    )


def program(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_this_machine_is_probed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[Progress] = []
    monkeypatch.setattr(probe, "tensorflow", lambda _: TensorFlow(version="2"))
    probe.run(Context(**{**vars(context), "progress": steps.append}))
    found = Probe.model_validate_json((context.output / FILE).read_bytes())
    assert found.time == pytest.approx(time.time(), abs=60)
    assert found.versions == environment.versions()
    assert found.scratch.save_seconds
    assert found.scratch.write_mb_per_second
    assert (found.scratch.state_mb, found.scratch.problem) == (1, "")
    assert found.network.problem
    assert [step.done for step in steps] == [0, 1, 2, 3]
    assert list(context.scratch.iterdir()) == []


def test_a_probe_stops_when_asked(context: Context) -> None:
    with pytest.raises(Interrupted):
        probe.run(Context(**{**vars(context), "stop": lambda: True}))


def test_a_missing_library_is_told_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(environment.DISTRIBUTIONS, "report", ("no-such|nor-such", "numpy"))
    assert "numpy" in environment.versions()
    assert "no-such" not in environment.versions()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    found = probe.scratch(tmp_path / "missing", 1)
    assert found == Scratch(folder=str(tmp_path / "missing"), state_mb=1, problem=found.problem)
    assert "No such file" in found.problem


def test_a_full_disk_is_told_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(probe, "_write", full)
    found = probe.scratch(tmp_path, 1)
    assert found.free_mb is not None
    assert "No space left" in found.problem


def test_a_connection_that_works() -> None:
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
        found = probe.network(address)
    assert found.seconds is not None
    assert found.problem == ""


@pytest.mark.parametrize(
    ("address", "problem"),
    [("", "invalid literal"), ("localhost:1", "refused"), ("localhost:99999", ""), (f"{'a' * 70}.ch:1", "")],
)
def test_a_connection_that_does_not(address: str, problem: str) -> None:
    found = probe.network(address)
    assert found.seconds is None
    assert found.problem
    assert problem in found.problem


def test_no_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", silent)
    assert probe.network("a:1") == Network(address="a:1", problem="no answer")


def test_gpus_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.gpus() == ()
    program(tmp_path, "nvidia-smi", "echo 'NVIDIA A100, 570.1, 40960'; echo 'Odd, 1.0, [N/A]'; echo nonsense")
    assert probe.gpus() == (
        Gpu(name="NVIDIA A100", driver="570.1", memory_mb=40960),
        Gpu(name="Odd", driver="1.0", memory_mb=None),
    )
    program(tmp_path, "nvidia-smi", "echo 'the driver does not answer'; exit 9")
    assert probe.gpus() == ()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (
            "import os; os.kill(os.getpid(), 4)",
            "the processor lacks instructions that TensorFlow was built for (SIGILL)",
        ),
        ("import os; os.kill(os.getpid(), 9)", "killed; the system does so when memory runs out (SIGKILL)"),
        ("import os; os.kill(os.getpid(), 6)", "its process crashed (SIGABRT)"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys; sys.exit(3)", "its process ended with exit code 3"),
        ("pass", "its process said nothing"),
        ("print('{}')", ""),
    ],
)
def test_how_importing_tensorflow_may_end(code: str, problem: str) -> None:
    found = probe.tensorflow(never, ("-c", code))
    assert found.problem == problem or (problem and problem in found.problem)


def test_an_unknown_signal() -> None:
    assert probe.ended_in_words(-250, "") == "its process crashed (signal 250)"


def test_an_import_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_PATIENCE", 0.3)
    hangs = ("-c", "import time; time.sleep(60)")
    assert probe.tensorflow(never, hangs).problem.startswith("it was not imported within")
    with pytest.raises(Interrupted):
        probe.tensorflow(lambda: True, hangs)


def test_what_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert probe.odd({}) == ()
    found = probe.odd({"PYTHONPATH": "/a", "LD_LIBRARY_PATH": "/b", "CUDA_VISIBLE_DEVICES": ""})
    assert [text.split()[0] for text in found] == ["PYTHONPATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert probe.odd({}) == ("jobs run as root on the node",)
