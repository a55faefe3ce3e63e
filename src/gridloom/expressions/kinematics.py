"""Angles, masses and transverse momenta, with scikit-hep's `vector`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import vector

from gridloom.expressions.arithmetic import apply, floats
from gridloom.expressions.jagged import Column, Values, any_missing, common_offsets, offsets_of, select, shaped, spread
from gridloom.expressions.reductions import reduce


def _apply(function: Callable[..., Values], *columns: Column) -> Column:
    """`function` of the values as one-dimensional arrays of doubles of the same length."""

    def compute(*arrays: Values) -> Values:
        same = np.broadcast_arrays(*(floats(values) for values in arrays))
        return np.asarray(function(*(np.atleast_1d(values) for values in same))).reshape(same[0].shape)

    return apply(compute, *columns)


def delta_phi(phi1: Column, phi2: Column) -> Column:
    def compute(a: Values, b: Values) -> Values:
        one = np.ones_like(a)
        return np.asarray(vector.array({"rho": one, "phi": a}).deltaphi(vector.array({"rho": one, "phi": b})))

    return _apply(compute, phi1, phi2)


def delta_r(eta1: Column, phi1: Column, eta2: Column, phi2: Column) -> Column:
    def compute(e1: Values, p1: Values, e2: Values, p2: Values) -> Values:
        one = np.ones_like(e1)
        first = vector.array({"rho": one, "phi": p1, "eta": e1})
        return np.asarray(first.deltaR(vector.array({"rho": one, "phi": p2, "eta": e2})))

    return _apply(compute, eta1, phi1, eta2, phi2)


def transverse_mass(pt1: Column, phi1: Column, pt2: Column, phi2: Column) -> Column:
    """In the form with the sine of half the angle, which does not cancel at small angles."""

    def compute(first: Values, a: Values, second: Values, b: Values) -> Values:
        return np.asarray(2 * np.sqrt(first * second) * np.abs(np.sin((a - b) / 2)))

    return _apply(compute, pt1, phi1, pt2, phi2)


def invariant_mass(*columns: Column) -> Column:
    """Of the sum of a collection (four columns), or of as many objects as there are groups of four columns.

    The sign of a space-like sum is negative, as TLorentzVector::M has it.
    """
    if len(columns) > 4:
        return _apply(
            lambda *arrays: _mass(*np.sum([_momentum(*group) for group in _grouped(arrays, 4)], axis=0)), *columns
        )
    sums, counts = _summed(_momentum, columns)
    return shaped(_mass(*sums), None, counts == 0 if (counts == 0).any() else None)


def pt_of_sum(*columns: Column) -> Column:
    """Of the sum of a collection (two columns), or of as many objects as there are pairs of columns."""
    if len(columns) > 2:
        return _apply(
            lambda *arrays: np.hypot(*np.sum([_transverse(*group) for group in _grouped(arrays, 2)], axis=0)), *columns
        )
    sums, _ = _summed(_transverse, columns)
    return shaped(np.hypot(*sums), None, None)


def _grouped(arrays: Sequence[Values], size: int) -> list[Sequence[Values]]:
    return [arrays[start : start + size] for start in range(0, len(arrays), size)]


def _momentum(pt: Values, eta: Values, phi: Values, mass: Values) -> tuple[Values, ...]:
    four: Any = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    return four.px, four.py, four.pz, four.E


def _mass(px: Values, py: Values, pz: Values, energy: Values) -> Values:
    return np.asarray(vector.array({"px": px, "py": py, "pz": pz, "E": energy}).mass)


def _transverse(pt: Values, phi: Values) -> tuple[Values, ...]:
    two: Any = vector.array({"pt": pt, "phi": phi})
    return two.px, two.py


def _summed(components: Callable[..., tuple[Values, ...]], columns: Sequence[Column]) -> tuple[list[Values], Values]:
    """Sums of the components over the objects of each event, and the numbers of objects; missing ones are left out."""
    offsets = common_offsets(columns)
    missing = any_missing(columns, offsets)
    if offsets is None:
        offsets = offsets_of(columns[0])
    objects = int(offsets[-1])
    arrays = [np.broadcast_to(floats(spread(column.values, column, offsets)), (objects,)) for column in columns]
    with np.errstate(all="ignore"):
        parts = [Column(values=values, offsets=offsets) for values in components(*arrays)]
    if missing is not None:
        parts = [select(part, ~np.broadcast_to(missing, (objects,))) for part in parts]
    kept = offsets_of(parts[0])
    return [reduce(np.add, part.values, kept, 0.0) for part in parts], np.diff(kept)
