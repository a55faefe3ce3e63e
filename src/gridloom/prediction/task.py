"""The task `predict`: some files and the networks of a run -> one friend tree per file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from gridloom.analysis.models import Analysis
from gridloom.data.events import Place
from gridloom.data.ntuple import Ntuple, open_ntuple
from gridloom.data.trees import Chunk
from gridloom.errors import Interrupted
from gridloom.files import write_json
from gridloom.prediction.apply import Scorer
from gridloom.prediction.friend import write_friend
from gridloom.prediction.layout import Layout, Records
from gridloom.prediction.models import load_fold_models
from gridloom.prediction.parts import Parts
from gridloom.prediction.recipe import application_recipe
from gridloom.scoring import Request, ScoredFile, output_name
from gridloom.task import Context, InputFile, Progress

SUMMARY = "files.json"


def run(context: Context) -> None:
    """Score the task's files: `friend-NNNN.root` for each in `context.output`, and `files.json` about them.

    Killed or interrupted, the next attempt goes on with the first event that is not surely kept. Raises the errors
    of the files and events, DiskFull, DamagedResult and Interrupted.
    """
    _Prediction(context).run()


class _Prediction:
    """One run of the task."""

    def __init__(self, context: Context) -> None:
        parameters = context.task.parameters
        self._context = context
        self._analysis = Analysis.model_validate(parameters["analysis"])
        self._request = Request.model_validate(parameters["request"])
        self._recipe = application_recipe(self._analysis, self._request)
        models = load_fold_models(context.inputs, self._analysis.folds, user_folder=Path(context.task.folder))
        self._layout = Layout.of(self._analysis, self._request, spread=models.spread)
        self._scorer = Scorer.of(self._recipe, self._analysis.folds, self._layout, models, self._request.variations)
        self._total = sum(file.entries for file in context.task.files)
        self._done = 0

    def run(self) -> None:
        scored = []
        for number, file in enumerate(self._context.task.files):
            scored.append(self._file(number, file))
            self._done += file.entries
        write_json(self._context.output / SUMMARY, TypeAdapter(list[ScoredFile]).dump_python(scored, mode="json"))

    def _file(self, number: int, file: InputFile) -> ScoredFile:
        output = output_name(number)
        with Parts(self._context.scratch, f"{number:04d}-{file.uuid}", self._layout.dtype) as parts:
            if parts.rows < file.entries:
                self._score(file, parts)
            self._check_stop(parts)
            counter = _Selected(self._layout)
            write_friend(
                self._context.output / output,
                self._request.tree,
                self._request.format,
                self._layout.dtype,
                counter.counted(parts.read(file.entries)),
                self._told(file),
            )
        return ScoredFile(
            path=file.path, uuid=file.uuid, entries=file.entries, selected=counter.selected, output=output
        )

    def _score(self, file: InputFile, parts: Parts) -> None:
        with open_ntuple(self._analysis, self._recipe, file) as ntuple:
            for chunk in ntuple.chunks(start=parts.rows):
                parts.append(self._scorer(chunk.columns, self._place(ntuple, chunk)))
                self._report(parts)
                self._check_stop(parts)
        parts.keep()

    def _place(self, ntuple: Ntuple, chunk: Chunk) -> Place:
        """Where events are from; by entry number they are identified in the nominal file, if there is one."""
        place = ntuple.place(chunk)
        if not self._request.nominal:
            return place
        return Place(path=place.path, uuid=ntuple.file.friend_uuids[-1], entries=place.entries)

    def _report(self, parts: Parts) -> None:
        done = self._done + parts.rows
        self._context.progress(Progress(done=done, total=self._total, text=f"{done:,} events"))

    def _check_stop(self, parts: Parts) -> None:
        if self._context.stop():
            parts.keep()
            raise Interrupted("stopped on request", where=self._context.task.label, fix="Run again to go on.")

    def _told(self, file: InputFile) -> Mapping[str, object]:
        """Where the scores come from; they are the same for the same of these."""
        task = self._context.task
        return {
            "task": task.id,
            "models": list(task.inputs),
            "file": {"uuid": file.uuid, "entries": file.entries, "name": Path(file.path).name},
            "outside": str(self._layout.outside),
            "request": self._request.model_dump(mode="json"),
        }


class _Selected:
    """Counts the events in the nominal selection of records that pass by."""

    def __init__(self, layout: Layout) -> None:
        self._first = layout.names("")[0]
        self._outside = np.float32(layout.outside)
        self.selected = 0

    def counted(self, parts: Iterator[Records]) -> Iterator[Records]:
        for part in parts:
            values = part[self._first]
            outside = np.isnan(values) if np.isnan(self._outside) else values == self._outside
            self.selected += int(len(part) - outside.sum())
            yield part
