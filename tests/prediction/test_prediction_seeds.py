"""Several networks per fold: their mean is the score everywhere, their spread goes with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import uproot
from scored_run import CONTENT, analysis_of
from whole_runs import Run, command, environment, run_analysis, write_analysis

import gridloom
from gridloom.data.dataset import open_dataset
from gridloom.data.shard import Shard
from gridloom.export import onnx
from gridloom.export.compare import compare, trained_events
from gridloom.export.graph import graphs_of
from gridloom.prediction.models import load_fold_models

Arrays = npt.NDArray[Any]


@pytest.fixture(scope="module")
def seeds(folder: Path) -> Run:
    """The run with two seeds, beside the one with the first of them."""
    training = {**CONTENT["training"], "seeds": 2}
    path = write_analysis(folder / "seeds.yaml", {**CONTENT, "name": "seeds", "training": training})
    return run_analysis(path, folder / "runs")


def test_the_first_seed_is_the_run_with_one(run: Run, seeds: Run) -> None:
    """A network per fold and seed; what is the same is not trained again."""
    assert len(seeds.results("train")) == 6
    assert seeds.results("train")[::2] == run.results("train")
    labels = [task["label"] for task in json.loads((seeds.folder / "run.json").read_text())["tasks"]]
    assert [name for name in labels if name.startswith("train fold 1")] == [f"train fold 1 seed {n}" for n in (1, 2)]


def test_mean_and_spread_go_with_predictions(seeds: Run, folder: Path) -> None:
    own = np.load(seeds.results("evaluate")[0] / "scores.npy")
    every = np.stack([np.load(path / "scores.npy") for path in seeds.results("train")]).reshape(3, 2, len(own), 2)
    shards = [Shard.open(path) for path in seeds.results("prepare")]
    fold = np.concatenate([shard.fold for shard in shards])
    members: Arrays = every[fold, :, np.arange(len(own))].astype(np.float64)  # (events, seeds, classes)
    np.testing.assert_array_equal(own, members.mean(axis=1).astype(np.float32))
    done = subprocess.run(
        command("predict", seeds.folder, folder / "signal.root", "--out", folder / "spread", "--jobs", "1"),
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with uproot.open(folder / "spread/signal.scores.root") as file:
        found = file["gridloom"].arrays(library="np")
    selected = found["score_tt_b"] >= 0
    signal = slice(len(own) - len(shards[-1]), None)
    np.testing.assert_array_equal(found["score_tt_b"][selected], own[signal, 0])
    spread = members[signal, :, 0].std(axis=1, ddof=1)
    np.testing.assert_allclose(found["score_tt_b_spread"][selected], spread, atol=1e-6)
    assert spread.max() > 1e-3
    with uproot.open(folder / "signal.root") as file:
        scored = gridloom.load(seeds.folder).score(file["Events"])
    assert scored.spread is not None
    np.testing.assert_array_equal(scored.spread[:, 0], found["score_tt_b_spread"])


def test_the_report_says_so_and_exports_hold_the_mean(seeds: Run, tmp_path: Path) -> None:
    assert any("2 networks that differ in their seed" in note for note in seeds.evaluation()["notes"])
    analysis = analysis_of(seeds)
    folders = {path.name: path for path in seeds.results("train")}
    models = load_fold_models(folders, 3, user_folder=seeds.folder)
    events = trained_events(analysis, open_dataset(analysis, seeds.results("prepare")), models)
    (written, *_) = onnx.write(graphs_of(models, onnx.SELECTOR)[:1], tmp_path, "mean")
    assert compare(written, onnx.open(written.path, ""), events).largest < 1e-5
