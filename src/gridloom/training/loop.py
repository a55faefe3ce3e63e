"""The compiled training loop: many optimiser steps in one call, so that Python costs nothing per step.

Measured shapes of loop are in docs/performance.md: Keras' `fit` on arrays reaches 0.06 to 0.5 of this on the small
networks physicists use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from gridloom.analysis.models import Analysis
from gridloom.training.losses import PerEvent

# Sustained arithmetic of one core, cautious, from which a call is cut to about half a second: it is how long a
# request to stop may have to wait.
_FLOPS_PER_CALL = 1e10
_MOST_STEPS = 64
_MOST_BYTES_PER_CALL = 128e6


@dataclass(frozen=True, kw_only=True)
class Loop:
    """The compiled functions of one training."""

    train: Callable[..., Any]
    score: Callable[..., Any]


def steps_per_call(network: Any, analysis: Analysis, batch: int) -> int:
    """Steps in one compiled call: a pure function of the network and the batch, never of a measurement.

    (Where a call ends decides nothing about the result but must not change between an attempt and its resumption.)
    """
    objects = max([1, *(collection.at_most for collection in analysis.collections.values())])
    flops = 6.0 * network.count_params() * batch * objects
    columns = len(analysis.features) + sum(
        collection.at_most * (len(collection.features) + 1) for collection in analysis.collections.values()
    )
    by_memory = _MOST_BYTES_PER_CALL / (4.0 * batch * max(1, columns))
    return int(max(1, min(_MOST_STEPS, _FLOPS_PER_CALL / max(flops, 1.0), by_memory)))


def uses_xla(analysis: Analysis) -> bool:
    """XLA wins for flat networks and loses for networks over collections (docs/performance.md)."""
    if analysis.training.xla == "auto":
        return not analysis.collections
    return analysis.training.xla == "on"


def compile_loop(network: Any, optimizer: Any, loss: PerEvent, *, xla: bool) -> Loop:
    """Compile `train(inputs, targets, weights, valid, steps) -> loss sum` and `score(inputs) -> outputs`.

    In `train`, every array has the leading axes (steps per call, batch); `valid` (steps per call,) float32 counts the
    events of each batch that are not filling. A step's loss is sum(weight x loss) / valid, with the weights' sign.
    """
    variables = network.trainable_variables
    optimizer.build(variables)

    def step(inputs: Mapping[str, Any], targets: Any, weights: Any, valid: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = network(inputs, training=True)
            total = tf.reduce_sum(weights * loss(targets, outputs))
            mean = total / valid
        gradients = tape.gradient(mean, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return total

    @tf.function(jit_compile=xla, autograph=False)  # type: ignore[untyped-decorator]
    def train(inputs: Mapping[str, Any], targets: Any, weights: Any, valid: Any, steps: Any) -> Any:
        def body(index: Any, total: Any) -> tuple[Any, Any]:
            batch = {name: values[index] for name, values in inputs.items()}
            return index + 1, total + step(batch, targets[index], weights[index], valid[index])

        start = (tf.constant(0), tf.constant(0.0))
        return tf.while_loop(lambda index, _: index < steps, body, start, parallel_iterations=1)[1]

    shapes = {tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tf.float32) for tensor in network.inputs}

    @tf.function(autograph=False, input_signature=[shapes])  # type: ignore[untyped-decorator]
    def score(inputs: Mapping[str, Any]) -> Any:
        return network(inputs, training=False)

    return Loop(train=train, score=score)
