"""The task `export`: the networks of a run -> files of one format and their description, compared before they count."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from gridloom import __version__
from gridloom.analysis.models import ENTRY_ID, Analysis
from gridloom.analysis.queries import class_names
from gridloom.data.dataset import open_dataset
from gridloom.environment import versions
from gridloom.errors import Interrupted
from gridloom.export.base import Arrays, Format, Runner, Written
from gridloom.export.compare import Trained, compare, trained_events
from gridloom.export.failures import layers_named
from gridloom.export.formats import load_format
from gridloom.export.graph import EVENT_ID, FOLD, graphs_of
from gridloom.exporting import Artefact, Comparison, Description, FormatName, Input, Objects
from gridloom.files import write_text
from gridloom.prediction.models import FoldModels, load_fold_models
from gridloom.results import folder_size
from gridloom.task import Context, Progress

_CALLS = 200


@dataclass(frozen=True, kw_only=True)
class _Checked:
    written: Written
    comparison: Comparison
    milliseconds: float


def run(context: Context) -> None:
    """Write one format's files and their description, or nothing.

    Raises ExportMismatch when a file does not say what the trained model says, UnsupportedLayer, EnvironmentProblem.
    """
    parameters = context.task.parameters
    analysis = Analysis.model_validate(parameters["analysis"])
    name = cast("FormatName", str(parameters["format"]))
    form = load_format(name)
    trained = {key: folder for key, folder in context.inputs.items() if key.startswith("train-")}
    shards = [folder for key, folder in context.inputs.items() if key.startswith("prepare-")]
    models = load_fold_models(trained, analysis.folds, user_folder=Path(context.task.folder))
    events = trained_events(analysis, open_dataset(analysis, shards), models)
    stem = str(parameters["name"])
    with layers_named(name, models):
        written = form.write(graphs_of(models, form.SELECTOR), context.output, stem)
    checked = [_check(context, form, one, events, number / len(written)) for number, one in enumerate(written)]
    description = _description(context, analysis, name, form, models, checked)
    for path in dict.fromkeys(one.path for one in written):
        form.describe(path, description)
    write_text(context.output / f"{stem}.{name}.json", description.model_dump_json(indent=1) + "\n")


def _check(context: Context, form: Format, written: Written, events: Trained, done: float) -> _Checked:
    if context.stop():
        raise Interrupted("stopped on request", where=context.task.label, fix="Run again to go on.")
    context.progress(Progress(done=done, total=1, text=f"comparing {written.path.name} {written.signature}".strip()))
    runner = form.open(written.path, written.signature)
    comparison = compare(written, runner, events)
    return _Checked(written=written, comparison=comparison, milliseconds=_latency(written, runner, events))


def _latency(written: Written, runner: Runner, events: Trained) -> float:
    """Median time of one event alone, on one thread."""
    names = [port.name for port in written.graph.inputs]
    every: Arrays = {**events.inputs, EVENT_ID: events.ids, FOLD: events.fold}
    times = []
    for call in range(_CALLS):
        row = call % len(events)
        one = {name: every[name][row : row + 1] for name in names}
        clock = time.perf_counter()
        runner(one)
        times.append(time.perf_counter() - clock)
    return round(1000 * sorted(times)[_CALLS // 2], 4)


def _description(
    context: Context,
    analysis: Analysis,
    name: FormatName,
    form: Format,
    models: FoldModels,
    checked: Sequence[_Checked],
) -> Description:
    known = versions()
    return Description(
        gridloom=__version__,
        name=str(context.task.parameters["name"]),
        format=name,
        opset=form.OPSET,
        versions={key: known[key] for key in (*form.PACKAGES, "keras", "gridloom") if key in known},
        target="classification" if analysis.target.regression is None else "regression",
        classes=class_names(analysis),
        signal=analysis.target.signal,
        features=tuple(
            Input(
                name=item.name,
                expression=item.expression,
                unit=item.unit,
                missing=item.missing,
                impute=item.impute,
            )
            for item in analysis.features
        ),
        collections=tuple(
            Objects(
                name=key,
                at_most=part.at_most,
                where=part.where,
                order_by=part.order_by,
                features=part.features,
            )
            for key, part in analysis.collections.items()
        ),
        definitions=analysis.definitions,
        selection={cut.name: cut.cut for cut in analysis.selection},
        event_id=("hash of the file's UUID", "0", "entry")
        if analysis.event_id == ENTRY_ID
        else tuple(analysis.event_id),
        folds=len(models.members),
        selector=form.SELECTOR,
        artefacts=tuple(_artefact(context, one) for one in checked),
        comparisons=tuple(one.comparison for one in checked),
        provenance=_provenance(context),
    )


def _artefact(context: Context, checked: _Checked) -> Artefact:
    written = checked.written
    path = written.path
    return Artefact(
        file=path.relative_to(context.output).as_posix(),
        signature=written.signature,
        fold=written.graph.fold,
        size=folder_size(path) if path.is_dir() else path.stat().st_size,
        inputs=written.graph.inputs,
        outputs=written.graph.outputs,
        milliseconds=checked.milliseconds,
    )


def _provenance(context: Context) -> Mapping[str, object]:
    return {"task": context.task.id, "models": [key for key in context.task.inputs if key.startswith("train-")]}
