"""Messages, byte for byte: what, where (a caret), what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from gridloom.errors import BranchType, GridloomError, InvalidExpression, MissingBranch
from gridloom.expressions import parse, parse_all
from gridloom.expressions.columns import evaluate, evaluate_per_event

GOLDEN = Path(__file__).parent / "golden" / "errors.txt"

TEXTS = [
    # words
    "", " ", "met = 1", "'text'", "pt ≥ 5", "pt − 5", "#", "2pt", "010", "1e999", "99999999999999999999", "`Jet",
    # grammar
    "a b", "a +", "a + * b", "(a", "(a b", "a)", "a[", "Jet_pt[]", "min(a", "min(a b)", "min(a,)", "a ? b", "a ? b c",
    "and a", "a < b == c", "a != b != c", "!met > 5", "Jet_pt[-1]", "a &&\n  b ||\n  sqr(c)", "x + " * 60 + "sqr(y)",
    # functions
    "sqr(2)", "deltR(1, 2, 3, 4)", "Sm$(Jet_pt)", "Jet_pt(0)", "ROOT::Math::VectorUtil::Foo(1)", "TMath::Pi", "Sum$",
    "abs()", "abs(1, 2)", "mass(1, 2, 3)", "Iteration$",
    # columns
    "Jet_ptt", "nothing_like_it", "Jet_pt + Mu_pt", "text + 1", "names == 1", "records", "deep", "time", "sum(met)",
    "sum(1)", "any(Jet_pt)", "count(Jet_pt)", "flag & 4 == 4", "met & 1", "~met", "flag << met", "met[0]",
    "Jet_pt[met > 1]", "Jet_pt[Jet_pt]", "Jet_pt[Mu_pt > 1]", "mass(met, met, met, met)", "2 * (Jet_pt + Mu_pt) > 1",
    "Jet_pt > 20 && Mu_pt > 20",
]  # fmt: skip


def columns() -> dict[str, Any]:
    return {
        "met": np.array([1.0, 2.0]),
        "flag": np.array([4, 5], dtype=np.uint8),
        "Jet_pt": ak.Array([[1.0], [2.0, 3.0]]),
        "Mu_pt": ak.Array([[1.0], [2.0]]),
        "text": ak.Array(["a", "b"]),
        "names": ak.Array([["a"], ["b"]]),
        "records": ak.Array([{"x": 1, "y": 2}, {"x": 1, "y": 2}]),
        "deep": ak.Array([[[1.0]], [[2.0]]]),
        "time": np.array(["2026-01-01", "2026-01-02"], dtype="datetime64[D]"),
    }


def message(text: str) -> str:
    with pytest.raises((InvalidExpression, BranchType, MissingBranch)) as caught:
        evaluate(parse(text), columns())
    error: GridloomError = caught.value
    return f"=== {text}\n{type(error).__name__}: {error}\n"


def test_messages() -> None:
    assert "\n".join(map(message, TEXTS)) == GOLDEN.read_text()


def test_values_per_object_where_one_per_event_is_needed() -> None:
    with pytest.raises(InvalidExpression, match="one value per object, but one per event is needed, at column 1"):
        evaluate_per_event(parse("Jet_pt > 25"), columns())


def test_an_error_inside_a_definition_points_into_the_definition() -> None:
    expression = parse("1 + bad", definitions=parse_all({"bad": "met * sum(met)"}))
    with pytest.raises(InvalidExpression) as caught:
        evaluate(expression, columns())
    assert caught.value.what.splitlines()[1:] == ["    met * sum(met)", "          ^"]


def test_columns_of_different_lengths_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="one length"):
        evaluate(parse("a + b"), {"a": np.ones(2), "b": np.ones(3)})
    with pytest.raises(ValueError, match="`events` says it"):
        evaluate(parse("1"), {})
    with pytest.raises(TypeError, match="not list"):
        evaluate(parse("a"), {"a": [1, 2]})
