"""Killed at random moments and run again: the same bits as an unbroken run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
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
        for victim in [driver.pid, *(descendants(driver.pid) if workers_too else [])]:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                continue
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


@pytest.mark.parametrize("kills", [2, pytest.param(20, marks=pytest.mark.soak)])
def test_killed_at_random_moments_gives_the_same_bits(tmp_path: Path, kills: int) -> None:
    """Sometimes the driver alone dies (its workers then save and leave), sometimes all at once."""
    write_sample(tmp_path / "signal.root", events=2000, seed=1, signal=True)
    write_sample(tmp_path / "background.root", events=2000, seed=2)
    content = {**CONTENT, "training": {**CONTENT["training"], "epochs": 40 * kills}}
    analysis = write_analysis(tmp_path / "analysis.yaml", content)
    unbroken = bits(run_analysis(analysis, tmp_path / "unbroken"))
    moments = random.Random(kills)
    killed = 0
    for number in range(kills):
        killed += kill_within(
            moments.uniform(0.0, 1.5) if number % 4 else moments.uniform(0.1, 12.0),
            analysis,
            tmp_path / "broken",
            in_training=number % 4 != 0,
            workers_too=number % 2 == 1,
        )
    assert killed >= 0.8 * kills
    print(f"{killed} kills")
    run_analysis(analysis, tmp_path / "broken")
    assert bits(finished_run(tmp_path / "broken")) == unbroken
