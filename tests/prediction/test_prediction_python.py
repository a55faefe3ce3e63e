"""`gridloom.load`: the same scores from arrays and trees in Python."""

from __future__ import annotations

from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
from whole_runs import Run

import gridloom
from gridloom.errors import InvalidValue, MissingBranch, NotFound
from gridloom.prediction.model import Model


@pytest.fixture(scope="module")
def model(run: Run) -> Model:
    return gridloom.load(run.folder)


def test_arrays_and_trees_give_the_scores_of_the_report(run: Run, folder: Path, model: Model) -> None:
    own = np.load(run.results("evaluate")[0] / "scores.npy")
    assert model.classes == ("tt+b", "tt")
    assert model.branches == (
        "Jet_eta",
        "Jet_pt",
        "Lepton_pt",
        "MET_pt",
        "event",
        "luminosityBlock",
        "mass",
        "nJet",
        "run",
    )
    found = []
    for name in ("background", "data", "signal"):  # the order of the report's scores
        with uproot.open(folder / f"{name}.root") as file:
            tree = model.score(file["Events"])
            arrays = file["Events"].arrays(model.branches)
        record = model.score(arrays)
        mapping = model.score({branch: arrays[branch] for branch in model.branches})
        for other in (record, mapping):
            np.testing.assert_array_equal(other.scores, tree.scores)
            np.testing.assert_array_equal(other.fold, tree.fold)
        assert tree.spread is None
        assert (tree.scores[~tree.selected] == -1).all()
        np.testing.assert_array_equal(tree.of("tt"), tree.scores[:, 1])
        found.append(tree.scores[tree.selected])
    np.testing.assert_array_equal(np.concatenate(found), own)


def test_numpy_arrays_are_enough_for_flat_branches(folder: Path, model: Model) -> None:
    with uproot.open(folder / "data.root") as file:
        arrays = file["Events"].arrays(model.branches)
    flat = {name: ak.to_numpy(arrays[name]) for name in model.branches if arrays[name].ndim == 1}
    jagged = {name: arrays[name] for name in model.branches if arrays[name].ndim > 1}
    np.testing.assert_array_equal(model.score({**flat, **jagged}).scores, model.score(arrays).scores)


def test_a_variation_keeps_the_fold(folder: Path, model: Model) -> None:
    with uproot.open(folder / "data.root") as file:
        arrays = file["Events"].arrays(model.branches)
    arrays["up"] = arrays["MET_pt"] * 1.2
    varied, nominal = model.score(arrays, vary={"MET_pt": "up"}), model.score(arrays)
    np.testing.assert_array_equal(varied.fold, nominal.fold)
    assert varied.selected.sum() > nominal.selected.sum()
    arrays["MET_pt"] = arrays["up"]
    np.testing.assert_array_equal(model.score(arrays).scores, varied.scores)


def test_no_events_and_wrong_ones(folder: Path, model: Model) -> None:
    with uproot.open(folder / "data.root") as file:
        arrays = file["Events"].arrays(model.branches)
    assert model.score(arrays[:0]).scores.shape == (0, 2)
    with pytest.raises(MissingBranch, match="MET_pt"):
        model.score(arrays[[name for name in model.branches if name != "MET_pt"]])
    with pytest.raises(InvalidValue, match="no class"):
        model.score(arrays[:5]).of("ttt")


def test_an_unknown_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        gridloom.load("nothing", runs=tmp_path)
