"""The JSON schema of sites accepts what the loader accepts, and nothing else; so do quantities."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gridloom.analysis.syntax import Value, read_document
from gridloom.sites.models import Megabytes, Seconds, SitesFile, seconds_of
from gridloom.sites.reference import EXAMPLE_FILE
from gridloom.sites.schema import SCHEMA_FILE, json_schema, main, schema_text

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
EXAMPLE = read_document(EXAMPLE_FILE.read_text()).values
LISTS: tuple[list[Value], ...] = ([], ["x"], [1])
MAPPINGS: tuple[dict[str, Value], ...] = ({}, {"engine": "x"}, {"a b": {"engine": "x"}}, {"train": {}}, {"x": "y"})
PLAIN: tuple[Value, ...] = (None, True, False, 0, 1, -1, 1.5, 1e3, "", "x", "4 GB", "8 h", "h:1", "/x", "transfer")
SOME_VALUES: tuple[Value, ...] = (*PLAIN, *LISTS, *MAPPINGS)
SIZES = {"MB": 1, "MiB": 1, "GB": 1000, "GiB": 1024, "TB": 1e6, "TiB": 1024**2}
TIMES = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def accepted(values: Value) -> bool:
    try:
        SitesFile.model_validate(values)
    except ValidationError:
        return False
    return True


def test_the_shipped_schema_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise run `python -m gridloom.sites.schema`."""
    assert SCHEMA_FILE.read_text() == schema_text()
    monkeypatch.setattr("gridloom.sites.schema.SCHEMA_FILE", tmp_path / "schema.json")
    main()
    assert (tmp_path / "schema.json").read_text() == schema_text()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))
    VALIDATOR.validate(EXAMPLE)
    assert accepted(EXAMPLE)


def _paths(value: Value) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, inner in pairs for rest in _paths(inner))]


@settings(deadline=None, max_examples=400)
@given(
    path=st.sampled_from(_paths(EXAMPLE)[1:]),
    key=st.sampled_from((None, "extra", "engine", "default", "cores", "memory", "python", "setup", "a b")),
    value=st.sampled_from(SOME_VALUES),
    remove=st.booleans(),
)
def test_schema_and_loader_agree(path: tuple[str | int, ...], key: str | None, value: Value, remove: bool) -> None:
    """On files with one value replaced, removed or added."""
    values = copy.deepcopy(EXAMPLE)
    inner: Any = values
    for step in path[:-1]:
        inner = inner[step]
    if isinstance(inner, dict) and key is not None:
        inner[key] = value
    elif remove:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    assert VALIDATOR.is_valid(values) == accepted(values)


@given(
    number=st.decimals(min_value="0", max_value="100000", places=2),
    unit=st.sampled_from(sorted({*SIZES, *TIMES})),
    gap=st.text(" ", max_size=3),
    around=st.text(" ", max_size=2),
)
@example(number="0", unit="s", gap="", around="")
def test_quantities_are_numbers_of_their_unit(number: object, unit: str, gap: str, around: str) -> None:
    text = f"{around}{number}{gap}{unit}{around}"
    for kind, units in ((Megabytes, SIZES), (Seconds, TIMES)):
        adapter: TypeAdapter[int] = TypeAdapter(kind)
        fits = jsonschema.Draft202012Validator(adapter.json_schema()).is_valid(text)
        assert fits == (unit in units)
        if fits:
            assert adapter.validate_python(text) == max(1, round(float(str(number)) * units[unit]))
        else:
            with pytest.raises(ValidationError, match="write a number with one of the units"):
                adapter.validate_python(text)


@pytest.mark.parametrize(
    "text", ["", "4", "GB", "4 gb", "4 GB\n", "-4 GB", "1e3 GB", "4 GB 2", "9" * 400 + " s", "4,5 s"]
)
def test_what_is_no_quantity(text: str) -> None:
    for kind in (Megabytes, Seconds):
        adapter: TypeAdapter[int] = TypeAdapter(kind)
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


def test_times_from_the_command_line() -> None:
    assert seconds_of("10min") == 600
    with pytest.raises(ValueError, match='as `8 h`, not "soon"'):
        seconds_of("soon")
