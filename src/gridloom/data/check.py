"""Everything about files and events that can be found wrong in seconds, before a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import ENTRY_ID, Analysis
from gridloom.analysis.queries import class_names, classes_of
from gridloom.catalogue import SampleFiles
from gridloom.data import events
from gridloom.data.duplicates import duplicate_rows, duplicates_error
from gridloom.data.folds import Ids, fold_of
from gridloom.data.half import SmallValues
from gridloom.data.ntuple import Ntuple, open_ntuple
from gridloom.data.recipe import Recipe, make_recipe
from gridloom.data.scan import survey
from gridloom.data.trees import Chunk
from gridloom.data.weights import bad_sum, by_policy, class_key, empty_fold
from gridloom.errors import EmptyClass, GridloomError, Problems, UndeclaredMissing
from gridloom.task import InputFile

FIRST_EVENTS = 100
# Ids, selection and classes of this many entries are read whole; of more, the run itself finds what is wrong.
WHOLE_ENTRIES = 500_000


def check(analysis: Analysis, folder: Path) -> tuple[GridloomError, ...]:
    """All errors of the input files and their events, each with its key in the analysis file; () if none is found.

    Every file is opened and searched for its trees and branches. Every expression is computed for the first events
    of each sample (types, undeclared NaN, weights, ids, classes). Samples up to a size in all are read whole for
    duplicate events and classes that the selection leaves without events or weight, in all or in a fold. Relative
    paths start at `folder`.
    """
    try:
        found = survey(analysis, folder)
    except Problems as error:  # the definitions: they concern all samples
        return error.errors
    problems = list(found.problems)
    for name, files in found.samples.items():
        problems += _first_events(analysis, name, files)
    if not problems and sum(files.entries for files in found.samples.values()) <= WHOLE_ENTRIES:
        problems += _whole(analysis, found.samples)
    return tuple(_once(problems))


def _first_events(analysis: Analysis, name: str, files: SampleFiles) -> list[GridloomError]:
    recipe = make_recipe(analysis, name)
    file = next(file for file in files.files if file.entries)
    problems: list[GridloomError] = []
    with _collected(problems), open_ntuple(analysis, recipe, file) as ntuple:
        problems += _evaluated(analysis, recipe, ntuple)
    return problems


class _collected:  # noqa: N801 - reads as a word in `with`
    """Adds the errors of its body to a list."""

    def __init__(self, problems: list[GridloomError]) -> None:
        self._problems = problems

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if isinstance(error, Problems):
            self._problems.extend(error.errors)
        elif isinstance(error, GridloomError):
            self._problems.append(error)
        return isinstance(error, GridloomError)


def _evaluated(analysis: Analysis, recipe: Recipe, ntuple: Ntuple) -> list[GridloomError]:
    """What goes wrong when every expression is computed for the first events."""
    problems: list[GridloomError] = []
    chunk = ntuple.first(FIRST_EVENTS)
    place = ntuple.place(chunk)
    keep = np.ones(len(place.entries), dtype=np.bool_)
    with _collected(problems):
        events.entry_weights(recipe, chunk.columns, place)
    for cut in recipe.selection:
        with _collected(problems):
            keep = events.cumulative((cut,), chunk.columns, keep).passed
    columns = events.masked(chunk.columns, keep, frozenset(recipe.branches))
    selected = place.only(keep)
    small = SmallValues()
    steps: list[Callable[[], object]] = [
        lambda: events.event_ids(recipe, columns, selected),
        lambda: events.labels(recipe.classes, class_names(analysis), columns, selected),
        lambda: events.factors(recipe, columns, selected),
        lambda: events.collections(recipe, columns, selected, small),
        lambda: None if recipe.target is None else events.targets(recipe.target, columns, selected),
    ]
    steps += [
        lambda cut=cut: events.cumulative((cut,), columns, np.ones(len(selected.entries), dtype=np.bool_))  # type: ignore[misc]
        for cut in recipe.training_selection
    ]
    steps += [
        lambda index=index: events.feature(recipe, index, columns, selected, small)  # type: ignore[misc]
        for index in range(len(recipe.features))
    ]
    steps.append(small.check)
    for step in steps:
        with _collected(problems):
            step()
    return problems


@dataclass(frozen=True, kw_only=True)
class _Selected:
    """The ids of a sample's selected events, the file of each, and its training events by class and fold (C, k).

    `weights` are sums of physics weights, `training` of training weights, both before the sample's scale.
    """

    ids: Ids
    files: tuple[str, ...]
    borders: tuple[int, ...]
    counts: NDArray[np.int64]
    weights: NDArray[np.float64]
    training: NDArray[np.float64]

    def file(self, row: int) -> str:
        return self.files[int(np.searchsorted(self.borders, row, side="right"))]


def _whole(analysis: Analysis, samples: dict[str, SampleFiles]) -> list[GridloomError]:
    problems: list[GridloomError] = []
    found: dict[str, _Selected] = {}
    for name, files in samples.items():
        with _collected(problems):
            found[name] = _select(analysis, name, files.files)
    if problems:
        return problems
    if analysis.event_id != ENTRY_ID:
        problems += _duplicates(analysis, found)
    problems += _classes(analysis, found)
    return problems


def _select(analysis: Analysis, name: str, files: tuple[InputFile, ...]) -> _Selected:
    """Read only what selection, ids, classes and weights need."""
    recipe = replace(make_recipe(analysis, name), features=(), collections=(), target=None)
    shape = (len(class_names(analysis)), analysis.folds)
    ids = [np.empty((0, 3), dtype=np.uint64)]
    counts = np.zeros(shape, dtype=np.int64)
    sums = np.zeros((2, *shape))
    borders: list[int] = []
    for file in files:
        with open_ntuple(analysis, recipe, file) as ntuple:
            for chunk in ntuple.chunks():
                part = _selected_events(analysis, recipe, ntuple, chunk)
                ids.append(part.ids)
                cells = (part.labels, part.folds)
                np.add.at(counts, cells, 1)
                np.add.at(sums[0], cells, part.weights)
                np.add.at(sums[1], cells, by_policy(analysis, part.weights) * part.factors)
        borders.append(sum(len(part) for part in ids))
    return _Selected(
        ids=np.concatenate(ids),
        files=tuple(file.path for file in files),
        borders=tuple(borders),
        counts=counts,
        weights=sums[0],
        training=sums[1],
    )


@dataclass(frozen=True, kw_only=True)
class _Events:
    """Ids of the selected events of a chunk; label, fold, weight and factor of those to train on."""

    ids: Ids
    labels: NDArray[np.int16]
    folds: NDArray[np.int16]
    weights: NDArray[np.float64]
    factors: NDArray[np.float64]


def _selected_events(analysis: Analysis, recipe: Recipe, ntuple: Ntuple, chunk: Chunk) -> _Events:
    place = ntuple.place(chunk)
    weights = events.entry_weights(recipe, chunk.columns, place).weights
    keep = np.ones(len(place.entries), dtype=np.bool_)
    keep = events.cumulative(recipe.selection, chunk.columns, keep).passed
    columns = events.masked(chunk.columns, keep, frozenset(recipe.branches))
    selected = place.only(keep)
    ids = events.event_ids(recipe, columns, selected)
    labels = events.labels(recipe.classes, class_names(analysis), columns, selected)
    factors = events.factors(recipe, columns, selected)
    trains = events.cumulative(recipe.training_selection, columns, labels >= 0).passed
    return _Events(
        ids=ids,
        labels=labels[trains],
        folds=fold_of(ids, analysis.folds)[trains],
        weights=weights[keep][trains],
        factors=factors[trains],
    )


def _duplicates(analysis: Analysis, found: dict[str, _Selected]) -> Iterator[GridloomError]:
    groups: list[tuple[str, ...]] = [(name,) for name in found if not analysis.samples[name].data]
    groups.append(tuple(name for name in found if analysis.samples[name].data))
    for names in groups:
        parts = [found[name] for name in names]
        if not parts:
            continue
        ids = np.concatenate([part.ids for part in parts])
        pairs = duplicate_rows(ids)
        starts = np.cumsum([0, *(len(part.ids) for part in parts)])

        def file(row: int, parts: list[_Selected] = parts, starts: np.ndarray = starts) -> str:
            number = int(np.searchsorted(starts, row, side="right")) - 1
            return parts[number].file(row - int(starts[number]))

        if len(pairs):
            texts = [
                f"({', '.join(str(int(word)) for word in ids[first])}) in {file(int(first))} and {file(int(second))}"
                for first, second in pairs[:3]
            ]
            yield duplicates_error(analysis, names, len(pairs), texts)


def _classes(analysis: Analysis, found: dict[str, _Selected]) -> Iterator[GridloomError]:
    """Classes, or classes in a fold, without events or without weight.

    Scales are positive but not known here: sums count as bad only where those of all samples are.
    """
    for index, name in enumerate(class_names(analysis)):
        samples = [sample for sample in found if name in classes_of(analysis.samples[sample])]
        parts = [found[sample] for sample in samples]
        counts = np.sum([part.counts[index] for part in parts], axis=0)
        scaled = any(analysis.samples[sample].normalisation is not None for sample in samples)
        physics = [float(part.weights[index].sum()) for part in parts]
        training = np.sum([part.training[index] for part in parts], axis=0)
        without = np.all([part.training[index] <= 0 for part in parts], axis=0)
        if not parts:
            continue
        if not counts.any():
            yield _empty_class(analysis, name, samples)
        elif max(physics) <= 0:
            where = "before normalisation" if scaled else ""
            yield bad_sum(analysis, name, sum(physics), int(counts.sum()), where)
        elif not counts.all():
            yield empty_fold(analysis, f"class `{name}`", counts)
        else:
            for fold in np.flatnonzero(without):
                where = f"fold {fold}, before normalisation" if scaled else f"fold {fold}"
                yield bad_sum(analysis, name, float(training[fold]), int(counts[fold]), where)


def _empty_class(analysis: Analysis, name: str, samples: list[str]) -> EmptyClass:
    cuts = "`selection` and `training_selection`" if analysis.training_selection else "`selection`"
    return EmptyClass(
        f"no event of class `{name}` passes {cuts}",
        where="samples " + ", ".join(f"`{sample}`" for sample in samples),
        fix="Loosen the cuts, or look at the class's conditions.",
        key=class_key(analysis, name),
    )


def _once(problems: list[GridloomError]) -> Iterator[GridloomError]:
    """An expression that is wrong for several samples is reported for the first."""
    seen: set[tuple[object, ...]] = set()
    for error in problems:
        # What is said of missing values counts the events of one sample.
        identity = (type(error), error.key, "" if isinstance(error, UndeclaredMissing) else error.what)
        if identity not in seen:
            seen.add(identity)
            yield error
