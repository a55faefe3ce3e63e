"""Parsing: trees, precedences, branches, definitions, limits."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gridloom.errors import InvalidExpression, Problems
from gridloom.expressions import parse, parse_all
from gridloom.expressions.parser import MAX_NESTING
from gridloom.expressions.tokens import MAX_LENGTH
from gridloom.expressions.tree import Binary, Call, Comparison, Conditional, Index, Literal, Name, Node, Unary


def prefix(node: Node) -> str:
    """The tree in prefix notation."""
    if isinstance(node, Literal):
        return repr(node.value)
    if isinstance(node, Name):
        return node.name
    heads = {Index: "[]", Conditional: "?"}
    if isinstance(node, Unary | Binary):
        head = node.operator
    elif isinstance(node, Comparison):
        head = "".join(node.operators)
    elif isinstance(node, Call):
        head = node.function
    else:
        head = heads[type(node)]
    return f"({' '.join([head, *map(prefix, node.children)])})"


TREES = [
    ("1", "1"),
    ("1e-3", "0.001"),
    ("2.", "2.0"),
    (".5", "0.5"),
    ("0x1F", "31"),
    ("0", "0"),
    ("18446744073709551615", "18446744073709551615"),
    ("true", "True"),
    ("kFALSE", "False"),
    ("Jet.pt", "Jet.pt"),
    ("`Jet/Jet.pt`*2", "(* Jet/Jet.pt 2)"),
    ("a + b * c", "(+ a (* b c))"),
    ("a - b - c", "(- (- a b) c)"),
    ("a / b % c", "(% (/ a b) c)"),
    ("-x**2", "(- (** x 2))"),
    ("2**-x", "(** 2 (- x))"),
    ("a^b^c", "(** a (** b c))"),
    ("-a * b", "(* (- a) b)"),
    ("a*-b", "(* a (- b))"),
    ("+a", "(+ a)"),
    ("a && b || c && d", "(|| (&& a b) (&& c d))"),
    ("a and b or not c", "(|| (&& a b) (! c))"),
    ("not a < b", "(! (< a b))"),
    ("not a & b", "(! (& a b))"),
    ("!a && b", "(&& (! a) b)"),
    ("!(a > b)", "(! (> a b))"),
    ("(!a) > b", "(> (! a) b)"),
    ("a & b == c", "(& a (== b c))"),
    ("a | b & c", "(| a (& b c))"),
    ("a << 1 + b", "(<< a (+ 1 b))"),
    ("a < b << 1", "(< a (<< b 1))"),
    ("~a & b", "(& (~ a) b)"),
    ("20 < pt < 50", "(<< 20 pt 50)"),
    ("a == b == c", "(==== a b c)"),
    ("(a < b) == c", "(== (< a b) c)"),
    ("a ? b : c ? d : e", "(? a b (? c d e))"),
    ("a ? b ? c : d : e", "(? a (? b c d) e)"),
    ("a || b ? c : d", "(? (|| a b) c d)"),
    ("Jet_pt[0]", "([] Jet_pt 0)"),
    ("Jet_pt[a > 1][0]", "([] ([] Jet_pt (> a 1)) 0)"),
    ("(a + b)[0]", "([] (+ a b) 0)"),
    ("-Jet_pt[0]", "(- ([] Jet_pt 0))"),
    ("Sum$(Jet_pt > 25)", "(sum (> Jet_pt 25))"),
    ("sum(a)", "(sum a)"),
    ("min", "min"),
    ("min(min)", "(min min)"),
    ("TMath::Abs(x)", "(abs x)"),
    ("std::max(a, b)", "(max a b)"),
    ("TMath::Pi()", "(pi)"),
    ("DELTAR(a, b, c, d)", "(deltar a b c d)"),
    ("deltaPhi(a, b)", "(deltaphi a b)"),
    ("Iteration$ < 2", "InvalidExpression"),
    ("Jet_pt * (Iteration$ < 2)", "(* Jet_pt (< (iteration Jet_pt) 2))"),
    ("met + Sum$(Jet_pt * (Iteration$ == 1))", "(+ met (sum (* Jet_pt (== (iteration Jet_pt) 1))))"),
    ("a[b > 1] / Length$", "(/ ([] a (> b 1)) (len ([] a (> b 1))))"),
    ("a[0] * b / Length$", "(/ (* ([] a 0) b) (len b))"),
    ("sum(a) * b / Length$", "(/ (* (sum a) b) (len b))"),
    ("Length$(a)", "(len a)"),
    (" a\t+\n b ", "(+ a b)"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), TREES)
def test_tree(text: str, expected: str) -> None:
    if expected == "InvalidExpression":
        with pytest.raises(InvalidExpression):
            parse(text)
    else:
        assert prefix(parse(text).tree) == expected


def test_branches_are_names_and_not_functions() -> None:
    expression = parse("Sum$(Jet_pt > 25) + mass + mass(a, b.c, d, 0) + `e/f`[Jet_idx] + true")
    assert expression.branches == {"Jet_pt", "mass", "a", "b.c", "d", "e/f", "Jet_idx"}


def test_an_expression_is_a_value() -> None:
    assert parse("a + 1") == parse("a + 1")
    assert parse("a + 1") != parse("a + 2")
    assert hash(parse("a + 1")) == hash(parse("a + 1"))
    assert str(parse(" a + 1")) == " a + 1"
    with pytest.raises(AttributeError):
        parse("a").text = "b"  # type: ignore[misc]


def test_parsing_is_light() -> None:
    code = (
        "import sys; from gridloom.expressions import parse, functions_reference; parse('sqrt(Jet_pt[0])'); "
        "functions_reference(); print(sorted({'numpy', 'awkward', 'vector'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# --- definitions ------------------------------------------------------------------------------------------------
def test_definitions_are_inlined() -> None:
    definitions = parse_all({"good": "Jet_pt > 25 && abs(Jet_eta) < 2.4", "many": "count(good) >= 4"})
    assert definitions["many"].branches == {"Jet_pt", "Jet_eta"}
    expression = parse("many && met > 20", definitions=definitions)
    assert expression.text == "many && met > 20"
    assert expression.branches == {"Jet_pt", "Jet_eta", "met"}
    assert prefix(parse("good ? 1 : 0", definitions=definitions).tree) == (
        "(? (&& (> Jet_pt 25) (< (abs Jet_eta) 2.4)) 1 0)"
    )


@pytest.mark.parametrize(
    ("definitions", "expected"),
    [
        ({"a": "a + 1"}, {"a": "`a` is defined by itself"}),
        ({"a": "b + 1", "b": "2"}, {"a": "`b` is used before it is defined"}),
        ({"a": "b", "b": "a"}, {"a": "`b` is used before it is defined"}),
        ({"a b": "1", "true": "1"}, {"a b": "cannot be the name", "true": "cannot be the name"}),
        ({"a": "1 +", "b": "a", "c": ")"}, {"a": "ends too early", "c": "unexpected `)`"}),
    ],
)
def test_wrong_definitions_are_reported_all_at_once(definitions: dict[str, str], expected: dict[str, str]) -> None:
    with pytest.raises(Problems) as caught:
        parse_all(definitions)
    assert [error.key for error in caught.value.errors] == [("definitions", name) for name in expected]
    for error, words in zip(caught.value.errors, expected.values(), strict=True):
        assert words in error.what


# --- limits -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "x" + ")" * 4999,
        "-" * 9000 + "x",
        "!" * 9000 + "x",
        "not " * 2000 + "x",
        "x**" * 3000 + "x",
        "x?y:" * 2000 + "z",
        "x[" * 3000 + "0" + "]" * 3000,
        "abs(" * 2000 + "x" + ")" * 2000,
        "+".join("x" * 4000),
        "x" + "[0]" * 3000,
        "x" * (MAX_LENGTH + 1),
    ],
)
def test_abuse_is_an_error_of_the_expression(text: str) -> None:
    with pytest.raises(InvalidExpression):
        parse(text)


def test_limits_leave_room() -> None:
    parse("(" * (MAX_NESTING - 1) + "x" + ")" * (MAX_NESTING - 1))
    expression = parse(" || ".join(f"(a{i} > {i})" for i in range(250)))
    assert expression == parse(expression.text)


def test_definitions_cannot_multiply_without_end() -> None:
    definitions = {"d0": "x"} | {f"d{i}": f"d{i - 1} + d{i - 1}" for i in range(1, 40)}
    with pytest.raises(Problems) as caught:
        parse_all(definitions)
    assert "more than 100000 operations" in caught.value.errors[0].what
