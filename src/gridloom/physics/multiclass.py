"""The confusion matrix of a classification with several classes."""

from __future__ import annotations

import numpy as np

from gridloom.errors import BadWeights
from gridloom.physics.bootstrap import Binned, Bootstrap, FloatArray, deviation, finites, floats, interval, ratio
from gridloom.physics.events import ScoredEvents
from gridloom.physics.results import Confusion


def _fractions(sums: FloatArray, classes: int) -> FloatArray:
    """Share of each predicted class in each true class: (..., C, C), rows are true classes."""
    table = sums.reshape(*sums.shape[:-1], classes, classes)
    return ratio(table, np.broadcast_to(table.sum(axis=-1, keepdims=True), table.shape))


def confusion(bootstrap: Bootstrap, events: ScoredEvents, classes: tuple[str, ...]) -> Confusion:
    """Weighted confusion of true class and class of the highest score."""
    size = len(classes)
    index = events.label.astype(np.int64) * size + events.scores.argmax(axis=1)
    part = Binned(index=index, weight=events.weight, size=size * size)
    nominal = part.nominal()
    (drawn,) = bootstrap.sums(part)
    fractions, replicas = _fractions(nominal, size), _fractions(drawn, size)
    diagonal = np.arange(size)
    accuracy = interval(float(fractions[diagonal, diagonal].mean()), replicas[:, diagonal, diagonal].mean(axis=1))
    if accuracy is None:
        raise BadWeights(
            "the weights of a class sum to zero or less, so no confusion matrix exists",
            fix="Look at the yields of each class: too few events, or too many negative weights.",
        )
    return Confusion(
        classes=classes,
        yields=tuple(floats(row) for row in nominal.reshape(size, size)),
        fractions=tuple(finites(row) for row in fractions),
        uncertainties=tuple(finites(row) for row in deviation(replicas)),
        accuracy=accuracy,
    )
