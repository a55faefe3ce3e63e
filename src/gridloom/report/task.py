"""The report task: evaluation.json in, one HTML page and its figures out; draws, computes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pydantic import JsonValue, ValidationError

from gridloom.errors import DamagedResult, Interrupted
from gridloom.files import full_disk_named, write_text
from gridloom.physics.results import Evaluation, read_evaluation
from gridloom.report.draw import draw_figures
from gridloom.report.page import render
from gridloom.report.provenance import Provenance
from gridloom.task import Context, Progress

_EVALUATION = "evaluation.json"
_PROVENANCE = "provenance.json"
_MODEL = "model.json"


def _quiet(number: int, of: int, name: str) -> None:
    """Nobody watches."""


def load(folder: Path) -> Evaluation:
    """Read an evaluate task's result; DamagedResult if it is not one."""
    path = folder / _EVALUATION
    try:
        return read_evaluation(path)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise DamagedResult(
            f"not a readable evaluation: {error}",
            where=str(path),
            fix="Run the analysis again: results that fail their check are made anew.",
        ) from error


def _evaluate_folder(context: Context) -> Path:
    for name, folder in context.inputs.items():
        if name.startswith("evaluate-"):
            return folder
    raise DamagedResult(
        "the report's task has no evaluation among its inputs",
        where=context.task.label,
        fix="Run the analysis again with `gridloom run`.",
    )


def _read_provenance(path: Path) -> JsonValue:
    try:
        found: JsonValue = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedResult(
            f"not readable as JSON: {error}", where=str(path), fix="Remove the result and run the analysis again."
        ) from error
    return found


def gather_provenance(context: Context) -> Provenance:
    """What the task was told, what its inputs wrote down, the ids of all results below and the analysis itself."""
    gathered: dict[str, JsonValue] = {}
    told = context.task.parameters.get("provenance")
    if isinstance(told, dict):
        gathered.update(told)
    for name, folder in sorted(context.inputs.items()):
        if (folder / _PROVENANCE).is_file():
            gathered[name] = _read_provenance(folder / _PROVENANCE)
    gathered |= _loop(context)
    gathered["results"] = list(context.task.inputs)
    identity: dict[str, JsonValue] = {"code": context.task.code, "environment": context.task.environment}
    gathered["digests"] = {key: value for key, value in identity.items() if value}
    analysis = context.task.parameters.get("analysis")
    if analysis is not None:
        gathered["analysis"] = analysis
    return gathered


def _loop(context: Context) -> dict[str, JsonValue]:
    """What the networks were trained with, and why so: the same for all of a run."""
    described = [folder / _MODEL for name, folder in context.inputs.items() if name.startswith("train-")]
    found = next((_read_provenance(path) for path in described if path.is_file()), None)
    if not isinstance(found, dict):
        return {}
    return {"training loop": {key: found[key] for key in ("backend", "xla", "why") if key in found}}


def write_report(
    evaluation: Evaluation, provenance: Provenance, output: Path, each: Callable[[int, int, str], None] = _quiet
) -> Path:
    """Write figures/ and index.html into `output` and give back the page; the page last, so one that is there is whole.

    `each(number, of, name)` is called before each figure.
    """
    with full_disk_named(output):
        figures = draw_figures(evaluation, output / "figures", each)
    page = output / "index.html"
    write_text(page, render(evaluation, figures, provenance))
    return page


def run(context: Context) -> None:
    """Write index.html and figures/*.pdf, *.png into the output folder.

    Raises DamagedResult when the evaluation cannot be read, Interrupted when asked to stop.
    """

    def each(number: int, of: int, name: str) -> None:
        if context.stop():
            raise Interrupted("stopped on request", where=context.task.label, fix="Run again to draw the report.")
        context.progress(Progress(done=number, total=of, text=name))

    evaluation = load(_evaluate_folder(context))
    write_report(evaluation, gather_provenance(context), context.output, each)
    context.progress(Progress(done=1, total=1, text="index.html"))
