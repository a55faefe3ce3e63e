"""One discriminant judged from all sides: network, trees, and the same events by models that trained on them."""

from __future__ import annotations

import numpy as np

from gridloom.physics.bootstrap import BoolArray, Bootstrap, FloatArray, interval
from gridloom.physics.events import Discriminant, ScoredEvents
from gridloom.physics.results import Discrimination
from gridloom.physics.roc import Separated, roc_curve


def _separated(events: ScoredEvents, scores: FloatArray, positive: BoolArray, weight: FloatArray) -> Separated:
    fold = events.fold.astype(np.int64)
    return Separated(scores=scores, positive=positive, weight=weight, fold=fold, folds=events.folds)


def discrimination(bootstrap: Bootstrap, events: ScoredEvents, discriminant: Discriminant) -> Discrimination:
    """ROC curves of network and trees, their difference, and the gain on events of the training; paired replicas."""
    positive = discriminant.is_positive(events.label)
    seen = np.where(events.trains, events.weight, 0.0)
    parts = [
        _separated(events, discriminant.of(events.scores), positive, events.weight),
        _separated(events, discriminant.of(events.scores), positive, seen),
        _separated(events, discriminant.of(events.train_scores), positive, seen),
    ]
    if events.reference is not None:
        parts.append(_separated(events, discriminant.of(events.reference), positive, events.weight))
    drawn = bootstrap.sums(*(part.binned for part in parts))
    areas = [part.areas(sums) for part, sums in zip(parts, drawn, strict=True)]
    exact = [part.exact_area for part in parts]
    reference = len(parts) > 3
    return Discrimination(
        name=discriminant.name,
        positive=discriminant.positive,
        negative=discriminant.negative,
        network=roc_curve(parts[0], drawn[0]),
        reference=roc_curve(parts[3], drawn[3]) if reference else None,
        difference=interval(exact[0] - exact[3], areas[0] - areas[3]) if reference else None,
        train_area=interval(exact[2], areas[2]),
        test_area=interval(exact[1], areas[1]),
        overtraining=interval(exact[2] - exact[1], areas[2] - areas[1]),
    )
