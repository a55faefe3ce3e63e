"""A file with wrong values, made loadable without them: so that the rest is checked in the same go."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from gridloom.analysis.forms import forms
from gridloom.analysis.models import Analysis
from gridloom.analysis.problems import nearest, problems_of, valid_keys
from gridloom.analysis.schema import expanded_schema, schema_at
from gridloom.analysis.syntax import Value
from gridloom.errors import GridloomError, KeyPath, UnknownKey

_ROUNDS = 4
_CUTS = ("selection", "training_selection")
_REQUIRED: Mapping[str, Value] = {
    "gridloom": 1,
    "name": "name",
    "target": {"regression": "0"},
    "files": "0",
    "tree": "0",
    "branch": "0",
    "cross_section": 1,
    "at_most": 1,
    "features": ["0"],
    "expression": "0",
    "cut": "1",
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The analysis as far as it can be built, its errors, and the keys about which nothing more can be said."""

    analysis: Analysis | None
    errors: tuple[GridloomError, ...] = ()
    doubtful: tuple[KeyPath, ...] = ()


def check_values(values: Mapping[str, Value]) -> Checked:
    """Validate the values of a file; with errors, the analysis is built from the values that remain."""
    analysis, errors = _validate(values)
    doubtful = tuple(path for error in errors for path in _doubtful(error))
    rest, remaining = dict(copy.deepcopy(values)), errors
    for _ in range(_ROUNDS):
        if analysis is not None:
            break
        for error in remaining:
            _take_out(rest, error.key)
        analysis, remaining = _validate(rest)
        doubtful += tuple(path for error in remaining for path in _doubtful(error))
    return Checked(analysis=analysis, errors=errors, doubtful=doubtful)


def _validate(values: Mapping[str, Value]) -> tuple[Analysis | None, tuple[GridloomError, ...]]:
    try:
        return Analysis.model_validate(values, by_alias=True, by_name=False), ()
    except ValidationError as error:
        return None, problems_of(error, values, expanded_schema())


def _doubtful(error: GridloomError) -> tuple[KeyPath, ...]:
    if not isinstance(error, UnknownKey):
        return (error.key,)
    meant = nearest(str(error.key[-1]), valid_keys(error.key[:-1], expanded_schema()))
    return (error.key, (*error.key[:-1], meant)) if meant else (error.key,)


def _take_out(values: dict[str, Value], path: KeyPath) -> None:
    """Remove the value at `path`; what is required, items of lists and cuts get a harmless stand-in.

    So the other items keep their numbers, and the part around it can be checked.
    """
    inner: Value = values
    for key in path[:-1]:
        if isinstance(inner, dict):
            inner = inner.get(str(key))
        elif isinstance(inner, list) and isinstance(key, int) and key < len(inner):
            inner = inner[key]
    last = path[-1]
    if isinstance(inner, list) and isinstance(last, int) and last < len(inner):
        inner[last] = _stand_in(path)
    elif isinstance(inner, dict) and (_is_required(path) or path[0] in _CUTS):
        inner[str(last)] = copy.deepcopy(_REQUIRED.get(str(last), "1"))
    elif isinstance(inner, dict):
        inner.pop(str(last), None)


def _is_required(path: KeyPath) -> bool:
    around = schema_at(path[:-1])
    return around is not None and any(path[-1] in form.get("required", ()) for form in forms(around))


def _stand_in(path: KeyPath) -> Value:
    if path[0] == "features":
        return {"name": f"item {path[-1]}", "expression": "0"}
    return {"tree": "0"} if "friends" in path else "0"


def without_consequences(errors: Iterable[GridloomError], doubtful: Iterable[KeyPath]) -> list[GridloomError]:
    """The errors that say something new: those about a doubtful key may be mere consequences."""
    unclear = tuple(doubtful)
    return [
        error
        for error in errors
        if not any(all(one == two for one, two in zip(error.key, path, strict=False)) for path in unclear)
    ]
