"""The task `prepare`: some files of one sample -> a shard with its statistics, in one pass over the events."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import class_names
from gridloom.catalogue import LostFile
from gridloom.data import events
from gridloom.data.events import Cutflow, Place
from gridloom.data.folds import fold_of
from gridloom.data.ntuple import Ntuple, open_ntuple
from gridloom.data.recipe import CollectionFormulas, Recipe, make_recipe
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import (
    CutflowRow,
    FoldStatistics,
    Moments,
    ReadFile,
    ShardStatistics,
    Yield,
    moments_by_group,
)
from gridloom.data.trees import Chunk
from gridloom.errors import DamagedFile, Interrupted
from gridloom.task import Context, InputFile, Progress

ALL_ENTRIES = "all entries"

Arrays = dict[str, NDArray[Any]]


def run(context: Context) -> None:
    """Prepare the task's files; see `gridloom.data.shard` for what is written into `context.output`.

    Raises the errors of the files and events (each with file, entry and key of the analysis file), DiskFull, and
    Interrupted when asked to stop: a prepare task starts again from its first file.
    """
    analysis = Analysis.model_validate(context.task.parameters["analysis"])
    recipe = make_recipe(analysis, str(context.task.parameters["sample"]))
    layout = Layout.of(
        features=len(recipe.features),
        collections={item.name: (item.collection.at_most, len(item.features)) for item in recipe.collections},
        regression=analysis.target.regression is not None,
    )
    with ShardWriter(context.output, layout) as writer:
        preparation = _Preparation(context, analysis, recipe, writer)
        parts = [preparation.file(file) for file in context.task.files]
        known = tuple(LostFile(path=path, reason="could not be read") for path in context.task.lost_files)
        nothing = preparation.nothing(lost=known)
        writer.finish(reduce(ShardStatistics.merge, parts, nothing))


class _Preparation:
    """One run of the task."""

    def __init__(self, context: Context, analysis: Analysis, recipe: Recipe, writer: ShardWriter) -> None:
        self._context = context
        self._analysis = analysis
        self._recipe = recipe
        self._writer = writer
        self._classes = class_names(analysis)
        self._total = sum(file.entries for file in context.task.files)
        self._done = 0

    def nothing(self, lost: tuple[LostFile, ...] = ()) -> ShardStatistics:
        """The statistics of no events."""
        return ShardStatistics(
            sample=self._recipe.sample, features=tuple(item.feature.name for item in self._recipe.features), lost=lost
        )

    def file(self, file: InputFile) -> ShardStatistics:
        """Append a file's events; a damaged file that may be skipped leaves nothing behind but its name."""
        begin = self._writer.rows
        finished = self._done + file.entries
        try:
            statistics = self._whole_file(file)
        except DamagedFile as error:
            if not self._may_skip():
                raise
            self._writer.cut(begin)
            statistics = self.nothing(lost=(LostFile(path=file.path, reason=error.what),))
        self._done = finished
        return statistics

    def _may_skip(self) -> bool:
        """How many of the sample's files are lost in all is judged when all of them are prepared."""
        sample = self._analysis.samples[self._recipe.sample]
        return not sample.data and self._analysis.damaged_files.skip_at_most > 0

    def _whole_file(self, file: InputFile) -> ShardStatistics:
        begin = self._writer.rows
        with open_ntuple(self._analysis, self._recipe, file) as ntuple:
            parts = [self._chunk(ntuple, chunk) for chunk in self._watched(ntuple)]
            known = ntuple.sum_generator_weights
        read = ReadFile(path=file.path, uuid=file.uuid, entries=file.entries, selected=self._writer.rows - begin)
        merged = reduce(ShardStatistics.merge, parts, self.nothing())
        changes: dict[str, object] = {"files": (read,)}
        if known is not None:
            changes["sum_generator_weights"] = known
        return merged.model_copy(update=changes)

    def _watched(self, ntuple: Ntuple) -> Iterator[Chunk]:
        """The file's chunks, with progress; raises Interrupted between two of them."""
        begin = self._done
        for chunk in ntuple.chunks():
            if self._context.stop():
                raise Interrupted(
                    f"stopped after {self._done:,} of {self._total:,} entries",
                    where=self._context.task.label,
                    fix="Run again: this task starts anew, finished ones are kept.",
                )
            yield chunk
            self._done = begin + chunk.stop
            self._context.progress(
                Progress(done=self._done, total=self._total, text=f"{self._writer.rows:,} events selected")
            )

    def _chunk(self, ntuple: Ntuple, chunk: Chunk) -> ShardStatistics:
        recipe = self._recipe
        place = ntuple.place(chunk)
        weights = events.entry_weights(recipe, chunk.columns, place)
        everything = np.ones(len(place.entries), dtype=np.bool_)
        flow = events.cumulative(recipe.selection, chunk.columns, everything)
        needed = frozenset[str]().union(*(formula.branches for formula in recipe.event_formulas))
        columns = events.masked(chunk.columns, flow.passed, needed)
        selected = place.only(flow.passed)
        arrays = self._arrays(columns, selected, weights.weights[flow.passed])
        training = events.cumulative(recipe.training_selection, columns, np.full(len(selected.entries), self._trains))
        arrays["trains"] = training.passed
        self._writer.append(arrays)
        rows = [
            _row(ALL_ENTRIES, weights.weights, everything),
            *_rows(flow, weights.weights),
            *_rows(training, arrays["weight"]),
        ]
        return self.nothing().model_copy(
            update={
                "events": len(selected.entries),
                "sum_generator_weights": weights.sum_generator_weights,
                "cutflow": tuple(rows),
                "classes": self._yields(arrays),
                "folds": self._moments(arrays),
            }
        )

    @property
    def _trains(self) -> bool:
        return not self._analysis.samples[self._recipe.sample].data

    def _arrays(self, columns: dict[str, Any], place: Place, weights: NDArray[np.float64]) -> Arrays:
        """The arrays of the shard for selected events, but for `trains`."""
        recipe = self._recipe
        ids = events.event_ids(recipe, columns, place)
        arrays: Arrays = {
            "features": events.features(recipe, columns, place),
            "label": events.labels(recipe.classes, self._classes, columns, place),
            "weight": weights,
            "factor": events.factors(recipe, columns, place),
            "id": ids,
            "fold": fold_of(ids, self._analysis.folds),
        }
        for name, (objects, counts) in events.collections(recipe, columns, place).items():
            arrays[f"collection.{name}"] = objects
            arrays[f"count.{name}"] = counts
        if self._analysis.target.regression is not None:
            # Collection data has no target, and is never trained on.
            missing = np.full(len(place.entries), np.nan)
            arrays["target"] = missing if recipe.target is None else events.targets(recipe.target, columns, place)
        return arrays

    def _yields(self, arrays: Arrays) -> dict[str, Yield]:
        return {name: Yield.of(arrays["weight"][arrays["label"] == index]) for index, name in enumerate(self._classes)}

    def _moments(self, arrays: Arrays) -> tuple[FoldStatistics, ...]:
        """Moments of the training events, fold by fold."""
        folds = self._analysis.folds
        group = np.where(arrays["trains"], arrays["fold"], -1)
        there = events.there(self._recipe, arrays["features"])
        features = moments_by_group(arrays["features"], there, group, folds)
        collections = {item.name: self._object_moments(item, arrays, group) for item in self._recipe.collections}
        return tuple(
            FoldStatistics(
                fold=fold,
                features=features[fold],
                collections={name: found[fold] for name, found in collections.items()},
            )
            for fold in range(folds)
        )

    def _object_moments(
        self, item: CollectionFormulas, arrays: Arrays, group: NDArray[np.int64]
    ) -> tuple[tuple[Moments, ...], ...]:
        objects, counts = arrays[f"collection.{item.name}"], arrays[f"count.{item.name}"]
        kept = objects[np.arange(item.collection.at_most) < counts[:, None]]
        there = np.ones(kept.shape, dtype=np.bool_)
        return moments_by_group(kept, there, np.repeat(group, counts), self._analysis.folds)


def _row(name: str, weights: NDArray[np.float64], mask: NDArray[np.bool_]) -> CutflowRow:
    return CutflowRow.of(name, Yield.of(weights[mask]))


def _rows(flow: Cutflow, weights: NDArray[np.float64]) -> Iterator[CutflowRow]:
    for name, mask in zip(flow.names, flow.masks, strict=False):
        yield _row(name, weights, mask)
