"""Calls of the compiled loop with their arrays, gathered in the order of the stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from gridloom.data.dataset import Dataset, Inputs
from gridloom.data.rows import Block, bytes_of, gather, read_block
from gridloom.data.sampling import Sampling, draw
from gridloom.data.stream import Call, Load, Rows, Stream
from gridloom.models.network import Moments, Network, mask_name
from gridloom.training.backends import back_end
from gridloom.training.backends.base import Fed
from gridloom.training.fold import Fold, chunks
from gridloom.training.room import aligned_empty

# Training events up to this size are copied into memory as one block: gathering from it is what a shuffled epoch does.
BLOCK_BYTES = 1_000_000_000
# Of larger ones, so much is read at once.
_LOAD_BYTES = 64_000_000
# Loads that are read ahead, each by a thread of its own.
_READERS = 2


@dataclass(frozen=True, kw_only=True)
class Material:
    """What training is fed from: `rows` are row numbers of `source`, of `targets` and of `weights`.

    `source` is a block in memory, or the dataset with its memory-mapped shards. `frequency` (n,): how often each of the
    rows is seen, None for once per epoch. `transformed`: the inputs have been through the network's transforms.
    """

    source: Block | Dataset
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    frequency: npt.NDArray[np.float64] | None = None
    transformed: bool = False


def training_material(dataset: Dataset, fold: Fold, sampling: Sampling = "every") -> Material:
    """The training rows of a fold, in memory if they fit and else from the memory-mapped shards."""
    rows = fold.train_rows
    drawn = draw(sampling, fold.weights[rows], fold.targets[rows])
    if bytes_of(dataset, len(rows)) > BLOCK_BYTES:
        weights = fold.weights.copy()
        weights[rows] = drawn.weights
        return Material(source=dataset, rows=rows, targets=fold.targets, weights=weights, frequency=drawn.frequency)
    return Material(
        source=read_block(dataset, rows),
        rows=np.arange(len(rows)),
        targets=fold.targets[rows],
        weights=drawn.weights,
        frequency=drawn.frequency,
    )


def as_inputs(inputs: Inputs) -> dict[str, Any]:
    """The arrays under the names of the network's inputs."""
    arrays: dict[str, Any] = {"features": inputs.features} if inputs.features.shape[1] else {}
    for name, objects in inputs.collections.items():
        arrays[name] = objects
        arrays[mask_name(name)] = inputs.masks[name]
    return arrays


def standardised(fold: Fold, target: Moments | None) -> Fold:
    """The fold with regression targets in units of their spread, as the loss sees them."""
    if target is None:
        return fold
    scaled = ((fold.targets - target.mean[0]) / target.scale[0]).astype(np.float32)
    return Fold(
        number=fold.number,
        train_rows=fold.train_rows,
        validation_rows=fold.validation_rows,
        targets=scaled,
        weights=fold.weights,
    )


def feed(material: Material, stream: Stream, epoch: int, first: int, *, readers: int = _READERS) -> Iterator[Fed]:
    """The calls of an epoch from number `first` on.

    Events on the disk are read ahead by `readers` threads, whose number changes no batch. Gathering from memory takes
    the computing thread's own time on purpose: it costs a few per cent, and a second thread would take more of a core
    that belongs to another fold's training (docs/performance.md).
    """
    room: Room | None = None
    for source, call, rows in _placed(material, stream, epoch, first, readers):
        room = room or Room.of(source, call.rows.size)
        yield _fed(material, source, call, rows, room)


def _placed(
    material: Material, stream: Stream, epoch: int, first: int, readers: int
) -> Iterator[tuple[Block, Call, Rows]]:
    """Calls with the block that they gather from, and their row numbers in the material."""
    if isinstance(material.source, Block):
        for call in stream.calls(epoch, first):
            yield material.source, call, call.rows.reshape(-1)
        return
    events = int(_LOAD_BYTES // max(bytes_of(material.source, 1), 1))
    for load, block in read_ahead(material.source, stream.loads(epoch, first, events=events), readers):
        for call in load.calls:
            yield block, call, load.rows[call.rows.reshape(-1)]


def read_ahead(dataset: Dataset, loads: Iterator[Load], readers: int) -> Iterator[tuple[Load, Block]]:
    """Loads with their events in memory, in order; so many are read while another is used (0: none)."""
    if readers == 0:
        for load in loads:
            yield load, read_block(dataset, load.rows)
        return
    with ThreadPoolExecutor(readers, thread_name_prefix="reader") as pool:
        reading: deque[tuple[Load, Future[Block]]] = deque()
        for load in loads:
            reading.append((load, pool.submit(read_block, dataset, load.rows)))
            if len(reading) > readers:
                ready, block = reading.popleft()
                yield ready, block.result()
        while reading:
            ready, block = reading.popleft()
            yield ready, block.result()


def settled(material: Material, network: Network) -> Material:
    """The material as the network's own transforms leave it, once instead of in each epoch, if it lies in memory."""
    block = material.source
    if not isinstance(block, Block):
        return material
    held = {"features": block.features, **block.collections}
    apply = back_end().compile_model(network.transform)
    for rows in chunks(np.arange(len(block.features))):
        for name, part in apply(as_inputs(block.inputs(rows))).items():
            held[name] = _written(held[name], rows, np.asarray(part))
    collections = {name: held[name] for name in block.collections}
    return replace(
        material,
        source=Block(features=held["features"], collections=collections, masks=block.masks),
        transformed=True,
    )


def _written(
    values: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], part: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """The values with some rows replaced: in place, or wider where indicators of missing values have come to them."""
    if values.shape[1:] != part.shape[1:]:
        values = np.empty((len(values), *part.shape[1:]), dtype=np.float32)
    values[rows[0] : rows[-1] + 1] = part
    return values


@dataclass(frozen=True, kw_only=True)
class Room:
    """Where the arrays of a call are gathered, again and again: fresh memory costs more than gathering."""

    inputs: Inputs
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    @classmethod
    def of(cls, source: Block, count: int) -> Room:
        """Room for so many events."""
        one = source.inputs(np.zeros(1, dtype=np.int64))
        return cls(
            inputs=Inputs(
                features=aligned_empty((count, *one.features.shape[1:])),
                collections={
                    name: aligned_empty((count, *values.shape[1:])) for name, values in one.collections.items()
                },
                masks={name: aligned_empty((count, *values.shape[1:])) for name, values in one.masks.items()},
            ),
            targets=aligned_empty((count,)),
            weights=aligned_empty((count,)),
        )


def _fed(material: Material, source: Block, call: Call, rows: Rows, room: Room) -> Fed:
    shape = call.rows.shape
    inputs = source.inputs(call.rows.reshape(-1), room.inputs)
    weights = gather(material.weights, rows, room.weights).reshape(shape)
    for step in np.flatnonzero(call.valid < shape[1]):
        weights[step, call.valid[step] :] = 0.0
    return Fed(
        number=call.number,
        inputs={name: values.reshape(*shape, *values.shape[1:]) for name, values in as_inputs(inputs).items()},
        targets=gather(material.targets, rows, room.targets).reshape(shape),
        weights=weights,
        valid=call.valid.astype(np.float32),
        steps=call.steps,
        events=int(call.valid.sum()),
    )
