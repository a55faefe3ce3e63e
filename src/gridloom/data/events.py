"""From the columns of a chunk to the arrays of a shard: selection, weights, ids, classes, features, collections.

Every function works on one chunk and raises errors that name the file, the entry and the key of the analysis file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.data.folds import uuid_word
from gridloom.data.half import SmallValues, halved_feature, halved_objects
from gridloom.data.objects import objects_of
from gridloom.data.recipe import ClassFormulas, FeatureFormula, Formula, NamedCut, Recipe
from gridloom.data.trees import Columns
from gridloom.errors import (
    AmbiguousClass,
    BadWeights,
    BranchType,
    DoesNotFit,
    GridloomError,
    Problems,
    UndeclaredMissing,
)

_STRIP = 4096


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a chunk is from: file, its UUID, and the entry number of each of its events."""

    path: str
    uuid: str
    entries: NDArray[np.int64]

    def text(self, index: int) -> str:
        return f"{self.path}, entry {int(self.entries[index])}"

    def only(self, keep: NDArray[np.bool_]) -> Place:
        return Place(path=self.path, uuid=self.uuid, entries=self.entries[keep])


@dataclass(frozen=True, kw_only=True)
class Cutflow:
    """The masks of a chunk's entries after each part of the selection, cumulative; the last decides."""

    names: tuple[str, ...]
    masks: tuple[NDArray[np.bool_], ...]

    @property
    def passed(self) -> NDArray[np.bool_]:
        return self.masks[-1]

    @property
    def level(self) -> NDArray[np.int16]:
        """How many parts each entry has passed."""
        passed = np.zeros(len(self.passed), dtype=np.int16)
        for mask in self.masks[: len(self.names)]:
            passed += mask
        return passed


def cumulative(cuts: tuple[NamedCut, ...], columns: Columns, start: NDArray[np.bool_]) -> Cutflow:
    """Apply cuts one after the other to the events in `start`; without cuts `start` itself is the result."""
    names: list[str] = []
    masks: list[NDArray[np.bool_]] = []
    mask = start
    for cut in cuts:
        mask = mask & cut.formula.condition(columns, len(start))
        names.append(cut.name)
        masks.append(mask)
    return Cutflow(names=tuple(names), masks=tuple(masks) or (start,))


def masked(columns: Columns, keep: NDArray[np.bool_], branches: frozenset[str]) -> Columns:
    """The events to keep of the branches that are still needed."""
    if bool(keep.all()):
        return {name: column for name, column in columns.items() if name in branches}
    return {name: column[keep] for name, column in columns.items() if name in branches}


@dataclass(frozen=True, kw_only=True)
class EntryWeights:
    """Physics weights of all entries before the sample's scale, and the generator weights (None: no such)."""

    weights: NDArray[np.float64]
    generator: NDArray[np.float64] | None = None


def entry_weights(recipe: Recipe, columns: Columns, place: Place) -> EntryWeights:
    """Weights of every entry, selected or not; raises BadWeights for NaN and infinity."""
    events = len(place.entries)
    if recipe.weight is None:
        return EntryWeights(weights=np.ones(events))
    weights = _finite_weights(recipe.weight, columns, place)
    if recipe.corrections is None:
        return EntryWeights(weights=weights)
    corrections = _finite_weights(recipe.corrections, columns, place)
    return EntryWeights(weights=weights * corrections, generator=weights)


def _finite_weights(formula: Formula, columns: Columns, place: Place) -> NDArray[np.float64]:
    values = formula.numbers(columns, len(place.entries)).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise BadWeights(
            f"the weight `{formula.expression}` is not a finite number for {len(bad):,} of {len(values):,} events, "
            f"first {values[bad[0]]:g}",
            where=place.text(int(bad[0])),
            fix="Give such events a weight of their own, e.g. `isfinite(w) ? w : 1`.",
            key=formula.key,
        )
    return values


def factors(recipe: Recipe, columns: Columns, place: Place) -> NDArray[np.float64]:
    """The factor of the training weight; one for collision data."""
    if recipe.factor is None:
        return np.ones(len(place.entries))
    return _finite_weights(recipe.factor, columns, place)


def event_ids(recipe: Recipe, columns: Columns, place: Place) -> NDArray[np.uint64]:
    """Event ids (N, 3); raises BranchType for numbers that are not whole, negative, or too large to be exact."""
    ids = np.zeros((len(place.entries), 3), dtype=np.uint64)
    if not recipe.event_id:
        ids[:, 0] = np.uint64(uuid_word(place.uuid))
        ids[:, 2] = place.entries
        return ids
    for column, formula in enumerate(recipe.event_id):
        ids[:, column] = _whole(formula, columns, place)
    return ids


def _whole(formula: Formula, columns: Columns, place: Place) -> NDArray[Any]:
    values = formula.numbers(columns, len(place.entries))
    if values.dtype.kind in "bu":
        return values
    # Stored in floating point, numbers beyond this are rounded: different events would get one id.
    single = any(getattr(columns[name], "dtype", None) == np.float32 for name in formula.branches)
    limit = 2.0**24 if single else 2.0**53
    wrong = values < 0
    if values.dtype.kind == "f":
        wrong |= ~np.isfinite(values) | (values != np.floor(values)) | (values > limit)
    bad = np.flatnonzero(wrong)
    if len(bad):
        raise BranchType(
            f"the event id `{formula.expression}` must be a whole number from 0 on, exact in its type; "
            f"it is {values[bad[0]]!s} for {len(bad):,} of {len(values):,} events",
            where=place.text(int(bad[0])),
            fix="Use integer branches (run, luminosity block, event), or `event_id: entry`.",
            key=formula.key,
        )
    return values


def labels(classes: ClassFormulas | None, names: tuple[str, ...], columns: Columns, place: Place) -> NDArray[np.int16]:
    """Class index of each event, -1 without classes; raises AmbiguousClass."""
    events = len(place.entries)
    if classes is None:
        return np.full(events, -1, dtype=np.int16)
    if classes.label is not None:
        return np.full(events, classes.label, dtype=np.int16)
    found = np.full(events, -1 if classes.otherwise is None else classes.otherwise, dtype=np.int16)
    times = np.zeros(events, dtype=np.int16)
    for index, formula in classes.conditions:
        fulfilled = formula.condition(columns, events)
        found[fulfilled] = index
        times += fulfilled
    wrong = times > 1 if classes.otherwise is not None else times != 1
    if wrong.any():
        raise _ambiguous(classes, names, columns, place, times)
    return found


def _ambiguous(
    classes: ClassFormulas, names: tuple[str, ...], columns: Columns, place: Place, times: NDArray[np.int16]
) -> AmbiguousClass:
    events = len(place.entries)
    several = np.flatnonzero(times > 1)
    none = np.flatnonzero(times == 0) if classes.otherwise is None else np.empty(0, dtype=np.intp)
    texts = []
    if len(several):
        first = int(several[0])
        which = [
            f"`{names[index]}`" for index, formula in classes.conditions if formula.condition(columns, events)[first]
        ]
        texts.append(f"{len(several):,} of {events:,} events belong to more than one class, the first to {_and(which)}")
    if len(none):
        texts.append(f"{len(none):,} of {events:,} events belong to no class")
    example = int((several if len(several) else none)[0])
    return AmbiguousClass(
        "; ".join(texts),
        where=place.text(example),
        fix="Make the conditions exclude each other, and give one class `otherwise`, or cut the rest in `selection`.",
        key=classes.key,
    )


def _and(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else "".join(words)


def targets(formula: Formula, columns: Columns, place: Place) -> NDArray[np.float64]:
    """Regression targets; raises UndeclaredMissing for NaN and infinity."""
    values = formula.numbers(columns, len(place.entries)).astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise UndeclaredMissing(
            f"the regression target `{formula.expression}` is {values[bad[0]]:g} for {len(bad):,} of "
            f"{len(values):,} events",
            where=place.text(int(bad[0])),
            fix="Cut these events in `selection`, e.g. `isfinite(...)`.",
            key=formula.key,
        )
    return values


def features(recipe: Recipe, columns: Columns, place: Place, small: SmallValues | None = None) -> NDArray[np.float32]:
    """Flat features (N, F), raw, as they are stored; raises what `feature` raises, or Problems with all of it."""
    found: list[NDArray[np.float32]] = []
    problems: list[GridloomError] = []
    for index in range(len(recipe.features)):
        try:
            found.append(feature(recipe, index, columns, place, small))
        except (UndeclaredMissing, DoesNotFit) as error:
            problems.append(error)
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return as_rows(found, len(place.entries))


def as_rows(columns: Sequence[NDArray[np.float32]], events: int) -> NDArray[np.float32]:
    """Columns as a row-major matrix (N, F); strip by strip, since whole columns would leave the processor's cache."""
    matrix = np.empty((events, len(columns)), dtype=np.float32)
    strip = np.empty((len(columns), min(_STRIP, events)), dtype=np.float32)
    for begin in range(0, events, _STRIP):
        part = strip[:, : min(_STRIP, events - begin)]
        for index, column in enumerate(columns):
            part[index] = column[begin : begin + _STRIP]
        matrix[begin : begin + _STRIP] = part.T
    return matrix


def feature(
    recipe: Recipe, index: int, columns: Columns, place: Place, small: SmallValues | None = None
) -> NDArray[np.float32]:
    """One flat feature (N,), raw, as it is stored.

    Raises UndeclaredMissing for NaN or infinity that is not declared, DoesNotFit.
    """
    item = recipe.features[index]
    # What is too large for float32 has become infinite, and is reported as such.
    values = item.formula.singles(columns, len(place.entries))
    error = _undeclared(item, values, place)
    if error is not None:
        raise error
    return halved_feature(item, values, place.text, small) if recipe.half else values


def _undeclared(item: FeatureFormula, values: NDArray[np.float32], place: Place) -> GridloomError | None:
    if bool(np.isfinite(values).all()):
        return None
    declared = item.feature.missing
    nan = np.isnan(values) & ("nan" not in declared)
    infinite = np.isinf(values) & ("inf" not in declared)
    bad = np.flatnonzero(nan | infinite)
    if not len(bad):
        return None
    kinds = [
        f"{word} for {int(count):,}" for word, count in (("NaN", nan.sum()), ("infinite", infinite.sum())) if count
    ]
    words = [word for word, mask in (("nan", nan), ("inf", infinite)) if mask.any()]
    known = [value if isinstance(value, str) else f"{value:g}" for value in declared]
    missing = ", ".join((*known, *words))
    line = f"[{missing}]" if "," in missing else missing
    return UndeclaredMissing(
        f"feature `{item.feature.name}` is {_and(kinds)} of {len(values):,} events and declares no such missing values",
        where=place.text(int(bad[0])),
        fix=f"If that means `not there` (as `Jet_pt[0]` without jets), add `missing: {line}` to the feature; "
        "otherwise cut these events in `selection`.",
        key=item.formula.key[:2],
    )


def there(recipe: Recipe, matrix: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where features (N, F) hold a value: finite and none of the declared sentinels."""
    known = np.isfinite(matrix)
    for index, item in enumerate(recipe.features):
        for sentinel in item.feature.missing:
            if not isinstance(sentinel, str):
                known[:, index] &= matrix[:, index] != np.float32(sentinel)
    return known


def collections(
    recipe: Recipe, columns: Columns, place: Place, small: SmallValues | None = None
) -> Mapping[str, tuple[NDArray[np.float32], NDArray[np.uint16]]]:
    """name -> padded objects (N, M, C) as they are stored, and how many there are (N,).

    Raises UndeclaredMissing, BranchType, DoesNotFit.
    """
    found: dict[str, tuple[NDArray[np.float32], NDArray[np.uint16]]] = {}
    for item in recipe.collections:
        objects, counts = objects_of(item, columns, len(place.entries), place.text)
        if recipe.half:
            objects = halved_objects(item, objects, counts, place.text, small)
        found[item.name] = (objects, counts)
    return found
