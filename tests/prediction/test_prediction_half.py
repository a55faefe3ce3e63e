"""Features stored in float16: scores of the training files are those of the report, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import uproot
from scored_run import CONTENT, call
from whole_runs import Run, run_analysis, write_analysis

import gridloom
from gridloom.data.shard import Shard
from gridloom.testing.ntuples import write_sample


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that stores its features in float16."""
    folder = tmp_path_factory.mktemp("half")
    for seed, name in enumerate(("signal", "background", "data"), start=1):
        write_sample(
            folder / f"{name}.root", events=300 * seed, seed=seed, signal=name == "signal", first_event=seed * 10_000
        )
    content = {**CONTENT, "name": "half", "storage": {"features": "float16"}}
    return run_analysis(write_analysis(folder / "analysis.yaml", content), folder / "runs")


def test_scores_of_the_training_files_are_those_of_the_report(half: Run, tmp_path: Path) -> None:
    folder = half.store.parent.parent
    own = np.load(half.results("evaluate")[0] / "scores.npy")
    files = [folder / f"{name}.root" for name in ("signal", "background", "data")]
    call("predict", half.folder, *files, "--out", tmp_path, "--jobs", "1")
    model = gridloom.load(half.folder)
    row = 0
    for result in half.results("prepare"):
        shard = Shard.open(result)
        assert shard.features.dtype == shard.collections["jets"].dtype == np.float16
        name = shard.statistics.sample
        with uproot.open(tmp_path / f"{name}.scores.root") as file:
            found: dict[str, npt.NDArray[Any]] = file["gridloom"].arrays(library="np")
        with uproot.open(folder / f"{name}.root") as file:
            here = model.score(file["Events"])
        expected = own[row : row + len(shard)]
        row += len(shard)
        selected = found["score_tt_b"] >= 0
        assert selected.sum() == len(shard) > 0
        np.testing.assert_array_equal(np.stack([found["score_tt_b"], found["score_tt"]], axis=1)[selected], expected)
        np.testing.assert_array_equal(here.scores[here.selected], expected)
    assert row == len(own)


def test_the_sentinel_is_still_missing(half: Run) -> None:
    """-999 and NaN are recognised: the moments leave them out, and the shard holds them exactly."""
    for result in half.results("prepare"):
        shard = Shard.open(result)
        mass, first = shard.features[:, 2], shard.features[:, 3]
        trained = shard.trains
        missing = sum(fold.features[2].missing for fold in shard.statistics.folds)
        assert missing == (mass[trained] == -999).sum()
        assert sum(fold.features[3].missing for fold in shard.statistics.folds) == np.isnan(first[trained]).sum()
        assert (mass == -999).any()
