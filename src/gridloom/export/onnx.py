"""ONNX, for ONNX Runtime on every machine and language: converted by tf2onnx, opset 18."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import tf2onnx

from gridloom.export.base import Arrays, Runner, Written, file_name
from gridloom.export.graph import EVENT_ID, Graph
from gridloom.exporting import Description

SELECTOR = EVENT_ID
PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
OPSET: int | None = 18
_METADATA = "gridloom"


def write(graphs: Sequence[Graph], folder: Path, stem: str) -> tuple[Written, ...]:
    return tuple(_write(graph, folder / file_name(stem, graph, ".onnx")) for graph in graphs)


def _write(graph: Graph, path: Path) -> Written:
    model, _ = tf2onnx.convert.from_function(
        graph.function, input_signature=graph.specs, opset=OPSET, custom_op_handlers=CHOICES
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString())
    return Written(graph=graph, path=path)


def _choose(_context: Any, node: Any, _name: str, _arguments: Any) -> Any:
    node.type = "Where"
    return node


# By default a choice becomes products with 0 and 1, in which the NaN of a missing value spreads to the other side.
CHOICES: dict[str, Any] = {name: (_choose, []) for name in ("Select", "SelectV2")}


def describe(path: Path, description: Description) -> None:
    model = onnx.load(str(path))
    entry = model.metadata_props.add()
    entry.key, entry.value = _METADATA, description.model_dump_json()
    model.producer_name, model.producer_version = "gridloom", description.gridloom
    path.write_bytes(model.SerializeToString())


def open(path: Path, signature: str) -> Runner:  # noqa: A001 - the word of the interface
    del signature
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Arrays) -> dict[str, Any]:
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return run
