"""Bad input through the real command line: one clear error with its place and its exit code, and nothing lost."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bad_input import ANALYSIS, CLASSES, EVENTS, IN_ADVANCE, WHILE_PREPARING, Case, other_columns, with_nan
from small_disk import small_disk
from whole_runs import Answer, answer_of, command, environment, heeding_permissions

from gridloom.testing.ntuples import truncate, write_sample, write_tree
from gridloom.training import checkpoint

EPOCHS = 200


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ntuples")
    write_sample(folder / "signal.root", events=EVENTS, seed=1, signal=True)
    write_sample(folder / "background.root", events=EVENTS, seed=2, first_event=1000)
    return folder


@pytest.fixture
def home(ntuples: Path, tmp_path: Path) -> Path:
    """A folder with two good files and a good analysis."""
    shutil.copytree(ntuples, tmp_path, dirs_exist_ok=True)
    edit(tmp_path)
    return tmp_path


def edit(home: Path, *edits: tuple[str, str]) -> None:
    """Write `toy.yaml` with some words replaced."""
    text = ANALYSIS
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    (home / "toy.yaml").write_text(text)


def check(home: Path, file: str = "toy.yaml") -> Answer:
    return answer_of(command("check", file), home)


def run(home: Path, file: str = "toy.yaml") -> Answer:
    return answer_of(command("run", file, "--jobs", "1"), home)


def results(home: Path) -> dict[str, list[str]]:
    """Ids of finished results by kind."""
    found: dict[str, list[str]] = {}
    for path in sorted(home.glob("runs/.store/*/result.json")):
        if "." in path.parent.name:  # set aside
            continue
        found.setdefault(path.parent.name.partition("-")[0], []).append(path.parent.name)
    return found


def verify(answer: Answer, case: Case, home: Path) -> None:
    """One error, with its kind, place, words and what to do; its exit code."""
    assert len(answer.errors) == 1, answer.told
    assert answer.errors[0].startswith(case.says.format(home=home)), answer.told
    told = answer.told.splitlines()
    after = told[told.index(answer.errors[0]) + 1 :]
    fix = f"  {case.fix.format(home=home)}"
    assert any(line.startswith(fix) for line in after) if case.fix else not after, answer.told
    assert answer.code == case.code


@pytest.mark.parametrize("case", IN_ADVANCE, ids=lambda case: case.name)
def test_refused_before_anything_is_done(home: Path, case: Case) -> None:
    edit(home, *case.edits)
    case.change(home)
    verify(check(home), case, home)
    verify(run(home), case, home)
    assert not (home / "runs").exists()


@pytest.mark.parametrize("case", WHILE_PREPARING, ids=lambda case: case.name)
def test_refused_while_events_are_prepared(home: Path, case: Case) -> None:
    edit(home, *case.edits)
    case.change(home)
    verify(check(home), case, home)
    verify(run(home), case, home)
    assert set(results(home)) <= {"prepare"}
    assert not list(home.glob("runs/.store/*.attempt-*"))


def test_a_missing_value_after_the_first_events_is_found_by_the_run(home: Path) -> None:
    write_tree(home / "background.root", other_columns(MET_pt=with_nan()))
    case = Case(
        name="late NaN",
        code=30,
        says="error[UndeclaredMissing] toy.yaml:10:5: feature `MET_pt` is NaN for 1 of 300 events and declares no such "
        "missing values ({home}/background.root, entry 250)",
        fix="If that means",
    )
    assert check(home).code == 0
    verify(run(home), case, home)
    assert answer_of(command("status"), home).output.splitlines()[1].split()[1] == "failed"


@pytest.mark.parametrize("case", CLASSES, ids=lambda case: case.name)
def test_classes_and_ids_are_checked_in_advance(home: Path, case: Case) -> None:
    edit(home, *case.edits)
    case.change(home)
    verify(check(home), case, home)


def test_bad_classes_are_refused_before_training_all_at_once(home: Path) -> None:
    """What `check` sees of small files in advance, a run sees of all: every class and sample that is not in order."""
    edit(
        home,
        ("weight: 1}", 'weight: "-1"}\n  rare: {files: "rare*.root", class: rare, weight: 1}'),
        ("class: background", "class: {background: event < 5000, nothing: event > 10000, few: otherwise}"),
    )
    write_sample(home / "rare.root", events=60, seed=4)
    write_sample(home / "rare2.root", events=20, seed=5)
    write_sample(home / "background2.root", events=1, seed=6, first_event=5000)
    seen = run(home)
    kinds = [line.partition(" no ")[0].partition(" the ")[0].partition(" 20 ")[0] for line in seen.errors]
    assert kinds == [
        "error[BadWeights] toy.yaml:4:35:",
        "error[EmptyClass] toy.yaml:8:39:",
        "error[EmptyFold] toy.yaml:14:1:",
        "error[DuplicateEvents] toy.yaml:5:10:",
    ]
    assert seen.code == 31
    assert set(results(home)) == {"prepare"}


USER = ("folds: 3", 'folds: 3\nmodel: {function: "mine:build"}')
DENSE = "import keras\ndef build(inputs, outputs):\n    return keras.layers.Dense({outputs})({inputs})\n"


def test_a_users_model_that_fails_and_its_correction(home: Path) -> None:
    """What only running the user's code shows: import, exception, shape, loss; then the corrected file goes through."""
    wild = "training: {batch: 32, epochs: 30, optimizer: {name: sgd, learning_rate: 3, momentum: 0}}"
    edit(home, USER, ("training: {batch: 64, epochs: 2}", wild), ("{signal: signal}", "{regression: MET_pt + mass}"))
    text = (home / "toy.yaml").read_text().replace("class: signal, ", "").replace("    class: background\n", "")
    (home / "toy.yaml").write_text(text)
    model = home / "mine.py"

    model.write_text("import nothing_like_it\ndef build(inputs, outputs):\n    pass\n")
    told = run(home)
    says = "`mine`: ModuleNotFoundError: No module named 'nothing_like_it'"
    assert told.errors == [f"error[UserModelError] toy.yaml:13:9: cannot import {says} ({model}:1)"]
    assert told.code == 40

    model.write_text("def build(inputs, outputs):\n    return inputs.featurs\n")
    told = check(home)
    says = "AttributeError: 'ModelInputs' object has no attribute 'featurs'"
    assert told.errors == [f"error[UserModelError] toy.yaml:13:9: `mine:build` failed: {says} ({model}:2)"]
    assert told.code == 40

    model.write_text(DENSE.format(outputs=7, inputs="inputs.features"))
    told = run(home)
    says = "the model returns shape (None, 7); the target needs (None, 1) (mine:build)"
    assert told.errors == [f"error[OutputShape] toy.yaml:13:9: {says}"]
    assert "  End with keras.layers.Dense(outputs) without activation; here outputs = 1." in told.told
    assert told.code == 41

    model.write_text(DENSE.format(outputs="outputs", inputs="inputs.features"))
    told = run(home)
    (error,) = told.errors
    assert error.startswith("error[LossNotFinite] toy.yaml:14:35: the loss is not a finite number (train fold 0, step ")
    assert told.code == 42
    assert checkpoint_is_finite(home, told.told)
    assert set(results(home)) == {"prepare", "tune"}

    tame = (home / "toy.yaml").read_text().replace("learning_rate: 3,", "learning_rate: 0.01,")
    (home / "toy.yaml").write_text(tame.replace("epochs: 30", "epochs: 1"))
    done = run(home)
    assert done.code == 0, done.told
    assert "[3/8] train fold 0 begins" in done.told  # what was prepared before is used


def checkpoint_is_finite(home: Path, told: str) -> bool:
    """The folder that the message names holds a checkpoint of an epoch after the first, finite all over."""
    epoch, folder = re.findall(r"the state after epoch (\d+) is in (\S+/checkpoints)\.$", told, re.MULTILINE)[0]
    found = checkpoint.load(home / folder)
    assert found is not None
    assert found.state["epoch"] == int(epoch) > 0
    return all(bool(np.isfinite(array).all()) for array in found.arrays["weights"])


ODD_NAMES = ("with space.root", "quote'\".root", "ünï-çödé.root", "br[ack]et.root", "-dash.root", "x" * 240 + ".root")


def test_damaged_files_are_skipped_and_odd_names_read(home: Path) -> None:
    """Five good files of odd names and a truncated one, from an analysis file in a folder of its own."""
    for number, name in enumerate(ODD_NAMES):
        write_sample(home / name, events=60, seed=10 + number, first_event=1000 + 60 * number)
    truncate(home / "with space.root", 0.5)
    files = json.dumps([f"../{name}" for name in ODD_NAMES], ensure_ascii=False)
    edit(
        home,
        ('"signal*.root"', "../signal.root"),
        ('"background*.root"', files),
        ("weight: genWeight", "normalisation: {cross_section: 2}"),
        ("name: toy", "name: toy\nluminosity: 10"),
        ("folds: 3", "folds: 3\ndamaged_files: {skip_at_most: 0.1}"),
    )
    folder = home / "an analysis [ü]"
    folder.mkdir()
    (home / "toy.yaml").rename(folder / "-it's.yaml")
    file = "./-it's.yaml"
    told = check(folder, file)
    lost = f"{folder}/../with space.root (the file is truncated: {size_of(home / 'with space.root')})"
    says = f"1 of 6 files of sample `background` cannot be read: {lost}"
    assert told.errors == [f"error[DamagedFile] -it's.yaml:7:5: {says}"]
    assert told.code == 21
    assert run(folder, file).code == 21

    text = (folder / file).read_text()
    (folder / file).write_text(text.replace("skip_at_most: 0.1", "skip_at_most: 0.2"))
    done = run(folder, file)
    assert done.code == 0, done.told
    (path,) = folder.glob("runs/.store/evaluate-*/evaluation.json")
    evaluation = json.loads(path.read_text())
    (background,) = [item for item in evaluation["samples"] if item["sample"] == "background"]
    assert (background["files_read"], background["files_lost"]) == (5, 1)
    assert background["total"]["raw"] == 300
    assert background["total"]["weighted"]["value"] == pytest.approx(20)
    (page,) = folder.glob("runs/toy-*/report/index.html")
    assert "Files were lost in background (1 of 6)" in page.read_text()
    tampered_with_and_made_again(folder, file)


def size_of(path: Path) -> str:
    """How the message says that a file of half its size is truncated."""
    half = path.stat().st_size
    return f"{half:,} of {stored_size(path):,} bytes"


def stored_size(path: Path) -> int:
    """The size that the header of a ROOT file says (fEND)."""
    return int.from_bytes(path.read_bytes()[12:16], "big")


def tampered_with_and_made_again(folder: Path, file: str) -> None:
    """A changed byte in a stored result is seen, the result set aside and made again; what follows from it stays."""
    before = results(folder)
    (shard,) = [path for path in folder.glob("runs/.store/prepare-*") if len(np.load(path / "label.npy")) == EVENTS][:1]
    content = bytearray((shard / "weight.npy").read_bytes())
    content[-1] ^= 1
    (shard / "weight.npy").write_bytes(content)
    done = run(folder, file)
    assert done.code == 0, done.told
    says = f"the file's content disagrees with its digest (runs/.store/{shard.name}/weight.npy)"
    assert f"{says}; set aside, computed again" in done.told
    assert results(folder) == before
    assert len(list(folder.glob(f"runs/.store/{shard.name}.damaged-*"))) == 1


def test_files_that_may_not_be_read_or_written(home: Path) -> None:
    """Permissions hold for these commands, also if the tests are run by root."""
    (home / "background.root").chmod(0)
    says = f"error[DamagedFile] toy.yaml:6:5: the file may not be read ({home}/background.root)"
    for what in ("check", "run"):
        told = answer_of(heeding_permissions(command(what, "toy.yaml")), home)
        assert told.errors == [says]
        assert "\n  Change its permissions." in told.told
        assert told.code == 21
    (home / "background.root").chmod(0o644)
    (home / "toy.yaml").chmod(0)
    told = answer_of(heeding_permissions(command("check", "toy.yaml")), home)
    assert (told.code, told.errors) == (54, ["error[NotFound] toy.yaml: cannot be read: Permission denied"])
    (home / "toy.yaml").chmod(0o644)
    (home / "runs").mkdir(mode=0o500)
    told = answer_of(heeding_permissions(command("run", "toy.yaml", "--jobs", "1")), home)
    assert (told.code, told.errors) == (56, ["error[NotWritable] runs/.store: cannot be written: Permission denied"])


def test_files_that_are_no_analysis(home: Path) -> None:
    (home / "list.yaml").write_text("- 1\n")
    (home / "tab.yaml").write_text("gridloom: 1\n\tname: x\n")
    cases = {
        ".": (54, "error[NotFound] .: cannot be read: Is a directory"),
        "none.yaml": (54, "error[NotFound] none.yaml: no such analysis file"),
        "list.yaml": (10, "error[AnalysisSyntaxError] list.yaml:1:1: the analysis file is not a mapping"),
        "tab.yaml": (10, "error[AnalysisSyntaxError] tab.yaml:2:1: a tab where YAML needs spaces"),
        "signal.root": (10, "error[AnalysisSyntaxError] signal.root:1:"),
        "y" * 300: (54, f"error[NotFound] {'y' * 300}: cannot be read: File name too long"),
    }
    for file, (code, says) in cases.items():
        told = run(home, file)
        assert (told.code, len(told.errors)) == (code, 1)
        assert told.errors[0].startswith(says)
        assert "\n  " in told.told


def test_a_full_disk(home: Path) -> None:
    """A disk of 64 MB, full while events are prepared, then while a fold is trained; with space the run finishes."""
    with small_disk() as disk:
        start = command("run", home / "toy.yaml", "--jobs", "1", "--runs", disk.folder)
        for space in (100_000, 240_000):
            disk.leave(space)
            told = answer_of(disk.inside(start), home)
            assert told.code == 50, told.told
            (error,) = told.errors
            assert re.match(rf"error\[DiskFull\] {re.escape(str(disk.folder))}\S*: ", error)
            assert "  Free some space (`gridloom clean` removes results" in told.told
        assert disk.kinds() == ["prepare", "prepare"]
        disk.leave(None)
        finished = answer_of(disk.inside(start), home)
        assert finished.code == 0, finished.told
        assert "[2/7] train fold 0 begins" in finished.told


def test_stopping_and_going_on(home: Path) -> None:
    """Ctrl-C, SIGTERM and two Ctrl-C while a network is trained; a second driver; then the run goes on to its end."""
    long = f"training: {{batch: 32, epochs: {EPOCHS}, early_stopping: null, checkpoint_seconds: 0.001}}"
    edit(home, ("training: {batch: 64, epochs: 2}", long))
    stopped(home, signal.SIGINT, meanwhile=refused_as_locked)
    stopped(home, signal.SIGTERM)
    stopped(home, signal.SIGINT, signal.SIGINT)
    reached = epoch_reached(home)
    done = run(home)
    assert done.code == 0, done.told
    histories = [json.loads(path.read_text()) for path in home.glob("runs/.store/train-*/history.json")]
    assert [len(history) for history in histories] == [EPOCHS] * 3
    assert 0 < reached < EPOCHS


def stopped(home: Path, *signals: signal.Signals, meanwhile: Callable[[Path, int], None] | None = None) -> None:
    """Start a run, send it these signals while it trains, and see that it left well and got on."""
    before = epoch_reached(home)
    process = subprocess.Popen(
        command("run", "toy.yaml", "--jobs", "1"),
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        if meanwhile is not None:
            until(lambda: list(home.glob("runs/toy-*/journal.jsonl")))
            meanwhile(home, process.pid)
        until(lambda: process.poll() is not None or epoch_reached(home) > before)
        for number in signals:
            process.send_signal(number)
            time.sleep(0.05)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "Traceback" not in told
    assert "Stopping: running tasks save what they have. Ctrl-C again ends them at once." in told
    assert told.endswith("error[Interrupted] stopped on request\n  The same command goes on from here.\n")
    assert epoch_reached(home) > before
    assert set(results(home)) == {"prepare"}


def refused_as_locked(home: Path, driver: int) -> None:
    refused = run(home)
    assert refused.code == 53
    (error,) = refused.errors
    assert re.match(rf"error\[RunLocked\] runs/toy-\w+: the run is being driven by process {driver} on ", error)


def epoch_reached(home: Path) -> int:
    """The epoch of the newest checkpoint of any training."""
    texts = []
    for path in home.glob("runs/.store/train-*.scratch/checkpoints/*/manifest.json"):
        with suppress(FileNotFoundError):  # removed in between: a newer one is there
            texts.append(path.read_text())
    return max((json.loads(text)["state"]["epoch"] for text in texts), default=0)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
