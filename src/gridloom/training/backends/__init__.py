"""What trains and applies networks: Keras on TensorFlow or on JAX, one file each.

A process has one back end: Keras reads `KERAS_BACKEND` when it is imported, so a worker is started for one of them.
"""

from __future__ import annotations

import importlib
from typing import cast

import keras

from gridloom.training.backends.base import Backend, Loop

BACKENDS: dict[str, str] = {
    "tensorflow": "gridloom.training.backends.tensorflow",
    "jax": "gridloom.training.backends.jax",
}


def back_end() -> Backend:
    """The functions of the back end that Keras has in this process."""
    # A module is what the protocol asks for: functions of these names.
    return cast("Backend", importlib.import_module(BACKENDS[keras.backend.backend()]))


__all__ = ["BACKENDS", "Backend", "Loop", "back_end"]
