"""The tree of a parsed expression: frozen nodes, and walks that do not recurse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from gridloom.expressions.places import Place

Result = TypeVar("Result")

_NOWHERE = Place(text="", start=0, end=0)


@dataclass(frozen=True, kw_only=True)
class Node:
    """A part of an expression; `place` and `grouped` (written in parentheses) do not enter comparisons."""

    place: Place = field(default=_NOWHERE, compare=False, repr=False)
    grouped: bool = field(default=False, compare=False, repr=False)

    @property
    def children(self) -> tuple[Node, ...]:
        return ()

    def with_children(self, children: tuple[Node, ...]) -> Node:  # noqa: ARG002
        """The same node over other children, as many as before (a call may take any number)."""
        return self


@dataclass(frozen=True, kw_only=True)
class Literal(Node):
    """A number, or true or false."""

    value: bool | int | float


@dataclass(frozen=True, kw_only=True)
class Name(Node):
    """A branch."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Unary(Node):
    """`-a`, `+a`, `!a`, `~a`."""

    operator: str
    operand: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.operand,)

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, operand=children[0])


@dataclass(frozen=True, kw_only=True)
class Binary(Node):
    """Arithmetic, logic and bits; `^` is kept as `**`, `and` as `&&`, `or` as `||`."""

    operator: str
    left: Node
    right: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.left, self.right)

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, left=children[0], right=children[1])


@dataclass(frozen=True, kw_only=True)
class Comparison(Node):
    """One comparison or a chain: `20 < pt < 50` means `20 < pt && pt < 50`."""

    operators: tuple[str, ...]
    operands: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.operands

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, operands=children)


@dataclass(frozen=True, kw_only=True)
class Conditional(Node):
    """`condition ? yes : no`."""

    condition: Node
    yes: Node
    no: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.condition, self.yes, self.no)

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, condition=children[0], yes=children[1], no=children[2])


@dataclass(frozen=True, kw_only=True)
class Index(Node):
    """`base[index]`: one object, objects by number, or the objects that pass a condition."""

    base: Node
    index: Node

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.base, self.index)

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, base=children[0], index=children[1])


@dataclass(frozen=True, kw_only=True)
class Call(Node):
    """A function of the table in `functions.py`, by the name it has there."""

    function: str
    arguments: tuple[Node, ...]

    @property
    def children(self) -> tuple[Node, ...]:
        return self.arguments

    def with_children(self, children: tuple[Node, ...]) -> Node:
        return replace(self, arguments=children)


def postorder(root: Node) -> tuple[Node, ...]:
    """Every node once, children before parents; a node shared by several parents is listed once.

    An inlined definition is one node however often it is used, so what follows this order computes it once.
    """
    done: set[int] = set()
    order: list[Node] = []
    stack: list[tuple[Node, bool]] = [(root, False)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in done:
            continue
        if expanded:
            done.add(id(node))
            order.append(node)
        else:
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(node.children))
    return tuple(order)


def fold(root: Node, combine: Callable[[Node, tuple[Result, ...]], Result]) -> Result:
    """Combine the tree bottom up: `combine(node, results of its children)`, once for every node."""
    results: dict[int, Result] = {}
    for node in postorder(root):
        results[id(node)] = combine(node, tuple(results[id(child)] for child in node.children))
    return results[id(root)]


def depth(root: Node) -> int:
    """Levels of the tree."""
    return fold(root, lambda _, below: 1 + max(below, default=0))


def size(root: Node) -> int:
    """Nodes of the tree, shared ones counted each time."""
    return fold(root, lambda _, below: 1 + sum(below))


def names(root: Node) -> frozenset[str]:
    """All branches in the tree."""
    return frozenset(node.name for node in postorder(root) if isinstance(node, Name))


def substitute(root: Node, definitions: Mapping[str, Node]) -> Node:
    """The tree with every name that is defined replaced by its definition."""

    def replaced(node: Node, children: tuple[Node, ...]) -> Node:
        if isinstance(node, Name):
            return definitions.get(node.name, node)
        unchanged = all(new is old for new, old in zip(children, node.children, strict=True))
        return node if unchanged else node.with_children(children)

    return fold(root, replaced)
