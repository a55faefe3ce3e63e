"""Compiled loops over events, for what NumPy does in many passes and awkward with a copy for each step.

numba compiles them at their first call and keeps the result beside this file, or in the user's cache folder, or, where
neither can be written (a read-only container), for the process alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Events that are padded at once.
_EVENTS = 1024


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no place for the cache
        return njit(nogil=True)(function)


@_compiled
def choose(
    offsets: NDArray[np.int64], use: NDArray[np.bool_], keys: NDArray[np.float64], at_most: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Numbers of the first `at_most` objects of each event, (N, at_most), and how many there are, (N,).

    `offsets` (N + 1,): objects of event i are those from offsets[i] up to offsets[i + 1]. `use` (n,), or empty for all:
    objects that may be taken. `keys` (n,), or empty: in rising order of these, NaN last, equal ones as they come.
    """
    events = len(offsets) - 1
    index = np.zeros((events, at_most), dtype=np.int64)
    counts = np.zeros(events, dtype=np.uint16)
    for event in range(events):
        kept = 0
        for item in range(offsets[event], offsets[event + 1]):
            if len(use) and not use[item]:
                continue
            if not len(keys):
                if kept == at_most:
                    break
                index[event, kept] = item
                kept += 1
                continue
            place = kept
            key = keys[item]
            while place > 0:
                before = keys[index[event, place - 1]]
                if key < before or (np.isnan(before) and not np.isnan(key)):
                    place -= 1
                else:
                    break
            if place >= at_most:
                continue
            kept = min(kept + 1, at_most)
            for move in range(kept - 1, place, -1):
                index[event, move] = index[event, move - 1]
            index[event, place] = item
        counts[event] = kept
    return index, counts


@_compiled
def fill(
    out: NDArray[np.float32],
    column: int,
    values: NDArray[np.float32],
    index: NDArray[np.int64],
    counts: NDArray[np.uint16],
) -> int:
    """Write one feature of the chosen objects into out[:, :, column], zero where there is none.

    Gives the number of values that are not finite.
    """
    bad = 0
    for event in range(len(counts)):
        for place in range(counts[event]):
            value = values[index[event, place]]
            out[event, place, column] = value
            bad += value - value != 0  # so of what is not finite; without a branch
        for place in range(counts[event], out.shape[1]):
            out[event, place, column] = 0.0
    return bad


@_compiled
def fill_first(out: NDArray[np.float32], column: int, values: NDArray[np.float32], offsets: NDArray[np.int64]) -> int:
    """As `fill`, for the first objects of each event as they come."""
    bad = 0
    for event in range(len(offsets) - 1):
        # Slices, since their indices cannot be negative, which would be looked at for each.
        taken = values[offsets[event] : min(offsets[event + 1], offsets[event] + out.shape[1])]
        row = out[event, :, column]
        for place in range(len(taken)):
            value = taken[place]
            row[place] = value
            bad += value - value != 0
        for place in range(len(taken), len(row)):
            row[place] = 0.0
    return bad


@dataclass(frozen=True, kw_only=True)
class Padded:
    """Objects (N, M, C) padded with zero, how many there are (N,), and of each feature how many are not finite."""

    objects: NDArray[np.float32]
    counts: NDArray[np.uint16]
    not_finite: tuple[int, ...]


def pad(
    offsets: NDArray[np.int64],
    features: Sequence[NDArray[np.float32]],
    *,
    use: NDArray[np.bool_],
    keys: NDArray[np.float64],
    at_most: int,
) -> Padded:
    """Pad lists to (N, at_most, features), chosen as by `choose`; some events after the other, for the cache."""
    events = len(offsets) - 1
    objects = np.empty((events, at_most, len(features)), dtype=np.float32)
    counts = np.empty(events, dtype=np.uint16)
    bad = [0] * len(features)
    simple = not len(use) and not len(keys)
    if simple:
        counts[:] = np.minimum(np.diff(offsets), at_most)
    for begin in range(0, events, _EVENTS):
        end = min(begin + _EVENTS, events)
        part, within = objects[begin:end], offsets[begin : end + 1]
        if not simple:
            index, counts[begin:end] = choose(within, use, keys, at_most)
        for column, values in enumerate(features):
            bad[column] += (
                fill_first(part, column, values, within)
                if simple
                else fill(part, column, values, index, counts[begin:end])
            )
    return Padded(objects=objects, counts=counts, not_finite=tuple(bad))
