"""What a finished training leaves: model, description, history, timing, TensorBoard files, scores of all events."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from numpy.lib import format as npy

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import class_names, model_name, signal_indices
from gridloom.errors import Interrupted
from gridloom.files import write_json
from gridloom.training.fold import chunks
from gridloom.training.predict import Predictor
from gridloom.training.state import Position, Training


def write_outputs(training: Training, position: Position, first_step: float | None) -> None:
    """Write all that a `train` task leaves; `scores.npy` is (N, C) float32, one row per event of the dataset."""
    output = training.context.output
    training.network.model.save(output / "model.keras")
    write_json(output / "model.json", _description(training))
    write_json(output / "fold.json", {"fold": training.fold.number})
    write_json(output / "history.json", list(position.history))
    timing = {"seconds": position.seconds, "first_step": first_step, "best_epoch": position.best_epoch}
    write_json(output / "timing.json", timing)
    shutil.copytree(training.context.scratch / "tensorboard", output / "tensorboard")
    _write_scores(training)


def describe_model(analysis: Analysis) -> dict[str, Any]:
    """What a network is, and how its outputs are read."""
    regression = analysis.target.regression is not None
    classes = class_names(analysis)
    return {
        "kind": "regression" if regression else "classification",
        "model": analysis.model.function or model_name(analysis),
        "classes": list(classes),
        "positive": signal_indices(analysis)[0] if len(classes) == 2 else None,
        "user_module": None if analysis.model.function is None else analysis.model.function.partition(":")[0],
    }


def _description(training: Training) -> dict[str, Any]:
    return {
        **describe_model(training.analysis),
        "parameters": training.network.model.count_params(),
        "backend": training.analysis.training.backend,
        "xla": training.choice.xla,
        "why": training.choice.why,
        "steps_per_call": training.stream.steps_per_call,
    }


def _write_scores(training: Training) -> None:
    """(N, C) float32: what this fold's model says of every event of the dataset."""
    predictor = Predictor.from_model(training.network.model, _description(training))
    count = len(training.dataset.label)
    columns = predictor.columns
    # Written, not mapped: on a full disk a write is an error, a mapped page the end of the process.
    with (training.context.output / "scores.npy").open("wb") as stream:
        header = {"descr": npy.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False, "shape": (count, columns)}
        npy.write_array_header_1_0(stream, header)
        for rows in chunks(np.arange(count)):
            stream.write(np.ascontiguousarray(predictor(training.dataset.inputs(rows)), dtype=np.float32).data)
            if training.context.stop():
                raise Interrupted("stopped on request", where=training.context.task.label, fix="Run again to go on.")
