"""Scores of one event by several networks that differ in their seed: the mean, and how far they spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

ScoreArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean scores (n, C), and their standard deviation over the seeds, if there are several."""

    mean: ScoreArray
    spread: ScoreArray | None


def combined(scores: Sequence[ScoreArray]) -> Scores:
    """The scores of the members, as one; with one member exactly its own.

    The spread is the standard deviation of one member (divided by n - 1), not the error of the mean.
    """
    if len(scores) == 1:
        return Scores(mean=scores[0], spread=None)
    stacked = np.stack(scores).astype(np.float64)
    return Scores(mean=stacked.mean(axis=0).astype(np.float32), spread=stacked.std(axis=0, ddof=1).astype(np.float32))
