"""From the columns of a chunk to the records of the friend tree: ids, folds, selection, scores; all variations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.data import events
from gridloom.data.dataset import Inputs
from gridloom.data.events import Place
from gridloom.data.folds import fold_of
from gridloom.data.recipe import Recipe
from gridloom.data.trees import Columns
from gridloom.prediction.layout import Layout, Records
from gridloom.prediction.models import FoldModels
from gridloom.scoring import Variation


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Scores chunks of events. `variations` holds the nominal events as a variation of nothing, first."""

    recipe: Recipe
    folds: int
    layout: Layout
    models: FoldModels
    variations: tuple[Mapping[str, str], ...]

    @classmethod
    def of(
        cls, recipe: Recipe, folds: int, layout: Layout, models: FoldModels, variations: tuple[Variation, ...]
    ) -> Scorer:
        varied = tuple(variation.branches for variation in variations)
        return cls(recipe=recipe, folds=folds, layout=layout, models=models, variations=({}, *varied))

    def __call__(self, columns: Columns, place: Place) -> Records:
        """One record per event; what `gridloom.data.events` raises names file, entry and key."""
        fold = fold_of(events.event_ids(self.recipe, columns, place), self.folds)
        records = self.layout.empty(fold)
        for name, branches in zip(self.layout.variations, self.variations, strict=True):
            self._fill(records, name, varied(columns, branches), place, fold)
        return records

    def _fill(self, records: Records, name: str, columns: Columns, place: Place, fold: NDArray[np.int16]) -> None:
        passed = events.cumulative(self.recipe.selection, columns, np.ones(len(fold), dtype=np.bool_)).passed
        rows = np.flatnonzero(passed)
        if not len(rows):
            return
        inputs = inputs_of(self.recipe, columns, place, passed)
        scores = self.models(inputs, fold[rows])
        for column, branch in enumerate(self.layout.names(name)):
            records[branch][rows] = scores.mean[:, column]
        if scores.spread is not None:
            for column, branch in enumerate(self.layout.spreads(name)):
                records[branch][rows] = scores.spread[:, column]


def varied(columns: Columns, branches: Mapping[str, str]) -> Columns:
    """The columns with those of other branches in the place of some."""
    return {**columns, **{nominal: columns[other] for nominal, other in branches.items()}}


def inputs_of(recipe: Recipe, columns: Columns, place: Place, passed: NDArray[np.bool_]) -> Inputs:
    """What the networks see of the events that passed."""
    needed = frozenset[str]().union(*(formula.branches for formula in recipe.event_formulas))
    selected = events.masked(columns, passed, needed)
    where = place.only(passed)
    objects = events.collections(recipe, selected, where)
    return Inputs(
        features=events.features(recipe, selected, where),
        collections={name: values for name, (values, _) in objects.items()},
        masks={
            name: (np.arange(values.shape[1]) < counts[:, None]).astype(np.float32)
            for name, (values, counts) in objects.items()
        },
    )
