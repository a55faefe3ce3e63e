"""`Iteration$` and `Length$` without argument: they concern the objects of the formula around them, as in ROOT."""

from __future__ import annotations

from gridloom.expressions.functions import FUNCTIONS
from gridloom.expressions.places import pointed
from gridloom.expressions.tree import Call, Index, Literal, Name, Node, postorder


def bind(root: Node) -> Node:
    """The tree with every bare call given the names around it as arguments; the first jagged one decides.

    "Around it" is the argument of the nearest function over objects (`Sum$(...)`), or the whole expression.
    Raises InvalidExpression when there is no name around.
    """
    if not any(_is_bare(node) for node in postorder(root)):
        return root
    return _bound(root, _around((root,)))


def _is_bare(node: Node) -> bool:
    return isinstance(node, Call) and FUNCTIONS[node.function].bare and not node.arguments


def _bound(node: Node, around: tuple[Node, ...]) -> Node:
    if _is_bare(node):
        if not around:
            raise pointed(
                f"`{node.place.words}` has no branch beside it", node.place, "Name one: `Iteration$(Jet_pt)`."
            )
        return node.with_children(around)
    if _reduces(node):
        around = _around(node.children)
    return node.with_children(tuple(_bound(child, around) for child in node.children))


def _around(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """Names and selections in `nodes` that may hold one value per object, left to right."""
    found: list[Node] = []
    for node in nodes:
        if isinstance(node, Name) or (isinstance(node, Index) and not isinstance(node.index, Literal)):
            found.append(node)
        elif not isinstance(node, Index) and not _reduces(node):
            found.extend(_around(node.children))
    return tuple(found)


def _reduces(node: Node) -> bool:
    return isinstance(node, Call) and len(node.arguments) in FUNCTIONS[node.function].reduces
