"""The order in which training events are seen: a full permutation per epoch, cut into batches and calls.

The order is a pure function of (seed, epoch), so a position (epoch, call) is all that a checkpoint needs to go on
exactly. Every event is seen once per epoch; the last batch is filled up with events of the same epoch at weight zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Call:
    """The events of one call of the compiled loop.

    `rows`: (steps, batch) row numbers of the dataset; `valid`: (steps,) how many events of each batch count;
    `steps`: steps to run, at most the length of `rows`.
    """

    rows: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Batches of a fixed set of rows in an order that depends on seed and epoch alone.

    `rows`: (n,) row numbers of the training events. `batch` is reduced to n where there are fewer events.
    """

    rows: npt.NDArray[np.int64]
    batch: int
    steps_per_call: int
    seed: tuple[int, ...]

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch)

    @property
    def calls_per_epoch(self) -> int:
        return -(-self.steps_per_epoch // self.steps_per_call)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """All rows in this epoch's order, from a generator seeded by (seed, epoch) alone (PCG64 DXSM: O'Neill)."""
        sequence = np.random.SeedSequence([*self.seed, epoch])
        generator = np.random.Generator(np.random.PCG64DXSM(sequence))
        return self.rows[generator.permutation(len(self.rows))]

    def calls(self, epoch: int, first: int = 0) -> Iterator[Call]:
        """The calls of an epoch from number `first` on."""
        order = self.order(epoch)
        size = self.batch * self.steps_per_call
        for number in range(first, self.calls_per_epoch):
            rows = order[number * size : (number + 1) * size]
            steps = -(-len(rows) // self.batch)
            valid = np.zeros(self.steps_per_call, dtype=np.int64)
            valid[:steps] = self.batch
            if len(rows) % self.batch:
                valid[steps - 1] = len(rows) % self.batch
            # Real events of the epoch fill the rest, so that batch statistics see nothing invented.
            filled = np.resize(rows, size) if len(rows) < size else rows
            yield Call(rows=filled.reshape(self.steps_per_call, self.batch), valid=valid, steps=steps)
