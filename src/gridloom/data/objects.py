"""Collections: objects of variable number, chosen, ordered, cut to a maximum and padded, by compiled loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from gridloom.data.recipe import CollectionFormulas, Formula
from gridloom.data.trees import Columns
from gridloom.errors import BranchType, KeyPath, UndeclaredMissing

Counts = NDArray[np.int64]


def objects_of(
    item: CollectionFormulas, columns: Columns, events: int, place: Callable[[int], str]
) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Padded objects (N, M, C) float32 and the numbers kept (N,).

    `place` gives the text for an event of this chunk. Raises BranchType if the expressions do not have one value per
    object of the same objects, UndeclaredMissing for NaN and infinity in an object that is kept.
    """
    # Its import takes half a second, which an analysis without collections need not wait for.
    from gridloom.data import kernels

    found = {formula.key: formula.objects(columns, events) for formula in item.formulas}
    counts = _counts(item, found)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is reported as such
        features = [_flat(found[formula.key], counts).astype(np.float32, copy=False) for formula in item.features]
    padded = kernels.pad(
        offsets,
        features,
        use=_chosen(item, found, counts),
        keys=_keys(item, found, counts),
        at_most=item.collection.at_most,
    )
    for column, formula in enumerate(item.features):
        if padded.not_finite[column]:
            raise _not_finite(item, formula, padded.objects[:, :, column], padded.counts, place)
    return padded.objects, padded.counts


def _counts(item: CollectionFormulas, found: dict[KeyPath, Any]) -> Counts:
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


def _chosen(item: CollectionFormulas, found: dict[KeyPath, Any], counts: Counts) -> NDArray[np.bool_]:
    """Which objects fulfil `where`; empty for all."""
    if item.where is None:
        return np.empty(0, dtype=np.bool_)
    condition = _flat(found[item.where.key], counts)
    return np.asarray((condition != 0) & (condition == condition), dtype=np.bool_)


def _keys(item: CollectionFormulas, found: dict[KeyPath, Any], counts: Counts) -> NDArray[np.float64]:
    """What objects are ordered by; empty for the order in the file."""
    if item.order_by is None:
        return np.empty(0)
    return _flat(found[item.order_by.key], counts).astype(np.float64)


def _not_finite(
    item: CollectionFormulas,
    formula: Formula,
    values: NDArray[np.float32],
    kept: NDArray[np.uint16],
    place: Callable[[int], str],
) -> UndeclaredMissing:
    event, position = np.nonzero(np.arange(values.shape[1]) < kept[:, None])
    values = values[event, position]
    bad = np.flatnonzero(~np.isfinite(values))
    return UndeclaredMissing(
        f"`{formula.expression}` of collection `{item.name}` is {values[bad[0]]:g} for {len(bad):,} of "
        f"{len(values):,} objects",
        where=place(int(event[bad[0]])),
        fix="Leave such objects out, e.g. `where: isfinite(...)`, or give a value: `isfinite(x) ? x : 0`.",
        key=formula.key,
    )
