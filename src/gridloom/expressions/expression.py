"""Expressions: parsed text with the branches it needs, and named definitions inlined."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gridloom.errors import GridloomError, InvalidExpression, Problems
from gridloom.expressions import tree
from gridloom.expressions.bare import bind
from gridloom.expressions.parser import KEYWORDS, parse_tree
from gridloom.expressions.places import pointed

# A tree deeper than this would exceed Python's recursion where trees are compared; one larger, memory.
MAX_DEPTH = 300
MAX_SIZE = 100_000
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A parsed expression: its text as written, its tree, and the branches it reads (definitions are inlined)."""

    text: str
    tree: tree.Node = field(repr=False)
    branches: frozenset[str]

    def __str__(self) -> str:
        return self.text


NO_DEFINITIONS: Mapping[str, Expression] = MappingProxyType({})


def parse(text: str, *, definitions: Mapping[str, Expression] = NO_DEFINITIONS) -> Expression:
    """Parse an expression and inline the definitions it uses.

    Raises InvalidExpression with the column (from one), the text with a caret, and what to do.
    """
    written = parse_tree(text)
    _check_size(written)
    whole = tree.substitute(bind(written), {name: definition.tree for name, definition in definitions.items()})
    _check_size(whole)
    return Expression(text=text, tree=whole, branches=tree.names(whole))


def _check_size(root: tree.Node) -> None:
    if tree.depth(root) > MAX_DEPTH:
        raise pointed(f"more than {MAX_DEPTH} operations in a row", root.place, "Set parentheses to group them.")
    if tree.size(root) > MAX_SIZE:
        raise pointed(f"more than {MAX_SIZE} operations", root.place, "The definitions use each other too often.")


def parse_all(definitions: Mapping[str, str]) -> dict[str, Expression]:
    """Parse named expressions, each of which may use the ones before it, and inline them.

    Raises Problems with one InvalidExpression for every wrong definition, its key ("definitions", name).
    """
    parsed: dict[str, Expression] = {}
    errors: list[GridloomError] = []
    for name, text in definitions.items():
        try:
            parsed[name] = _definition(name, text, definitions, parsed)
        except InvalidExpression as error:
            errors.append(InvalidExpression(error.what, fix=error.fix, key=("definitions", name)))
    if errors:
        raise Problems(errors)
    return parsed


def _definition(name: str, text: str, definitions: Mapping[str, str], earlier: Mapping[str, Expression]) -> Expression:
    if not _IDENTIFIER.fullmatch(name) or name in KEYWORDS:
        raise InvalidExpression(
            f"`{name}` cannot be the name of a definition",
            fix="Use letters, digits and `_`, and no word of the language.",
        )
    expression = parse(text, definitions=earlier)
    place = expression.tree.place
    if name in expression.branches:
        raise pointed(
            f"`{name}` is defined by itself", place, "Give the definition a name that is not a branch it uses."
        )
    position = list(definitions).index(name)
    later = sorted(expression.branches.intersection(list(definitions)[position + 1 :]))
    if later:
        raise pointed(f"`{later[0]}` is used before it is defined", place, f"Move `{later[0]}` above `{name}`.")
    return expression
