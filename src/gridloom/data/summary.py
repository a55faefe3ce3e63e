"""Statistics of blocks of events: cutflow, yields, and the moments of what the training sees, fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.data import events
from gridloom.data.blocks import Arrays, Blocks
from gridloom.data.recipe import CollectionFormulas, Recipe
from gridloom.data.statistics import CutflowRow, FoldStatistics, Moments, ShardStatistics, Yield, moments_by_group

ALL_ENTRIES = "all entries"


class Sums:
    """Statistics of arrays that come piece by piece, made of blocks and merged in order."""

    def __init__(self, sample: str, of_block: Callable[[Arrays], dict[str, object]]) -> None:
        self._nothing = ShardStatistics(sample=sample)
        self._of_block = of_block
        self._blocks = Blocks()
        self._parts: list[ShardStatistics] = []

    def add(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._parts += map(self._statistics, self._blocks.add(arrays))

    def total(self) -> ShardStatistics:
        self._parts += map(self._statistics, self._blocks.rest())
        return reduce(ShardStatistics.merge, self._parts, self._nothing)

    def _statistics(self, block: Arrays) -> ShardStatistics:
        return self._nothing.model_copy(update=self._of_block(block))


def entry_sums(recipe: Recipe) -> Sums:
    """Of all entries (`weight`, `level`, and `generator` where there is one): weights after each cut."""
    names = tuple(cut.name for cut in recipe.selection)

    def of_block(block: Arrays) -> dict[str, object]:
        first = CutflowRow.of(ALL_ENTRIES, Yield.of(block["weight"]))
        generator = block.get("generator")
        return {
            "cutflow": (first, *cutflow(names, block["weight"], block["level"])),
            "sum_generator_weights": None if generator is None else float(generator.sum()),
        }

    return Sums(recipe.sample, of_block)


def event_sums(recipe: Recipe, classes: Sequence[str]) -> Sums:
    """Of the selected events (`weight`, `label`, `level`): cutflow of the training selection, and yields."""
    names = tuple(cut.name for cut in recipe.training_selection)

    def of_block(block: Arrays) -> dict[str, object]:
        weights, labels = block["weight"], block["label"]
        return {
            "events": len(weights),
            "cutflow": tuple(cutflow(names, weights, block["level"])),
            "classes": {name: Yield.of(weights[labels == index]) for index, name in enumerate(classes)},
        }

    return Sums(recipe.sample, of_block)


def moment_arrays(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """What `moment_sums` needs of a shard's arrays."""
    wanted = ("features", "trains", "fold")
    return {
        name: array for name, array in arrays.items() if name in wanted or name.startswith(("collection.", "count."))
    }


def moment_sums(recipe: Recipe, folds: int) -> Sums:
    """Of the selected events (`moment_arrays`): moments, fold by fold."""
    return Sums(recipe.sample, lambda block: {"folds": moments(recipe, folds, block)})


def cutflow(names: Sequence[str], weights: NDArray[np.float64], level: NDArray[np.int16]) -> Iterator[CutflowRow]:
    """A row for each cut, of the events that passed it and those before."""
    for number, name in enumerate(names):
        yield CutflowRow.of(name, Yield.of(weights[level > number]))


def moments(recipe: Recipe, folds: int, block: Mapping[str, NDArray[Any]]) -> tuple[FoldStatistics, ...]:
    """Moments of the training events, fold by fold."""
    group = np.where(block["trains"], block["fold"], -1)
    features = moments_by_group(block["features"], events.there(recipe, block["features"]), group, folds)
    collections = {item.name: _object_moments(item, folds, block, group) for item in recipe.collections}
    return tuple(
        FoldStatistics(
            fold=fold, features=features[fold], collections={name: found[fold] for name, found in collections.items()}
        )
        for fold in range(folds)
    )


def _object_moments(
    item: CollectionFormulas, folds: int, block: Mapping[str, NDArray[Any]], group: NDArray[np.int64]
) -> tuple[tuple[Moments, ...], ...]:
    objects, counts = block[f"collection.{item.name}"], block[f"count.{item.name}"]
    kept = objects[np.arange(item.collection.at_most) < counts[:, None]]
    return moments_by_group(kept, np.ones(kept.shape, dtype=np.bool_), np.repeat(group, counts), folds)
