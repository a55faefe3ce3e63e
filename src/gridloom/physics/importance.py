"""Permutation importance: how much worse the models get when one input is shuffled between events.

Breiman, Machine Learning 45 (2001) 5. Each event is scored by the model of its own fold, and values are exchanged
within a fold. An input that others can stand in for looks unimportant: the figure is about this model, not physics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gridloom.data.dataset import Inputs
from gridloom.physics.bootstrap import FloatArray, IntArray
from gridloom.physics.results import Importance, ImportanceTable, Measured

Predict = Callable[[Inputs], NDArray[np.float32]]
Gather = Callable[[IntArray], Inputs]
Score = Callable[[NDArray[np.float32]], float]

REPEATS = 3
NUMBERS_PER_CALL = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Shuffled:
    """One input to shuffle: column of the flat features or of a collection, or a whole collection (column None)."""

    name: str
    collection: str | None = None
    column: int | None = None

    def apply(self, inputs: Inputs, generator: np.random.Generator) -> Inputs:
        """The inputs with this one exchanged between events; objects keep their places, padding stays padding."""
        if self.collection is None:
            features = inputs.features.copy()
            features[:, self.column] = features[generator.permutation(len(features)), self.column]
            return replace(inputs, features=features)
        objects = inputs.collections[self.collection]
        if self.column is None:
            order = generator.permutation(len(objects))
            return replace(
                inputs,
                collections={**inputs.collections, self.collection: objects[order]},
                masks={**inputs.masks, self.collection: inputs.masks[self.collection][order]},
            )
        changed = objects.copy()
        there = inputs.masks[self.collection] > 0
        values = changed[there, self.column]
        changed[there, self.column] = values[generator.permutation(len(values))]
        return replace(inputs, collections={**inputs.collections, self.collection: changed})


def shuffles(features: Sequence[str], collections: dict[str, tuple[str, ...]]) -> tuple[Shuffled, ...]:
    """All flat features, each collection as a whole, and each feature of its objects."""
    flat = [Shuffled(name=name, column=column) for column, name in enumerate(features)]
    objects = [
        shuffled
        for collection, names in collections.items()
        for shuffled in (
            Shuffled(name=collection, collection=collection),
            *(Shuffled(name=name, collection=collection, column=column) for column, name in enumerate(names)),
        )
    ]
    return (*flat, *objects)


def _joined(parts: Sequence[Inputs]) -> Inputs:
    return Inputs(
        features=np.concatenate([part.features for part in parts]),
        collections={name: np.concatenate([part.collections[name] for part in parts]) for name in parts[0].collections},
        masks={name: np.concatenate([part.masks[name] for part in parts]) for name in parts[0].masks},
    )


def _numbers(inputs: Inputs) -> int:
    return inputs.features.size + sum(part.size for part in inputs.collections.values())


def _variants(inputs: Inputs, what: Sequence[Shuffled], seed: tuple[int, ...]) -> Iterator[Inputs]:
    """The inputs as they are, then every shuffle in every repeat."""
    yield inputs
    for repeat in range(REPEATS):
        for number, shuffled in enumerate(what):
            sequence = np.random.SeedSequence([*seed, repeat, number])
            yield shuffled.apply(inputs, np.random.Generator(np.random.Philox(sequence)))


def _predicted(
    predict: Predict, inputs: Inputs, what: Sequence[Shuffled], seed: tuple[int, ...]
) -> NDArray[np.float32]:
    """Scores of all variants (variants, n, C): several variants per call, since a call of a small model costs most."""
    at_once = max(1, NUMBERS_PER_CALL // max(1, _numbers(inputs)))
    results: list[NDArray[np.float32]] = []
    waiting: list[Inputs] = []
    total = 1 + REPEATS * len(what)
    for number, variant in enumerate(_variants(inputs, what, seed), start=1):
        waiting.append(variant)
        if len(waiting) == at_once or number == total:
            scores = predict(_joined(waiting))
            results.append(scores.reshape(len(waiting), len(inputs), -1))
            waiting = []
    return np.concatenate(results)


def permutation_importance(
    *,
    rows: IntArray,
    fold: IntArray,
    gather: Gather,
    predictors: Sequence[Predict],
    what: Sequence[Shuffled],
    score: Score,
    measure: str,
    seed: int,
    tick: Callable[[], None],
) -> ImportanceTable:
    """Loss of `score` (larger is better, from scores (n, C) in the order of `rows`) for each shuffled input.

    `rows` are dataset rows, `fold` their folds; `predictors[i]` is the model that never saw fold i.
    """
    blocks: list[NDArray[np.float32]] = []
    positions: list[IntArray] = []
    for number, predict in enumerate(predictors):
        tick()
        chosen = np.flatnonzero(fold == number)
        if len(chosen):
            blocks.append(_predicted(predict, gather(rows[chosen]), what, (seed, number)))
            positions.append(chosen)
    order = np.argsort(np.concatenate(positions))
    scores = np.concatenate(blocks, axis=1)[:, order]
    values = np.array([score(variant) for variant in scores])
    drops = values[0] - values[1:].reshape(REPEATS, len(what))
    table = [
        Importance(name=item.name, collection=item.collection, drop=_measured(drops[:, number]))
        for number, item in enumerate(what)
    ]
    table.sort(key=lambda row: -row.drop.value)
    return ImportanceTable(
        measure=measure, baseline=float(values[0]), repeats=REPEATS, events=len(rows), rows=tuple(table)
    )


def _measured(drops: FloatArray) -> Measured:
    return Measured(value=float(drops.mean()), uncertainty=float(drops.std(ddof=1)))
