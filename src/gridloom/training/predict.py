"""A trained fold as a function from inputs to scores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from gridloom.data.dataset import Inputs
from gridloom.models import layers  # noqa: F401 - registers the layers that a saved model names
from gridloom.models.user import load_module
from gridloom.training.backends import back_end
from gridloom.training.backends.base import Apply
from gridloom.training.feed import as_inputs

_FEWEST = 16


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Scores of one fold's model: (n, C) float32, one column per class, or (n, 1) for a regression."""

    model: Any
    apply: Apply
    columns: int
    positive: int | None

    @classmethod
    def from_model(cls, model: Any, description: Mapping[str, Any]) -> Predictor:
        """From a Keras model and what model.json says of it."""
        columns = 1 if description["kind"] == "regression" else len(description["classes"])
        apply = back_end().compile_model(model)
        return cls(model=model, apply=apply, columns=columns, positive=description["positive"])

    def __call__(self, inputs: Inputs) -> npt.NDArray[np.float32]:
        arrays = {name: _filled(values) for name, values in as_inputs(inputs).items()}
        outputs = np.asarray(self.apply(arrays), dtype=np.float32)[: len(inputs)]
        if self.positive is None:
            return outputs
        # One sigmoid output stands for two classes: the signal's column and what is left.
        both = np.empty((len(outputs), 2), dtype=np.float32)
        both[:, self.positive] = outputs[:, 0]
        both[:, 1 - self.positive] = 1.0 - outputs[:, 0]
        return both


def _filled(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """At least `_FEWEST` rows: products of a few rows are computed in another order, and differ in the last bit."""
    short = _FEWEST - len(values)
    return values if short <= 0 else np.concatenate([values, np.zeros((short, *values.shape[1:]), values.dtype)])


def load_predictor(folder: Path, *, user_folder: Path) -> Predictor:
    """The predictor from a `train` task's output; `user_folder` is where the user's own module is found."""
    description = json.loads((folder / "model.json").read_text())
    if description["user_module"] is not None:
        load_module(description["user_module"], user_folder)
    model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)
    return Predictor.from_model(model, description)
