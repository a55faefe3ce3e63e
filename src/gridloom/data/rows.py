"""Some rows of a dataset held in memory as one block, where training gathers from it in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gridloom.data.dataset import Dataset, Inputs, Rows

_CHUNK = 65_536


class Source(Protocol):
    """Where inputs of rows come from: a dataset (memory maps) or a block in memory."""

    def inputs(self, rows: Rows) -> Inputs: ...


@dataclass(frozen=True, kw_only=True)
class Block:
    """Inputs of n rows, one array each; row i of the block is the i-th of the rows it was read from."""

    features: npt.NDArray[np.float32]
    collections: Mapping[str, npt.NDArray[np.float32]]
    masks: Mapping[str, npt.NDArray[np.float32]]

    def inputs(self, rows: Rows) -> Inputs:
        """The inputs of these rows of the block, in their order (any order, repeats allowed)."""
        return Inputs(
            features=gather(self.features, rows),
            collections={name: gather(values, rows) for name, values in self.collections.items()},
            masks={name: gather(values, rows) for name, values in self.masks.items()},
        )


def gather(values: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    """`values[rows]` for rows known to be inside; with mode="raise" NumPy would copy through a buffer."""
    gathered: npt.NDArray[Any] = np.take(values, rows, axis=0, mode="clip")
    return gathered


def bytes_of(dataset: Dataset, count: int) -> int:
    """Memory that a block of `count` rows takes."""
    per_row = dataset.shards[0].features.shape[1]
    for content in dataset.shards[0].collections.values():
        per_row += content.shape[1] * (content.shape[2] + 1)
    return int(4 * per_row * count)


def read_block(dataset: Dataset, rows: Rows) -> Block:
    """Copy rows into memory."""
    first = dataset.inputs(rows[:0])
    block = Block(
        features=np.empty((len(rows), *first.features.shape[1:]), np.float32),
        collections={
            name: np.empty((len(rows), *part.shape[1:]), np.float32) for name, part in first.collections.items()
        },
        masks={name: np.empty((len(rows), *part.shape[1:]), np.float32) for name, part in first.masks.items()},
    )
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(rows)))
        inputs = dataset.inputs(rows[part])
        block.features[part] = inputs.features
        for name, values in inputs.collections.items():
            block.collections[name][part] = values
            block.masks[name][part] = inputs.masks[name]
    return block
