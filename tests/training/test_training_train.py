"""Training as a task does it: outputs, exact resumption, errors that keep what was reached."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import Prepared

from gridloom.analysis.models import Optimizer, Schedule
from gridloom.data.dataset import open_dataset
from gridloom.errors import Interrupted, InvalidValue, LossNotFinite, OutputShape, UnknownKey, UserModelError
from gridloom.training import checkpoint, train
from gridloom.training.backends import tensorflow_updates
from gridloom.training.optimizers import Optimization, build_optimization
from gridloom.training.predict import load_predictor

_NUMBERS = count()


def never() -> bool:
    return False


def trained(case: Prepared, *, name: str = "", stop: Callable[[], bool] = never, **changes: Any) -> Path:
    """Train fold 0 in a folder of its own, or go on in the folder `name`; returns the output."""
    name = name or f"train-{next(_NUMBERS)}"
    shutil.rmtree(case.bench.folder / name, ignore_errors=True)
    task = case.bench.fold_task(case.changed(**changes), "train", 0)
    context = case.bench.context(task, case.inputs, name=name, stop=stop)
    train.run(context)
    return context.output


def same_bits(one: Path, other: Path) -> None:
    assert (one / "history.json").read_bytes() == (other / "history.json").read_bytes()
    assert (one / "scores.npy").read_bytes() == (other / "scores.npy").read_bytes()


@pytest.mark.parametrize("variant", ["flat", "objects", "objects alone", "flavours", "regression"])
def test_a_fold_is_trained_scored_and_read_back(prepared: Mapping[str, Prepared], variant: str) -> None:
    case = prepared[variant]
    output = trained(case)
    dataset = open_dataset(case.analysis, list(case.inputs.values()))
    scores = np.load(output / "scores.npy")
    columns = {"flavours": 3, "regression": 1}.get(variant, 2)
    assert scores.shape == (len(dataset), columns)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    if variant != "regression":
        np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    rows = np.arange(50)
    again = load_predictor(output, user_folder=case.bench.folder)(dataset.inputs(rows))
    np.testing.assert_allclose(again, scores[rows], rtol=1e-5, atol=1e-6)
    history = json.loads((output / "history.json").read_text())
    assert [record["epoch"] for record in history] == [0, 1, 2]
    assert history[-1]["loss"] < history[0]["loss"]
    assert json.loads((output / "fold.json").read_text()) == {"fold": 0}
    assert list((output / "tensorboard").iterdir())
    assert case.bench.seen[-1].total == 3


@pytest.mark.parametrize("variant", ["flat", "objects"])
@pytest.mark.parametrize("stop_at", [1, 2, 4])
def test_stopping_anywhere_and_going_on_gives_the_same_bits(
    prepared: Mapping[str, Prepared], variant: str, stop_at: int
) -> None:
    """Two steps per call at this batch: stops fall inside epochs. Dropout and the optimiser's state go along."""
    case = prepared[variant]
    # A network of this size takes all steps of an epoch in one call; more parameters make calls short.
    changes: dict[str, Any] = {"model": {"name": "mlp", "parameters": {"hidden": [1200, 1200], "dropout": 0.2}}}
    whole = trained(case, name=f"whole-{variant}", **changes)
    calls = count(1)
    name = f"broken-{variant}-{stop_at}"
    with pytest.raises(Interrupted):
        trained(case, name=name, stop=lambda: next(calls) == stop_at, **changes)
    same_bits(whole, trained(case, name=name, **changes))


@pytest.mark.parametrize("xla", ["on", "off"])
def test_reduced_precision_keeps_full_weights_and_resumes_exactly(prepared: Mapping[str, Prepared], xla: str) -> None:
    case = prepared["objects"]
    changes: dict[str, Any] = {"training": {"precision": "mixed_bfloat16", "xla": xla}}
    whole = trained(case, name=f"reduced-{xla}", **changes)
    calls = count(1)
    name = f"reduced-broken-{xla}"
    with pytest.raises(Interrupted):
        trained(case, name=name, stop=lambda: next(calls) == 2, **changes)
    found = checkpoint.load(case.bench.folder / f"{name}.scratch" / "checkpoints")
    assert found is not None
    kinds = {str(array.dtype) for group in ("weights", "optimizer") for array in found.arrays[group]}
    assert kinds <= {"float32", "int64", "uint32"}  # and counters and seeds
    same_bits(whole, trained(case, name=name, **changes))
    dataset = open_dataset(case.analysis, list(case.inputs.values()))
    again = load_predictor(whole, user_folder=case.bench.folder)(dataset.inputs(np.arange(50)))
    np.testing.assert_allclose(again, np.load(whole / "scores.npy")[:50], atol=1e-2)


@pytest.mark.parametrize("xla", ["on", "off"])
def test_transforms_once_or_in_every_step_give_the_same_bits(
    prepared: Mapping[str, Prepared], monkeypatch: pytest.MonkeyPatch, xla: str
) -> None:
    """In memory they have been through the transforms once; from the disk they go through them in every step."""
    case = prepared["flat"]
    in_memory = trained(case, training={"xla": xla})
    monkeypatch.setattr(train, "settled", lambda material, _: material)
    same_bits(in_memory, trained(case, training={"xla": xla}))


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adam"},
        {"name": "adamw", "weight_decay": 0.1, "clip_norm": 0.5},
        {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1},
        {"name": "sgd", "momentum": 0.0, "clip_norm": 0.1},
    ],
)
def test_the_updates_are_those_of_keras(optimizer: dict[str, Any]) -> None:
    import keras
    import tensorflow as tf

    random = np.random.default_rng(1)
    values = [random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,))]
    schedule = Schedule(name="cosine", warmup_epochs=1)
    settings = Optimizer.model_validate(optimizer)

    def built() -> tuple[list[Any], Optimization]:
        weights = [keras.Variable(value) for value in values]
        return weights, build_optimization(settings, schedule, weights, steps_per_epoch=3, epochs=4)

    (mine, optimization), (theirs, reference) = built(), built()
    change = tensorflow_updates.update(optimization)
    rates, sizes = tensorflow_updates.sizes(optimization, 10)
    for step in range(10):
        gradients = [tf.constant(random.normal(size=value.shape).astype(np.float32)) for value in values]
        change(gradients, rates[step], sizes[step])
        reference.optimizer.apply(gradients, theirs)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=2e-5, atol=2e-6)


def test_a_stop_may_fall_inside_an_epoch(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["flat"]
    name = "inside"
    with pytest.raises(Interrupted):
        trained(case, name=name, stop=lambda: True, model={"parameters": {"hidden": [1500, 1500]}})
    found = checkpoint.load(case.bench.folder / f"{name}.scratch" / "checkpoints")
    assert found is not None
    assert (found.state["epoch"], found.state["call"]) == (0, 1)
    assert found.state["events"] < 400


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["flat"]
    name = "diverging"
    slow = {"optimizer": {"name": "sgd", "learning_rate": 1e-9}}
    with pytest.raises(Interrupted):
        trained(case, name=name, stop=lambda: True, training=slow)
    wild = {"optimizer": {"name": "sgd", "learning_rate": 1e30}, "early_stopping": None, "epochs": 30}
    with pytest.raises(LossNotFinite, match="step") as caught:
        trained(case, name=name, training=wild)
    assert "learning_rate" in caught.value.fix
    assert caught.value.key == ("training", "optimizer")
    kept = checkpoint.load(case.bench.folder / f"{name}.scratch" / "checkpoints")
    assert kept is not None
    assert all(np.isfinite(array).all() for array in kept.arrays["weights"])


def test_early_stopping_keeps_the_best_weights(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["flat"]
    training = {
        "optimizer": {"name": "adam", "learning_rate": 0.05},
        "epochs": 40,
        "early_stopping": {"patience": 2},
    }
    output = trained(case, training=training, model={"parameters": {"dropout": 0.0}})
    losses = [record["validation_loss"] for record in json.loads((output / "history.json").read_text())]
    best = json.loads((output / "timing.json").read_text())["best_epoch"]
    assert losses[best] == min(losses)
    assert len(losses) == best + 3 < 40


@pytest.mark.parametrize(
    ("training", "model"),
    [
        ({"precision": "mixed_bfloat16"}, {}),
        ({"xla": "off", "schedule": {"name": "cosine", "warmup_epochs": 1}}, {"normalization": "batch"}),
        ({"optimizer": {"name": "adamw", "weight_decay": 0.01}, "schedule": {"name": "exponential"}}, {"bins": 0}),
        ({"optimizer": {"name": "sgd", "clip_norm": 1.0}, "early_stopping": None}, {"normalization": "layer"}),
    ],
)
def test_settings_reach_the_training(
    prepared: Mapping[str, Prepared], training: dict[str, Any], model: dict[str, Any]
) -> None:
    output = trained(prepared["flat"], training=training, model={"parameters": model})
    history = json.loads((output / "history.json").read_text())
    assert len(history) == 3
    rates = [record["learning_rate"] for record in history]
    if training.get("schedule", {}).get("name") == "exponential":
        assert rates[0] > rates[1] > rates[2]


USER_MODEL = """
import keras

def build(inputs, outputs, *, width=8):
    return keras.layers.Dense(outputs)(keras.layers.Dense(width, activation="relu")(inputs.features))

def wrong_shape(inputs, outputs):
    return keras.layers.Dense(outputs + 1)(inputs.features)

def fails(inputs, outputs):
    return keras.layers.Dense(outputs)(inputs.nothing)

def nothing(inputs, outputs):
    return None
"""


def test_the_users_own_model(prepared: Mapping[str, Prepared]) -> None:
    case = prepared["flat"]
    (case.bench.folder / "mymodel.py").write_text(USER_MODEL)
    output = trained(case, model={"function": "mymodel:build", "parameters": {"width": 4}})
    described = json.loads((output / "model.json").read_text())
    assert described["user_module"] == "mymodel"
    assert described["parameters"] == 4 * 4 + 4 + 4 + 1


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ({"function": "mymodel:wrong_shape"}, OutputShape, "Dense(outputs)"),
        ({"function": "mymodel:nothing"}, OutputShape, "no tensor"),
        ({"function": "mymodel:fails"}, UserModelError, "mymodel.py:"),
        ({"function": "mymodel:absent"}, UserModelError, "build"),
        ({"function": "nomodel:build"}, UserModelError, "nomodel.py"),
        ({"function": "badmodel:build"}, UserModelError, "badmodel.py:2"),
        ({"name": "transformer"}, InvalidValue, "mlp"),
        ({"name": "mlp", "parameters": {"widths": [3]}}, UnknownKey, "hidden"),
        ({"name": "mlp", "parameters": {"dropout": 2}}, InvalidValue, "dropout"),
    ],
)
def test_models_that_cannot_be_built(
    prepared: Mapping[str, Prepared], model: dict[str, Any], kind: type[Exception], words: str
) -> None:
    case = prepared["flat"]
    (case.bench.folder / "mymodel.py").write_text(USER_MODEL)
    (case.bench.folder / "badmodel.py").write_text("import keras\nthis is no python\n")
    with pytest.raises(kind) as caught:
        trained(case, model=model)
    error = caught.value
    assert words in f"{error} {getattr(error, 'key', '')}"
