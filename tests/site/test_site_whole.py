"""The same analysis here, on HTCondor without a shared file system and on Slurm: the same bits, the same figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from site_runs import SITES, finish, journal_of, start, trained_bits, until, write_sites
from whole_runs import answer_of, command

from gridloom.driver.live import LiveTask, read_live

pytestmark = pytest.mark.site


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_the_same_weights_and_figures(site: str, tth: Path, here: dict[str, Any], tmp_path: Path) -> None:
    said = finish(start(tth, tmp_path / "runs", "--site", site))
    assert len([name for name in here if name.startswith("train-")]) == 5
    assert trained_bits(tmp_path / "runs") == here
    assert "Report: " in said
    pages = [next(folder.glob("*/report/index.html")) for folder in (tmp_path / "runs", tth.parent / "here")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_the_same_scores(site: str, tth: Path, here: dict[str, Any], tmp_path: Path) -> None:
    """Files scored as jobs: friend trees come back, with the scores of this machine."""
    assert here
    (run,) = (path.parent for path in (tth.parent / "here").glob("*/run.json"))
    catalogue = json.loads((run / "catalogue.json").read_text())
    files = [file["path"] for sample in catalogue["samples"].values() for file in sample["files"]]
    for place, options in (("there", ("--site", site)), ("here", ())):
        told = answer_of(command("predict", run, *files, "--out", tmp_path / place, *options), tmp_path)
        assert told.code == 0, told.told
    names = sorted(path.name for path in (tmp_path / "there").iterdir())
    assert len(names) == len(files)
    for name in names:
        with uproot.open(tmp_path / "there" / name) as there, uproot.open(tmp_path / "here" / name) as own:
            found, expected = (file["gridloom"].arrays(library="np") for file in (there, own))
        assert set(found) == set(expected)
        for branch, values in expected.items():
            np.testing.assert_array_equal(found[branch], values)


def going(runs: Path) -> list[LiveTask]:
    """The trainings that are under way."""
    found = [read_live(path.parent) for path in runs.glob("*/live.json")]
    tasks = [pair for live in found if live is not None for pair in live.tasks.items()]
    return [task for name, task in tasks if name.startswith("train-")]


def test_left_watched_cancelled_and_resumed(tth: Path, here: dict[str, Any], tmp_path: Path) -> None:
    """What a user does with a long run: leave it, look, end it, and go on another day."""
    runs = tmp_path / "runs"
    told = answer_of(command("run", tth, "--runs", runs, "--site", "htcondor", "--detach"), tmp_path)
    assert told.code == 0, told.told
    assert "goes on in the background" in told.output
    until(lambda: any(task.step is not None for task in going(runs)), 120)
    seen = answer_of(command("watch", "--runs", runs, "--once"), tmp_path)
    assert "at htcondor" in seen.output
    assert "driven by process" in seen.output
    refused = answer_of(command("run", tth, "--runs", runs, "--site", "slurm"), tmp_path)
    assert refused.code == 53
    ended = answer_of(command("cancel", "--runs", runs), tmp_path)
    assert ended.code == 0, ended.told
    assert "Cancelled after" in ended.output
    assert journal_of(runs)[-1].event == "interrupted"
    resumed = answer_of(command("resume", "--runs", runs), tmp_path)
    assert resumed.code == 0, resumed.told
    assert trained_bits(runs) == here
    logs = answer_of(command("logs", "--runs", runs), tmp_path)
    assert "train fold 0" in logs.output


@pytest.mark.parametrize("site", [name.replace(" ", "-") for name in SITES])
def test_a_site_is_checked(site: str, tth: Path, tmp_path: Path) -> None:
    shutil.copy(tth.parent / "sites.yaml", tmp_path)
    told = answer_of(command("site", "check", site, "--runs", tmp_path / "runs"), tmp_path)
    assert told.code == 0, told.output + told.told
    for word in ("TensorFlow", "libraries", "scratch", "time to save", "grace", "node1"):
        assert word in told.output.replace("node2", "node1"), told.output
    assert f"Site `{site}` is fine." in told.output


def test_a_site_that_is_wrong_is_told(tth: Path, tmp_path: Path) -> None:
    write_sites(tmp_path, {"python": "/no/python"})
    told = answer_of(command("site", "check", "slurm", "--runs", tmp_path / "runs"), tmp_path)
    assert told.code == 58
    assert "there is no Python where the site says" in told.output + told.told
