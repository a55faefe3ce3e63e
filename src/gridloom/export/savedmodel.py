"""SavedModel, for TensorFlow without Keras: TensorFlow Serving, C++, and other languages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from gridloom.export.base import Arrays, Runner, Written
from gridloom.export.graph import EVENT_ID, Graph
from gridloom.exporting import Description

SELECTOR = EVENT_ID
PACKAGES = ("tensorflow", "tensorflow-cpu")
OPSET: int | None = None
DESCRIPTION = "gridloom.json"
_DEFAULT = "serving_default"


def write(graphs: Sequence[Graph], folder: Path, stem: str) -> tuple[Written, ...]:
    module = tf.Module()
    signatures = {}
    for graph in graphs:
        name = _DEFAULT if graph.fold is None else f"fold_{graph.fold}"
        setattr(module, name, graph.function)
        signatures[name] = graph.function
    path = folder / stem
    tf.saved_model.save(module, str(path), signatures=signatures)
    return tuple(
        Written(graph=graph, path=path, signature=name) for graph, name in zip(graphs, signatures, strict=True)
    )


def describe(path: Path, description: Description) -> None:
    extra = path / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n")


def open(path: Path, signature: str) -> Runner:  # noqa: A001 - the word of the interface
    loaded = tf.saved_model.load(str(path))
    function = loaded.signatures[signature]

    def run(inputs: Arrays) -> dict[str, Any]:
        found = function(**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: values.numpy() for name, values in found.items()}

    run.loaded = loaded  # type: ignore[attr-defined] # its functions live as long as it does
    return run
