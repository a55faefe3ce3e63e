"""A shard from another one of the same events: only features that it does not have are read from the files.

The result is, bit for bit, what reading everything would give. So a shard serves as donor only if its origin is of the
same family (same files, selection, weights, ids, collections), all its checksums are right, and no file was lost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.catalogue import LostFile
from gridloom.data import events
from gridloom.data.blocks import BLOCK_ROWS, Arrays
from gridloom.data.half import SmallValues
from gridloom.data.ntuple import Ntuple, open_ntuple
from gridloom.data.recipe import Recipe
from gridloom.data.shard import Shard, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.data.summary import moment_arrays, moment_sums
from gridloom.data.trees import Chunk
from gridloom.data.watch import Watch
from gridloom.errors import DamagedFile, DamagedResult
from gridloom.origin import Origin
from gridloom.task import Context, InputFile, Task


class Refused(Exception):
    """The donor cannot be used; why."""


@dataclass(frozen=True, kw_only=True)
class Donor:
    """A shard of the same events. `columns`: where each feature of the task is in it, None where it is not.

    `borders`: the first row of each file, and the number of rows.
    """

    shard: Shard
    columns: tuple[int | None, ...]
    borders: tuple[int, ...]

    def rows(self, begin: int, end: int) -> Arrays:
        """All arrays of some rows but the features."""
        shard, part = self.shard, slice(begin, end)
        arrays: Arrays = {
            "label": shard.label[part],
            "weight": shard.weight[part],
            "factor": shard.factor[part],
            "id": shard.id[part],
            "entry": shard.entry[part],
            "fold": shard.fold[part],
            "trains": shard.trains[part],
        }
        for name, objects in shard.collections.items():
            arrays[f"collection.{name}"] = objects[part].astype(np.float32, copy=False)
            arrays[f"count.{name}"] = shard.counts[name][part]
        if shard.target is not None:
            arrays["target"] = shard.target[part]
        return arrays


def open_donor(folder: Path, task: Task, origin: Origin) -> Donor:
    """Open and verify a shard to take the task's events from. Raises Refused."""
    if not folder.is_dir():
        raise Refused("it cannot be reached from here")
    try:
        shard = Shard.open(folder)
    except DamagedResult as error:
        raise Refused(f"{error.what} ({error.where})") from error
    known = shard.origin
    files = shard.statistics.files
    if known is None or (known.files, known.family) != (origin.files, origin.family):
        raise Refused("its events were prepared in another way")
    if [(file.uuid, file.entries) for file in files] != [(file.uuid, file.entries) for file in task.files]:
        raise Refused("some of its files could not be read")
    place = {feature: column for column, feature in reversed(list(enumerate(known.features)))}
    return Donor(
        shard=shard,
        columns=tuple(place.get(feature) for feature in origin.features),
        borders=tuple(int(row) for row in np.cumsum([0, *(file.selected for file in files)])),
    )


class Reuse:
    """One run of a `prepare` task that has a donor."""

    def __init__(self, context: Context, analysis: Analysis, recipe: Recipe, writer: ShardWriter, donor: Donor) -> None:
        self._context = context
        self._analysis = _without_normalisation(analysis, recipe.sample)
        self._recipe = recipe
        self._writer = writer
        self._donor = donor
        self._watch = Watch(context)
        self._small = SmallValues()
        self._new = tuple(index for index, column in enumerate(donor.columns) if column is None)
        self._known = tuple(index for index, column in enumerate(donor.columns) if column is not None)
        self._reading = _only(analysis, recipe, self._new)

    def run(self) -> ShardStatistics:
        """Write all events. Raises what reading the new features raises; Refused if a file turns out to be damaged."""
        self._say_what_is_read()
        try:
            parts = [self._file(number, file) for number, file in enumerate(self._context.task.files)]
        except DamagedFile as error:
            # Whether it may be skipped, and what is left without it, is judged where everything is read.
            raise Refused(f"{error.what} ({error.where})") from error
        self._small.check()
        lost = tuple(LostFile(path=path, reason="could not be read") for path in self._context.task.lost_files)
        merged = reduce(ShardStatistics.merge, parts, ShardStatistics(sample=self._recipe.sample))
        known = self._donor.shard.statistics
        files = tuple(
            ReadFile(path=file.path, uuid=file.uuid, entries=file.entries, selected=read.selected)
            for file, read in zip(self._context.task.files, known.files, strict=True)
        )
        names = tuple(item.feature.name for item in self._recipe.features)
        return known.model_copy(update={"features": names, "files": files, "lost": lost, "folds": merged.folds})

    def _say_what_is_read(self) -> None:
        every, new = len(self._recipe.features), len(self._new)
        name = self._donor.shard.folder.name
        self._watch.text = f"read {new} of {every} features, {every - new} from {name}"
        sys.stderr.write(f"{self._watch.text}\n")

    def _file(self, number: int, file: InputFile) -> ShardStatistics:
        begin, end = self._donor.borders[number : number + 2]
        moments = moment_sums(self._recipe, self._analysis.folds)
        for arrays in self._read(file, begin, end) if self._new else self._copied(file, begin, end):
            self._writer.append(arrays)
            moments.add(moment_arrays(arrays))
        self._watch.next(file)
        return moments.total()

    def _copied(self, file: InputFile, begin: int, end: int) -> Iterator[Arrays]:
        """Events of a file of which nothing need be read; as where it is read, one piece at least of any entries."""
        for first in range(begin, max(end, begin + min(file.entries, 1)), BLOCK_ROWS):
            self._watch.heed()
            yield self._with_features(first, min(first + BLOCK_ROWS, end), None)

    def _read(self, file: InputFile, begin: int, end: int) -> Iterator[Arrays]:
        entry = self._donor.shard.entry[begin:end]
        with open_ntuple(self._analysis, self._reading, file) as ntuple:
            for chunk in self._watch.chunks(ntuple):
                first, last = (int(row) for row in np.searchsorted(entry, [chunk.start, chunk.stop]))
                new = self._new_features(ntuple, chunk, entry[first:last])
                yield self._with_features(begin + first, begin + last, new)

    def _new_features(self, ntuple: Ntuple, chunk: Chunk, entries: NDArray[np.int64]) -> NDArray[np.float32]:
        keep = np.zeros(chunk.stop - chunk.start, dtype=np.bool_)
        keep[entries - chunk.start] = True
        needed = frozenset[str]().union(*(item.formula.branches for item in self._reading.features))
        columns = events.masked(chunk.columns, keep, needed)
        return events.features(self._reading, columns, ntuple.place(chunk).only(keep), self._small)

    def _with_features(self, begin: int, end: int, new: NDArray[np.float32] | None) -> Arrays:
        arrays = self._donor.rows(begin, end)
        stored = self._donor.shard.features[begin:end]
        features = np.empty((end - begin, len(self._donor.columns)), dtype=np.float32)
        features[:, self._known] = stored[:, [column for column in self._donor.columns if column is not None]]
        if new is not None:
            features[:, self._new] = new
        return {**arrays, "features": features}


def _only(analysis: Analysis, recipe: Recipe, new: tuple[int, ...]) -> Recipe:
    """The recipe of some features of known events; ids only where a friend tree is found by them."""
    by_id = any(friend.match == "event_id" for friend in analysis.samples[recipe.sample].friends)
    return replace(
        recipe,
        selection=(),
        training_selection=(),
        features=tuple(recipe.features[index] for index in new),
        collections=(),
        event_id=recipe.event_id if by_id else (),
        classes=None,
        target=None,
        weight=None,
        corrections=None,
        factor=None,
    )


def _without_normalisation(analysis: Analysis, sample: str) -> Analysis:
    """What the donor knows already: the sum of weights is in a tree of its own."""
    bare = analysis.samples[sample].model_copy(update={"normalisation": None})
    return analysis.model_copy(update={"samples": {**analysis.samples, sample: bare}})
