"""Events that are there twice: the same id within a simulated sample, or anywhere in the collision data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import ENTRY_ID, Analysis
from gridloom.data.folds import Ids, hash_of
from gridloom.errors import DuplicateEvents, KeyPath

if TYPE_CHECKING:
    from gridloom.data.dataset import Dataset

_SHOWN = 3
_CHUNK = 500_000


def duplicate_rows(ids: Ids) -> NDArray[np.int64]:
    """Rows (P, 2) of pairs with the same id: the first event and a later one; ids of shape (N, 3)."""
    hashes = hash_of(ids)
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    start = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(ids) else np.empty(0, dtype=np.bool_)
    first = order[np.maximum.accumulate(np.where(start, np.arange(len(ids)), 0))] if len(ids) else order
    pairs = np.stack([first[~start], order[~start]], axis=1)
    # The same hash of different ids: less than one in a million even for ten million events, but cheap to exclude.
    same: NDArray[np.bool_] = np.all(ids[pairs[:, 0]] == ids[pairs[:, 1]], axis=1)
    return pairs[same]


def find_duplicates(analysis: Analysis, dataset: Dataset) -> Iterator[DuplicateEvents]:
    """DuplicateEvents for every simulated sample, and for all collision data together."""
    groups: list[tuple[str, ...]] = [(name,) for name, sample in analysis.samples.items() if not sample.data]
    groups.append(tuple(name for name, sample in analysis.samples.items() if sample.data))
    for names in groups:
        numbers = [dataset.sample_names.index(name) for name in names]
        rows = np.flatnonzero(np.isin(dataset.sample, numbers))
        if not _may_repeat(dataset, rows):
            continue
        pairs = rows[duplicate_rows(dataset.ids(rows))]
        if len(pairs):
            yield duplicates_error(analysis, names, len(pairs), _examples(dataset, pairs[:_SHOWN]))


def _may_repeat(dataset: Dataset, rows: NDArray[np.intp]) -> bool:
    """Whether two events have one hash: without holding the ids of all events in memory."""
    hashes = np.empty(len(rows), dtype=np.uint64)
    for begin in range(0, len(rows), _CHUNK):
        hashes[begin : begin + _CHUNK] = hash_of(dataset.ids(rows[begin : begin + _CHUNK]))
    hashes.sort()
    return bool(np.any(hashes[1:] == hashes[:-1]))


def _examples(dataset: Dataset, pairs: NDArray[np.intp]) -> list[str]:
    texts = []
    for first, second in pairs:
        words = ", ".join(str(int(word)) for word in dataset.ids(np.array([first]))[0])
        texts.append(f"({words}) in {file_of_row(dataset, int(first))} and {file_of_row(dataset, int(second))}")
    return texts


def file_of_row(dataset: Dataset, row: int) -> str:
    """The path of the file that an event was read from."""
    number = int(np.searchsorted(dataset.starts, row, side="right")) - 1
    position = row - int(dataset.starts[number])
    for file in dataset.shards[number].statistics.files:
        if position < file.selected:
            return file.path
        position -= file.selected
    raise IndexError(f"row {row} is in no file")


def duplicates_error(analysis: Analysis, names: tuple[str, ...], count: int, examples: list[str]) -> DuplicateEvents:
    """The error for `count` events of these samples whose id is there before; examples as text."""
    whose = f"sample `{names[0]}`" if len(names) == 1 else "the data samples " + ", ".join(f"`{n}`" for n in names)
    by_entry = analysis.event_id == ENTRY_ID
    id_text = "file UUID and entry" if by_entry else f"({', '.join(analysis.event_id)})"
    fix = (
        "The same file is there twice under two names: list it once."
        if by_entry
        else "Remove the files or events that are there twice. If the ids are not unique by nature (several objects "
        "per event, productions that count from one again), add what tells them apart to `event_id`, or use "
        "`event_id: entry`."
    )
    key: KeyPath = ("event_id",) if len(names) > 1 else ("samples", names[0], "files")
    return DuplicateEvents(
        f"{count:,} events of {whose} have the same id {id_text} as an earlier one: " + "; ".join(examples),
        fix=fix,
        key=key,
    )
