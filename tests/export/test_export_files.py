"""Exports from the outside: run by their own runtimes alone, on ROOT events; corrupted ones are refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from alone import SCRIPT, lonely_python
from scored_run import analysis_of, call
from tasks import dumped
from whole_runs import Run, write_analysis

from gridloom.data.dataset import open_dataset
from gridloom.data.folds import fold_of
from gridloom.errors import ExportMismatch
from gridloom.export import compare, onnx
from gridloom.export import task as export_task
from gridloom.export.formats import load_format
from gridloom.export.graph import graphs_of
from gridloom.exporting import FORMATS, Description, FormatName
from gridloom.prediction.models import FoldModels, load_fold_models
from gridloom.task import Context, Task


@pytest.fixture(scope="session")
def models(run: Run) -> FoldModels:
    folders = {path.name: path for path in run.results("train")}
    return load_fold_models(folders, 3, user_folder=run.folder)


@pytest.fixture(scope="session")
def trained(run: Run, models: FoldModels) -> compare.Trained:
    analysis = analysis_of(run)
    return compare.trained_events(analysis, open_dataset(analysis, run.results("prepare")), models)


@pytest.mark.parametrize("name", list(FORMATS))
def test_its_runtime_alone_gives_the_scores_of_the_friend_trees(exported: Path, folder: Path, name: str) -> None:
    """Neither Gridloom nor Keras: ROOT's columns into arrays by hand, every fold by the artefact or by its own file."""
    python, options = lonely_python(name)
    done = subprocess.run(
        [python, *options, SCRIPT, name, exported, folder], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["events"] > 1500
    assert told["largest"] < 1e-5
    assert told["missing"] > 50
    assert "gridloom" not in told["modules"]


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_description_says_what_goes_in(exported: Path, name: str) -> None:
    found = Description.model_validate_json((exported / f"scored.{name}.json").read_bytes())
    assert [item.name for item in found.features] == ["MET", "Lepton_pt", "mass", "first", "nJet"]
    assert (found.features[0].unit, found.features[0].expression) == ("GeV", "MET_pt")
    assert (found.features[2].missing, found.features[3].missing) == ((-999.0,), ("nan",))
    assert found.classes == ("tt+b", "tt")
    assert found.opset == (18 if name == "onnx" else None)
    assert found.collections[0].order_by == "-Jet_pt"
    assert found.event_id == ("run", "luminosityBlock", "event")
    assert [artefact.fold for artefact in found.artefacts] == [None, 0, 1, 2]
    assert [port.name for port in found.artefacts[0].inputs] == ["features", "jets", "jets_mask", found.selector]
    assert all(comparison.largest < 1e-5 for comparison in found.comparisons)
    assert {shift.figure for shift in found.comparisons[0].shifts} >= {"AUC"}
    assert all(artefact.milliseconds > 0 and artefact.size > 1000 for artefact in found.artefacts)


def test_the_same_command_again_changes_nothing(run: Run, exported: Path) -> None:
    before = (exported / "scored.onnx").stat().st_mtime_ns
    call("export", run.folder, "--to", "onnx", "--out", exported, "--jobs", "1")
    assert (exported / "scored.onnx").stat().st_mtime_ns == before
    kept = (exported / "scored.onnx").read_bytes()
    (exported / "scored.onnx").write_text("mine")
    said = call("export", run.folder, "--to", "onnx", "--out", exported, "--jobs", "1", code=56)
    assert "--replace" in said
    assert (exported / "scored.onnx").read_text() == "mine"
    call("export", run.folder, "--to", "onnx", "--out", exported, "--jobs", "1", "--replace")
    assert (exported / "scored.onnx").read_bytes() == kept


def test_an_unknown_format_is_told(run: Run) -> None:
    assert "Formats: onnx, litert, savedmodel" in call("export", run.folder, "--to", "onyx", code=12)


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_planted_corruption_is_refused(
    models: FoldModels, trained: compare.Trained, tmp_path: Path, name: FormatName
) -> None:
    """A few weights of one fold's network are others: the file opens and runs, and is refused."""
    form = load_format(name)
    written = form.write(graphs_of(models, form.SELECTOR), tmp_path, "planted")
    whole = written[0]
    compare.compare(whole, form.open(whole.path, whole.signature), trained)
    path = whole.path / "saved_model.pb" if whole.path.is_dir() else whole.path
    weights = last_bias(models)
    content = path.read_bytes()
    assert weights in content
    path.write_bytes(content.replace(weights, bytes(3) + b"\x40" + weights[4:]))
    with pytest.raises(ExportMismatch, match="the trained model"):
        compare.compare(whole, form.open(whole.path, whole.signature), trained)


def last_bias(models: FoldModels) -> bytes:
    """Bytes of the bias of the last hidden layer: they stand alike in every format."""
    dense = [layer for layer in models.members[1][0].model.layers if isinstance(layer, keras.layers.Dense)]
    values = np.asarray(dense[-2].bias, dtype="<f4")
    assert np.abs(values[:4]).max() > 0
    return values[:4].tobytes()


def test_a_task_whose_file_disagrees_leaves_no_result(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter's own mistake: choices as products, in which the NaN of a missing value spreads."""
    monkeypatch.setattr(onnx, "CHOICES", {})
    analysis = analysis_of(run)
    inputs = {path.name: path for path in (*run.results("prepare"), *run.results("train"))}
    task = Task(
        kind="export",
        label="export onnx",
        parameters={"analysis": dumped(analysis), "format": "onnx", "name": "wrong"},
        inputs=tuple(inputs),
        folder=str(run.folder),
    )
    (tmp_path / "out").mkdir()
    context = Context(
        task=task,
        inputs=inputs,
        output=tmp_path / "out",
        scratch=tmp_path,
        stop=lambda: False,
        progress=lambda _: None,
    )
    with pytest.raises(ExportMismatch, match="nan"):
        export_task.run(context)
    assert not list((tmp_path / "out").glob("*.json"))


def test_the_fold_is_computed_from_any_event_id(models: FoldModels, tmp_path: Path) -> None:
    """All 64 bits of all words, as `fold_of` does."""
    ids = np.random.default_rng(3).integers(0, 2**64, (500, 3), dtype=np.uint64)
    ids[:4] = [[0, 0, 0], [2**64 - 1] * 3, [1, 2**63, 2**32], [2**63 - 1, 0, 1]]
    inputs: dict[str, Any] = {
        "features": np.ones((500, 5), np.float32),
        "jets": np.ones((500, 3, 2), np.float32),
        "jets_mask": np.ones((500, 3), np.float32),
        "event_id": ids,
    }
    for name in ("onnx", "savedmodel"):
        form = load_format(name)
        (written,) = form.write(graphs_of(models, form.SELECTOR)[:1], tmp_path, name)
        found = form.open(written.path, written.signature)(inputs)
        np.testing.assert_array_equal(found["fold"], fold_of(ids, 3))


def test_check_names_the_layer_that_a_format_cannot_take(folder: Path, run: Run) -> None:
    (folder / "odd.py").write_text(
        "import keras\n\n\n"
        '@keras.saving.register_keras_serializable(package="odd")\n'
        "class Odd(keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return keras.ops.erfinv(0.9 * keras.ops.tanh(x))\n\n\n"
        "def net(inputs, outputs):\n"
        '    x = Odd(name="strange")(keras.layers.Dense(8)(inputs.features))\n'
        "    return keras.layers.Dense(outputs)(x)\n"
    )
    content = json.loads((run.folder / "analysis.yaml").read_text())
    content["model"] = {"function": "odd:net"}
    path = write_analysis(folder / "odd.yaml", content)
    said = call("check", path, "--to", "litert", "--to", "onnx", "--to", "savedmodel", code=44)
    assert said.count("error[UnsupportedLayer]") == 2
    assert said.count("cannot take `strange (Odd)`") == 2
