"""What can be exported, and what an export says of itself. Plain data for the submitting and the working side."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue

FormatName = Literal["onnx", "litert", "savedmodel"]

# Format -> its module: `write`, `open`, what selects the model of an event's fold.
FORMATS: dict[FormatName, str] = {
    "onnx": "gridloom.export.onnx",
    "litert": "gridloom.export.litert",
    "savedmodel": "gridloom.export.savedmodel",
}


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Port(_Data):
    """An input or output of an artefact: `shape` without the number of events, which is the first axis."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Artefact(_Data):
    """One model in one file (or signature of a folder): all folds with the selector, or one fold alone."""

    file: str
    signature: str = ""
    fold: int | None = None
    size: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    milliseconds: float


class Shift(_Data):
    """A figure of merit of the trained model, its statistical uncertainty, and by how much the export differs."""

    figure: str
    value: float
    uncertainty: float | None
    shift: float


class Comparison(_Data):
    """An artefact beside the trained model: events, batches, the largest difference of any score."""

    file: str
    signature: str = ""
    events: int
    batches: tuple[int, ...]
    largest: float
    limit: float
    shifts: tuple[Shift, ...] = ()


class Input(_Data):
    """A feature, in the order of the columns."""

    name: str
    expression: str
    unit: str = ""
    missing: tuple[float | str, ...] = ()
    impute: str | float = "mean"


class Objects(_Data):
    """A collection: which objects, in which order, and their features in the order of the last axis."""

    name: str
    at_most: int
    where: str | None
    order_by: str | None
    features: tuple[str, ...]


class Description(_Data):
    """Content of an export's JSON file: all that is needed to use the artefacts rightly."""

    gridloom: str
    name: str
    format: FormatName
    opset: int | None = None
    versions: dict[str, str]
    target: Literal["classification", "regression"]
    classes: tuple[str, ...]
    signal: tuple[str, ...]
    features: tuple[Input, ...]
    collections: tuple[Objects, ...]
    definitions: dict[str, str]
    selection: dict[str, str]
    event_id: tuple[str, ...]
    folds: int
    selector: str
    artefacts: tuple[Artefact, ...]
    comparisons: tuple[Comparison, ...]
    provenance: dict[str, JsonValue]
