"""Statistics of blocks of events: cutflow, yields, and the moments of what the training sees, fold by fold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.data import events
from gridloom.data.blocks import Arrays, Blocks
from gridloom.data.recipe import Recipe
from gridloom.data.statistics import CutflowRow, FoldStatistics, ShardStatistics, Yield, moments_of

ALL_ENTRIES = "all entries"


class EntrySums:
    """Sums over all entries of a file: weights after each part of the selection, and generator weights."""

    def __init__(self, recipe: Recipe) -> None:
        self._names = tuple(cut.name for cut in recipe.selection)
        self._nothing = ShardStatistics(sample=recipe.sample)
        self._blocks = Blocks()
        self._parts: list[ShardStatistics] = []

    def add(self, weights: events.EntryWeights, level: NDArray[np.int16]) -> None:
        arrays: Arrays = {"weights": weights.weights, "level": level}
        if weights.generator is not None:
            arrays["generator"] = weights.generator
        self._parts += map(self._sums, self._blocks.add(arrays))

    def total(self) -> ShardStatistics:
        self._parts += map(self._sums, self._blocks.rest())
        return reduce(ShardStatistics.merge, self._parts, self._nothing)

    def _sums(self, block: Mapping[str, NDArray[Any]]) -> ShardStatistics:
        first = CutflowRow.of(ALL_ENTRIES, Yield.of(block["weights"]))
        generator = block.get("generator")
        return self._nothing.model_copy(
            update={
                "cutflow": (first, *cutflow(self._names, block["weights"], block["level"])),
                "sum_generator_weights": None if generator is None else float(generator.sum()),
            }
        )


class EventSums:
    """Sums over the selected events of a file: cutflow of the training selection, yields and moments."""

    def __init__(self, recipe: Recipe, classes: Sequence[str], folds: int) -> None:
        self._recipe = recipe
        self._names = tuple(cut.name for cut in recipe.training_selection)
        self._classes = classes
        self._folds = folds
        self._nothing = ShardStatistics(sample=recipe.sample)
        self._blocks = Blocks()
        self._parts: list[ShardStatistics] = []

    def add(self, arrays: Mapping[str, NDArray[Any]], level: NDArray[np.int16]) -> None:
        self._parts += map(self._sums, self._blocks.add({**arrays, "level": level}))

    def total(self) -> ShardStatistics:
        self._parts += map(self._sums, self._blocks.rest())
        return reduce(ShardStatistics.merge, self._parts, self._nothing)

    def _sums(self, block: Mapping[str, NDArray[Any]]) -> ShardStatistics:
        weights, labels = block["weight"], block["label"]
        return self._nothing.model_copy(
            update={
                "events": len(weights),
                "cutflow": tuple(cutflow(self._names, weights, block["level"])),
                "classes": {name: Yield.of(weights[labels == index]) for index, name in enumerate(self._classes)},
                "folds": moments(self._recipe, self._folds, block),
            }
        )


def cutflow(names: Sequence[str], weights: NDArray[np.float64], level: NDArray[np.int16]) -> Iterator[CutflowRow]:
    """A row for each cut, of the events that passed it and those before."""
    for number, name in enumerate(names):
        yield CutflowRow.of(name, Yield.of(weights[level > number]))


def moments(recipe: Recipe, folds: int, block: Mapping[str, NDArray[Any]]) -> tuple[FoldStatistics, ...]:
    """Moments of the training events, fold by fold."""
    there = events.there(recipe, block["features"])
    found = []
    for fold in range(folds):
        rows = np.flatnonzero(block["trains"] & (block["fold"] == fold))
        collections = {}
        for item in recipe.collections:
            objects, counts = block[f"collection.{item.name}"][rows], block[f"count.{item.name}"][rows]
            kept = objects[np.arange(item.collection.at_most) < counts[:, None]]
            collections[item.name] = moments_of(kept, np.ones(kept.shape, dtype=np.bool_))
        features = moments_of(block["features"][rows], there[rows])
        found.append(FoldStatistics(fold=fold, features=features, collections=collections))
    return tuple(found)
