"""Arithmetic and bits: integers are exact and never wrap around, everything else is in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.expressions.jagged import Column, Misuse, Values, any_missing, common_offsets, shaped, spread

_LARGEST = 2**63


def apply(function: Callable[..., Values], *columns: Column) -> Column:
    """`function` of the values, element by element; missing where an argument is."""
    offsets = common_offsets(columns)
    with np.errstate(all="ignore"):
        values = function(*(spread(column.values, column, offsets) for column in columns))
    return shaped(values, offsets, any_missing(columns, offsets))


def floats(values: Values) -> NDArray[np.float64]:
    return values.astype(np.float64, copy=False)


def numbers(values: Values) -> Values:
    """Conditions as integers 0 and 1."""
    return values.astype(np.int64) if values.dtype.kind == "b" else values


def same_type(*arrays: Values) -> list[Values]:
    """All conditions, or all int64, or all float64."""
    if all(values.dtype.kind == "b" for values in arrays):
        return list(arrays)
    small = [numbers(values) for values in arrays]
    if any(values.dtype.kind == "f" for values in small) or not all(_is_signed(values) for values in small):
        return [floats(values) for values in small]
    return [values.astype(np.int64) for values in small]


def _is_signed(values: Values) -> bool:
    """Whether all values fit int64."""
    return values.dtype.kind == "i" or values.size == 0 or int(values.max()) < _LARGEST


def _exact(function: Any, a: Values, b: Values) -> Values:
    """`+`, `-` or `*`: in int64 when that is safe, else in Python's integers, rounded to double beyond 64 bits."""
    a, b = numbers(a), numbers(b)
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        result: Values = function(floats(a), floats(b))
        return result
    corners = [function(x, y) for x in _range(a) for y in _range(b)]
    if _is_signed(a) and _is_signed(b) and min(corners) >= -_LARGEST and max(corners) < _LARGEST:
        return np.asarray(function(a.astype(np.int64), b.astype(np.int64)))
    whole = np.asarray(function(a.astype(object), b.astype(object)), dtype=object)
    try:
        return whole.astype(np.int64)
    except OverflowError:
        return whole.astype(np.float64)


def _range(values: Values) -> tuple[object, object]:
    """Smallest and largest as Python integers in an object array, which numpy's functions do not wrap around."""
    if values.size == 0:
        return _object(0), _object(0)
    return _object(int(values.min())), _object(int(values.max()))


def _object(value: int) -> NDArray[np.object_]:
    return np.array(value, dtype=object)


def add(a: Column, b: Column) -> Column:
    return apply(lambda x, y: _exact(np.add, x, y), a, b)


def subtract(a: Column, b: Column) -> Column:
    return apply(lambda x, y: _exact(np.subtract, x, y), a, b)


def multiply(a: Column, b: Column) -> Column:
    return apply(lambda x, y: _exact(np.multiply, x, y), a, b)


def divide(a: Column, b: Column) -> Column:
    """True division, of integers too."""
    return apply(lambda x, y: np.divide(floats(x), floats(y)), a, b)


def power(a: Column, b: Column) -> Column:
    return apply(lambda x, y: np.power(floats(x), floats(y)), a, b)


def negative(a: Column) -> Column:
    return apply(lambda x: _exact(np.subtract, np.zeros((), np.int64), x) if x.dtype.kind != "f" else -x, a)


def positive(a: Column) -> Column:
    return apply(numbers, a)


def remainder(a: Column, b: Column) -> Column:
    """Remainder with the sign of `a`, as in C++; missing where integers are divided by zero."""
    result = apply(_remainder, a, b)
    if result.is_float:
        return result
    offsets = result.offsets
    zero = np.broadcast_to(spread(numbers(b.values), b, offsets) == 0, result.values.shape)
    missing = zero if result.missing is None else zero | result.missing
    return shaped(result.values, offsets, missing if missing.any() else None)


def _remainder(a: Values, b: Values) -> Values:
    a, b = numbers(a), numbers(b)
    if a.dtype.kind == "f" or b.dtype.kind == "f":
        return np.fmod(floats(a), floats(b))
    divisor = np.where(b == 0, np.ones((), b.dtype), b)
    if a.dtype == b.dtype:
        return np.asarray(np.fmod(a, divisor))
    sizes = np.fmod(_size(a), _size(divisor))
    return sizes if a.dtype.kind == "u" else np.where(a < 0, -sizes.astype(np.int64), sizes.astype(np.int64))


def _size(values: Values) -> NDArray[np.uint64]:
    """Absolute value as uint64, also of the smallest int64."""
    wrapped = values.astype(np.uint64)
    return wrapped if values.dtype.kind == "u" else np.where(values < 0, np.uint64(0) - wrapped, wrapped)


# --- bits -------------------------------------------------------------------------------------------------------
def bit_and(a: Column, b: Column) -> Column:
    return _bits(np.bitwise_and, "&", a, b)


def bit_or(a: Column, b: Column) -> Column:
    return _bits(np.bitwise_or, "|", a, b)


def bit_not(a: Column) -> Column:
    _require_bits("~", a)
    return apply(np.invert, a)


def shift_left(a: Column, b: Column) -> Column:
    return _shift(np.left_shift, "<<", a, b)


def shift_right(a: Column, b: Column) -> Column:
    return _shift(np.right_shift, ">>", a, b)


def _bits(function: Any, operator: str, a: Column, b: Column) -> Column:
    _require_bits(operator, a, b)
    if a.is_condition != b.is_condition:
        raise Misuse(
            f"`{operator}` between an integer and a condition",
            f"Write `(flags & 4) == 4` to test bits, `{operator * 2}` to combine conditions.",
        )

    def compute(x: Values, y: Values) -> Values:
        if x.dtype != y.dtype:
            x, y = x.astype(np.uint64), y.astype(np.uint64)
        return np.asarray(function(x, y))

    return apply(compute, a, b)


def _shift(function: Any, operator: str, a: Column, b: Column) -> Column:
    """Missing where the shift is not from 0 to 63, which C++ leaves undefined."""
    _require_bits(operator, a, b)

    def compute(x: Values, y: Values) -> Values:
        x, y = numbers(x), numbers(y)
        return np.asarray(function(x, np.where((y < 0) | (y > 63), 0, y).astype(x.dtype)))

    result = apply(compute, a, b)
    count = np.broadcast_to(spread(numbers(b.values), b, result.offsets), result.values.shape)
    outside = (count < 0) | (count > 63)
    missing = outside if result.missing is None else outside | result.missing
    return shaped(result.values, result.offsets, missing if missing.any() else None)


def _require_bits(operator: str, *columns: Column) -> None:
    for column in columns:
        if column.is_float:
            raise Misuse(
                f"`{operator}` works on integers and conditions, and `{column.label}` is a floating-point number",
                "Use `&&` and `||` for conditions.",
            )
