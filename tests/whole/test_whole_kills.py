"""Killed at random moments and run again: the same bits as an unbroken run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from whole_runs import Run, command, finished_run, run_analysis, write_analysis

from gridloom.testing.ntuples import write_sample

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "killed",
    "samples": {
        "signal": {"files": "signal.root", "class": "signal", "weight": "genWeight"},
        "background": {"files": "background.root", "class": "background", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt", {"name": "mass", "missing": -999}],
    "collections": {"jets": {"at_most": 4, "features": ["Jet_pt", "Jet_eta"]}},
    "target": {"signal": "signal"},
    "folds": 3,
    "model": {"name": "deepsets", "parameters": {"dropout": 0.2}},
    "training": {"batch": 64, "early_stopping": None, "checkpoint_seconds": 0.2},
    "evaluation": {"bootstrap": 20, "importance_events": 200},
}


def descendants(pid: int) -> list[int]:
    """A process's children, their children and so on, youngest last."""
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def newest_checkpoint(runs: Path) -> float:
    """When a checkpoint was last written, or zero."""
    manifests = runs.glob(".store/*.scratch/checkpoints/*/manifest.json")
    times = [0.0]
    for path in manifests:
        try:
            times.append(path.stat().st_mtime)
        except OSError:  # just replaced by a newer one
            continue
    return max(times)


def kill_within(seconds: float, analysis: Path, runs: Path, *, in_training: bool, workers_too: bool) -> bool:
    """Start a run and kill it with SIGKILL some time after its start, or after its first checkpoint.

    True if it was killed, False if it had ended before.
    """
    before = newest_checkpoint(runs)
    driver = subprocess.Popen(
        command("run", analysis, "--runs", runs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    while in_training and driver.poll() is None and newest_checkpoint(runs) <= before:
        time.sleep(0.02)
    try:
        driver.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        if workers_too:
            kill_all(driver)
        driver.kill()
        driver.wait()
        return True
    assert driver.returncode == 0
    return False


def bits(run: Run) -> dict[str, bytes]:
    """All that a training and a judgement computed, but not when."""
    found = {}
    for kind, names in (("train", ("scores.npy", "history.json")), ("evaluate", ("scores.npy", "evaluation.json"))):
        for folder in run.results(kind):
            for name in names:
                found[f"{folder.name}/{name}"] = (folder / name).read_bytes()
    assert len(found) == 2 * 3 + 2
    return found


def is_writing(runs: Path, what: str) -> bool:
    """Whether a checkpoint, or a shard, lies there half-written at this moment."""
    store = runs / ".store"
    if what == "checkpoint":
        folders = store.glob("*.scratch/checkpoints/checkpoint-*")
        return any(not (folder / "manifest.json").exists() for folder in folders)
    return any(not (path.parent / "shard.json").exists() for path in store.glob("prepare-*.attempt-*/features.npy"))


def kill_while_writing(what: str, analysis: Path, runs: Path) -> bool:
    """Start a run and kill all of it with SIGKILL in the middle of writing; False if that moment never came."""
    driver = subprocess.Popen(
        command("run", analysis, "--runs", runs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    while driver.poll() is None:
        if is_writing(runs, what):
            kill_all(driver)
            return True
    assert driver.returncode == 0
    return False


def kill_all(driver: subprocess.Popen[bytes]) -> None:
    for victim in [driver.pid, *descendants(driver.pid)]:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    driver.wait()


@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=pytest.mark.soak)])
def test_killed_at_random_moments_gives_the_same_bits(tmp_path: Path, kills: int) -> None:
    """Sometimes the driver alone dies (its workers then save and leave), sometimes all at once, or while writing."""
    write_sample(tmp_path / "signal.root", events=2000, seed=1, signal=True)
    write_sample(tmp_path / "background.root", events=2000, seed=2)
    content = {**CONTENT, "training": {**CONTENT["training"], "epochs": 40 * kills}}
    analysis = write_analysis(tmp_path / "analysis.yaml", content)
    unbroken = bits(run_analysis(analysis, tmp_path / "unbroken"))
    moments = random.Random(kills)
    killed = {"at random": 0, "shard": 0, "checkpoint": 0}
    for number in range(kills):
        what = "shard" if number < kills // 10 else "checkpoint" if number % 3 == 0 else "at random"
        if what != "at random":
            killed[what] += kill_while_writing(what, analysis, tmp_path / "broken")
            continue
        killed[what] += kill_within(
            moments.uniform(0.0, 1.5) if number % 4 else moments.uniform(0.1, 12.0),
            analysis,
            tmp_path / "broken",
            in_training=number % 4 != 0,
            workers_too=number % 2 == 1,
        )
    print(killed)
    assert sum(killed.values()) >= 0.8 * kills
    assert min(killed.values()) > 0 or kills < 10
    run_analysis(analysis, tmp_path / "broken")
    assert bits(finished_run(tmp_path / "broken")) == unbroken


@pytest.mark.soak
def test_keras_own_backup_does_not_give_the_same_bits(tmp_path: Path) -> None:
    """Why Gridloom has a loop and checkpoints of its own: `fit` with `BackupAndRestore`, killed in the same way.

    It keeps weights and the epoch, but neither the order of the events nor the state of dropout's generator. If this
    test fails, Keras has mended that, and ours should be looked at again.
    """

    def start(folder: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, str(Path(__file__).parents[1] / "support" / "keras_backup.py"), str(folder), "150"]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    unbroken, again = (start(tmp_path / name).communicate()[0] for name in ("unbroken", "again"))
    assert unbroken == again != b""
    moments = random.Random(5)
    killed = 0
    for _ in range(6):
        process = start(tmp_path / "broken")
        backup = tmp_path / "broken" / "backup"
        while process.poll() is None and not backup.exists():
            time.sleep(0.02)
        try:
            process.wait(timeout=5 + moments.uniform(0.0, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.communicate()
    broken = start(tmp_path / "broken").communicate()[0]
    print(f"killed {killed} times")
    assert killed >= 3
    assert broken not in (b"", unbroken)
