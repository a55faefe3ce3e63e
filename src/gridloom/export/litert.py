"""LiteRT (formerly TensorFlow Lite), for phones and small boards."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from gridloom.export.base import Arrays, Runner, Written, file_name
from gridloom.export.graph import FOLD, Graph
from gridloom.exporting import Description

# It has no 64-bit unsigned numbers: the fold is computed by the application.
SELECTOR = FOLD
PACKAGES = ("ai-edge-litert",)
OPSET: int | None = None
_SIGNATURE = "serving_default"


def write(graphs: Sequence[Graph], folder: Path, stem: str) -> tuple[Written, ...]:
    return tuple(_write(graph, folder / file_name(stem, graph, ".tflite")) for graph in graphs)


def _write(graph: Graph, path: Path) -> Written:
    module = tf.Module()
    module.function = graph.function
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={_SIGNATURE: graph.function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[_SIGNATURE])
        # Only what every LiteRT has: no operations of TensorFlow itself.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
    return Written(graph=graph, path=path)


def describe(path: Path, description: Description) -> None:
    """The JSON file beside it holds the description."""
    del path, description


def open(path: Path, signature: str) -> Runner:  # noqa: A001 - the word of the interface
    del signature
    # From memory: a mapped file that changes would end the process.
    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    runner = interpreter.get_signature_runner(_SIGNATURE)

    def run(inputs: Arrays) -> dict[str, Any]:
        return dict(runner(**inputs))

    return run
