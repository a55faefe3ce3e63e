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
from gridloom.data.blocks import Arrays
from gridloom.data.events import Place
from gridloom.data.folds import fold_of
from gridloom.data.half import SmallValues
from gridloom.data.ntuple import Ntuple, open_ntuple
from gridloom.data.recipe import Recipe, make_recipe
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.data.summary import EntrySums, EventSums
from gridloom.data.trees import Chunk
from gridloom.errors import DamagedFile, Interrupted
from gridloom.task import Context, InputFile, Progress


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
        storage=analysis.storage.features,
    )
    with ShardWriter(context.output, layout) as writer:
        preparation = _Preparation(context, analysis, recipe, writer)
        parts = [preparation.file(file) for file in context.task.files]
        known = tuple(LostFile(path=path, reason="could not be read") for path in context.task.lost_files)
        preparation.small.check()
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
        self.small = SmallValues()

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
        entries = EntrySums(self._recipe)
        selected = EventSums(self._recipe, self._classes, self._analysis.folds)
        with open_ntuple(self._analysis, self._recipe, file) as ntuple:
            for chunk in self._watched(ntuple):
                self._chunk(ntuple, chunk, entries, selected)
            known = ntuple.sum_generator_weights
        every, chosen = entries.total(), selected.total()
        read = ReadFile(path=file.path, uuid=file.uuid, entries=file.entries, selected=self._writer.rows - begin)
        return self.nothing().model_copy(
            update={
                "files": (read,),
                "events": chosen.events,
                "sum_generator_weights": every.sum_generator_weights if known is None else known,
                "cutflow": every.cutflow + chosen.cutflow,
                "classes": chosen.classes,
                "folds": chosen.folds,
            }
        )

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

    def _chunk(self, ntuple: Ntuple, chunk: Chunk, entries: EntrySums, selected: EventSums) -> None:
        recipe = self._recipe
        place = ntuple.place(chunk)
        weights = events.entry_weights(recipe, chunk.columns, place)
        flow = events.cumulative(recipe.selection, chunk.columns, np.ones(len(place.entries), dtype=np.bool_))
        entries.add(weights, flow.level)
        needed = frozenset[str]().union(*(formula.branches for formula in recipe.event_formulas))
        columns = events.masked(chunk.columns, flow.passed, needed)
        kept = place.only(flow.passed)
        arrays = self._arrays(columns, kept, weights.weights[flow.passed])
        training = events.cumulative(recipe.training_selection, columns, np.full(len(kept.entries), self._trains))
        arrays["trains"] = training.passed
        self._writer.append(arrays)
        selected.add(arrays, training.level)

    @property
    def _trains(self) -> bool:
        return not self._analysis.samples[self._recipe.sample].data

    def _arrays(self, columns: dict[str, Any], place: Place, weights: NDArray[np.float64]) -> Arrays:
        """The arrays of the shard for selected events, but for `trains`."""
        recipe = self._recipe
        ids = events.event_ids(recipe, columns, place)
        arrays: Arrays = {
            "features": events.features(recipe, columns, place, self.small),
            "label": events.labels(recipe.classes, self._classes, columns, place),
            "weight": weights,
            "factor": events.factors(recipe, columns, place),
            "id": ids,
            "entry": place.entries,
            "fold": fold_of(ids, self._analysis.folds),
        }
        for name, (objects, counts) in events.collections(recipe, columns, place, self.small).items():
            arrays[f"collection.{name}"] = objects
            arrays[f"count.{name}"] = counts
        if self._analysis.target.regression is not None:
            # Collection data has no target, and is never trained on.
            missing = np.full(len(place.entries), np.nan)
            arrays["target"] = missing if recipe.target is None else events.targets(recipe.target, columns, place)
        return arrays
