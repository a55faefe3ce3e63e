"""Losses per event, before weights: one visible dict, in terms of the network's output before its activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import output_count

PerEvent = Callable[[Any, Any], Any]


def binary_cross_entropy(labels: Any, logits: Any) -> Any:
    """labels (n,) in {0, 1}, logits (n, 1) -> (n,)."""
    return ops.binary_crossentropy(labels, logits[:, 0], from_logits=True)


def cross_entropy(labels: Any, logits: Any) -> Any:
    """labels (n,) class numbers, logits (n, C) -> (n,)."""
    return ops.sparse_categorical_crossentropy(ops.cast(labels, "int32"), logits, from_logits=True)


def squared_error(targets: Any, outputs: Any) -> Any:
    """targets (n,) standardised, outputs (n, 1) -> (n,)."""
    return ops.square(outputs[:, 0] - targets)


def loss_name(analysis: Analysis) -> str:
    """The loss that goes with the target."""
    if analysis.target.regression is not None:
        return "squared_error"
    return "binary_cross_entropy" if output_count(analysis) == 1 else "cross_entropy"


LOSSES: dict[str, PerEvent] = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
}
