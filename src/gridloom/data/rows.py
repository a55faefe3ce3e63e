"""Some rows of a dataset held in memory as one block, where training gathers from it in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gridloom.data.dataset import Dataset, Inputs, Rows

_CHUNK = 65_536


@dataclass(frozen=True, kw_only=True)
class Block:
    """Inputs of n rows, one array each; row i of the block is the i-th of the rows it was read from."""

    features: npt.NDArray[np.float32]
    collections: Mapping[str, npt.NDArray[np.float32]]
    masks: Mapping[str, npt.NDArray[np.float32]]

    def inputs(self, rows: Rows, out: Inputs | None = None) -> Inputs:
        """The inputs of these rows of the block, in their order (any order, repeats allowed); written into `out`."""
        if out is None:
            out = self.empty(len(rows))
        gather(self.features, rows, out.features)
        for name, values in self.collections.items():
            gather(values, rows, out.collections[name])
            gather(self.masks[name], rows, out.masks[name])
        return out

    def empty(self, count: int) -> Inputs:
        """Room for the inputs of `count` rows."""
        return Inputs(
            features=np.empty((count, *self.features.shape[1:]), np.float32),
            collections={
                name: np.empty((count, *part.shape[1:]), np.float32) for name, part in self.collections.items()
            },
            masks={name: np.empty((count, *part.shape[1:]), np.float32) for name, part in self.masks.items()},
        )


def gather(values: npt.NDArray[Any], rows: Rows, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
    """`values[rows]` for rows known to be inside; with mode="raise" NumPy would copy through a buffer."""
    gathered: npt.NDArray[Any] = np.take(values, rows, axis=0, out=out, mode="clip")
    return gathered


def bytes_of(dataset: Dataset, count: int) -> int:
    """Memory that a block of `count` rows takes."""
    per_row = dataset.shards[0].features.shape[1]
    for content in dataset.shards[0].collections.values():
        per_row += content.shape[1] * (content.shape[2] + 1)
    return int(4 * per_row * count)


def read_block(dataset: Dataset, rows: Rows) -> Block:
    """Copy rows into memory."""
    nothing = dataset.inputs(rows[:0])
    template = Block(features=nothing.features, collections=nothing.collections, masks=nothing.masks)
    whole = template.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(rows)))
        # Straight into its place; collections are few enough to be copied.
        room = Inputs(features=whole.features[part], collections={}, masks={})
        inputs = dataset.inputs(rows[part], room)
        for name, values in inputs.collections.items():
            whole.collections[name][part] = values
            whole.masks[name][part] = inputs.masks[name]
    return Block(features=whole.features, collections=whole.collections, masks=whole.masks)
