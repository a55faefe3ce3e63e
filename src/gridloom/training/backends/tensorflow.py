"""Training and application in TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from gridloom.errors import EnvironmentProblem
from gridloom.models.network import Network
from gridloom.training.backends.base import Apply, Arrays, Fed, LoopSettings
from gridloom.training.backends.tensorflow_updates import sizes, update
from gridloom.training.optimizers import Optimization
from gridloom.training.room import is_aligned


def configure(threads: int) -> None:
    """Fix what TensorFlow must know before its first operation; a warm worker has done so already."""
    if tf.config.threading.get_intra_op_parallelism_threads() != threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
        except RuntimeError as error:
            # It runs already, with the number it was started with if there is one.
            if os.environ.get("TF_NUM_INTRAOP_THREADS") != str(threads):
                raise EnvironmentProblem(
                    f"this process already computes with another number of threads than {threads}", fix="Run again."
                ) from error
    tf.config.experimental.enable_op_determinism()


def accelerated() -> bool:
    """Whether a device other than the processor computes."""
    return bool(tf.config.list_physical_devices("GPU"))


@dataclass(frozen=True, kw_only=True)
class _Loop:
    train_steps: Callable[..., Any]
    outputs: Apply

    def train(self, fed: Fed) -> float:
        inputs = {name: _lent(values) for name, values in fed.inputs.items()}
        total = self.train_steps(inputs, _lent(fed.targets), _lent(fed.weights), fed.valid, np.int32(fed.steps))
        # Waits for the end of the call: from here on the arrays may be filled anew.
        return float(total)

    def score(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        return np.asarray(self.outputs(inputs))


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Tensors of one step, or of all steps of a call."""

    inputs: Mapping[str, Any]
    targets: Any
    weights: Any
    valid: Any

    def at(self, index: Any) -> _Batch:
        return _Batch(
            inputs={name: values[index] for name, values in self.inputs.items()},
            targets=self.targets[index],
            weights=self.weights[index],
            valid=self.valid[index],
        )


def compile_loop(network: Network, optimization: Optimization, settings: LoopSettings) -> _Loop:
    """Compile the training loop of a network."""
    model = network.core if settings.transformed else network.body
    weights = [variable.value for variable in optimization.weights]
    change = update(optimization)

    def step(batch: _Batch, rate: Any, size: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = model(batch.inputs, training=True)
            total = tf.reduce_sum(batch.weights * settings.loss(batch.targets, outputs))
            mean = total / batch.valid
        change(tape.gradient(mean, weights), rate, size)
        return total

    @tf.function(jit_compile=settings.xla, autograph=False)  # type: ignore[untyped-decorator]
    def train(inputs: Mapping[str, Any], targets: Any, weights: Any, valid: Any, steps: Any) -> Any:
        whole = _Batch(inputs=inputs, targets=targets, weights=weights, valid=valid)
        rates, step_sizes = sizes(optimization, valid.shape[0])

        def body(index: Any, total: Any) -> tuple[Any, Any]:
            return index + 1, total + step(whole.at(index), rates[index], step_sizes[index])

        start = (tf.constant(0), tf.constant(0.0))
        total = tf.while_loop(lambda index, _: index < steps, body, start, parallel_iterations=1)[1]
        counter = optimization.optimizer.iterations.value
        counter.assign_add(tf.cast(steps, counter.dtype))
        return total

    return _Loop(train_steps=train, outputs=compile_model(network.body))


def compile_model(model: Any) -> Apply:
    """Compile the application of a Keras model to raw inputs."""

    @tf.function(autograph=False, input_signature=[signature(model)])  # type: ignore[untyped-decorator]
    def apply(inputs: Mapping[str, Any]) -> Any:
        return model(inputs, training=False)

    return apply  # type: ignore[no-any-return]


def signature(model: Any) -> dict[str, Any]:
    """Inputs of a network for any number of events, so that it is traced once."""
    return {tensor.name: tf.TensorSpec((None, *tensor.shape[1:]), tf.float32) for tensor in model.inputs}


def _lent(array: npt.NDArray[Any]) -> Any:
    """The array as a tensor over the same memory, for one call; a copy where the memory does not begin as TensorFlow's.

    Copies into fresh memory cost a tenth of a small network's time (docs/performance.md).
    """
    if not is_aligned(array):
        return tf.constant(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
