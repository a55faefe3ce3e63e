"""Picking objects: by number, by another branch of numbers, or by a condition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridloom.expressions.jagged import Column, Misuse, Values, offsets_of, shaped, spread
from gridloom.expressions.reductions import first_jagged, passing


def pick(base: Column, index: Column) -> Column:
    """`base[index]`: by a condition per object, the objects that pass; by integers, the objects of these numbers.

    Objects that an event does not have are missing; so are those of negative number, as cross-references to no
    object have it.
    """
    offsets = offsets_of(base)
    if index.is_condition:
        if index.offsets is None:
            raise Misuse(
                f"index `{index.label}` is a condition per event", "Use a condition per object, or `condition ? a : b`."
            )
        return passing(base, index)
    if index.is_float:
        raise Misuse(f"index `{index.label}` is not an integer", "Use an integer or a condition per object.")
    numbers = index.values.astype(np.int64)
    if index.offsets is None:
        return _gather(base, offsets[:-1], np.diff(offsets), numbers, index.missing, None)
    starts = spread(offsets[:-1], Column(values=offsets[:-1]), index.offsets)
    counts = spread(np.diff(offsets), Column(values=offsets[:-1]), index.offsets)
    return _gather(base, starts, counts, numbers, index.missing, index.offsets)


def first(x: Column) -> Column:
    return pick(x, Column(values=np.array(0)))


def last(x: Column) -> Column:
    return pick(x, Column(values=np.diff(offsets_of(x)) - 1))


def iteration(*columns: Column) -> Column:
    """The number of each object within its event."""
    offsets = offsets_of(first_jagged(columns))
    starts = np.repeat(offsets[:-1], np.diff(offsets))
    return shaped(np.arange(offsets[-1], dtype=np.int64) - starts, offsets, None)


def _gather(
    base: Column,
    starts: NDArray[np.int64],
    counts: NDArray[np.int64],
    numbers: NDArray[np.int64],
    missing: Values | None,
    offsets: NDArray[np.int64] | None,
) -> Column:
    """`base` at `starts + numbers`, missing where `numbers` is outside `counts`."""
    absent = (numbers < 0) | (numbers >= counts)
    if missing is not None:
        absent |= missing
    where = np.where(absent, 0, starts + numbers)
    if base.missing is not None and base.missing.size:
        absent = absent | base.missing[where]
    values = base.values[where] if base.values.size else np.zeros(absent.shape, base.values.dtype)
    return shaped(values, offsets, absent if absent.any() else None)
