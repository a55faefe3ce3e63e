"""Arrays cut into blocks of a fixed number of rows, however they come.

A sum depends, in its last bits, on what is added up first. Statistics are made of blocks, so that they are the same
whatever a file is read in: how many entries at a time depends on which branches are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 65_536

Arrays = dict[str, NDArray[Any]]


class Blocks:
    """Collects arrays of equal length by name and gives them back in blocks of `rows`."""

    def __init__(self, rows: int = BLOCK_ROWS) -> None:
        self._rows = rows
        self._parts: list[Mapping[str, NDArray[Any]]] = []
        self._count = 0
        self._given = False

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Arrays]:
        """The blocks that these rows complete."""
        self._parts.append(arrays)
        self._count += len(next(iter(arrays.values())))
        if self._count < self._rows:
            return
        whole = self._joined()
        full = self._count - self._count % self._rows
        self._count -= full
        # A copy: what is left must not keep alive the whole that it is a part of.
        self._parts = [{name: array[full:].copy() for name, array in whole.items()}]
        self._given = True
        for begin in range(0, full, self._rows):
            yield {name: array[begin : begin + self._rows] for name, array in whole.items()}

    def rest(self) -> Iterator[Arrays]:
        """The last block; an empty one if rows were added, but none at all in number."""
        if self._parts and (self._count or not self._given):
            yield self._joined()
        self._parts, self._count = [], 0

    def _joined(self) -> Arrays:
        if len(self._parts) == 1:
            return dict(self._parts[0])
        return {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
