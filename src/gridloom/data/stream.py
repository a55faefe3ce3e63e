"""The order in which training events are seen, cut into batches and calls of the compiled loop.

The order is a pure function of (seed, epoch), so a position (epoch, call) is all that a checkpoint needs to go on
exactly. Every event is seen once per epoch, or as often as its frequency says; the last batch is filled up with events
of the same epoch at weight zero.

Events in memory are seen in a full permutation. Events on the disk come in loads of some tens of thousands: each takes
a piece of every stratum of the file position, and is permuted as a whole. A batch is then as mixed as by a full
permutation, whatever the order in the files, and the disk is read in long pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]

# With fewer, a stratum that holds the border between two classes shows in large batches.
STRATA = 1024


@dataclass(frozen=True, kw_only=True)
class Call:
    """The events of one call of the compiled loop.

    `number` within the epoch; `rows`: (steps, batch) row numbers; `valid`: (steps,) how many events of each batch
    count; `steps`: steps to run, at most the length of `rows`.
    """

    number: int
    rows: Rows
    valid: npt.NDArray[np.int64]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Load:
    """Rows to read at once, rising (repeats allowed); those of `calls` are positions in `rows`."""

    rows: Rows
    calls: tuple[Call, ...]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Batches of a fixed set of rows in an order that depends on seed and epoch alone.

    `rows`: (n,) row numbers of the training events, rising. `batch` is reduced to n where there are fewer events.
    `frequency`: (n,) how often each is seen, in relative numbers, None for once each; n are drawn per epoch, each as
    often as expected or once more or less (systematic sampling).
    """

    rows: Rows
    batch: int
    steps_per_call: int
    seed: tuple[int, ...]
    frequency: npt.NDArray[np.float64] | None = None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.rows) // self.batch)

    @property
    def calls_per_epoch(self) -> int:
        return -(-self.steps_per_epoch // self.steps_per_call)

    def order(self, epoch: int) -> Rows:
        """The rows in this epoch's order: a full permutation of what is drawn."""
        generator = self._generator(epoch)
        drawn = self._drawn(generator)
        order = generator.permutation(len(self.rows))
        return self.rows[order if drawn is None else drawn[order]]

    def calls(self, epoch: int, first: int = 0) -> Iterator[Call]:
        """The calls of an epoch from number `first` on, from a full permutation."""
        order = self.order(epoch)
        size = self._call_size
        for number in range(first, self.calls_per_epoch):
            yield self._call(number, order[number * size : (number + 1) * size])

    def loads(self, epoch: int, first: int = 0, *, events: int) -> Iterator[Load]:
        """The calls of an epoch from number `first` on, in loads of about so many events."""
        generator = self._generator(epoch)
        drawn = self._drawn(generator)
        strata = min(STRATA, len(self.rows))
        sizes = np.full(strata, len(self.rows) // strata)
        sizes[: len(self.rows) % strata] += 1
        phases = generator.integers(sizes)
        per_load = max(1, events // self._call_size)
        for number in range(first // per_load, -(-self.calls_per_epoch // per_load)):
            begin, end = number * per_load, min((number + 1) * per_load, self.calls_per_epoch)
            last = min(end * self._call_size, len(self.rows))
            positions = _pieces(sizes, phases, begin * self._call_size, last)
            rows = np.sort(self.rows[positions if drawn is None else drawn[positions]])
            order = self._generator(epoch, number + 1).permutation(len(rows))
            yield Load(
                rows=rows,
                calls=tuple(
                    self._call(call, order[(call - begin) * self._call_size : (call - begin + 1) * self._call_size])
                    for call in range(max(begin, first), end)
                ),
            )

    @property
    def _call_size(self) -> int:
        return self.batch * self.steps_per_call

    def _generator(self, *position: int) -> np.random.Generator:
        """Seeded by (seed, position) alone (PCG64 DXSM: O'Neill)."""
        return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([*self.seed, *position])))

    def _drawn(self, generator: np.random.Generator) -> Rows | None:
        """Positions of the n rows of an epoch, rising; None for each once."""
        if self.frequency is None:
            return None
        reach = np.cumsum(self.frequency)
        points = (np.arange(len(reach)) + generator.random()) * (reach[-1] / len(reach))
        drawn: Rows = np.minimum(np.searchsorted(reach, points, side="right"), len(reach) - 1)
        return drawn

    def _call(self, number: int, rows: Rows) -> Call:
        steps = -(-len(rows) // self.batch)
        valid = np.zeros(self.steps_per_call, dtype=np.int64)
        valid[:steps] = self.batch
        if len(rows) % self.batch:
            valid[steps - 1] = len(rows) % self.batch
        # Real events of the epoch fill the rest, so that batch statistics see nothing invented.
        filled = np.resize(rows, self._call_size) if len(rows) < self._call_size else rows
        return Call(number=number, rows=filled.reshape(self.steps_per_call, self.batch), valid=valid, steps=steps)


def _pieces(sizes: Rows, phases: Rows, begin: int, end: int) -> Rows:
    """The positions from number `begin` up to `end` of the order that takes one of each stratum in turn.

    A stratum's own are taken from its phase on and around its end. The longer strata come first.
    """
    turn, starts = np.arange(len(sizes)), np.cumsum(sizes) - sizes
    low, high = (-((turn - taken) // len(sizes)) for taken in (begin, end))
    counts = high - low
    within = np.arange(end - begin) - np.repeat(np.cumsum(counts) - counts, counts)
    around = (within + np.repeat(low + phases, counts)) % np.repeat(sizes, counts)
    return np.asarray(np.repeat(starts, counts) + around, dtype=np.int64)
