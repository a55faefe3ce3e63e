"""What a worker answers at once: questions that need heavy libraries but make no result."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from gridloom.analysis.models import Analysis
from gridloom.environment import describe_environment, package_problems
from gridloom.errors import Problems
from gridloom.exporting import FORMATS

Arguments = Mapping[str, JsonValue]
Operation = Callable[[Arguments], JsonValue]

OPERATIONS: dict[str, str] = {
    "scan": "gridloom.worker.operations:scan",
    "check": "gridloom.worker.operations:check",
    "describe": "gridloom.worker.operations:describe",
    "environment": "gridloom.worker.operations:environment",
    "score": "gridloom.worker.operations:score",
}


def load_operation(reference: str) -> Operation:
    module, _, name = reference.partition(":")
    operation: Operation = getattr(importlib.import_module(module), name)
    return operation


def scan(arguments: Arguments) -> JsonValue:
    """The catalogue of an analysis' files."""
    from gridloom.data.scan import scan as scan_files

    analysis, folder = _analysis(arguments)
    return scan_files(analysis, folder).model_dump(mode="json")


def environment(arguments: Arguments) -> JsonValue:
    """What results made here depend on."""
    analysis, folder = _analysis(arguments)
    return describe_environment(analysis, folder).model_dump(mode="json")


def _analysis(arguments: Arguments) -> tuple[Analysis, Path]:
    return Analysis.model_validate(arguments["analysis"]), Path(str(arguments["folder"]))


def check(arguments: Arguments) -> JsonValue:
    """Whether an analysis can be done. Raises every error of its files, events and model at once."""
    from gridloom.data.check import check as check_files
    from gridloom.models.check import check_model

    analysis, folder = _analysis(arguments)
    missing = tuple(package_problems(analysis))
    # A model without the packages it needs would only fail at its imports.
    errors = (*missing, *check_files(analysis, folder), *(() if missing else check_model(analysis, folder)))
    formats = [name for name in FORMATS if name in _texts(arguments.get("formats"))]
    if formats and not errors:
        from gridloom.export.failures import check_formats

        errors = check_formats(analysis, folder, formats)
    if errors:
        raise Problems(errors)
    return None


def score(arguments: Arguments) -> JsonValue:
    """The files to score, grouped by their trees. Raises every error of the files at once."""
    from gridloom.catalogue import Catalogue
    from gridloom.prediction.files import look
    from gridloom.scoring import Group, Wanted

    analysis, folder = _analysis(arguments)
    catalogue = Catalogue.model_validate_json(Path(str(arguments["catalogue"])).read_bytes())
    found = look(analysis, catalogue, Wanted.model_validate(arguments["wanted"]), folder)
    answer: JsonValue = TypeAdapter(tuple[Group, ...]).dump_python(found, mode="json", by_alias=True)
    return answer


def _texts(value: JsonValue) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()


def describe(arguments: Arguments) -> JsonValue:
    """Trees and branches of some ROOT files, as `gridloom.analysis.write` takes them."""
    from gridloom.analysis.write import FileInfo
    from gridloom.worker.describe import describe_files

    paths = arguments["files"]
    if not isinstance(paths, list):
        raise TypeError(paths)
    found = describe_files([str(path) for path in paths])
    answer: JsonValue = TypeAdapter(list[FileInfo]).dump_python(found, mode="json")
    return answer
