"""YAML text becomes plain values with places; what is no sane YAML is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.analysis.syntax import LARGEST_TEXT, Position, read_document
from gridloom.errors import AnalysisSyntaxError


def test_scalars_are_those_of_yaml_1_2() -> None:
    values = read_document(
        "a: [1e-3, no, yes, 0x1f, 0o17, 0b11, 010, 1_000, +12, -.5, 1., 2024-01-01, ~, true, 'x', '1', 1:30]\n"
    ).values
    assert values["a"] == [
        *(0.001, "no", "yes", 31, 15, 3, 10, 1000, 12, -0.5, 1.0, "2024-01-01", None, True, "x", "1", "1:30")
    ]


def test_infinity_and_nan_are_floats() -> None:
    values = read_document("a: [.inf, +.inf, -.inf, -.INF]\nb: .nan").values
    assert values["a"] == [math.inf, math.inf, -math.inf, -math.inf]
    assert isinstance(values["b"], float)
    assert math.isnan(values["b"])


def test_keys_are_text() -> None:
    assert read_document("2016: a\ntrue: b\n1e3: c").values == {"2016": "a", "true": "b", "1e3": "c"}


def test_every_key_and_item_has_its_place() -> None:
    document = read_document("a: 1\nb:\n  - x\n  - {c: 2, d: 3}\n")
    assert document.places == {
        ("a",): Position(line=1, column=1),
        ("b",): Position(line=2, column=1),
        ("b", 0): Position(line=3, column=5),
        ("b", 1): Position(line=4, column=5),
        ("b", 1, "c"): Position(line=4, column=6),
        ("b", 1, "d"): Position(line=4, column=12),
    }


def test_windows_line_ends_and_byte_order_mark() -> None:
    document = read_document("a: 1\r\nb: 2\r\n")
    assert document.values == {"a": 1, "b": 2}
    assert document.places["b",] == Position(line=2, column=1)


def test_anchors_and_merges() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {<<: *x, b: 3}\nz: {<<: [*y, *x], c: 4}\nw: *x\n"
    values = read_document(text).values
    assert values["y"] == {"a": 1, "b": 3}
    assert values["z"] == {"a": 1, "b": 3, "c": 4}
    assert values["w"] == {"a": 1, "b": 2}


def test_an_anchor_may_be_given_anew() -> None:
    assert read_document("a: &x 1\nb: &x 2\nc: *x\n").values["c"] == 2


def test_duplicate_keys_are_all_reported_and_the_first_counts() -> None:
    document = read_document("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert document.values == {"a": 1, "b": {"c": 1}}
    assert [(position.line, error.what) for position, error in document.problems] == [
        (2, "`a` is given twice, first in line 1"),
        (3, "`c` is given twice, first in line 3"),
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: !isTau && x > 1", "`!isTau` begins with `!`, which YAML takes for a tag"),
        ("a: !!python/object:os.system {b: 1}", "`!!python/object:os.system` begins with `!`"),
        ("a: !!binary eA==", "`!!binary` begins with `!`"),
        ("a: " + "1" * 5000, "a number with too many digits"),
        ("a: !!float x", "`x` is not a number"),
    ],
)
def test_values_that_cannot_be_read(text: str, what: str) -> None:
    ((position, error),) = read_document(text).problems
    assert error.what.startswith(what)
    assert error.key == ("a",)
    assert position == Position(line=1, column=1)
    assert error.fix


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "1:1", "empty"),
        ("# nothing\n", "1:1", "empty"),
        ("- a\n- b\n", "1:1", "not a mapping"),
        ("just text", "1:1", "not a mapping"),
        ("a:\n\t- b\n", "2:1", "a tab"),
        ("a: b: c\n", "1:5", "mapping values are not allowed here"),
        ("a: [1\nb: 2\n", "2:2", "expected ',' or ']'"),
        ("a: 1\n---\nb: 2\n", "2:1", "another document"),
        ("a: 1\nb: \x01\n", "2:4", "a character that text cannot hold"),
        ("a: *x\n", "1:4", "undefined alias"),
        ("a: @x\n", "1:4", "cannot start any token"),
        ("[a]: 1\n", "1:1", "a key must be text"),
        ("a: {<<: 5}\n", "1:9", "`<<` merges mappings only"),
        ("a: &x [*x]\n", "1:4", "nested too deeply"),
        ("a: &x {<<: *x}\n", "1:4", "nested too deeply"),
        ("a: " + "[" * 5000, "1:1", "nested too deeply"),
        ("a: " + "[" * 60 + "]" * 60, "1:54", "nested too deeply"),
        ("a: 'x", "1:6", "end of stream"),
        ("x" * (LARGEST_TEXT + 1), "1:1", "too large"),
    ],
)
def test_text_that_is_no_analysis_file(text: str, where: str, what: str) -> None:
    with pytest.raises(AnalysisSyntaxError) as caught:
        read_document(text)
    assert what in caught.value.what
    assert caught.value.where == where
    assert caught.value.fix


@pytest.mark.parametrize(
    "item", ["[*{0},*{0},*{0},*{0},*{0}]", "{{a: *{0}, b: *{0}, c: *{0}}}", "{{<<: [*{0},*{0},*{0},*{0}]}}"]
)
def test_anchors_that_multiply_are_stopped(item: str) -> None:
    lines = ["x0: &x0 {q: 1}", *(f"x{i}: &x{i} " + item.format(f"x{i - 1}") for i in range(1, 30))]
    with pytest.raises(AnalysisSyntaxError, match="anchors expand to too many values"):
        read_document("\n".join(lines))


def _read_or_refused(text: str) -> None:
    try:
        read_document(text)
    except AnalysisSyntaxError as error:
        line, column = error.where.split(":")
        assert int(line) >= 1 <= int(column)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    _read_or_refused(text)


@settings(deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!<>|'\"#?,. \n\t%@1", max_size=40))
def test_any_markup_is_read_or_refused(text: str) -> None:
    _read_or_refused(text)
