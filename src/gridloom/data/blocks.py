"""Arrays cut into blocks of a fixed number of rows, however they come.

A sum depends, in its last bits, on what is added up first. Statistics are made of blocks, so that they are the same
whatever a file is read in: how many entries at a time depends on which branches are read.
"""

from __future__ import annotations

from collections import deque
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
        self._parts: deque[Arrays] = deque()
        self._count = 0
        self._given = False

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> Iterator[Arrays]:
        """The blocks that these rows complete."""
        self._parts.append(dict(arrays))
        self._count += _length(arrays)
        while self._count >= self._rows:
            yield self._take(self._rows)

    def rest(self) -> Iterator[Arrays]:
        """The last block; an empty one if rows were added, but none at all in number."""
        if self._parts and (self._count or not self._given):
            yield self._take(self._count)
        self._parts.clear()

    def _take(self, rows: int) -> Arrays:
        """The first so many rows. Those of one part are not copied."""
        self._given = True
        self._count -= rows
        taken = [self._parts.popleft()]
        length = _length(taken[0])
        while length < rows:
            taken.append(self._parts.popleft())
            length += _length(taken[-1])
        if length > rows:
            cut = _length(taken[-1]) - (length - rows)
            self._parts.appendleft({name: array[cut:] for name, array in taken[-1].items()})
            taken[-1] = {name: array[:cut] for name, array in taken[-1].items()}
        if len(taken) == 1:
            return taken[0]
        return {name: np.concatenate([part[name] for part in taken]) for name in taken[0]}


def _length(arrays: Mapping[str, NDArray[Any]]) -> int:
    return len(next(iter(arrays.values())))
