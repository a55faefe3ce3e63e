"""A column of one chunk of events as flat numpy arrays, and how columns of different shapes come together.

A column is a constant (0-d values), has one value per event (N values), or one value per object (all objects of all
events one after the other, with offsets). Values are bool, int64, uint64 or float64; what is missing (an object that
the event does not have) is kept in a mask, so that a column's type depends on its branches and not on the events
(but for integers beyond 64 bits, which go on in double precision).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]


class Misuse(Exception):
    """A function or operator cannot work on these columns; the evaluation adds where in the text."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


class WrongType(Misuse):
    """A branch holds something else than numbers or lists of numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """Values, with `offsets` (events + 1) if there is one per object, and a mask of those that are missing."""

    values: Values
    offsets: NDArray[np.int64] | None = None
    missing: NDArray[np.bool_] | None = None
    label: str = ""

    @property
    def is_constant(self) -> bool:
        return self.offsets is None and self.values.ndim == 0

    @property
    def is_condition(self) -> bool:
        return self.values.dtype.kind == "b"

    @property
    def is_float(self) -> bool:
        return self.values.dtype.kind == "f"


# --- in and out -------------------------------------------------------------------------------------------------
def from_array(array: Any, label: str) -> Column:
    """A column from a numpy or awkward array of one chunk; raises WrongType for anything but numbers."""
    if isinstance(array, np.ndarray) and array.ndim == 1:
        return Column(values=_numbers(array, label), label=label)
    if isinstance(array, np.ndarray):
        array = ak.from_numpy(array)
    if not isinstance(array, ak.Array):
        raise TypeError(f"column {label}: expected a numpy or awkward array, not {type(array).__name__}")
    _require_numbers(array, label)
    if array.ndim == 1:
        values, missing = _filled(array, label)
        return Column(values=values, missing=missing, label=label)
    lists = ak.fill_none(array, [], axis=0)
    offsets = np.concatenate([[0], np.cumsum(np.asarray(ak.num(lists, axis=1), dtype=np.int64))]).astype(np.int64)
    values, missing = _filled(ak.flatten(lists, axis=1), label)
    return Column(values=values, offsets=offsets, missing=missing, label=label)


def _require_numbers(array: Any, label: str) -> None:
    text = array.layout.purelist_parameter("__array__") in ("string", "bytestring", "char", "byte")
    if text:
        raise WrongType(f"branch `{label}` holds text, not numbers", "Use a branch of numbers.")
    if ak.fields(array):
        raise WrongType(
            f"branch `{label}` holds structures, not numbers",
            f"Use one of its members: {', '.join(f'`{label}.{field}`' for field in ak.fields(array)[:5])}.",
        )
    if array.ndim > 2:
        raise WrongType(f"branch `{label}` holds lists of lists", "Use a branch with at most one list per event.")


def _filled(array: Any, label: str) -> tuple[Values, NDArray[np.bool_] | None]:
    missing = np.asarray(ak.is_none(array), dtype=np.bool_)
    if not missing.any():
        return _numbers(ak.to_numpy(ak.drop_none(array), allow_missing=False), label), None
    return _numbers(ak.to_numpy(ak.fill_none(array, 0), allow_missing=False), label), missing


def _numbers(values: Values, label: str) -> Values:
    """Values in one of the four types that expressions compute with."""
    if values.dtype.kind == "b":
        return values
    if values.dtype.kind == "f":
        return values.astype(np.float64, copy=False)
    if values.dtype.kind == "i" or (values.dtype.kind == "u" and values.dtype.itemsize < 8):
        return values.astype(np.int64, copy=False)
    if values.dtype.kind == "u":
        return values.astype(np.uint64, copy=False)
    raise WrongType(f"branch `{label}` holds {values.dtype.name}, not numbers", "Use a branch of numbers.")


def to_array(column: Column, events: int) -> Any:
    """A numpy array (events,), or an awkward array of lists of numbers; missing values become NaN."""
    values = column.values
    if column.missing is not None:
        values = np.where(column.missing, np.nan, values.astype(np.float64))
    if column.offsets is not None:
        offsets = ak.index.Index64(column.offsets)
        return ak.Array(ak.contents.ListOffsetArray(offsets, ak.contents.NumpyArray(values)))
    return np.full(events, values[()]) if values.ndim == 0 else values


# --- shapes -----------------------------------------------------------------------------------------------------
def common_offsets(columns: Sequence[Column]) -> NDArray[np.int64] | None:
    """The offsets shared by all columns with values per object; None without such a column.

    Raises Misuse when two of them have different numbers of objects in an event.
    """
    jagged = [column for column in columns if column.offsets is not None]
    for other in jagged[1:]:
        _require_same(jagged[0], other)
    return jagged[0].offsets if jagged else None


def _require_same(first: Column, other: Column) -> None:
    if first.offsets is other.offsets or np.array_equal(offsets_of(first), offsets_of(other)):
        return
    counts = np.diff(offsets_of(first)), np.diff(offsets_of(other))
    event = int(np.argmax(counts[0] != counts[1]))
    raise Misuse(
        f"`{first.label}` and `{other.label}` have different numbers of objects "
        f"({counts[0][event]} and {counts[1][event]} in entry {event} of this chunk)",
        "Only values of the same objects combine one by one; pick one object, `Jet_pt[0]`, or use `sum`, `max`, ...",
    )


def offsets_of(column: Column) -> NDArray[np.int64]:
    """The offsets of a column with values per object; raises Misuse for any other column."""
    if column.offsets is None:
        has = "is a constant" if column.is_constant else "has one value per event"
        raise Misuse(f"`{column.label}` {has}, not one per object", "Use a branch with values per object, as `Jet_pt`.")
    return column.offsets


def spread(values: Values, column: Column, offsets: NDArray[np.int64] | None) -> Values:
    """Values of one column in the shape of `offsets`: those per event are repeated for each of its objects."""
    if offsets is None or column.offsets is not None or values.ndim == 0:
        return values
    return np.repeat(values, np.diff(offsets))


def any_missing(columns: Sequence[Column], offsets: NDArray[np.int64] | None) -> Values | None:
    """Where any of the columns is missing; None if none is anywhere."""
    masks = [spread(column.missing, column, offsets) for column in columns if column.missing is not None]
    return np.logical_or.reduce(np.broadcast_arrays(*masks)) if masks else None


def shaped(values: Values, offsets: NDArray[np.int64] | None, missing: Values | None) -> Column:
    """A column whose mask has the shape of its values."""
    values = np.asarray(values)
    return Column(
        values=values, offsets=offsets, missing=None if missing is None else np.broadcast_to(missing, values.shape)
    )


def select(column: Column, keep: NDArray[np.bool_]) -> Column:
    """Only the objects where `keep`."""
    offsets = offsets_of(column)
    kept = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])
    return Column(
        values=column.values[keep],
        offsets=kept[offsets],
        missing=None if column.missing is None else column.missing[keep],
        label=column.label,
    )
