"""What is wrong with a file's values, in plain words: pydantic's findings become errors of Gridloom."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gridloom.analysis.forms import Schema, forms, keys_of, part_at
from gridloom.analysis.syntax import Value
from gridloom.analysis.words import PATTERNS, type_in_words
from gridloom.errors import GridloomError, InvalidValue, KeyPath, UnknownKey

_SHOWN = 60
_KEY = "[key]"


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """One error of pydantic, with the path as the file has it."""

    path: KeyPath
    kind: str
    message: str
    value: object
    field: str = ""


def problems_of(error: ValidationError, values: Mapping[str, Value], schema: Schema) -> tuple[GridloomError, ...]:
    """One error per wrong place, each with its `key`; of the forms a value may have, the nearest one speaks.

    `schema` is the file's, without references.
    """
    findings = [_finding(detail, values) for detail in error.errors(include_url=False)]
    return tuple(_problem(finding, schema) for finding in _one_per_place(findings))


def _finding(detail: ErrorDetails, values: Mapping[str, Value]) -> _Finding:
    """pydantic's path also names the member of a union tried: only what can be followed in the file counts."""
    path: KeyPath = ()
    here: object = values
    *before, last = detail["loc"] or ("",)
    unknown = detail["type"] in ("missing", "extra_forbidden") and isinstance(last, str)
    for step in before if unknown else detail["loc"]:
        if isinstance(here, dict) and isinstance(step, int) and step < len(here):
            step = list(here)[step]  # cuts given as a mapping
        if isinstance(here, dict) and step in here:
            path, here = (*path, step), here[str(step)]
        elif isinstance(here, list) and isinstance(step, int) and step < len(here):
            path, here = (*path, step), here[step]
    kind = _KEY if _KEY in detail["loc"] else detail["type"]
    if unknown:
        path = (*path, last)
    message = detail["msg"].removeprefix("Value error, ")
    return _Finding(path=path, kind=kind, message=message, value=here, field=str(last) if unknown else "")


def _one_per_place(findings: Iterable[_Finding]) -> Iterator[_Finding]:
    every = list(findings)
    seen: set[KeyPath] = set()
    for finding in every:
        deeper = any(
            len(other.path) > len(finding.path) and other.path[: len(finding.path)] == finding.path for other in every
        )
        if finding.path in seen or (deeper and finding.kind not in ("value_error", _KEY)):
            continue
        seen.add(finding.path)
        yield finding


def _problem(finding: _Finding, schema: Schema) -> GridloomError:
    name = name_of(finding.path)
    if finding.kind == "extra_forbidden":
        return unknown_key(finding.path, schema)
    if finding.kind == "missing":
        node = part_at(schema, finding.path)
        fix = f"Add `{finding.field}:` with {type_in_words(node)}." if node is not None else ""
        return InvalidValue(f"`{finding.field}` is missing{_inside(finding.path[:-1])}", fix=fix, key=finding.path)
    if finding.kind == _KEY:
        if valid_keys(finding.path[:-1], schema):
            return unknown_key(finding.path, schema)
        return InvalidValue(
            f"`{finding.path[-1]}` cannot be used as a name{_inside(finding.path[:-1])}",
            fix=f"It must be {_key_in_words(finding.path[:-1], schema)}.",
            key=finding.path,
        )
    if finding.kind == "value_error":
        return InvalidValue(f"{name}: {finding.message}", key=finding.path)
    return _wrong_value(finding, name, schema)


def _wrong_value(finding: _Finding, name: str, schema: Schema) -> InvalidValue:
    node = part_at(schema, finding.path)
    wanted = type_in_words(node) if node is not None else finding.message
    fix = "Write the value after the colon, or leave the key out." if finding.value is None else ""
    if isinstance(finding.value, str) and finding.value.lower() in ("yes", "no", "on", "off") and "`true`" in wanted:
        fix = "Write `true` or `false`."
    elif "`null`" in wanted and finding.value in ("no", "off", "none", False):
        fix = "Write `null` for none."
    elif isinstance(finding.value, str) and _is_number(finding.value) and "number" in wanted:
        fix = "Write the number without quotes."
    elif isinstance(finding.value, bool | int | float) and "text" in wanted:
        fix = "Put it in quotes."
    return InvalidValue(f"{name} must be {wanted}, {_not(finding.value)}", fix=fix, key=finding.path)


def unknown_key(path: KeyPath, schema: Schema) -> UnknownKey:
    """An unknown key with the nearest valid one and all valid ones."""
    valid = valid_keys(path[:-1], schema)
    near = nearest(str(path[-1]), valid)
    guess = f"Did you mean `{near}`? " if near else ""
    return UnknownKey(
        f"unknown key `{path[-1]}`{_inside(path[:-1])}",
        fix=f"{guess}Valid keys here: {', '.join(valid)}.",
        key=path,
    )


def valid_keys(path: KeyPath, schema: Schema) -> tuple[str, ...]:
    """The keys that a mapping of the file may have, in the reference's order."""
    node = part_at(schema, path)
    found = () if node is None else tuple(key for form in forms(node) for key in keys_of(form))
    return tuple(dict.fromkeys(found))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like the given one, if any is like it at all."""
    lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.6)
    return lower[found[0]] if found else None


def _key_in_words(path: KeyPath, schema: Schema) -> str:
    node = part_at(schema, path)
    patterns = () if node is None else tuple(key for form in forms(node) for key in form.get("patternProperties", {}))
    return PATTERNS[patterns[0]] if patterns else "text that is not empty"


def name_of(path: KeyPath) -> str:
    """A key for people: "`training.batch`", "item 2 of `features`", "`impute` in item 2 of `features`"."""
    numbers = [depth for depth, key in enumerate(path) if isinstance(key, int)]
    if not path:
        return "the analysis"
    if not numbers:
        return f"`{'.'.join(str(key) for key in path)}`"
    depth = numbers[-1]
    item = f"item {int(path[depth]) + 1} of {name_of(path[:depth])}"
    rest = path[depth + 1 :]
    # The cut of a cut and the expression of a feature are what the item is.
    return item if rest in ((), ("cut",), ("expression",)) else f"`{'.'.join(str(key) for key in rest)}` in {item}"


def _inside(path: KeyPath) -> str:
    return f" in {name_of(path)}" if path else ""


def _not(value: object) -> str:
    if value is None:
        return "but is empty"
    if isinstance(value, bool):
        return f"not `{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"not {value:g}" if isinstance(value, float) else f"not {_shown(str(value))}"
    if isinstance(value, str):
        return f'not "{_shown(value)}"'
    if not value:
        return "not an empty list" if isinstance(value, list) else "not an empty mapping"
    return f"not a list of {len(value)}" if isinstance(value, list) else "not a mapping"


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
