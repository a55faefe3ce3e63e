"""Compute an expression's column from the columns of its branches."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.errors import BranchType, GridloomError, MissingBranch
from gridloom.expressions import arithmetic, elementwise, indexing
from gridloom.expressions.expression import Expression
from gridloom.expressions.functions import FUNCTIONS
from gridloom.expressions.jagged import Column, Misuse, WrongType, from_array, to_array
from gridloom.expressions.places import picture, pointed
from gridloom.expressions.tree import Binary, Call, Comparison, Conditional, Index, Literal, Name, Node, Unary, fold

__all__ = ["evaluate", "evaluate_condition", "evaluate_per_event"]

Operation = Callable[..., Column]

UNARY: dict[str, Operation] = {
    "-": arithmetic.negative,
    "+": arithmetic.positive,
    "~": arithmetic.bit_not,
    "!": elementwise.opposite,
}
BINARY: dict[str, Operation] = {
    "+": arithmetic.add,
    "-": arithmetic.subtract,
    "*": arithmetic.multiply,
    "/": arithmetic.divide,
    "%": arithmetic.remainder,
    "**": arithmetic.power,
    "&": arithmetic.bit_and,
    "|": arithmetic.bit_or,
    "<<": arithmetic.shift_left,
    ">>": arithmetic.shift_right,
    "&&": elementwise.both,
    "||": elementwise.either,
}


def evaluate(expression: Expression, columns: Mapping[str, Any], *, events: int | None = None) -> Any:
    """The values of an expression for one chunk of events.

    `columns` holds numpy or awkward arrays with one entry per event, flat or with one list per event, at least for
    `expression.branches`; `events` is their length (by default taken from any of them). The result is a numpy array
    (events,) of bool, int64, uint64 or float64, or an awkward array with one list of such per event; what is missing
    is NaN. The type follows from the types of the branches: a chunk of no events checks an expression.

    Raises MissingBranch, BranchType (text, structures, lists of lists), and InvalidExpression for operations on
    columns that do not go together, all pointing at the place in the text.
    """
    count = _events(columns, events)
    return to_array(_column(expression, columns), count)


def evaluate_per_event(
    expression: Expression, columns: Mapping[str, Any], *, events: int | None = None
) -> NDArray[Any]:
    """As `evaluate`, for uses that need one number per event.

    Raises InvalidExpression for values per object, BranchType if they are those of a branch alone.
    """
    count = _events(columns, events)
    column = _column(expression, columns)
    if column.offsets is not None:
        raise _per_object(expression)
    result: NDArray[Any] = to_array(column, count)
    return result


def _per_object(expression: Expression) -> GridloomError:
    fix = "Pick an object, `Jet_pt[0]`, or combine them: `max(...)`, `sum(...)`, `any(...)`, `count(...)`."
    if isinstance(expression.tree, Name):
        what = f"branch `{expression.tree.name}` holds one value per object, but one per event is needed"
        return BranchType(what, fix=fix)
    return pointed("one value per object, but one per event is needed,", expression.tree.place, fix)


def evaluate_condition(
    expression: Expression, columns: Mapping[str, Any], *, events: int | None = None
) -> NDArray[np.bool_]:
    """Whether each event fulfils a condition, bool (events,): not 0, not missing, not NaN."""
    values = evaluate_per_event(expression, columns, events=events)
    return np.asarray((values != 0) & (values == values), dtype=np.bool_)


def _events(columns: Mapping[str, Any], events: int | None) -> int:
    lengths = {len(array) for array in columns.values()} | ({events} if events is not None else set())
    if len(lengths) != 1:
        raise ValueError(
            f"columns of one chunk have one length, not {sorted(lengths)}; `events` says it without columns"
        )
    return lengths.pop()


def _column(expression: Expression, columns: Mapping[str, Any]) -> Column:
    missing = sorted(expression.branches.difference(columns))
    if missing:
        near = difflib.get_close_matches(missing[0], columns, n=1)
        fix = f"Did you mean `{near[0]}`?" if near else "Check the name against the branches of the tree."
        raise MissingBranch(f"no branch `{missing[0]}`", fix=fix)

    def combine(node: Node, arguments: tuple[Column, ...]) -> Column:
        try:
            return replace(_operation(node, columns)(*arguments), label=node.place.words)
        except Misuse as misuse:
            raise _error(node, misuse) from misuse

    return fold(expression.tree, combine)


def _error(node: Node, misuse: Misuse) -> GridloomError:
    if isinstance(misuse, WrongType):
        return BranchType(f"{misuse.what}\n{picture(node.place)}", fix=misuse.fix)
    return pointed(f"{misuse.what},", node.place, misuse.fix)


def _operation(node: Node, columns: Mapping[str, Any]) -> Operation:
    """What computes a node from the columns of its children."""
    match node:
        case Literal():
            return partial(_constant, node.value)
        case Name():
            return partial(from_array, columns[node.name], node.name)
        case Unary():
            return UNARY[node.operator]
        case Binary():
            return BINARY[node.operator]
        case Comparison():
            return partial(_chain, node.operators)
        case Conditional():
            return elementwise.choose
        case Index():
            return indexing.pick
        case Call():
            return FUNCTIONS[node.function].compute
        case _:
            raise TypeError(f"unknown node {type(node).__name__}")


def _constant(value: bool | float) -> Column:
    dtype = np.uint64 if isinstance(value, int) and value >= 2**63 else None
    return Column(values=np.array(value, dtype=dtype))


def _chain(operators: tuple[str, ...], *operands: Column) -> Column:
    """`a < b < c` as `a < b && b < c`."""
    result = elementwise.compare(operators[0], operands[0], operands[1])
    for position, operator in enumerate(operators[1:], start=1):
        step = elementwise.compare(operator, operands[position], operands[position + 1])
        result = elementwise.both(result, step)
    return result
