"""Compiled loops over events, for what NumPy does in many passes and awkward with a copy for each step.

numba compiles them at their first call and keeps the result beside this file, or in the user's cache folder, or, where
neither can be written (a read-only container), for the process alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


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
    """Write one feature of the chosen objects into out[:, :, column]; how many of them are not finite."""
    bad = 0
    for event in range(len(counts)):
        for place in range(counts[event]):
            value = values[index[event, place]]
            out[event, place, column] = value
            if not np.isfinite(value):
                bad += 1
    return bad
