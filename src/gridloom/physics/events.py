"""The events that are judged: scores beside labels and signed physics weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.physics.bootstrap import BoolArray, FloatArray, IntArray

ScoreArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class ScoredEvents:
    """Simulated events with the scores of three models each; collision data only as scores, and only if unblinded.

    With k folds, an event of fold f is scored by model f, which never saw it (`scores`); by model f-1, which used it
    for validation (`validation_scores`); and by model f+1, which trained on it (`train_scores`), all modulo k >= 3.
    Shapes: (N,) and (N, C) with C classes, or C = 1 for a regression. `weight` is the signed physics weight in
    events, `training_weight` what the training used. `row` is the event's row in the dataset.
    """

    row: IntArray
    sample: NDArray[np.int16]
    label: NDArray[np.int16]
    weight: FloatArray
    training_weight: FloatArray
    fold: NDArray[np.int16]
    trains: BoolArray
    scores: ScoreArray
    validation_scores: ScoreArray
    train_scores: ScoreArray
    folds: int
    reference: ScoreArray | None = None
    target: FloatArray | None = None
    data_scores: ScoreArray | None = None

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True, kw_only=True)
class Discriminant:
    """One number per event that separates `positive` classes from all others: the sum of their probabilities."""

    name: str
    columns: tuple[int, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    def of(self, scores: ScoreArray) -> FloatArray:
        return np.asarray(scores[:, list(self.columns)].astype(np.float64).sum(axis=1))

    def is_positive(self, label: NDArray[np.int16]) -> BoolArray:
        return np.isin(label, np.array(self.columns, dtype=np.int16))


def discriminants(classes: tuple[str, ...], signal: tuple[str, ...]) -> tuple[Discriminant, ...]:
    """`signal` first; with more than two classes also each class that is not the signal itself."""
    groups: list[tuple[str, tuple[str, ...]]] = [("signal", tuple(name for name in classes if name in signal))]
    if len(classes) > 2:
        groups += [(name, (name,)) for name in classes if (name,) != groups[0][1]]
    return tuple(
        Discriminant(
            name=name,
            columns=tuple(classes.index(item) for item in positive),
            positive=positive,
            negative=tuple(item for item in classes if item not in positive),
        )
        for name, positive in groups
    )
