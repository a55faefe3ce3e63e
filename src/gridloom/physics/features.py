"""What the inputs do: alone, together, and for the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.data.dataset import Inputs
from gridloom.physics.bootstrap import BoolArray, FloatArray, IntArray
from gridloom.physics.correlations import correlations
from gridloom.physics.importance import permutation_importance, shuffles
from gridloom.physics.material import Material
from gridloom.physics.missing import missing_as_nan
from gridloom.physics.results import CorrelationMatrix, ImportanceTable, Separation
from gridloom.physics.roc import area

CORRELATION_EVENTS = 200_000
SEPARATION_EVENTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """Some of the events (`at`), their inputs, and their flat features as a table (n, F) with NaN for missing."""

    at: IntArray
    inputs: Inputs
    table: FloatArray

    @classmethod
    def of(cls, material: Material, at_most: int = CORRELATION_EVENTS) -> Sampled:
        at = material.chosen(at_most, 1)
        inputs = material.gather(material.events.row[at])
        return cls(at=at, inputs=inputs, table=missing_as_nan(inputs.features, material.analysis.features))


def separations(material: Material, sampled: Sampled, positive: BoolArray) -> tuple[Separation, ...]:
    """AUC of each flat feature alone and of each collection's number of objects; missing sorts below all values."""
    part = slice(0, None, max(1, -(-len(sampled.at) // SEPARATION_EVENTS)))
    at = sampled.at[part]
    columns = [(feature.name, sampled.table[part, i]) for i, feature in enumerate(material.analysis.features)]
    counts = [(f"number of {name}", mask[part].sum(axis=1)) for name, mask in sampled.inputs.masks.items()]
    result = []
    for name, values in (*columns, *counts):
        material.tick()
        known = np.where(np.isnan(values), -np.inf, values).astype(np.float64)
        value = area(known, positive[at], material.events.weight[at])
        if np.isfinite(value):
            result.append(Separation(name=name, area=value))
    return tuple(result)


def correlation_matrices(
    material: Material, sampled: Sampled, score: FloatArray, groups: dict[str, BoolArray]
) -> tuple[CorrelationMatrix, ...]:
    """Correlations of flat features and score in each group of events; none without flat features."""
    features = material.analysis.features
    if not features:
        return ()
    labels = (*(feature.name for feature in features), "score")
    columns = np.concatenate([sampled.table, score[sampled.at][:, None]], axis=1)
    weight = material.events.weight[sampled.at]
    return tuple(
        correlations(name, labels, columns[rows[sampled.at]], weight[rows[sampled.at]]) for name, rows in groups.items()
    )


def importance(
    material: Material, measure: str, score: Callable[[NDArray[np.float32], IntArray], float]
) -> ImportanceTable | None:
    """Permutation importance of all inputs; `score` judges scores (n, C) of the events `at`. None without models."""
    if not material.predictors:
        return None
    analysis, events = material.analysis, material.events
    at = material.chosen(analysis.evaluation.importance_events, 2)
    return permutation_importance(
        rows=events.row[at],
        fold=events.fold[at].astype(np.int64),
        gather=material.gather,
        predictors=material.predictors,
        what=shuffles(
            [feature.name for feature in analysis.features],
            {name: part.features for name, part in analysis.collections.items()},
        ),
        score=lambda scores: score(scores, at),
        measure=measure,
        seed=analysis.training.seed,
        tick=material.tick,
    )
