"""Updates of the weights in TensorFlow: Keras' optimisers, with one operation for each variable in place of a dozen.

The state is in the variables of the Keras optimiser, and the numbers are its own but for the last bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from gridloom.training.optimizers import Optimization

# What a step changes: `update(gradients, rate, size)`; see `sizes`.
Update = Callable[[Sequence[Any], Any, Any], None]


def sizes(optimization: Optimization, count: int) -> tuple[Any, Any]:
    """The learning rates of the next `count` steps, and the sizes of their steps: Adam corrects its young moments.

    Once for a whole call: inside the loop these are many operations on single numbers.
    """
    optimizer = optimization.optimizer
    steps = tf.cast(optimizer.iterations.value, tf.float32) + tf.range(count, dtype=tf.float32)
    rates = optimization.schedule(steps)
    if isinstance(optimizer, keras.optimizers.SGD):
        return rates, rates
    young = tf.sqrt(1.0 - optimizer.beta_2 ** (steps + 1.0)) / (1.0 - optimizer.beta_1 ** (steps + 1.0))
    return rates, rates * young


def update(optimization: Optimization) -> Update:
    """What changes the weights in a step; the caller counts the steps in `iterations`."""
    optimizer = optimization.optimizer
    apply = _momentum(optimization) if isinstance(optimizer, keras.optimizers.SGD) else _adam(optimization)
    weights = [variable.value for variable in optimization.weights]

    def change(gradients: Sequence[Any], rate: Any, size: Any) -> None:
        if optimizer.global_clipnorm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, optimizer.global_clipnorm)
        if optimizer.weight_decay:
            for weight in weights:
                weight.assign_sub(weight * (optimizer.weight_decay * rate))
        apply(gradients, size)

    return change


def _adam(optimization: Optimization) -> Callable[[Sequence[Any], Any], None]:
    optimizer = optimization.optimizer
    slots = _slots(optimization, 2)

    def apply(gradients: Sequence[Any], size: Any) -> None:
        for weight, (first, second), gradient in zip(optimization.weights, slots, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.value.handle,
                m=first.value.handle,
                v=second.value.handle,
                beta1_power=0.0,  # `size` is corrected already
                beta2_power=0.0,
                lr=size,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )

    return apply


def _momentum(optimization: Optimization) -> Callable[[Sequence[Any], Any], None]:
    optimizer = optimization.optimizer
    slots = _slots(optimization, 1) if optimizer.momentum else ()

    def apply(gradients: Sequence[Any], size: Any) -> None:
        if not slots:
            for weight, gradient in zip(optimization.weights, gradients, strict=True):
                weight.value.assign_sub(size * gradient)
        for weight, (velocity,), gradient in zip(optimization.weights, slots, gradients, strict=bool(slots)):
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=weight.value.handle,
                accum=velocity.value.handle,
                lr=size,
                grad=gradient,
                momentum=optimizer.momentum,
            )

    return apply


def _slots(optimization: Optimization, each: int) -> list[tuple[Any, ...]]:
    """The optimiser's variables for each weight: behind its counter and learning rate, weight by weight."""
    variables = optimization.optimizer.variables
    return list(zip(*(iter(variables[len(variables) - each * len(optimization.weights) :]),) * each, strict=True))
