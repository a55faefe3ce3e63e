"""What a format's module gives: how to write graphs into a folder, and how to run them by its own runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gridloom.export.graph import Graph
from gridloom.exporting import Description

Arrays = Mapping[str, NDArray[Any]]
# Inputs by name, outputs by name.
Runner = Callable[[Arrays], Mapping[str, NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class Written:
    """A graph in a file of its own, or under a signature in a folder."""

    graph: Graph
    path: Path
    signature: str = ""


class Format(Protocol):
    """A module of this room."""

    SELECTOR: str  # `event_id` or `fold`
    PACKAGES: tuple[str, ...]  # whose versions the description states
    OPSET: int | None  # the version of the operators, where a format has one

    def write(self, graphs: Sequence[Graph], folder: Path, stem: str) -> tuple[Written, ...]:
        """Write the graphs, each under `stem` and its own name; raises UnsupportedLayer."""

    def open(self, path: Path, signature: str) -> Runner:
        """An artefact in its own runtime, on one thread."""

    def describe(self, path: Path, description: Description) -> None:
        """Put the description into the artefact itself, where its kind of file has room for it."""


def file_name(stem: str, graph: Graph, suffix: str) -> str:
    """`stem.suffix` for all folds together, `stem-fold-0.suffix` for one."""
    return f"{stem}{suffix}" if graph.fold is None else f"{stem}-{graph.name}{suffix}"


def in_batches(run: Runner, inputs: Arrays, batch: int) -> NDArray[np.float32]:
    """Scores of all events, `batch` at a time."""
    count = len(next(iter(inputs.values())))
    parts = [
        np.asarray(run({name: values[begin : begin + batch] for name, values in inputs.items()})["scores"])
        for begin in range(0, count, batch)
    ]
    return np.concatenate(parts)
