"""The reference and evaluate tasks on real shards in real folders."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Inputs
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.errors import DamagedResult, EmptyFold, Interrupted
from gridloom.files import write_json
from gridloom.physics.results import read_evaluation
from gridloom.task import Context, Kind, Progress, Task
from gridloom.training import evaluate, reference
from gridloom.training.reference import Columns, ReferenceNotes, flat_table

EVENTS = 1500
CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "toy",
    "samples": {
        "sig": {"files": "s.root", "class": "signal", "weight": "w"},
        "bkg": {"files": "b.root", "class": "background", "weight": "w"},
        "data": {"files": "d.root", "data": True},
    },
    "features": ["x", {"name": "y", "missing": -999}, "constant", {"name": "flag", "missing": -999}],
    "collections": {"jets": {"at_most": 2, "features": ["pt", "eta"]}},
    "target": {"signal": "signal", "classes": ["background", "signal"]},
    "folds": 3,
    "training": {"early_stopping": None},
    "evaluation": {"bootstrap": 20, "importance_events": 300},
}


def write_shard(
    folder: Path, sample: str, label: int, *, regression: bool = False, negative: float = 0.0, told_in_fold: int = -1
) -> None:
    rng = np.random.default_rng(10 + label)
    features = rng.normal(size=(EVENTS, 4)).astype(np.float32)
    features[:, 0] += max(label, 0)
    features[::5, 1] = -999
    features[:, 2] = 7
    features[np.arange(EVENTS) % 3 == told_in_fold, 2] = 7 + label
    features[:, 3] = np.where(rng.random(EVENTS) < 0.5, 3.0, -999)
    count = rng.integers(0, 2, EVENTS)  # the second jet never exists
    jets = np.zeros((EVENTS, 2, 2), dtype=np.float32)
    jets[count > 0, 0] = rng.normal(size=(int((count > 0).sum()), 2))
    ids = np.stack([np.full(EVENTS, label + 1), np.ones(EVENTS), np.arange(EVENTS)], axis=1)
    arrays: dict[str, Any] = {
        "features": features,
        "collection.jets": jets,
        "count.jets": count,
        "label": np.full(EVENTS, -1 if regression else label),
        "weight": np.where(rng.random(EVENTS) < negative, -1.0, 1.0),
        "factor": np.ones(EVENTS),
        "id": ids.astype(np.uint64),
        "entry": np.arange(EVENTS),
        "fold": np.arange(EVENTS) % 3,
        "trains": np.full(EVENTS, sample != "data"),
    }
    if regression:
        arrays["target"] = features[:, 0] * 2 + 0.1 * rng.normal(size=EVENTS)
    writer = ShardWriter(folder, Layout.of(features=4, collections={"jets": (2, 2)}, regression=regression))
    with writer:
        writer.append(arrays)
        file = ReadFile(path=f"{sample}.root", uuid=sample, entries=EVENTS, selected=EVENTS)
        writer.finish(ShardStatistics(sample=sample, files=(file,), events=EVENTS))


class Folders:
    """Task folders of one run, as the driver would lay them."""

    def __init__(self, root: Path, analysis: Analysis) -> None:
        self.root = root
        self.analysis = analysis
        self.inputs: dict[str, Path] = {}
        self.told: list[Progress] = []
        self.stopped = False

    def add(self, name: str) -> Path:
        self.inputs[name] = self.root / name
        self.inputs[name].mkdir()
        return self.inputs[name]

    def context(self, kind: Kind, output: Path, **parameters: Any) -> Context:
        content = self.analysis.model_dump(mode="json", by_alias=True)
        return Context(
            task=Task(kind=kind, label=kind, parameters={"analysis": content, **parameters}, folder=str(self.root)),
            inputs=dict(self.inputs),
            output=output,
            scratch=self.root,
            stop=lambda: self.stopped,
            progress=self.told.append,
        )

    def train_trees(self) -> None:
        for fold in range(3):
            output = self.root / f"reference-{fold}"
            output.mkdir()
            reference.run(self.context("reference", output, fold=fold))
        self.inputs |= {f"reference-{fold}": self.root / f"reference-{fold}" for fold in range(3)}

    def pretend_to_train(self) -> None:
        """Folders of `train` tasks whose networks say what the trees say."""
        for fold in (2, 0, 1):
            output = self.add(f"train-{fold}")
            np.save(output / "scores.npy", np.load(self.root / f"reference-{fold}" / "scores.npy"))
            write_json(output / "fold.json", {"fold": fold})
            record = {"epoch": 0, "loss": 0.6, "validation_loss": 0.6 + fold, "learning_rate": 0.1}
            write_json(output / "history.json", [record])


@pytest.fixture
def no_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictors that need no TensorFlow: importing it costs more than all of these tests."""

    def load_predictor(folder: Path, *, user_folder: Path) -> Any:
        def predict(inputs: Inputs) -> Any:
            signal = 1 / (1 + np.exp(0.5 - inputs.features[:, 0]))
            return np.stack([1 - signal, signal], axis=1).astype(np.float32)

        return predict

    module = ModuleType("gridloom.training.predict")
    module.load_predictor = load_predictor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gridloom.training.predict", module)


def folders(root: Path, negative: float = 0.0, **changes: Any) -> Folders:
    made = Folders(root, Analysis.model_validate(CONTENT | changes))
    for label, sample in ((1, "sig"), (0, "bkg"), (-1, "data")):
        write_shard(made.add(f"prepare-{sample}"), sample, label, negative=max(0, label) * negative)
    return made


@pytest.mark.usefixtures("no_keras")
def test_trees_and_evaluation_of_real_folders(tmp_path: Path) -> None:
    made = folders(tmp_path, negative=0.1)
    made.train_trees()
    scores = np.load(tmp_path / "reference-1" / "scores.npy")
    assert scores.shape == (3 * EVENTS, 2)
    assert scores.dtype == np.float32
    assert scores.sum(axis=1) == pytest.approx(np.ones(3 * EVENTS), abs=1e-5)
    notes = ReferenceNotes.model_validate_json((tmp_path / "reference-1" / "reference.json").read_bytes())
    assert notes.events == notes.available == 2 * EVENTS // 3
    assert notes.negative_weights > 0
    # x, y, flag, the first jet's pt and eta, the number of jets: not the constant, not the jet that never exists
    assert notes.columns == 6
    made.pretend_to_train()
    output = tmp_path / "out"
    output.mkdir()
    evaluate.run(made.context("evaluate", output))
    found = read_evaluation(output / "evaluation.json")
    assert found.discriminations[0].network.area.value == pytest.approx(0.76, abs=0.05)
    assert found.discriminations[0].difference is not None
    assert found.discriminations[0].difference.value == 0
    assert found.discriminations[0].overtraining is not None
    assert found.discriminations[0].overtraining.value > 0
    assert [item.validation_loss for item in found.learning] == [(0.6,), (1.6,), (2.6,)]
    assert found.meta.events == 2 * EVENTS
    assert found.blinding.blinded
    assert any("absolute weights" in note for note in found.notes)
    own = np.load(output / "scores.npy")
    for fold in range(3):
        rows = np.arange(3 * EVENTS) % EVENTS % 3 == fold
        assert np.array_equal(own[rows], np.load(tmp_path / f"reference-{fold}" / "scores.npy")[rows])


@pytest.mark.usefixtures("no_keras")
def test_unblinded_data_and_no_trees(tmp_path: Path) -> None:
    settings = {"bootstrap": 20, "importance_events": 300, "unblind": True, "reference": False}
    made = folders(tmp_path, evaluation=settings)
    made.train_trees()
    made.pretend_to_train()
    output = tmp_path / "out"
    output.mkdir()
    evaluate.run(made.context("evaluate", output))
    found = read_evaluation(output / "evaluation.json")
    assert found.discriminations[0].reference is None
    assert found.distributions[0].data is not None
    assert sum(found.distributions[0].data.contents) == EVENTS


def test_trees_are_repeatable_and_never_see_their_test_fold(tmp_path: Path) -> None:
    made = folders(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        reference.run(made.context("reference", tmp_path / name, fold=1))
    first, second = (np.load(tmp_path / name / "scores.npy") for name in ("a", "b"))
    assert np.array_equal(first, second)
    # A feature that tells the label in the test fold alone must not help there.
    (tmp_path / "c").mkdir()
    for sample, label in (("sig", 1), ("bkg", 0)):
        write_shard(made.inputs[f"prepare-{sample}"], sample, label, told_in_fold=1)
    reference.run(made.context("reference", tmp_path / "c", fold=1))
    assert np.array_equal(np.load(tmp_path / "c" / "scores.npy"), first)


def test_regression_by_trees(tmp_path: Path) -> None:
    content = CONTENT | {
        "samples": {"sig": {"files": "s.root", "weight": "w"}},
        "target": {"regression": "2 * x"},
    }
    made = Folders(tmp_path, Analysis.model_validate(content))
    write_shard(made.add("prepare-sig"), "sig", 1, regression=True)
    (tmp_path / "out").mkdir()
    reference.run(made.context("reference", tmp_path / "out", fold=0))
    scores = np.load(tmp_path / "out" / "scores.npy")
    target = np.load(made.inputs["prepare-sig"] / "target.npy")
    assert scores.shape == (EVENTS, 1)
    assert np.std(scores[:, 0] - target) < 0.3 * np.std(target)


def test_trees_are_limited_to_what_fits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "NUMBERS", 9 * 300)
    made = folders(tmp_path)
    made.train_trees()
    notes = ReferenceNotes.model_validate_json((tmp_path / "reference-0" / "reference.json").read_bytes())
    assert notes.events == 300
    assert any("random 300" in note for note in evaluate.reference_notes([tmp_path / "reference-0"]))


def test_stop_and_missing_events(tmp_path: Path) -> None:
    made = folders(tmp_path, folds=5)
    (tmp_path / "out").mkdir()
    with pytest.raises(EmptyFold):
        reference.run(made.context("reference", tmp_path / "out", fold=2))
    made.stopped = True
    with pytest.raises(Interrupted):
        reference.run(made.context("reference", tmp_path / "out", fold=0))


@pytest.mark.usefixtures("no_keras")
def test_evaluation_stops_and_tells_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_STEP", 0.0)
    made = folders(tmp_path)
    made.train_trees()
    made.pretend_to_train()
    (tmp_path / "out").mkdir()
    made.told.clear()
    evaluate.run(made.context("evaluate", tmp_path / "out"))
    assert made.told
    assert all(step.done <= step.total for step in made.told)
    made.stopped = True
    with pytest.raises(Interrupted):
        evaluate.run(made.context("evaluate", tmp_path / "out"))


def test_results_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "train-0"
    folder.mkdir()
    write_json(folder / "fold.json", {"fold": 0})
    with pytest.raises(DamagedResult, match="folds"):
        evaluate.fold_folders({"train-0": folder}, "train-", 3)
    np.save(folder / "scores.npy", np.zeros((3, 2), dtype=np.float32))
    with pytest.raises(DamagedResult, match="shape"):
        evaluate._fold_scores([folder], 4, 2)


def test_columns_without_content_are_left_out() -> None:
    nan = np.nan
    table = np.array([[1.0, nan, 5, nan, 1], [2, nan, 5, 3, nan]])
    columns = Columns.of(table)
    assert columns.keep.tolist() == [0, 3, 4]
    found = columns.apply(table)
    assert found[0, 0] < found[1, 0]
    assert found[:, 1].tolist() == [-1.0, 1.0]
    assert found[:, 2].tolist() == [1.0, -1.0]


def test_bins_keep_the_order_and_missing_values() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    table = np.stack([values, np.round(values), np.where(values > 1, np.nan, values)], axis=1)
    found = Columns.of(table).apply(table)
    order = np.argsort(values)
    assert np.all(np.diff(found[order, 0]) >= 0)
    assert np.unique(found[:, 0]).tolist() == list(range(255))
    assert len(np.unique(found[:, 1])) >= 5
    assert np.array_equal(np.isnan(found[:, 2]), values > 1)


def test_flat_table_has_nan_for_what_is_not_there() -> None:
    analysis = Analysis.model_validate(CONTENT)
    inputs = Inputs(
        features=np.array([[1, -999, 3, 4]], dtype=np.float32),
        collections={"jets": np.array([[[5, 6], [0, 0]]], dtype=np.float32)},
        masks={"jets": np.array([[1, 0]], dtype=np.float32)},
    )
    found = flat_table(analysis, inputs)
    assert np.array_equal(found[0], [1, np.nan, 3, 4, 5, 6, np.nan, np.nan, 1], equal_nan=True)
