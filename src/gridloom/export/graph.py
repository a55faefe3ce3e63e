"""The networks of a run as TensorFlow functions of raw inputs: one fold, or all with the choice of an event's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from gridloom.exporting import Port
from gridloom.prediction.models import FoldModels
from gridloom.training.backends.tensorflow import signature
from gridloom.training.predict import Predictor

SCORES, FOLD, EVENT_ID = "scores", "fold", "event_id"
_UNSAFE = re.compile(r"\W")

Tensors = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A function without variables: positional tensors in the order of `inputs`, a dict of `outputs`."""

    name: str
    fold: int | None
    function: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def specs(self) -> list[Any]:
        return _specs(self.inputs)


def port_name(name: str) -> str:
    """An input's name as every runtime takes it."""
    return _UNSAFE.sub("_", name)


def graphs_of(models: FoldModels, selector: str) -> tuple[Graph, ...]:
    """All folds together, `selector` (`event_id` or `fold`) choosing, and each fold alone."""
    combined = by_event_id if selector == EVENT_ID else by_fold
    return (combined(models), *(alone(models, fold) for fold in range(len(models.members))))


def alone(models: FoldModels, fold: int) -> Graph:
    """The network of one fold."""
    ports = _raw(models)

    def function(*tensors: Any) -> Tensors:
        return {SCORES: _scores(models.members[fold], _named(models, tensors))}

    return _graph(f"fold-{fold}", fold, function, ports, (_score_port(models),))


def by_fold(models: FoldModels) -> Graph:
    """All networks; every event's scores are those of the fold that is given with it. Every network computes them all.

    Without gathering and scattering: that is what small runtimes do well.
    """
    ports = (*_raw(models), Port(name=FOLD, dtype="int32", shape=()))

    def function(*tensors: Any) -> Tensors:
        *raw, fold = tensors
        every = tf.stack([_scores(members, _named(models, raw)) for members in models.members], axis=1)
        own = tf.one_hot(fold, len(models.members))[:, :, tf.newaxis]
        # Not a product: a network's NaN must not reach the others' events.
        return {SCORES: tf.reduce_sum(tf.where(own > 0, every, tf.zeros_like(every)), axis=1)}

    return _graph("all", None, function, ports, (_score_port(models),))


def by_event_id(models: FoldModels) -> Graph:
    """All networks; the fold is computed from the event id, and each network computes its own events alone."""
    ports = (*_raw(models), Port(name=EVENT_ID, dtype="uint64", shape=(3,)))
    count = len(models.members)

    def function(*tensors: Any) -> Tensors:
        *raw, ids = tensors
        fold = fold_of(ids, count)
        scores = tf.zeros((tf.shape(fold)[0], models.columns))
        for number, members in enumerate(models.members):
            rows = tf.where(tf.equal(fold, number))
            own = [tf.gather_nd(tensor, rows) for tensor in raw]
            scores = tf.tensor_scatter_nd_update(scores, rows, _scores(members, _named(models, own)))
        return {SCORES: scores, FOLD: fold}

    outputs = (Port(name=FOLD, dtype="int32", shape=()), _score_port(models))
    return _graph("all", None, function, ports, outputs)


def fold_of(ids: Any, k: int) -> Any:
    """`gridloom.data.folds.fold_of` in TensorFlow: (n, 3) uint64 -> (n,) int32.

    Products and sums are done as int64, with the same bits: ONNX Runtime has none of uint64.
    """
    state = tf.zeros_like(ids[:, 0])
    for word in range(3):
        state = _mix(_signed(tf.add, tf.bitwise.bitwise_xor(state, ids[:, word]), 0x9E3779B97F4A7C15))
    return tf.cast(state % tf.constant(k, tf.uint64), tf.int32)


def _mix(x: Any) -> Any:
    x = _signed(tf.multiply, _shifted(x, 30), 0xBF58476D1CE4E5B9)
    x = _signed(tf.multiply, _shifted(x, 27), 0x94D049BB133111EB)
    return _shifted(x, 31)


def _shifted(x: Any, bits: int) -> Any:
    return tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, tf.constant(bits, tf.uint64)))


def _signed(operation: Callable[..., Any], x: Any, constant: int) -> Any:
    value = constant - 2**64 if constant >= 2**63 else constant
    return tf.cast(operation(tf.cast(x, tf.int64), tf.constant(value, tf.int64)), tf.uint64)


def _raw(models: FoldModels) -> tuple[Port, ...]:
    specs = signature(models.members[0][0].model)
    return tuple(
        Port(name=port_name(name), dtype="float32", shape=tuple(int(size) for size in spec.shape[1:]))
        for name, spec in specs.items()
    )


def _named(models: FoldModels, tensors: Sequence[Any]) -> Tensors:
    return dict(zip(signature(models.members[0][0].model), tensors, strict=True))


def _score_port(models: FoldModels) -> Port:
    return Port(name=SCORES, dtype="float32", shape=(models.columns,))


def _scores(members: Sequence[Predictor], inputs: Tensors) -> Any:
    """(n, C): all classes, the mean over the seeds."""
    every = [_columns(member, member.apply(inputs)) for member in members]
    return every[0] if len(every) == 1 else tf.add_n(every) / float(len(every))


def _columns(member: Predictor, outputs: Any) -> Any:
    if member.positive is None:
        return outputs
    both = [outputs, 1.0 - outputs]
    return tf.concat(both if member.positive == 0 else both[::-1], axis=1)


def _specs(ports: Sequence[Port]) -> list[Any]:
    return [tf.TensorSpec((None, *port.shape), getattr(tf, port.dtype), name=port.name) for port in ports]


def _graph(
    name: str, fold: int | None, function: Callable[..., Tensors], inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> Graph:
    """The function with its weights as constants: nothing of Keras stays in it."""
    traced = tf.function(function, input_signature=_specs(inputs), autograph=False)
    constant = convert_variables_to_constants_v2(traced.get_concrete_function())
    names = sorted(port.name for port in outputs)

    @tf.function(input_signature=_specs(inputs), autograph=False)  # type: ignore[untyped-decorator]
    def frozen(*tensors: Any) -> Tensors:
        return dict(zip(names, constant(*tensors), strict=True))

    return Graph(name=name, fold=fold, function=frozen, inputs=inputs, outputs=outputs)
