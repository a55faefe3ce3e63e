"""The JSON schema accepts what the loader accepts, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gridloom.analysis.models import Analysis
from gridloom.analysis.reference import EXAMPLE_FILE
from gridloom.analysis.schema import SCHEMA_FILE, json_schema, main, schema_at, schema_text
from gridloom.analysis.syntax import Value, read_document
from gridloom.analysis.words import type_in_words

EXAMPLES = (EXAMPLE_FILE, *sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml")))
VALIDATOR = jsonschema.Draft202012Validator(json_schema())
SMALL: dict[str, Value] = {
    "gridloom": 1,
    "name": "small",
    "samples": {
        "s": {"files": "s.root", "class": "s", "weight": 1},
        "b": {"files": ["b.root"], "class": {"b": "n > 1", "c": "otherwise"}, "normalisation": {"cross_section": 1.5}},
    },
    "selection": {"one": "a > 1"},
    "training_selection": ["a > 1", {"name": "two", "cut": 1}],
    "features": ["x", {"name": "y", "missing": [-999, "nan"], "impute": 0}, {"expression": "z", "missing": "inf"}],
    "collections": {"j": {"at_most": 3, "features": ["p"], "where": None}},
    "target": {"signal": "s"},
    "event_id": "entry",
    "model": {"name": None, "function": "m:f", "parameters": {"a": [1, {"b": None}]}},
    "training": {"batch": 1e3, "early_stopping": None, "optimizer": {"name": "sgd"}},
}


def accepted(values: Value) -> bool:
    try:
        Analysis.model_validate(values, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def test_the_shipped_schema_is_current(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise run `python -m gridloom.analysis.schema`."""
    assert SCHEMA_FILE.read_text() == schema_text()
    monkeypatch.setattr("gridloom.analysis.schema.SCHEMA_FILE", tmp_path / "schema.json")
    main()
    assert (tmp_path / "schema.json").read_text() == schema_text()


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_all_examples_are_valid(path: Path) -> None:
    values = read_document(path.read_text()).values
    if "gridloom" in values:
        VALIDATOR.validate(values)
        assert accepted(values)


def test_the_small_file_is_valid() -> None:
    VALIDATOR.validate(SMALL)
    assert accepted(SMALL)


TEXTS = ("", "x", "a b", "entry", "events", "nan", "mean", "a:b", "5")
NUMBERS = (0, 1, -1, 2, 5, 1.5, 1e3, 10**6)
LISTS: tuple[list[Value], ...] = ([], ["x"], ["x", "y", "z", "w"], [1], [None], [{}])
MAPPINGS: tuple[Any, ...] = (
    *({}, {"a": "b"}, {"": "b"}, {"a b": "c"}, {"name": "x"}, {"expression": "x"}, {"name": "x", "cut": "y"}),
    *({"signal": []}, {"regression": "y"}, {"signal": "s", "regression": "y"}, {"tree": "t", "branch": "b"}),
)
SOME_VALUES: tuple[Value, ...] = (None, True, False, *NUMBERS, *TEXTS, *LISTS, *MAPPINGS)


def _paths(value: Value) -> list[tuple[str | int, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, inner in pairs for rest in _paths(inner))]


@settings(deadline=None, max_examples=400)
@given(
    path=st.sampled_from(_paths(SMALL)[1:]),
    key=st.sampled_from(
        (None, "extra", "name", "classes", "regression", "indicator", "corrections", "friends", "class_")
    ),
    value=st.sampled_from(SOME_VALUES),
    remove=st.booleans(),
)
def test_schema_and_loader_agree(path: tuple[str | int, ...], key: str | None, value: Value, remove: bool) -> None:
    """On files with one value replaced, removed or added."""
    values = copy.deepcopy(SMALL)
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


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("folds",), "a whole number from 3 to 100"),
        (("training", "batch"), "a whole number of at least 1"),
        (("training", "seed"), "a whole number of at least 0"),
        (("training", "early_stopping"), "a mapping or `null`"),
        (("luminosity",), "a number above 0"),
        (("samples", "any", "normalisation", "filter_efficiency"), "a number above 0 and at most 1"),
        (("samples", "any", "normalisation", "sum_of_weights"), "`events` or a mapping with `tree` and `branch`"),
        (("samples", "any", "data"), "`true` or `false`"),
        (("selection", "any"), "an expression"),
        (("features", 3, "impute"), "`mean` or a number"),
        (("definitions",), "a mapping from name to an expression"),
        (("model", "function"), "`module:function`"),
        (("model", "parameters", "any"), "any value but `nan` and `inf`"),
        (("collections", "any", "features"), "a list of one or more expressions"),
    ],
)
def test_types_in_words(path: tuple[str | int, ...], words: str) -> None:
    node = schema_at(path)
    assert node is not None
    assert type_in_words(node) == words


def test_no_such_key() -> None:
    assert schema_at(("training", "bach")) is None
    assert schema_at(("folds", "x")) is None
    assert schema_at(("folds", 1)) is None
