"""Training on JAX: exact resumption, and scores that TensorFlow agrees with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trained_by
from tasks import Prepared

from gridloom.data.dataset import open_dataset
from gridloom.training.predict import load_predictor

pytest.importorskip("jax")


def trained(case: Prepared, *, name: str, stop_at: int = 0, **changes: Any) -> tuple[int, Path]:
    """Train fold 0 on JAX in a process of its own; its exit code and the output."""
    training = {**changes.pop("training", {}), "backend": "jax"}
    task = case.bench.fold_task(case.changed(training=training, **changes), "train", 0)
    output = case.bench.folder / f"{name}-{stop_at}"
    scratch = case.bench.folder / f"{name}.scratch"
    for folder in (output, scratch):
        folder.mkdir(exist_ok=True)
    content = {
        "task": task.model_dump(mode="json"),
        "inputs": {key: str(folder) for key, folder in case.inputs.items()},
        "output": str(output),
        "scratch": str(scratch),
        "stop_at": stop_at,
    }
    (scratch / "task.json").write_text(json.dumps(content))
    command = [sys.executable, trained_by.__file__, str(scratch / "task.json")]
    return subprocess.run(command, check=False).returncode, output


@pytest.mark.parametrize("variant", ["flat", "objects", "flavours", "regression"])
def test_scores_of_a_network_trained_by_jax_agree_with_tensorflows(
    prepared: Mapping[str, Prepared], variant: str
) -> None:
    case = prepared[variant]
    code, output = trained(case, name=f"jax-{variant}")
    assert code == 0
    described = json.loads((output / "model.json").read_text())
    assert (described["backend"], described["xla"]) == ("jax", True)
    history = json.loads((output / "history.json").read_text())
    assert history[-1]["loss"] < history[0]["loss"]
    dataset = open_dataset(case.analysis, list(case.inputs.values()))
    scores = np.load(output / "scores.npy")
    again = load_predictor(output, user_folder=case.bench.folder)(dataset.inputs(np.arange(len(dataset))))
    size = max(1.0, float(np.abs(scores).max()))  # a regression's are in the target's units
    assert float(np.abs(again - scores).max()) / size < 1e-6


@pytest.mark.parametrize("stop_at", [1, 4])
def test_stopping_anywhere_and_going_on_gives_the_same_bits(prepared: Mapping[str, Prepared], stop_at: int) -> None:
    case = prepared["flat"]
    changes: dict[str, Any] = {"model": {"name": "mlp", "parameters": {"hidden": [1200, 1200], "dropout": 0.2}}}
    assert trained(case, name=f"jax-whole-{stop_at}", **changes)[0] == 0
    assert trained(case, name=f"jax-broken-{stop_at}", stop_at=stop_at, **changes)[0] == 3
    assert trained(case, name=f"jax-broken-{stop_at}", **changes)[0] == 0
    whole, resumed = (case.bench.folder / f"jax-{name}-{stop_at}-0" for name in ("whole", "broken"))
    for name in ("history.json", "scores.npy"):
        assert (whole / name).read_bytes() == (resumed / name).read_bytes()


def test_reduced_precision_and_other_optimisers(prepared: Mapping[str, Prepared]) -> None:
    training = {"precision": "mixed_bfloat16", "optimizer": {"name": "sgd", "clip_norm": 1.0, "weight_decay": 0.01}}
    code, output = trained(
        prepared["flat"], name="jax-reduced", training=training, model={"parameters": {"normalization": "batch"}}
    )
    assert code == 0
    assert np.isfinite(np.load(output / "scores.npy")).all()
