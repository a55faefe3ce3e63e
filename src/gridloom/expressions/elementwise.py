"""Comparisons, logic, choices and mathematical functions, element by element."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.expressions.arithmetic import apply, floats, numbers, same_type
from gridloom.expressions.jagged import Column, Values, any_missing, common_offsets, shaped, spread

COMPARISONS: dict[str, Any] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
    "!=": np.not_equal,
}


def floating(name: str, *columns: Column) -> Column:
    """The numpy function `name` in double precision."""
    function = getattr(np, name)
    return apply(lambda *arrays: function(*(floats(values) for values in arrays)), *columns)


# --- conditions -------------------------------------------------------------------------------------------------
def compare(operator: str, a: Column, b: Column) -> Column:
    """A comparison: false where either side is missing or NaN, `!=` too."""

    def compute(x: Values, y: Values) -> Values:
        x, y = numbers(x), numbers(y)
        result: Values = COMPARISONS[operator](x, y)
        return result & ~(_nan(x) | _nan(y)) if operator == "!=" else result

    return _certain(apply(compute, a, b))


def _nan(values: Values) -> Values:
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros((), np.bool_)


def _certain(column: Column) -> Column:
    """A condition that is false where it is missing."""
    if column.missing is None:
        return column
    return shaped(column.values & ~column.missing, column.offsets, None)


def condition(column: Column) -> Column:
    """Whether the values are other than 0; false where they are missing or NaN."""
    values = column.values
    return _certain(
        shaped(
            values if column.is_condition else (values != 0) & ~_nan(values),
            column.offsets,
            column.missing,
        )
    )


def both(a: Column, b: Column) -> Column:
    return apply(np.logical_and, _labelled(a), _labelled(b))


def either(a: Column, b: Column) -> Column:
    return apply(np.logical_or, _labelled(a), _labelled(b))


def opposite(a: Column) -> Column:
    return apply(np.logical_not, _labelled(a))


def _labelled(column: Column) -> Column:
    """As a condition under the same name, for messages."""
    certain = condition(column)
    return Column(values=certain.values, offsets=certain.offsets, label=column.label)


def is_nan(x: Column) -> Column:
    values = _nan(x.values) if x.missing is None else _nan(x.values) | x.missing
    return shaped(np.broadcast_to(values, x.values.shape), x.offsets, None)


def is_finite(x: Column) -> Column:
    return _certain(shaped(np.isfinite(floats(x.values)), x.offsets, x.missing))


def is_infinite(x: Column) -> Column:
    return _certain(shaped(np.isinf(floats(x.values)), x.offsets, x.missing))


# --- choices ----------------------------------------------------------------------------------------------------
def choose(test: Column, yes: Column, no: Column) -> Column:
    """`yes` where the condition holds, else `no`; missing only where the chosen one is."""
    certain = _labelled(test)
    columns = (certain, yes, no)
    offsets = common_offsets(columns)
    taken = spread(certain.values, certain, offsets)
    first, second = same_type(*(spread(column.values, column, offsets) for column in (yes, no)))
    values = np.where(taken, first, second)
    if yes.missing is None and no.missing is None:
        return shaped(values, offsets, None)
    return shaped(values, offsets, np.where(taken, _mask(yes, offsets), _mask(no, offsets)))


def _mask(column: Column, offsets: NDArray[np.int64] | None) -> Values:
    mask = any_missing((column,), offsets)
    return np.zeros((), np.bool_) if mask is None else mask


def alternative(x: Column, y: Column) -> Column:
    """`x`, or `y` where `x` is missing or NaN."""
    there = opposite(is_nan(x))
    return choose(Column(values=there.values, offsets=there.offsets, label=x.label), x, y)


def smaller(*columns: Column) -> Column:
    return _extreme(np.minimum, *columns)


def larger(*columns: Column) -> Column:
    return _extreme(np.maximum, *columns)


def _extreme(function: Any, *columns: Column) -> Column:
    return apply(lambda *arrays: function.reduce(np.broadcast_arrays(*same_type(*arrays))), *columns)


def clip(x: Column, low: Column, high: Column) -> Column:
    def compute(values: Values, least: Values, most: Values) -> Values:
        values, least, most = same_type(values, least, most)
        return np.asarray(np.minimum(np.maximum(values, least), most))

    return apply(compute, x, low, high)


# --- numbers ----------------------------------------------------------------------------------------------------
def absolute(x: Column) -> Column:
    return apply(lambda values: np.abs(numbers(values)), x)


def sign(x: Column, of: Column | None = None) -> Column:
    """-1, 0 or 1; with two arguments: the size of `x` with the sign of `of`."""
    if of is not None:
        return floating("copysign", x, of)
    return apply(lambda values: np.sign(numbers(values)), x)


def round_away(x: Column) -> Column:
    """Nearest integer, halves away from zero as in C++ (numpy rounds them to even)."""

    def compute(values: Values) -> Values:
        whole = np.trunc(floats(values))
        return np.asarray(whole + np.copysign(np.abs(values - whole) >= 0.5, values))

    return apply(compute, x)


def pi() -> Column:
    return Column(values=np.array(math.pi))


def nan() -> Column:
    return Column(values=np.array(math.nan))


def infinity() -> Column:
    return Column(values=np.array(math.inf))
