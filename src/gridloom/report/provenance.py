"""Provenance as rows of text: versions, seeds, digests, machine, whatever the run wrote down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

Provenance = Mapping[str, JsonValue]
_DATES = ("date", "finished", "created", "started")
_MOST_ROWS = 400


@dataclass(frozen=True, kw_only=True)
class Group:
    """One part of the provenance: names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


def _flat(name: str, value: JsonValue) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{name}[{index}]", inner)
    elif isinstance(value, list):
        yield name, ", ".join(_scalar(inner) for inner in value)
    else:
        yield name, _scalar(value)


def _scalar(value: JsonValue) -> str:
    if value is None:
        return "–"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def groups(provenance: Provenance) -> tuple[Group, ...]:
    """One group per key that holds several values, and one for the rest; very long ones are cut and say so."""
    simple = {key: value for key, value in provenance.items() if not isinstance(value, dict | list)}
    found = [("run", _flat("", dict(simple)))] if simple else []
    found += [(key, _flat("", value)) for key, value in provenance.items() if isinstance(value, dict | list) and value]
    return tuple(_group(title, tuple(rows)) for title, rows in found)


def _group(title: str, rows: tuple[tuple[str, str], ...]) -> Group:
    if len(rows) > _MOST_ROWS:
        rows = (*rows[:_MOST_ROWS], ("…", f"{len(rows) - _MOST_ROWS} more in provenance.json"))
    return Group(title=title, rows=rows)


def date(provenance: Provenance) -> str | None:
    """When the run was made, if it says so (the report itself holds no clock: the same results, the same page)."""
    for key in _DATES:
        value = provenance.get(key)
        if isinstance(value, str) and value:
            return value
    return None
