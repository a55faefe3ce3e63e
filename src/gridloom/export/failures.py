"""Why a format cannot take a network: which of its layers."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from gridloom.analysis.models import Analysis
from gridloom.errors import GridloomError, UnsupportedLayer
from gridloom.export.formats import load_format
from gridloom.export.graph import Graph, graphs_of
from gridloom.exporting import FormatName, Port
from gridloom.models.check import untrained
from gridloom.prediction.models import FoldModels
from gridloom.training.outputs import describe_model
from gridloom.training.predict import Predictor


def check_formats(analysis: Analysis, folder: Path, formats: Sequence[FormatName]) -> tuple[GridloomError, ...]:
    """What formats cannot take of an analysis' model, before it is trained: UnsupportedLayer, EnvironmentProblem."""
    errors: list[GridloomError] = []
    model = untrained(analysis, folder).model
    predictor = Predictor.from_model(model, describe_model(analysis))
    models = FoldModels(members=((predictor,),))
    for name in formats:
        try:
            with layers_named(name, models), tempfile.TemporaryDirectory() as place:
                form = load_format(name)
                for written in form.write(graphs_of(models, form.SELECTOR), Path(place), "untrained"):
                    form.open(written.path, written.signature)
        except GridloomError as error:
            errors.append(error)
    return tuple(errors)


@contextmanager
def layers_named(name: FormatName, models: FoldModels) -> Iterator[None]:
    """Turn what a converter raises into UnsupportedLayer with the layers that it cannot take.

    Converters raise nearly every type of exception there is.
    """
    try:
        yield
    except GridloomError:
        raise
    except Exception as error:
        bad = unsupported(name, models.members[0][0].model)
        what = ", ".join(f"`{layer}`" for layer in bad) if bad else "this network"
        raise UnsupportedLayer(
            f"the format `{name}` cannot take {what}: {_said(error)}",
            fix="Use other layers or another format; `gridloom check --to` says it before a training.",
            key=("model",),
        ) from error


def _said(error: Exception) -> str:
    """The line of a converter's pages that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line.partition("error: ")[2] for line in lines if "error: " in line]
    return f"{type(error).__name__}: {(telling or lines[-1:] or ['no further text'])[0][:300]}"


def unsupported(name: FormatName, model: Any) -> list[str]:
    """Names of the layers that a format cannot take, each converted alone."""
    return [f"{layer.name} ({type(layer).__name__})" for layer in model.layers if not _taken(name, layer)]


def _taken(name: FormatName, layer: Any) -> bool:
    tensors = tf.nest.flatten(layer.input) if layer._inbound_nodes else []  # noqa: SLF001 - Keras has no other way
    if not tensors or type(layer).__name__ == "InputLayer":
        return True
    ports = tuple(
        Port(name=f"input_{index}", dtype="float32", shape=tuple(tensor.shape[1:]))
        for index, tensor in enumerate(tensors)
    )
    specs = [tf.TensorSpec((None, *port.shape), tf.float32, name=port.name) for port in ports]

    @tf.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def function(*values: Any) -> Any:
        return {"scores": tf.nest.flatten(layer(*values))[0]}

    constant = convert_variables_to_constants_v2(function.get_concrete_function())

    @tf.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def frozen(*values: Any) -> Any:
        return {"scores": constant(*values)[0]}

    graph = Graph(name=layer.name, fold=None, function=frozen, inputs=ports, outputs=())
    try:
        with tempfile.TemporaryDirectory() as folder:
            (written,) = load_format(name).write((graph,), Path(folder), "layer")
            load_format(name).open(written.path, written.signature)
    except Exception:  # noqa: BLE001 - whatever a converter raises: it cannot take it
        return False
    return True
