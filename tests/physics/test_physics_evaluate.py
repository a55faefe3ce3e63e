"""The whole evaluation on toys with known answers, and its first screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.errors import BadWeights, EmptyClass
from gridloom.physics import verdict
from gridloom.physics.evaluate import evaluate
from gridloom.physics.events import discriminants
from gridloom.physics.importance import Shuffled
from gridloom.physics.material import Material
from gridloom.physics.multiclass import confusion
from gridloom.physics.results import (
    Check,
    Evaluation,
    Interval,
    LearningCurve,
    Separation,
    read_evaluation,
    write_evaluation,
)

Toy = Callable[..., Material]
Scores = NDArray[np.float32]


def analysis_of(**changes: Any) -> Analysis:
    """The toy's analysis with other evaluation settings or parts."""
    samples = {
        "sig": {"files": "s.root", "class": "signal", "weight": "w"},
        "bkg": {"files": "b.root", "class": "background", "weight": "w"},
        "data": {"files": "d.root", "data": True},
    }
    content = {
        "gridloom": 1,
        "name": "toy",
        "samples": samples,
        "features": ["x0", "x1", "x2"],
        "target": {"signal": "signal", "classes": ["background", "signal"]},
        "folds": 3,
        "evaluation": {"bootstrap": 40, "importance_events": 1000},
    }
    return Analysis.model_validate(content | changes)


def check(found: Evaluation, name: str) -> Check:
    return next(item for item in found.verdict if item.name == name)


def test_everything_is_there_and_survives_json(toy: Toy, tmp_path: Path) -> None:
    jets = {"jets": {"at_most": 3, "features": ["Jet_pt", "Jet_eta"]}}
    found = evaluate(toy(analysis=analysis_of(collections=jets)))
    write_evaluation(tmp_path / "evaluation.json", found)
    assert read_evaluation(tmp_path / "evaluation.json") == found
    assert found.discriminations[0].network.area.value == pytest.approx(0.7602, abs=0.03)
    assert found.meta.signal == ("signal",)
    assert found.meta.background == ("background",)
    assert found.meta.events == found.meta.training_events == 3000
    assert found.significance is not None
    assert found.significance.best is not None
    assert found.confusion is None
    assert found.regression is None
    assert [matrix.name for matrix in found.correlations] == ["signal", "background"]
    assert found.correlations[0].labels == ("x0", "x1", "x2", "score")
    assert {item.name for item in found.separations} == {"x0", "x1", "x2", "number of jets"}
    assert {item.status for item in found.verdict} == {"good"}


def test_importance_finds_what_the_model_uses(toy: Toy) -> None:
    jets = {"jets": {"at_most": 3, "features": ["Jet_pt", "Jet_eta"]}}
    found = evaluate(toy(analysis=analysis_of(collections=jets))).importance
    assert found is not None
    assert found.events == 1000
    first = found.rows[0]
    assert (first.name, first.collection) == ("x0", None)
    assert first.drop.value == pytest.approx(found.baseline - 0.5, abs=0.05)
    names = [(row.name, row.collection) for row in found.rows[1:]]
    assert sorted(names, key=str) == sorted(
        [("x1", None), ("x2", None), ("jets", "jets"), ("Jet_pt", "jets"), ("Jet_eta", "jets")], key=str
    )
    assert all(row.drop.value == 0 for row in found.rows[1:])


def test_the_same_twice_and_other_seeds_differ(toy: Toy) -> None:
    assert evaluate(toy(events=800)) == evaluate(toy(events=800))
    other = evaluate(toy(events=800, analysis=analysis_of(training={"seed": 2})))
    first = evaluate(toy(events=800))
    assert other.discriminations[0].network.area.value == first.discriminations[0].network.area.value
    assert other.discriminations[0].network.area.low != first.discriminations[0].network.area.low


def test_shuffling_keeps_padding_and_content(toy: Toy) -> None:
    inputs = toy().gather(np.arange(50))
    rng = np.random.default_rng(1)
    column = Shuffled(name="pt", collection="jets", column=0).apply(inputs, rng)
    there = inputs.masks["jets"] > 0
    before, after = inputs.collections["jets"], column.collections["jets"]
    assert np.all(after[~there] == 0)
    assert sorted(after[there][:, 0]) == sorted(before[there][:, 0])
    assert np.array_equal(after[:, :, 1], before[:, :, 1])
    whole = Shuffled(name="jets", collection="jets").apply(inputs, rng)
    assert np.array_equal(whole.collections["jets"].any(axis=2), whole.masks["jets"] > 0)
    assert whole.masks["jets"].sum() == inputs.masks["jets"].sum()
    assert np.array_equal(inputs.features, whole.features)


def test_data_is_blinded_unless_the_file_says_otherwise(toy: Toy) -> None:
    found = evaluate(toy(events=800))
    assert found.blinding.blinded
    assert found.distributions[0].data is None
    assert next(item for item in found.samples if item.data).total is None
    assert {flow.sample for flow in found.cutflows} == {"sig", "bkg"}
    shown = analysis_of(evaluation={"bootstrap": 20, "unblind": True, "importance_events": 100})
    data: Scores = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    found = evaluate(toy(events=800, analysis=shown, data_scores=data))
    assert not found.blinding.blinded
    assert found.distributions[0].data is not None
    assert sum(found.distributions[0].data.contents) == 2
    assert {flow.sample for flow in found.cutflows} == {"sig", "bkg", "data"}


def test_without_data_models_trees_and_flat_features(toy: Toy) -> None:
    samples = {name: {"files": "f.root", "class": name, "weight": "w"} for name in ("background", "signal")}
    material = toy(events=800, features=1, analysis=analysis_of(samples=samples, features=[]), reference=None)
    statistics = {
        new: material.statistics[old].model_copy(update={"sample": new})
        for new, old in (("background", "bkg"), ("signal", "sig"))
    }
    found = evaluate(
        replace(
            material,
            statistics=statistics,
            scales=dict.fromkeys(statistics, 1.0),
            predictors=(),
            gather=lambda rows: _without_features(material.gather(rows)),
        )
    )
    assert found.importance is None
    assert found.correlations == ()
    assert found.discriminations[0].reference is None
    assert found.blinding.data_samples == ()
    assert "Against boosted trees" not in {item.name for item in found.verdict}


def _without_features(inputs: Any) -> Any:
    return replace(inputs, features=inputs.features[:, :0])


def test_shuffled_labels_have_no_separation(toy: Toy) -> None:
    label = np.random.default_rng(77).permutation(toy().events.label)
    found = evaluate(toy(label=label))
    main = found.discriminations[0].network.area
    assert abs(main.value - 0.5) < 0.04
    assert check(found, "Separation").status != "good"


def test_overtraining_and_trees_are_judged(toy: Toy) -> None:
    material = toy()
    label = material.events.label
    noise = np.random.default_rng(3).random(len(label))
    seen: Scores = np.stack([1 - noise, noise], axis=1).astype(np.float32)
    seen[:, 1] = 0.5 * seen[:, 1] + 0.5 * label
    seen[:, 0] = 1 - seen[:, 1]
    better: Scores = np.stack([1.0 - label, label], axis=1).astype(np.float32)
    found = evaluate(toy(train_scores=seen, reference=better))
    assert check(found, "Over-training").status == "bad"
    assert check(found, "Against boosted trees").status == "bad"
    worse = evaluate(toy(reference=np.random.default_rng(1).random((3000, 2)).astype(np.float32)))
    assert "better than" in check(worse, "Against boosted trees").statement


def test_negative_weights_are_kept_and_said(toy: Toy) -> None:
    weight = np.where(np.arange(3000) % 6 == 0, -1.0, 1.0)
    found = evaluate(toy(weight=weight))
    assert found.class_yields[0].weighted.value == pytest.approx(weight[toy().events.label == 0].sum())
    assert check(found, "Negative weights").status == "warn"
    assert not found.discriminations[0].network.monotonic
    assert any("clipped" in note for note in found.notes)


def test_leaks_are_suspected(toy: Toy) -> None:
    material = toy(events=800)
    gather = material.gather

    def leaking(rows: Any) -> Any:
        inputs = gather(rows)
        inputs.features[:, 1] = material.events.label[rows]
        return inputs

    found = evaluate(replace(material, gather=leaking))
    assert check(found, "Leak").status == "bad"
    assert "x1" in check(found, "Leak").statement


def test_impossible_weights_are_errors(toy: Toy) -> None:
    with pytest.raises(EmptyClass):
        evaluate(toy(events=800, label=np.zeros(800, dtype=np.int16)))
    label = toy(events=800).events.label
    with pytest.raises(BadWeights):
        evaluate(toy(events=800, weight=np.where(label == 1, -1.0, 1.0)))


def test_no_cut_with_enough_background_is_said(toy: Toy) -> None:
    strict = analysis_of(evaluation={"bootstrap": 20, "minimum_effective_events": 1e9, "importance_events": 100})
    found = evaluate(toy(events=800, analysis=strict))
    assert check(found, "Significance").status == "warn"


def test_ticks_allow_to_stop(toy: Toy) -> None:
    class Stopped(Exception):
        pass

    def tick() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        evaluate(replace(toy(events=800), tick=tick))


# --- several classes and regression -----------------------------------------------------------------------------
def test_several_classes(toy: Toy) -> None:
    classes = ("qcd", "top", "higgs")
    rng = np.random.default_rng(2)
    label = rng.integers(0, 3, 2000).astype(np.int16)
    scores = rng.dirichlet((1, 1, 1), 2000)
    scores[np.arange(2000), label] += 1
    scores /= scores.sum(axis=1, keepdims=True)
    samples = {name: {"files": "f.root", "class": name, "weight": "w"} for name in classes}
    same = {name: scores.astype(np.float32) for name in ("scores", "validation_scores", "train_scores", "reference")}
    target = {"signal": ["higgs", "top"], "classes": list(classes)}
    material = toy(events=2000, analysis=analysis_of(samples=samples, target=target), label=label, sample=label, **same)
    statistics = {name: material.statistics["sig"].model_copy(update={"sample": name}) for name in classes}
    more: dict[str, Any] = {
        "classes": classes,
        "statistics": statistics,
        "scales": dict.fromkeys(classes, 1.0),
        "predictors": (),
    }
    found = evaluate(replace(material, **more))
    assert [item.name for item in found.discriminations] == ["signal", "qcd", "top", "higgs"]
    assert found.discriminations[0].positive == ("top", "higgs")
    assert found.discriminations[0].negative == ("qcd",)
    assert found.confusion is not None
    table = np.array(found.confusion.fractions, dtype=float)
    assert table.sum(axis=1) == pytest.approx(np.ones(3))
    predicted = scores.astype(np.float32).argmax(axis=1)
    assert table[1, 1] == pytest.approx(
        np.average(predicted[label == 1] == 1, weights=material.events.weight[label == 1])
    )
    assert found.confusion.accuracy.value == pytest.approx(np.diag(table).mean())
    bad = replace(material.events, weight=np.where(label == 2, -1.0, 1.0))
    with pytest.raises(BadWeights):
        confusion(material.bootstrap, bad, classes)


def test_a_single_signal_class_is_not_repeated() -> None:
    found = discriminants(("a", "b", "c"), ("b",))
    assert [item.name for item in found] == ["signal", "a", "c"]
    assert found[1].negative == ("b", "c")
    assert [item.name for item in discriminants(("a", "b"), ("b",))] == ["signal"]


def regression_material(toy: Toy, **more: Any) -> Material:
    samples = {"sig": {"files": "s.root", "weight": "w"}}
    rng = np.random.default_rng(4)
    target = rng.normal(100, 10, 2000)
    predicted = (target + 0.5 + rng.normal(0, 3, 2000))[:, None].astype(np.float32)
    same = dict.fromkeys(("scores", "validation_scores", "train_scores", "reference"), predicted)
    arrays = {**same, "label": np.full(2000, -1, np.int16), "sample": np.zeros(2000, np.int16), "target": target}
    chosen = analysis_of(samples=samples, target={"regression": "mass"})
    material = toy(events=2000, analysis=chosen, **(arrays | more))
    return replace(
        material,
        classes=(),
        statistics={"sig": material.statistics["sig"]},
        predictors=[lambda inputs: inputs.features[:, 1:2] * 0 + 100] * 3,
    )


def test_regression(toy: Toy) -> None:
    found = evaluate(regression_material(toy))
    assert found.meta.kind == "regression"
    assert found.regression is not None
    network = found.regression.network
    assert network.bias.value == pytest.approx(0.5, abs=0.25)
    assert network.resolution.value == pytest.approx(3, rel=0.08)
    assert network.rmse.value == pytest.approx(np.hypot(network.bias.value, network.resolution.value))
    assert network.r2 is not None
    assert network.r2.value == pytest.approx(1 - 9.25 / 100, abs=0.02)
    assert network.bias.low < network.bias.value < network.bias.high
    width = (network.bias.high - network.bias.low) / 2
    assert width == pytest.approx(3 / np.sqrt(2000), rel=0.4)
    profile = found.regression.profile
    assert len(profile) == 15
    assert all(abs(part.predicted.value - part.true - 0.5) < 1.5 for part in profile)
    assert sum(found.regression.residuals.contents) == pytest.approx(found.class_yields[0].weighted.value)
    assert found.importance is not None
    assert found.importance.measure.startswith("RMS")
    assert {item.status for item in found.verdict if item.name != "Bias"} == {"good"}
    assert check(found, "Bias").status == "warn"


def test_a_worse_regression_is_said(toy: Toy) -> None:
    target = regression_material(toy).events.target
    assert target is not None
    perfect = (target + np.random.default_rng(1).normal(0, 1, 2000))[:, None].astype(np.float32)
    found = evaluate(regression_material(toy, reference=perfect, train_scores=perfect))
    assert check(found, "Against boosted trees").status == "bad"
    assert check(found, "Over-training").status == "bad"
    alone = evaluate(regression_material(toy, reference=None))
    assert "Against boosted trees" not in {item.name for item in alone.verdict}


def test_regression_with_impossible_weights(toy: Toy) -> None:
    with pytest.raises(BadWeights):
        evaluate(regression_material(toy, weight=np.full(2000, -1.0)))


# --- single checks ----------------------------------------------------------------------------------------------
def curve(best: float | None, epochs: int) -> LearningCurve:
    numbers = tuple(float(i) for i in range(epochs))
    return LearningCurve(
        fold=0,
        epochs=numbers,
        loss=numbers,
        validation_loss=numbers,
        learning_rate=numbers,
        validation_auc=(),
        seconds=numbers,
        best_epoch=best,
    )


def test_training_length() -> None:
    assert verdict.trained_enough([], 5) is None
    short = verdict.trained_enough([curve(4.0, 5)] * 3, 5)
    assert short is not None
    assert short.status == "warn"
    enough = verdict.trained_enough([curve(2.0, 5), curve(None, 0)], 5)
    assert enough is not None
    assert enough.status == "good"


def test_lost_files_are_named(toy: Toy) -> None:
    lost = evaluate(toy(events=800)).samples[0].model_copy(update={"files_lost": 2})
    found = verdict.lost_files([lost])
    assert found.status == "warn"
    assert "sig (2 of 3)" in found.statement


def test_nearly_perfect_network_is_suspicious(toy: Toy) -> None:
    discrimination = evaluate(toy(events=800)).discriminations[0]
    network = discrimination.network.model_copy(update={"area": Interval(value=0.9999, low=0.999, high=1.0)})
    found = verdict.leak([Separation(name="x", area=0.6)], discrimination.model_copy(update={"network": network}))
    assert found.status == "warn"


@pytest.mark.parametrize(("area", "status"), [(0.98, "good"), (0.995, "warn"), (0.004, "warn"), (0.9999, "bad")])
def test_one_strong_input_is_asked_about_and_a_perfect_one_refused(toy: Toy, area: float, status: str) -> None:
    discrimination = evaluate(toy(events=800)).discriminations[0]
    assert verdict.leak([Separation(name="x", area=area)], discrimination).status == status


def test_folds_that_disagree(toy: Toy) -> None:
    discrimination = evaluate(toy(events=800)).discriminations[0]
    network = discrimination.network.model_copy(update={"fold_areas": (0.76, 0.5, 0.77)})
    found = verdict.folds_agree(discrimination.model_copy(update={"network": network}))
    assert found is not None
    assert found.status == "warn"
    alone = discrimination.network.model_copy(update={"fold_areas": (0.76, None, None)})
    assert verdict.folds_agree(discrimination.model_copy(update={"network": alone})) is None
