"""Calls of the compiled loop with their arrays, gathered in the order of the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from gridloom.data.dataset import Dataset, Inputs
from gridloom.data.rows import Source, bytes_of, gather, read_block
from gridloom.data.stream import Call, Stream
from gridloom.models.network import Moments, mask_name
from gridloom.training.fold import Fold

# Training events up to this size are copied into memory as one block: gathering from it is what a shuffled epoch does.
_BLOCK_BYTES = 1_500_000_000


@dataclass(frozen=True, kw_only=True)
class Material:
    """What training is fed from: `rows` are row numbers of `source`, of `targets` and of `weights`."""

    source: Source
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def training_material(dataset: Dataset, fold: Fold) -> Material:
    """The training rows of a fold, in memory if they fit and else from the memory-mapped shards: the same numbers."""
    if bytes_of(dataset, len(fold.train_rows)) > _BLOCK_BYTES:
        return Material(source=dataset, rows=fold.train_rows, targets=fold.targets, weights=fold.weights)
    return Material(
        source=read_block(dataset, fold.train_rows),
        rows=np.arange(len(fold.train_rows)),
        targets=fold.targets[fold.train_rows],
        weights=fold.weights[fold.train_rows],
    )


@dataclass(frozen=True, kw_only=True)
class Fed:
    """Arguments of one call: everything has the leading axes (steps per call, batch)."""

    number: int
    inputs: Mapping[str, Any]
    targets: Any
    weights: Any
    valid: Any
    steps: Any
    events: int


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


def feed(material: Material, stream: Stream, epoch: int, first: int) -> Iterator[Fed]:
    """The calls of an epoch from number `first` on.

    Gathering takes the computing thread's own time on purpose: it costs a few per cent, and a second thread would take
    more of a core that belongs to another fold's training (docs/performance.md).
    """
    room: Inputs | None = None
    for number, call in enumerate(stream.calls(epoch, first), start=first):
        room = material.source.inputs(call.rows.reshape(-1), room)
        yield _fed(material, number, call, room)


def _fed(material: Material, number: int, call: Call, inputs: Inputs) -> Fed:
    shape = call.rows.shape
    rows = call.rows.reshape(-1)
    weights = gather(material.weights, rows).reshape(shape)
    for step in np.flatnonzero(call.valid < shape[1]):
        weights[step, call.valid[step] :] = 0.0
    # tf.constant copies, so the room for the inputs can be used again.
    return Fed(
        number=number,
        inputs={
            name: tf.constant(values.reshape(*shape, *values.shape[1:])) for name, values in as_inputs(inputs).items()
        },
        targets=tf.constant(gather(material.targets, rows).reshape(shape)),
        weights=tf.constant(weights),
        valid=tf.constant(call.valid.astype(np.float32)),
        steps=tf.constant(call.steps),
        events=int(call.valid.sum()),
    )
