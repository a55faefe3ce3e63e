"""Training and application in JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from gridloom.models.network import Network
from gridloom.training.backends.base import Apply, Arrays, Fed, LoopSettings
from gridloom.training.optimizers import Optimization

_FEWEST = 16


def configure(threads: int) -> None:
    """Nothing: the number of threads comes with the process's environment, and XLA on a CPU is deterministic."""
    del threads


def accelerated() -> bool:
    """Whether a device other than the processor computes."""
    return bool(jax.default_backend() != "cpu")


@dataclass(frozen=True, kw_only=True)
class _Loop:
    train_steps: Callable[..., Any]
    outputs: Apply
    variables: tuple[Sequence[Any], ...]  # of Keras: trainable, other (statistics, seeds of dropout), the optimiser's

    def train(self, fed: Fed) -> float:
        state = tuple([variable.value for variable in group] for group in self.variables)
        inputs = {name: jnp.asarray(values) for name, values in fed.inputs.items()}
        state, total = self.train_steps(
            state, inputs, jnp.asarray(fed.targets), jnp.asarray(fed.weights), jnp.asarray(fed.valid), fed.steps
        )
        for group, values in zip(self.variables, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        # Waits for the end of the call: from here on the arrays may be filled anew.
        return float(total)

    def score(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        return np.asarray(self.outputs(inputs))


def compile_loop(network: Network, optimization: Optimization, settings: LoopSettings) -> _Loop:
    """Compile the training loop of a network; JAX always compiles with XLA."""
    model = network.core if settings.transformed else network.body
    optimizer = optimization.optimizer

    def mean_loss(trainable: Any, other: Any, inputs: Any, targets: Any, weights: Any, valid: Any) -> Any:
        outputs, other = model.stateless_call(trainable, other, inputs, training=True)
        total = jnp.sum(weights * settings.loss(targets, outputs))
        return total / valid, (total, other)

    gradient = jax.grad(mean_loss, has_aux=True)

    # The old weights are given up: they are replaced after the call.
    @partial(jax.jit, donate_argnums=0)
    def train(state: Any, inputs: Any, targets: Any, weights: Any, valid: Any, steps: Any) -> Any:
        def body(index: Any, carried: Any) -> Any:
            (trainable, other, slots), total = carried
            batch = {name: values[index] for name, values in inputs.items()}
            gradients, (step_total, other) = gradient(
                trainable, other, batch, targets[index], weights[index], valid[index]
            )
            trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
            return (trainable, other, slots), total + step_total

        return jax.lax.fori_loop(0, steps, body, (state, jnp.float32(0.0)))

    variables = (model.trainable_variables, model.non_trainable_variables, optimizer.variables)
    return _Loop(train_steps=train, outputs=compile_model(network.body), variables=variables)


def compile_model(model: Any) -> Apply:
    """Compile the application of a Keras model to raw inputs.

    It is compiled for powers of two: other numbers of rows are filled up.
    """

    @jax.jit  # type: ignore[untyped-decorator]
    def outputs(trainable: Any, other: Any, inputs: Any) -> Any:
        return model.stateless_call(trainable, other, inputs, training=False)[0]

    def apply(inputs: Arrays) -> Any:
        count = len(next(iter(inputs.values())))
        filled = {name: _filled(values) for name, values in inputs.items()}
        trainable = [variable.value for variable in model.trainable_variables]
        other = [variable.value for variable in model.non_trainable_variables]
        return jax.tree.map(lambda values: np.asarray(values)[:count], outputs(trainable, other, filled))

    return apply


def _filled(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    rows = max(_FEWEST, 1 << (len(values) - 1).bit_length())
    missing = rows - len(values)
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)]) if missing else values
