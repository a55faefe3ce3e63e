"""Losses per event, before weights: one visible dict, in terms of the network's output before its activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

PerEvent = Callable[[Any, Any], Any]


def binary_cross_entropy(labels: Any, logits: Any) -> Any:
    """labels (n,) in {0, 1}, logits (n, 1) -> (n,)."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits[:, 0])


def cross_entropy(labels: Any, logits: Any) -> Any:
    """labels (n,) class numbers, logits (n, C) -> (n,)."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.cast(labels, tf.int32), logits=logits)


def squared_error(targets: Any, outputs: Any) -> Any:
    """targets (n,) standardised, outputs (n, 1) -> (n,)."""
    return tf.square(outputs[:, 0] - targets)


LOSSES: dict[str, PerEvent] = {
    "binary_cross_entropy": binary_cross_entropy,
    "cross_entropy": cross_entropy,
    "squared_error": squared_error,
}
