"""A run's networks in Python: arrays and trees in, fold-correct scores out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import ENTRY_ID, Analysis, Sample
from gridloom.analysis.queries import class_names
from gridloom.data.events import Place
from gridloom.data.recipe import Recipe
from gridloom.data.trees import Columns, as_column, missing_branch
from gridloom.errors import InvalidValue
from gridloom.prediction.apply import Scorer
from gridloom.prediction.layout import FOLD, Layout, Records
from gridloom.prediction.models import FoldModels
from gridloom.prediction.recipe import application_recipe
from gridloom.scoring import Request, Variation, application_analysis

_STEP = 100_000


@dataclass(frozen=True, kw_only=True)
class ScoredEvents:
    """Scores of n events, entry for entry.

    `scores` (n, C) float32 in the order of `classes` ((n, 1) for a regression); where `selected` (n,) is false they are
    -1, or NaN for a regression. `fold` (n,): whose model scored the event. `spread` (n, C): standard deviation over the
    seeds, None with one.
    """

    classes: tuple[str, ...]
    scores: NDArray[np.float32]
    selected: NDArray[np.bool_]
    fold: NDArray[np.int32]
    spread: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.fold)

    def of(self, name: str) -> NDArray[np.float32]:
        """The scores (n,) of one class. Raises InvalidValue."""
        if name not in self.classes:
            raise InvalidValue(f"there is no class `{name}`", fix=f"Classes: {', '.join(self.classes) or 'none'}.")
        return self.scores[:, self.classes.index(name)]


@dataclass(frozen=True, kw_only=True)
class Model:
    """The networks of a run. `branches` are what it reads of each event."""

    name: str
    analysis: Analysis
    networks: FoldModels

    @classmethod
    def of(cls, analysis: Analysis, networks: FoldModels) -> Model:
        """From the whole analysis of a run; trees and friends of its samples do not matter here."""
        reduced = application_analysis(analysis, Sample(files=("*",), tree=analysis.tree), nominal=False)
        return cls(name=analysis.name, analysis=reduced, networks=networks)

    @property
    def classes(self) -> tuple[str, ...]:
        return class_names(self.analysis)

    @property
    def branches(self) -> tuple[str, ...]:
        return application_recipe(self.analysis, Request()).branches

    def score(self, events: Any, *, vary: Mapping[str, str] | None = None) -> ScoredEvents:
        """Score events: a mapping of arrays or an awkward array with the fields `branches`, or an uproot tree.

        `vary` names other branches to take in the place of some (the fold stays that of the nominal event). A tree is
        read in steps. Raises MissingBranch, BranchType, InvalidValue, and what the events raise (UndeclaredMissing).
        """
        variations = (Variation(name="varied", branches=dict(vary)),) if vary else ()
        request = Request(variations=variations)
        recipe = application_recipe(self.analysis, request)
        layout = Layout.of(self.analysis, request, spread=self.networks.spread)
        scorer = Scorer.of(recipe, self.analysis.folds, layout, self.networks, variations)
        parts = [scorer(columns, place) for columns, place in self._chunks(events, recipe)]
        records = np.concatenate(parts) if parts else layout.empty(np.empty(0, dtype=np.int32))
        return self._scored(records, layout, "varied" if vary else "")

    def _scored(self, records: Records, layout: Layout, variation: str) -> ScoredEvents:
        scores = np.stack([records[name] for name in layout.names(variation)], axis=1)
        outside = np.isnan(scores[:, 0]) if np.isnan(layout.outside) else scores[:, 0] == layout.outside
        spreads = layout.spreads(variation)
        return ScoredEvents(
            classes=self.classes,
            scores=scores,
            selected=~outside,
            fold=records[FOLD],
            spread=np.stack([records[name] for name in spreads], axis=1) if spreads else None,
        )

    def _chunks(self, events: Any, recipe: Recipe) -> Iterator[tuple[Columns, Place]]:
        if hasattr(events, "num_entries") and hasattr(events, "arrays"):
            yield from self._of_tree(events, recipe)
            return
        if self.analysis.event_id == ENTRY_ID:
            raise InvalidValue(
                "these events are identified by file and entry number, which arrays do not have",
                fix="Give the tree itself: `model.score(uproot.open(...)[...])`.",
            )
        names = events.fields if isinstance(events, ak.Array) else list(events)
        whole = {branch: _column(events, branch, names) for branch in recipe.branches}
        count = len(next(iter(whole.values())))
        for begin in range(0, count, _STEP):
            end = min(begin + _STEP, count)
            yield _part(whole, begin, end), Place(path="the array", uuid="", entries=np.arange(begin, end))

    def _of_tree(self, tree: Any, recipe: Recipe) -> Iterator[tuple[Columns, Place]]:
        for branch in recipe.branches:
            if branch not in tree:
                raise missing_branch(branch, str(tree.file.file_path), tree.name, tree.keys())
        for begin in range(0, int(tree.num_entries), _STEP):
            end = min(begin + _STEP, int(tree.num_entries))
            found = tree.arrays(list(recipe.branches), entry_start=begin, entry_stop=end, library="ak")
            place = Place(path=str(tree.file.file_path), uuid=str(tree.file.uuid), entries=np.arange(begin, end))
            yield {branch: as_column(found[branch]) for branch in recipe.branches}, place


def _column(events: Any, branch: str, names: Sequence[str]) -> Any:
    if branch not in names:
        raise missing_branch(branch, "the array", "events", names)
    values = events[branch]
    return as_column(values) if isinstance(values, ak.Array) else np.asarray(values)


def _part(columns: Columns, begin: int, end: int) -> Columns:
    return {name: values[begin:end] for name, values in columns.items()}
