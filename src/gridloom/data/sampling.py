"""How often training events are seen: each once, or drawn by weight or by class, without copies of any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Sampling = Literal["every", "weight", "class"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """`frequency` (n,): how often each event is seen in relative numbers, None for once; `weights` (n,) in the loss.

    An event's frequency times its weight is what it counts with, so the expected loss is that of seeing each once.
    """

    frequency: npt.NDArray[np.float64] | None
    weights: npt.NDArray[np.float32]


def draw(sampling: Sampling, weights: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]) -> Drawn:
    """The frequencies of n training events from their training weights and their classes (`targets`).

    By weight, an event is seen as often as the size of its weight says, and counts one with its sign; by class, the
    classes are seen equally often.
    """
    if sampling == "every":
        return Drawn(frequency=None, weights=weights)
    if sampling == "weight":
        frequency = np.abs(weights).astype(np.float64)
    else:
        classes, number = np.unique(targets, return_inverse=True)
        counts = np.bincount(number, minlength=len(classes))
        frequency = (1.0 / counts)[number]
    expected = frequency / frequency.mean()  # times that it is seen in an epoch
    counted = np.divide(weights, expected, out=np.zeros(len(weights)), where=expected > 0)
    return Drawn(frequency=frequency, weights=counted.astype(np.float32))
