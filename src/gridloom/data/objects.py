"""Collections: objects of variable number, chosen, ordered, cut to a maximum and padded, with NumPy alone.

NumPy on flat contents is several times faster than padding with awkward.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from gridloom.data.recipe import CollectionFormulas, Formula
from gridloom.data.trees import Columns
from gridloom.errors import BranchType, UndeclaredMissing

Counts = NDArray[np.int64]


def objects_of(
    item: CollectionFormulas, columns: Columns, events: int, place: Callable[[int], str]
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Padded objects (N, M, C) float32 and the numbers kept (N,).

    `place` gives the text for an event of this chunk. Raises BranchType if the expressions do not have one value per
    object of the same objects, UndeclaredMissing for NaN and infinity in an object that is kept.
    """
    found = {formula.key: formula.any_shape(columns, events) for formula in item.formulas}
    counts = _counts(item, found)
    event = np.repeat(np.arange(events), counts)
    order = _order(item, found, counts, event)
    kept_event = event[order]
    position = np.arange(len(order)) - np.searchsorted(kept_event, kept_event)
    within = position < item.collection.at_most
    order, kept_event, position = order[within], kept_event[within], position[within]
    padded = np.zeros((events, item.collection.at_most, len(item.features)), dtype=np.float32)
    for index, formula in enumerate(item.features):
        values = _flat(found[formula.key], counts)[order]
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is reported as such
            padded[kept_event, position, index] = values
        _require_finite(item, formula, padded[kept_event, position, index], kept_event, place)
    return padded, np.bincount(kept_event, minlength=events).astype(np.uint16)


def _counts(item: CollectionFormulas, found: dict[tuple[str | int, ...], Any]) -> Counts:
    """Objects per event, the same in all expressions that have one value per object."""
    known: Counts | None = None
    for formula in item.formulas:
        values = found[formula.key]
        if isinstance(values, np.ndarray):
            continue
        counts = ak.to_numpy(ak.num(values, axis=1)).astype(np.int64)
        if known is not None and not np.array_equal(known, counts):
            raise BranchType(
                f"`{formula.expression}` has other numbers of objects than `{item.features[0].expression}`",
                fix="A collection is made of expressions over the same objects.",
                key=formula.key,
            )
        known = counts
    if known is None:
        raise BranchType(
            f"the expressions of collection `{item.name}` have one value per event, not one per object",
            fix="Use branches with a list per event, e.g. `Jet_pt`; values per event belong into `features`.",
            key=("collections", item.name, "features"),
        )
    return known


def _flat(values: Any, counts: Counts) -> NDArray[Any]:
    """One value per object; a value per event is repeated for its objects."""
    if isinstance(values, np.ndarray):
        return np.repeat(values, counts)
    return np.asarray(ak.to_numpy(ak.flatten(values, axis=1)))


def _order(
    item: CollectionFormulas, found: dict[tuple[str | int, ...], Any], counts: Counts, event: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Numbers of the chosen objects: by event, within it by `order_by` (NaN last), equal ones as in the file."""
    chosen = np.arange(len(event))
    if item.where is not None:
        condition = _flat(found[item.where.key], counts)
        chosen = np.flatnonzero((condition != 0) & ~np.isnan(condition.astype(np.float64)))
    if item.order_by is not None:
        values = _flat(found[item.order_by.key], counts)[chosen]
        chosen = chosen[np.lexsort((values, event[chosen]))]
    return chosen


def _require_finite(
    item: CollectionFormulas,
    formula: Formula,
    values: NDArray[np.float32],
    event: NDArray[np.intp],
    place: Callable[[int], str],
) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise UndeclaredMissing(
            f"`{formula.expression}` of collection `{item.name}` is {values[bad[0]]:g} for {len(bad):,} of "
            f"{len(values):,} objects",
            where=place(int(event[bad[0]])),
            fix="Leave such objects out, e.g. `where: isfinite(...)`, or give a value: `isfinite(x) ? x : 0`.",
            key=formula.key,
        )
