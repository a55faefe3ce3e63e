"""Score distributions of every class: yields, test against training events, data when unblinded."""

from __future__ import annotations

import numpy as np

from gridloom.physics.bootstrap import BoolArray, FloatArray, floats
from gridloom.physics.events import Discriminant, ScoredEvents
from gridloom.physics.histograms import histogram
from gridloom.physics.overtraining import overtraining_test
from gridloom.physics.results import ClassDistribution, Histogram, ScoreDistribution


def _data(events: ScoredEvents, discriminant: Discriminant, edges: FloatArray) -> Histogram | None:
    if events.data_scores is None:
        return None
    values = discriminant.of(events.data_scores)
    return histogram(values, np.ones(len(values)), edges)


def score_distribution(
    events: ScoredEvents, discriminant: Discriminant, classes: tuple[str, ...], *, bins: int, half: BoolArray
) -> ScoreDistribution:
    """One discriminant in all classes, in even bins from 0 to 1."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    test, train = discriminant.of(events.scores), discriminant.of(events.train_scores)
    distributions = []
    for number, name in enumerate(classes):
        rows = events.label == number
        seen = rows & events.trains
        weight = events.weight[seen]
        distributions.append(
            ClassDistribution(
                name=name,
                yields=histogram(test[rows], events.weight[rows], edges),
                test=histogram(test[seen], weight, edges, unit_sum=True),
                train=histogram(train[seen], weight, edges, unit_sum=True),
                overtraining=overtraining_test(test[seen], train[seen], weight, half[seen], edges),
            )
        )
    return ScoreDistribution(
        discriminant=discriminant.name,
        edges=floats(edges),
        classes=tuple(distributions),
        data=_data(events, discriminant, edges),
    )
