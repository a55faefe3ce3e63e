"""From values per object to one value per event. Missing objects are left out; NaN values are not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.expressions import elementwise
from gridloom.expressions.arithmetic import floats, numbers
from gridloom.expressions.jagged import Column, Misuse, Values, common_offsets, offsets_of, select, shaped, spread

_LARGEST = 2**63


def present(column: Column) -> Column:
    """Only the objects that are there."""
    return column if column.missing is None else select(column, ~column.missing)


def reduce(function: Any, values: Values, offsets: NDArray[np.int64], empty: object) -> Values:
    """`function` (a ufunc) over the objects of each event; `empty` for events without objects."""
    filled = np.diff(offsets) > 0
    result = np.full(len(offsets) - 1, empty, dtype=values.dtype)
    if filled.any():
        with np.errstate(all="ignore"):
            result[filled] = function.reduceat(values, offsets[:-1][filled])
    return result


def total(x: Column) -> Column:
    """Sum over the objects; integers are exact, and in double precision beyond 64 bits."""
    there = present(x)
    offsets = offsets_of(there)
    values = numbers(there.values)
    if values.dtype.kind != "f":
        most = int(np.diff(offsets).max(initial=0))
        largest = max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0
        values = values.astype(np.int64) if most * largest < _LARGEST else floats(values)
    return shaped(reduce(np.add, values, offsets, 0), None, None)


def count(test: Column) -> Column:
    """How many objects fulfil a condition."""
    return total(_tested(test, "count", "For the number of objects write `len(Jet_pt)`."))


def any_of(test: Column) -> Column:
    passed = _tested(test, "any")
    return shaped(reduce(np.logical_or, passed.values, offsets_of(passed), empty=False), None, None)


def all_of(test: Column) -> Column:
    passed = _tested(test, "all")
    return shaped(reduce(np.logical_and, passed.values, offsets_of(passed), empty=True), None, None)


def _tested(test: Column, function: str, hint: str = "") -> Column:
    offsets_of(test)
    if test.is_float:
        fix = f"Write a comparison, as `{function}(Jet_pt > 30)`. {hint}".rstrip()
        raise Misuse(f"`{function}` needs a condition, and `{test.label}` is a floating-point number", fix)
    return elementwise.condition(present(test))


def length(*columns: Column) -> Column:
    """Number of objects of the first column that has values per object."""
    return shaped(np.diff(offsets_of(first_jagged(columns))), None, None)


def first_jagged(columns: tuple[Column, ...]) -> Column:
    """The first column with values per object; the first column if none has."""
    return next((column for column in columns if column.offsets is not None), columns[0])


def minimum(*columns: Column) -> Column:
    if len(columns) > 1:
        return elementwise.smaller(*columns)
    return _extreme(np.minimum, columns[0])


def maximum(*columns: Column) -> Column:
    if len(columns) > 1:
        return elementwise.larger(*columns)
    return _extreme(np.maximum, columns[0])


def _extreme(function: Any, x: Column) -> Column:
    there = present(x)
    offsets = offsets_of(there)
    return _unless_empty(reduce(function, there.values, offsets, 0), offsets)


def _unless_empty(values: Values, offsets: NDArray[np.int64]) -> Column:
    empty = np.diff(offsets) == 0
    return shaped(values, None, empty if empty.any() else None)


def minimum_if(x: Column, test: Column) -> Column:
    return _extreme(np.minimum, passing(x, test))


def maximum_if(x: Column, test: Column) -> Column:
    return _extreme(np.maximum, passing(x, test))


def passing(x: Column, test: Column) -> Column:
    """The objects of `x` that fulfil a condition per object or per event."""
    offsets_of(x)
    offsets = common_offsets((x, test))
    certain = elementwise.condition(test)
    return select(x, np.broadcast_to(spread(certain.values, certain, offsets), x.values.shape))


def mean(x: Column) -> Column:
    there = present(x)
    offsets = offsets_of(there)
    sums = reduce(np.add, floats(there.values), offsets, 0.0)
    return _unless_empty(sums / np.maximum(np.diff(offsets), 1), offsets)
