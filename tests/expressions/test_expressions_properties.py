"""Properties: text and tree are two forms of the same thing; columns agree with a plain computation event by event."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import awkward as ak
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.errors import InvalidExpression
from gridloom.expressions import parse
from gridloom.expressions.columns import evaluate
from gridloom.expressions.functions import FUNCTIONS
from gridloom.expressions.tree import Binary, Call, Comparison, Conditional, Index, Literal, Name, Node, Unary

# --- text <-> tree ----------------------------------------------------------------------------------------------
LEVELS = {"||": 2, "&&": 3, "|": 5, "&": 6, "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10, "**": 12}
COMPARISON, UNARY, POWER, POSTFIX = 7, 11, 12, 13


def render(node: Node) -> tuple[str, int]:
    """Text with no more parentheses than needed, and how tightly its outermost operator binds."""
    match node:
        case Literal(value=bool(value)):
            return ("true" if value else "false"), POSTFIX
        case Literal(value=value):
            return repr(value), POSTFIX
        case Name(name=name):
            return name, POSTFIX
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(render(argument)[0] for argument in arguments)})", POSTFIX
        case Index(base=base, index=index):
            return f"{inside(base, POSTFIX)}[{render(index)[0]}]", POSTFIX
        case Unary(operator=operator, operand=operand):
            return f"{operator}{inside(operand, UNARY)}", UNARY
        case Binary(operator="**", left=left, right=right):
            return f"{inside(left, POSTFIX)} ** {inside(right, UNARY)}", POWER
        case Binary(operator=operator, left=left, right=right):
            level = LEVELS[operator]
            return f"{inside(left, level)} {operator} {inside(right, level + 1)}", level
        case Comparison(operators=operators, operands=operands):
            first = operands[0]
            refused = isinstance(first, Unary) and first.operator == "!"
            text = inside(first, 14 if refused else COMPARISON + 1)
            for operator, operand in zip(operators, operands[1:], strict=True):
                text += f" {operator} {inside(operand, COMPARISON + 1)}"
            return text, COMPARISON
        case Conditional(condition=condition, yes=yes, no=no):
            return f"{inside(condition, 2)} ? {render(yes)[0]} : {render(no)[0]}", 1
    raise AssertionError(node)


def inside(node: Node, least: int) -> str:
    text, level = render(node)
    return text if level >= least else f"({text})"


def binary(operator: str, left: Node, right: Node) -> Node:
    return Binary(operator=operator, left=left, right=right)


def comparison(first: Node, rest: list[tuple[str, Node]]) -> Node:
    return Comparison(operators=tuple(operator for operator, _ in rest), operands=(first, *(node for _, node in rest)))


def call(function: str) -> Callable[[list[Node]], Node]:
    return lambda arguments: Call(function=function, arguments=tuple(arguments))


def calls(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    def arguments(function: str) -> st.SearchStrategy[Node]:
        count = FUNCTIONS[function].arguments
        return st.sampled_from(count[:2]).flatmap(
            lambda length: st.lists(nodes, min_size=length, max_size=length).map(call(function))
        )

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(arguments)


literals = st.one_of(
    st.booleans(), st.integers(0, 2**64 - 1), st.floats(0, allow_infinity=False, allow_nan=False, exclude_min=True)
).map(lambda value: Literal(value=value))
branches = st.sampled_from(["x", "Jet_pt", "Jet.pt", "mass", "e", "pi", "_a.b_2"]).map(lambda name: Name(name=name))


def grown(nodes: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    ordered = st.lists(st.tuples(st.sampled_from(["<", "<=", ">", ">="]), nodes), min_size=1, max_size=3)
    equal = st.lists(st.tuples(st.just("=="), nodes), min_size=1, max_size=2)
    different = st.tuples(st.just("!="), nodes).map(lambda one: [one])
    return st.one_of(
        st.builds(binary, st.sampled_from(sorted(LEVELS)), nodes, nodes),
        st.builds(lambda operator, operand: Unary(operator=operator, operand=operand), st.sampled_from("+-!~"), nodes),
        st.builds(comparison, nodes, st.one_of(ordered, equal, different)),
        st.builds(lambda a, b, c: Conditional(condition=a, yes=b, no=c), nodes, nodes, nodes),
        st.builds(lambda base, index: Index(base=base, index=index), nodes, nodes.filter(is_index)),
        calls(nodes),
    )


def is_index(node: Node) -> bool:
    return not (isinstance(node, Unary) and node.operator == "-" and isinstance(node.operand, Literal))


trees = st.recursive(st.one_of(literals, branches), grown, max_leaves=25)


@given(trees)
@settings(max_examples=300, deadline=None)
def test_rendered_and_parsed_again_a_tree_is_the_same(tree: Node) -> None:
    parsed = parse(render(tree)[0]).tree
    assert parsed == tree
    # Equality does not tell 1 from true or 1.0.
    assert repr(parsed) == repr(tree)


@given(st.text(alphabet="ab1.0e+-*/%^<>=!~&|?:()[], $`_", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_parses_or_is_refused(text: str) -> None:
    with contextlib.suppress(InvalidExpression):
        assert parse(text).text == text


# --- columns against a plain computation event by event ---------------------------------------------------------
Value = Any  # bool, int, float, None (missing), or a list of these with one for each object


def per_event(node: Node, event: dict[str, Value]) -> Value:
    """The value of an expression in one event, with nothing but Python."""
    parts = [per_event(child, event) for child in node.children]
    match node:
        case Literal(value=value):
            return value
        case Name(name=name):
            return event[name]
        case Unary(operator=operator):
            return lifted(UNARY_PLAIN[operator], parts)
        case Binary(operator=operator):
            return lifted(BINARY_PLAIN[operator], parts)
        case Comparison(operators=operators):
            return lifted(lambda *operands: chain(operators, operands), parts)
        case Conditional():
            return lifted(lambda test, yes, no: yes if truth(test) else no, parts)
        case Index():
            return indexed(*parts)
        case Call(function=function):
            return PLAIN[function](*parts)
    raise AssertionError(node)


def lifted(function: Callable[..., Value], parts: list[Value]) -> Value:
    """Element by element over the lists among the arguments; the others count for each of their elements."""
    lengths = {len(part) for part in parts if isinstance(part, list)}
    if not lengths:
        return function(*parts)
    (length,) = lengths
    return [function(*(part[i] if isinstance(part, list) else part for part in parts)) for i in range(length)]


def truth(value: Value) -> bool:
    return value is not None and not math.isnan(value) and bool(value != 0)


def unless_missing(function: Callable[..., Value]) -> Callable[..., Value]:
    return lambda *parts: None if any(part is None for part in parts) else function(*parts)


def divided(a: float, b: float) -> float:
    if b != 0:
        return a / b
    if a == 0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1, b)


def remainder(a: float, b: float) -> Value:
    if isinstance(a, int) and isinstance(b, int):
        return None if b == 0 else int(math.copysign(1, a)) * (abs(a) % abs(b))
    return math.nan if b == 0 or math.isinf(a) or a != a or b != b else math.fmod(a, b)


def chain(operators: tuple[str, ...], operands: tuple[Value, ...]) -> bool:
    return all(compared(operator, a, b) for operator, a, b in zip(operators, operands[:-1], operands[1:], strict=True))


def compared(operator: str, a: Value, b: Value) -> bool:
    if a is None or b is None or a != a or b != b:
        return False
    outcome: bool = {"<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b, "==": a == b, "!=": a != b}[operator]
    return outcome


def indexed(base: list[Value], index: Value) -> Value:
    if index == []:
        return []
    if isinstance(index, list) and isinstance(index[0], bool):
        return [value for value, keep in zip(base, index, strict=True) if keep]
    if isinstance(index, list):
        return [indexed(base, one) for one in index]
    return base[index] if index is not None and 0 <= index < len(base) else None


def extreme(choose: Callable[..., Value], *parts: Value) -> Value:
    """Of the objects that are there, or element by element; NaN wins."""

    def one(values: list[Value]) -> Value:
        return math.nan if any(value != value for value in values) else choose(values)

    if len(parts) > 1:
        return lifted(unless_missing(lambda *values: one(list(values))), list(parts))
    there = [value for value in parts[0] if value is not None]
    return one(there) if there else None


def there(values: list[Value]) -> list[Value]:
    return [value for value in values if value is not None]


UNARY_PLAIN: dict[str, Callable[..., Value]] = {"-": unless_missing(lambda a: -a), "!": lambda a: not truth(a)}
BINARY_PLAIN: dict[str, Callable[..., Value]] = {
    "+": unless_missing(lambda a, b: a + b),
    "-": unless_missing(lambda a, b: a - b),
    "*": unless_missing(lambda a, b: a * b),
    "/": unless_missing(divided),
    "%": unless_missing(remainder),
    "&&": lambda a, b: truth(a) and truth(b),
    "||": lambda a, b: truth(a) or truth(b),
}
PLAIN: dict[str, Callable[..., Value]] = {
    "sum": lambda x: sum(there(x)),
    "count": lambda x: sum(map(truth, x)),
    "len": len,
    "min": lambda *parts: extreme(min, *parts),
    "max": lambda *parts: extreme(max, *parts),
    "mean": lambda x: sum(there(x)) / len(there(x)) if there(x) else None,
    "any": lambda x: any(map(truth, x)),
    "all": lambda x: all(map(truth, there(x))),
    "first": lambda x: indexed(x, 0),
    "last": lambda x: indexed(x, len(x) - 1),
    "iteration": lambda x: list(range(len(x))),
    "abs": lambda x: lifted(unless_missing(abs), [x]),
    "alt": lambda x, y: lifted(lambda a, b: b if a is None or a != a else a, [x, y]),
    "isnan": lambda x: lifted(lambda a: a is None or a != a, [x]),
    "maxif": lambda x, test: extreme(
        max, [value for value, keep in zip(x, as_list(test, x), strict=True) if truth(keep)]
    ),
}


def as_list(test: Value, x: list[Value]) -> list[Value]:
    return test if isinstance(test, list) else [test] * len(x)


def node(function: str, *arguments: Node) -> Node:
    return Call(function=function, arguments=arguments)


def numbers(draw: st.DrawFn, shape: str, depth: int) -> Node:
    """A number per event ("event") or per object ("object")."""
    kinds = ["leaf"] if depth == 0 else ["leaf", "arithmetic", "arithmetic", "choice", "function", "shape"]
    kind = draw(st.sampled_from(kinds))
    if kind == "arithmetic":
        other = draw(st.sampled_from([shape, "event"]))
        operator = draw(st.sampled_from("+-*/%"))
        return binary(operator, numbers(draw, shape, depth - 1), numbers(draw, other, depth - 1))
    if kind == "choice":
        yes, no = numbers(draw, shape, depth - 1), numbers(draw, "event", depth - 1)
        return Conditional(condition=conditions(draw, shape, depth - 1), yes=yes, no=no)
    if kind == "function":
        function = draw(st.sampled_from(["abs", "alt", "min", "max", "-"]))
        first = numbers(draw, shape, depth - 1)
        if function == "-":
            return Unary(operator="-", operand=first)
        return node(function, *([first] if function == "abs" else [first, numbers(draw, "event", depth - 1)]))
    if kind == "shape":
        return reshaped(draw, shape, depth - 1)
    if shape == "object":
        return draw(st.sampled_from([Name(name="pt"), Name(name="bits"), node("iteration", Name(name="pt"))]))
    return draw(
        st.one_of(
            st.sampled_from([Name(name="met"), Name(name="n"), Name(name="ok")]),
            st.sampled_from([0, 1, 2, 7, 0.5, 3.25, True]).map(lambda value: Literal(value=value)),
        )
    )


def reshaped(draw: st.DrawFn, shape: str, depth: int) -> Node:
    """Through objects to a number per event, or objects picked by number."""
    objects = numbers(draw, "object", depth)
    if shape == "object":
        return Index(base=Name(name="mu"), index=draw(st.sampled_from([Name(name="link"), Name(name="bits")])))
    selected = Index(base=objects, index=conditions(draw, "object", depth))
    kind = draw(st.sampled_from(["sum", "len", "min", "max", "mean", "first", "last", "count", "index", "maxif"]))
    if kind == "count":
        return node("count", conditions(draw, "object", depth))
    if kind == "index":
        return Index(base=selected, index=draw(st.sampled_from([Name(name="n"), Literal(value=1)])))
    if kind == "maxif":
        return node("maxif", objects, conditions(draw, draw(st.sampled_from(["object", "event"])), depth))
    return node(kind, draw(st.sampled_from([objects, selected, Index(base=Name(name="mu"), index=Name(name="link"))])))


def conditions(draw: st.DrawFn, shape: str, depth: int) -> Node:
    kinds = ["compare"] if depth == 0 else ["compare", "and", "or", "not", "isnan", "any"]
    kind = draw(st.sampled_from(kinds))
    lower = max(depth - 1, 0)
    if kind in ("and", "or"):
        left = conditions(draw, shape, lower)
        right = draw(st.sampled_from(["condition", "number"]))
        made = conditions if right == "condition" else numbers
        return binary("&&" if kind == "and" else "||", left, made(draw, "event", lower))
    if kind == "not":
        return Unary(operator="!", operand=conditions(draw, shape, lower))
    if kind == "isnan":
        return node("isnan", numbers(draw, shape, lower))
    if kind == "any" and shape == "event":
        return node(draw(st.sampled_from(["any", "all"])), conditions(draw, "object", lower))
    operator = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    rest = [(operator, numbers(draw, "event", lower))]
    if operator not in ("==", "!=") and draw(st.booleans()):
        rest.append((draw(st.sampled_from(["<", ">="])), numbers(draw, shape, lower)))
    return comparison(numbers(draw, shape, lower), rest)


@st.composite
def typed_trees(draw: st.DrawFn) -> Node:
    shape = draw(st.sampled_from(["event", "object"]))
    return draw(st.sampled_from([numbers, conditions]))(draw, shape, 3)


# Quarters: sums and products of them are exact, so that no comparison hangs on a rounding.
doubles = st.one_of(st.integers(-40, 40).map(lambda n: n / 4), st.just(math.nan))


@st.composite
def chunks(draw: st.DrawFn) -> list[dict[str, Value]]:
    def event() -> dict[str, Value]:
        objects = draw(st.integers(0, 3))
        return {
            "met": draw(doubles),
            "n": draw(st.integers(0, 5)),
            "ok": draw(st.booleans()),
            "pt": draw(st.lists(doubles, min_size=objects, max_size=objects)),
            "bits": draw(st.lists(st.integers(0, 4), min_size=objects, max_size=objects)),
            "link": draw(st.lists(st.integers(-1, 2), min_size=objects, max_size=objects)),
            "mu": draw(st.lists(doubles, max_size=2)),
        }

    return [event() for _ in range(draw(st.integers(0, 3)))]


TYPES = {
    "met": "float32",
    "n": "uint32",
    "ok": "bool",
    "pt": "float64",
    "bits": "uint8",
    "link": "int16",
    "mu": "float32",
}


def column(events: list[dict[str, Value]], name: str) -> Any:
    values = [event[name] for event in events]
    if name in ("met", "n", "ok"):
        return np.array(values, dtype=TYPES[name])
    content = np.array([one for value in values for one in value], dtype=TYPES[name])
    return ak.unflatten(content, np.array([len(value) for value in values], dtype=np.int64))


def as_floats(value: Value) -> Value:
    if isinstance(value, list):
        return [as_floats(one) for one in value]
    return math.nan if value is None else float(value)


@given(typed_trees(), chunks())
@settings(max_examples=400, deadline=None)
def test_columns_agree_with_a_plain_computation(tree: Node, events: list[dict[str, Value]]) -> None:
    expected = [as_floats(per_event(tree, event)) for event in events]
    columns = {name: column(events, name) for name in TYPES}
    result = [as_floats(value) for value in evaluate(parse(render(tree)[0]), columns).tolist()]
    assert len(result) == len(expected)
    for got, wanted in zip(result, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=0)
