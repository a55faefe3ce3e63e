"""The task `prepare`: some files of one sample -> a shard with its statistics, in one pass over the events.

If the store has a shard of the same events, only features that are new are read; see `gridloom.data.reuse`.
"""

from __future__ import annotations

import sys
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
from gridloom.data.reuse import Refused, Reuse, open_donor
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.data.summary import Sums, entry_sums, event_sums, moment_arrays, moment_sums
from gridloom.data.trees import Chunk
from gridloom.data.watch import Watch
from gridloom.errors import DamagedFile
from gridloom.origin import Origin
from gridloom.task import Context, InputFile


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
    origin = Origin.of(context.task)
    with ShardWriter(context.output, layout) as writer:
        found = _reused(context, analysis, recipe, writer, origin)
        writer.finish(found or _Preparation(context, analysis, recipe, writer).run(), origin)


def _reused(
    context: Context, analysis: Analysis, recipe: Recipe, writer: ShardWriter, origin: Origin
) -> ShardStatistics | None:
    """Take events from the donor, if there is one that is whole and fits; None, with nothing written, if not."""
    if context.donor is None:
        return None
    try:
        donor = open_donor(context.donor, context.task, origin)
        return Reuse(context, analysis, recipe, writer, donor).run()
    except Refused as refused:
        writer.cut(0)
        sys.stderr.write(f"nothing is taken from {context.donor.name}, all is read: {refused}\n")
        return None


class _Preparation:
    """One run of the task that reads everything."""

    def __init__(self, context: Context, analysis: Analysis, recipe: Recipe, writer: ShardWriter) -> None:
        self._context = context
        self._analysis = analysis
        self._recipe = recipe
        self._writer = writer
        self._classes = class_names(analysis)
        self._watch = Watch(context)
        self._small = SmallValues()

    def run(self) -> ShardStatistics:
        parts = [self._file(file) for file in self._context.task.files]
        self._small.check()
        known = tuple(LostFile(path=path, reason="could not be read") for path in self._context.task.lost_files)
        return reduce(ShardStatistics.merge, parts, self._nothing(lost=known))

    def _nothing(self, lost: tuple[LostFile, ...] = ()) -> ShardStatistics:
        """The statistics of no events."""
        names = tuple(item.feature.name for item in self._recipe.features)
        return ShardStatistics(sample=self._recipe.sample, features=names, lost=lost)

    def _file(self, file: InputFile) -> ShardStatistics:
        """Append a file's events; a damaged file that may be skipped leaves nothing behind but its name."""
        begin = self._writer.rows
        try:
            statistics = self._whole_file(file)
        except DamagedFile as error:
            if not may_skip(self._analysis, self._recipe.sample):
                raise
            self._writer.cut(begin)
            statistics = self._nothing(lost=(LostFile(path=file.path, reason=error.what),))
        self._watch.next(file)
        return statistics

    def _whole_file(self, file: InputFile) -> ShardStatistics:
        begin = self._writer.rows
        entries = entry_sums(self._recipe)
        selected = event_sums(self._recipe, self._classes)
        moments = moment_sums(self._recipe, self._analysis.folds)
        with open_ntuple(self._analysis, self._recipe, file) as ntuple:
            for chunk in self._watch.chunks(ntuple):
                self._chunk(ntuple, chunk, entries, selected, moments)
            known = ntuple.sum_generator_weights
        every, chosen = entries.total(), selected.total()
        read = ReadFile(path=file.path, uuid=file.uuid, entries=file.entries, selected=self._writer.rows - begin)
        return self._nothing().model_copy(
            update={
                "files": (read,),
                "events": chosen.events,
                "sum_generator_weights": every.sum_generator_weights if known is None else known,
                "cutflow": every.cutflow + chosen.cutflow,
                "classes": chosen.classes,
                "folds": moments.total().folds,
            }
        )

    def _chunk(self, ntuple: Ntuple, chunk: Chunk, entries: Sums, selected: Sums, moments: Sums) -> None:
        recipe = self._recipe
        place = ntuple.place(chunk)
        weights = events.entry_weights(recipe, chunk.columns, place)
        flow = events.cumulative(recipe.selection, chunk.columns, np.ones(len(place.entries), dtype=np.bool_))
        generator = {} if weights.generator is None else {"generator": weights.generator}
        entries.add({"weight": weights.weights, "level": flow.level, **generator})
        needed = frozenset[str]().union(*(formula.branches for formula in recipe.event_formulas))
        columns = events.masked(chunk.columns, flow.passed, needed)
        kept = place.only(flow.passed)
        arrays = self._arrays(columns, kept, weights.weights[flow.passed])
        training = events.cumulative(recipe.training_selection, columns, np.full(len(kept.entries), self._trains))
        arrays["trains"] = training.passed
        self._writer.append(arrays)
        self._watch.text = f"{self._writer.rows:,} events selected"
        selected.add({"weight": arrays["weight"], "label": arrays["label"], "level": training.level})
        moments.add(moment_arrays(arrays))

    @property
    def _trains(self) -> bool:
        return not self._analysis.samples[self._recipe.sample].data

    def _arrays(self, columns: dict[str, Any], place: Place, weights: NDArray[np.float64]) -> Arrays:
        """The arrays of the shard for selected events, but for `trains`."""
        recipe = self._recipe
        ids = events.event_ids(recipe, columns, place)
        arrays: Arrays = {
            "features": events.features(recipe, columns, place, self._small),
            "label": events.labels(recipe.classes, self._classes, columns, place),
            "weight": weights,
            "factor": events.factors(recipe, columns, place),
            "id": ids,
            "entry": place.entries,
            "fold": fold_of(ids, self._analysis.folds),
        }
        for name, (objects, counts) in events.collections(recipe, columns, place, self._small).items():
            arrays[f"collection.{name}"] = objects
            arrays[f"count.{name}"] = counts
        if self._analysis.target.regression is not None:
            # Collection data has no target, and is never trained on.
            missing = np.full(len(place.entries), np.nan)
            arrays["target"] = missing if recipe.target is None else events.targets(recipe.target, columns, place)
        return arrays


def may_skip(analysis: Analysis, sample: str) -> bool:
    """How many of the sample's files are lost in all is judged when all of them are prepared."""
    return not analysis.samples[sample].data and analysis.damaged_files.skip_at_most > 0
