"""The commands as a user types them, on tiny ROOT files, with tiny kinds of tasks in real worker processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gridloom.testing.ntuples import write_sample

KINDS = ("--kinds", "gridloom.testing.kinds:TINY")
ANALYSIS = """\
gridloom: 1
name: toy
samples:
  signal: {files: signal.root, class: signal, weight: genWeight}
  background: {files: background.root, class: background, weight: 1}
features: [MET_pt, Lepton_pt]
target: {signal: signal}
folds: 3
"""


def gridloom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "gridloom.cli.main", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ntuples")
    write_sample(folder / "signal.root", events=60, seed=1, signal=True)
    write_sample(folder / "background.root", events=60, seed=2, first_event=1000)
    return folder


@pytest.fixture
def home(files: Path, tmp_path: Path) -> Path:
    for file in files.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "toy.yaml").write_text(ANALYSIS)
    return tmp_path


def test_a_first_run_from_new_to_clean(home: Path) -> None:
    made = gridloom(home, "new", "signal.root", "background.root", "-o", "mine.yaml")
    assert made.returncode == 0
    assert "gridloom check mine.yaml" in made.stdout
    again = gridloom(home, "new", "signal.root", "-o", "mine.yaml")
    assert again.returncode == 12
    assert again.stderr.startswith("error[InvalidValue] mine.yaml: the file exists already\n  ")

    checked = gridloom(home, "check", "mine.yaml")
    assert checked.returncode == 0
    lines = checked.stdout.splitlines()
    assert lines[0].split() == ["sample", "class", "tree", "files", "events", "size", "branches", "read"]
    assert lines[1].split()[:5] == ["signal", "signal", "Events", "1", "60"]
    assert lines[-1] == "mine.yaml is fine."

    planned = gridloom(home, "plan", "mine.yaml")
    assert planned.returncode == 0
    assert "prepare signal" in planned.stdout
    assert "15 tasks, 0 done; the run is runs/mine-" in planned.stdout
    assert not (home / "runs").exists()

    first = gridloom(home, "run", "mine.yaml", "--jobs", "1", *KINDS)
    assert first.returncode == 0
    assert "[15/15] report done" in first.stderr
    report = first.stdout.splitlines()[0].removeprefix("Report: ")
    assert (home / report).is_file()
    check_run_folder((home / report).parent.parent)

    second = gridloom(home, "run", "mine.yaml", *KINDS)
    assert second.returncode == 0
    assert second.stdout.startswith("Nothing to do: runs/mine-"), second.stdout + second.stderr
    assert report in second.stdout
    assert "15 done" in gridloom(home, "plan", "mine.yaml").stdout

    listed = gridloom(home, "status")
    assert listed.stdout.splitlines()[1].split()[1:3] == ["finished", "15/15"]
    shown = gridloom(home, "status", "mine")
    assert shown.stdout.splitlines()[0].endswith(": finished")
    assert shown.stdout.count(" done ") == 15

    clean_up(home, (home / report).parent.parent)


def check_run_folder(run: Path) -> None:
    manifest = json.loads((run / "run.json").read_text())
    assert len(manifest["tasks"]) == 15
    assert run.name == f"mine-{manifest['plan_digest'][:8]}"
    assert (run / "analysis.yaml").read_text() == (run.parent.parent / "mine.yaml").read_text()
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["inputs"]["signal"][0]["entries"] == 60
    assert provenance["seeds"] == {"training": 1}
    assert {"versions", "machine", "environment", "analysis", "revision", "created"} <= set(provenance)
    assert json.loads((run / "catalogue.json").read_text())["samples"]["signal"]
    assert (run / "journal.jsonl").read_text().endswith('"event":"finished"}\n')


def clean_up(home: Path, run: Path) -> None:
    assert "0 results were removed" in gridloom(home, "clean").stdout
    shutil.rmtree(run)
    would = gridloom(home, "clean", "--dry-run").stdout
    assert "15 results would be removed" in would
    assert "15 results were removed" in gridloom(home, "clean").stdout
    assert not list((home / "runs" / ".store").iterdir())
    assert "No runs in runs." in gridloom(home, "status").stdout


def test_every_error_of_a_file_is_told_with_its_place(home: Path) -> None:
    (home / "toy.yaml").write_text(ANALYSIS.replace("folds: 3", "fold: 3").replace("weight: 1", "weight: (1"))
    done = gridloom(home, "check", "toy.yaml")
    heads = [line for line in done.stderr.splitlines() if line.startswith("error[")]
    assert [head.split()[:2] for head in heads] == [
        ["error[InvalidExpression]", "toy.yaml:5:59:"],
        ["error[UnknownKey]", "toy.yaml:8:1:"],
    ]
    assert "`folds`" in done.stderr
    assert done.returncode == 14
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_an_error_of_the_data_points_into_the_file(home: Path, command: str) -> None:
    (home / "signal.root").write_bytes(b"")
    done = gridloom(home, command, "toy.yaml")
    assert done.returncode == 21
    assert done.stderr.startswith("error[DamagedFile] toy.yaml:4:")
    assert "signal.root" in done.stderr
    assert not list(home.glob("runs/toy-*"))


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("check", "none.yaml"), 54, "error[NotFound] none.yaml: no such analysis file"),
        (("status", "none"), 54, "error[NotFound] runs: no run `none`"),
        (("report",), 54, "error[NotFound] runs: no runs"),
        (("new", "none.root"), 20, "error[NoFiles] none.root: no such file"),
        (("new", "toy.yaml"), 21, "error[DamagedFile] toy.yaml: not a ROOT file"),
    ],
)
def test_errors_are_one_line_and_what_to_do(home: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = gridloom(home, *arguments)
    assert done.returncode == code
    first, second, *_ = done.stderr.splitlines()
    assert first == text
    assert second.startswith("  ")


def test_clean_and_status_without_runs(home: Path) -> None:
    assert gridloom(home, "clean").stdout == "Nothing to remove.\n"
    assert gridloom(home, "status", "--runs", "elsewhere").stdout.startswith("No runs in elsewhere.")


def test_a_failed_task_is_told_and_seen_in_status(home: Path) -> None:
    done = gridloom(home, "run", "toy.yaml", "--kinds", "gridloom.testing.kinds:BROKEN")
    assert done.returncode == 55
    assert "error[EnvironmentProblem]" in done.stderr
    assert "no_such_library" in done.stderr
    shown = gridloom(home, "status", "toy")
    assert shown.stdout.splitlines()[0].endswith(": failed")
    assert "no_such_library" in shown.stdout
    assert gridloom(home, "report").returncode == 54
    assert gridloom(home, "run", "toy.yaml", *KINDS).returncode == 0
    missing = gridloom(home, "report")
    assert missing.returncode == 51
    assert "error[DamagedResult]" in missing.stderr


def test_a_damaged_result_is_made_again_with_a_note(home: Path) -> None:
    assert gridloom(home, "run", "toy.yaml", *KINDS).returncode == 0
    output = next(iter(home.glob("runs/.store/train-*/value.txt")))
    output.write_text("damaged")
    done = gridloom(home, "run", "toy.yaml", *KINDS)
    assert done.returncode == 0
    assert "set aside, computed again" in done.stderr
    assert "Nothing to do" not in done.stdout


def test_an_unforeseen_error_keeps_its_traceback_in_a_file(home: Path) -> None:
    done = gridloom(home, "run", "toy.yaml", "--kinds", "gridloom.testing.kinds:NOTHING_HERE")
    assert done.returncode == 52
    (home / "runs").write_text("in the way")
    done = gridloom(home, "run", "toy.yaml", *KINDS)
    assert done.returncode == 56
    assert done.stderr.splitlines()[0] == "error[NotWritable] runs/.store: cannot be written: Not a directory"
    (home / "runs").unlink()
    (home / "runs").symlink_to("runs")
    done = gridloom(home, "run", "toy.yaml", *KINDS)
    assert done.returncode == 1
    assert "this should not have happened" in done.stderr
    log = Path(done.stderr.split("Please report it with ")[1].strip())
    assert "Traceback" in log.read_text()
    log.unlink()


def start(home: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gridloom.cli.main", "run", "toy.yaml", "--kinds", "gridloom.testing.kinds:SLOW"],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def counting(home: Path) -> bool:
    return any(path.read_text().isdigit() and int(path.read_text()) > 5 for path in home.glob("runs/.store/*/count"))


def test_ctrl_c_saves_and_the_same_command_goes_on(home: Path) -> None:
    with start(home) as process:
        until(lambda: counting(home))
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopping: running tasks save what they have." in told
    assert "error[Interrupted] stopped on request\n  The same command goes on from here." in told
    assert "Traceback" not in told
    assert gridloom(home, "status").stdout.splitlines()[1].split()[1] == "interrupted"
    assert list(home.glob("runs/.store/*.scratch/count"))
    assert gridloom(home, "run", "toy.yaml", *KINDS).returncode == 0


def test_a_second_driver_is_refused_and_a_killed_one_is_seen(home: Path) -> None:
    with start(home) as process:
        until(lambda: counting(home))
        refused = gridloom(home, "run", "toy.yaml", *KINDS)
        assert refused.returncode == 53
        assert f"process {process.pid} on " in refused.stderr
        shown = gridloom(home, "status", "toy").stdout
        assert shown.splitlines()[0].endswith(": running")
        assert f"driven by process {process.pid} on " in shown
        process.kill()
    assert gridloom(home, "status").stdout.splitlines()[1].split()[1] == "lost"
    assert gridloom(home, "run", "toy.yaml", *KINDS).returncode == 0


LIGHT = """
import sys
import gridloom.cli.main, gridloom.driver.session, gridloom.engines.local, gridloom.plan, gridloom.journal
heavy = {"tensorflow", "keras", "uproot", "awkward", "numpy", "sklearn", "scipy", "matplotlib", "vector", "pandas"}
print(sorted(heavy & set(sys.modules)))
"""


def test_submitting_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_help_comes_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    done = gridloom(tmp_path, "--help")
    # Under a second on an idle machine; tests share theirs.
    assert time.monotonic() - started < 5
    for command in ("new", "check", "plan", "run", "status", "report", "clean"):
        assert f"  {command} " in done.stdout
    assert gridloom(tmp_path, "--version").stdout.startswith("gridloom 0.")
    assert gridloom(tmp_path, "run").returncode == 2


@pytest.mark.parametrize("command", ["check", "plan", "run"])
def test_packages_that_are_not_here(command: str, home: Path) -> None:
    """The user's model is not even imported: what it lacks is said, with its place in the file."""
    (home / "mine.py").write_text("import no_such_package\n\n\ndef build(inputs, outputs):\n    return inputs\n")
    own = "model: {function: mine:build}\npackages:\n  - pytest\n  - no-such-package>=1.2\n"
    (home / "toy.yaml").write_text(ANALYSIS + own)
    done = gridloom(home, command, "toy.yaml", *(KINDS if command == "run" else ()))
    assert done.returncode == 55, done.stderr
    assert "error[EnvironmentProblem] toy.yaml:12:5: no-such-package is not installed (" in done.stderr
    assert "gridloom image build" in done.stderr
    assert "cannot import" not in done.stderr
