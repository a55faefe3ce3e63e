"""YAML text -> plain values, with the place of every key and list item.

The composed nodes are walked here instead of using a YAML constructor: that gives the places, refuses tags (no
object is ever built from a file), bounds what anchors can expand to, and reports every duplicate key.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from gridloom.errors import AnalysisSyntaxError, GridloomError, KeyPath, Problems

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

LARGEST_TEXT = 2_000_000
# Anchors may be used many times over ("billion laughs"): what they expand to counts, too.
MOST_VALUES = 100_000
DEEPEST = 50

_TAG = "tag:yaml.org,2002:"
_KNOWN_TAGS = frozenset(_TAG + kind for kind in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp"))
_INTEGER_PREFIX = re.compile(r"^[-+]?0[box]")
_QUOTING = (
    "Indent with spaces, and put text in quotes that contains `: ` or ` #`, or that begins with one of "
    '`! & * [ { > | % @`, as in `"!isTau && Jet_pt[0] > 25"`.'
)

_BEGIN = "Write `key: value` lines, beginning with `gridloom: 1`; `gridloom new` writes a file to start from."


@dataclass(frozen=True, kw_only=True, order=True)
class Position:
    """Line and column, from one."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file, where each key and list item begins, and what was wrong on the way.

    Problems are duplicate keys, and with the `key` of the value concerned: tags, impossible numbers.
    """

    values: dict[str, Value]
    places: Mapping[KeyPath, Position]
    problems: tuple[tuple[Position, GridloomError], ...] = ()


def read_document(text: str, *, name: str = "the analysis file", begin: str = _BEGIN) -> Document:
    """Read YAML 1.2; raises AnalysisSyntaxError with `where` = "line:column" if it is none or no mapping.

    `name` is what errors call the file, `begin` says how to write one.
    """
    node = _compose(text, name)
    if not isinstance(node, MappingNode):
        shown = "empty" if node is None else "not a mapping"
        raise AnalysisSyntaxError(
            f"{name} is {shown}",
            where="1:1",
            fix=begin,
        )
    reader = _Reader()
    values = reader.mapping(node, ())
    return Document(values=values, places=reader.places, problems=tuple(reader.problems))


def decoded(content: bytes, path: Path) -> str:
    """The text of a file. Raises AnalysisSyntaxError when it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise AnalysisSyntaxError(
            "the file is not UTF-8 text", where=f"{path}:{line}:{column}", fix="Save it with the encoding UTF-8."
        ) from error


def place_of(path: Path, places: Mapping[KeyPath, Position], key: KeyPath) -> str:
    """`file:line:column` of a key or list item, or of the nearest part around it that the file has."""
    position = position_of(places, key)
    return f"{path}:{position.line}:{position.column}"


def position_of(places: Mapping[KeyPath, Position], key: KeyPath) -> Position:
    while key and key not in places:
        key = key[:-1]
    return places.get(key, Position())


def placed_problems(document: Document, errors: Iterable[GridloomError], path: Path) -> Problems:
    """What is wrong with a file, in its order; an error that has a place of its own in the file keeps it."""
    found = [*document.problems, *((position_of(document.places, error.key), error) for error in errors)]
    found.sort(key=lambda pair: pair[0])
    return Problems(error.at(f"{path}:{position.line}:{position.column}") for position, error in found)


def _compose(text: str, name: str) -> Node | None:
    if len(text) > LARGEST_TEXT:
        raise AnalysisSyntaxError(
            f"{name} is too large: {len(text):,} characters, at most {LARGEST_TEXT:,}",
            where="1:1",
            fix="Is it the right file? Long lists of ROOT files can be written as globs (`data/ttH_*.root`).",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # YAML 1.2 allows an anchor to be given anew
            node: Node | None = YAML(typ="safe", pure=True).compose(text)
            return node
    except MarkedYAMLError as error:
        raise _syntax_error(error, text) from error
    except ReaderError as error:
        raise AnalysisSyntaxError(
            f"a character that text cannot hold: {chr(error.character)!r}",
            where=_position_of(text, error.position),
            fix="Delete it; an editor that shows control characters helps to find it.",
        ) from error
    except (YAMLError, RecursionError) as error:
        too_deep = isinstance(error, RecursionError)
        what = "lists or mappings are nested too deeply" if too_deep else str(error)
        raise AnalysisSyntaxError(what, where="1:1", fix=_QUOTING) from error


def _position_of(text: str, offset: int) -> str:
    before = text[:offset]
    return f"{before.count(chr(10)) + 1}:{offset - before.rfind(chr(10))}"


def _syntax_error(error: MarkedYAMLError, text: str) -> AnalysisSyntaxError:
    mark = error.problem_mark or error.context_mark
    where = f"{mark.line + 1}:{mark.column + 1}" if mark is not None else "1:1"
    what = " ".join(str(part) for part in (error.context, error.problem) if part)
    if mark is not None and "\\t" in repr(text[mark.index : mark.index + 1]):
        return AnalysisSyntaxError("a tab where YAML needs spaces", where=where, fix="Indent with spaces only.")
    return AnalysisSyntaxError(f"not valid YAML: {what}", where=where, fix=_QUOTING)


@dataclass
class _Reader:
    """One walk over the nodes of one text."""

    places: dict[KeyPath, Position] = field(default_factory=dict)
    problems: list[tuple[Position, GridloomError]] = field(default_factory=list)
    values_seen: int = 0

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Value]:
        values: dict[str, Value] = {}
        given: dict[str, Position] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            key, at = self.key(key_node), _start(key_node)
            if key in given:
                self.problem(
                    (*path, key), at, f"`{key}` is given twice, first in line {given[key].line}", "Keep one of the two."
                )
                continue
            given[key] = at
            values[key] = self.value(value_node, (*path, key), at)
        for key_node, value_node in self.merged(node, path, 0):
            # Keys written out come before those of a merge, and earlier merges before later ones.
            key = self.key(key_node)
            if key not in values:
                values[key] = self.value(value_node, (*path, key), _start(key_node))
        return values

    def merged(self, node: MappingNode, path: KeyPath, depth: int) -> Iterator[tuple[Node, Node]]:
        """The keys and values that `<<` adds, in order of precedence."""
        for key_node, value_node in node.value:
            if key_node.tag != f"{_TAG}merge":
                continue
            for source in value_node.value if isinstance(value_node, SequenceNode) else (value_node,):
                if not isinstance(source, MappingNode):
                    fix = "Write `<<: *name` with a mapping's anchor."
                    raise AnalysisSyntaxError("`<<` merges mappings only", where=_where(source), fix=fix)
                self.budget(source, len(path) + depth)
                yield from (pair for pair in source.value if pair[0].tag != f"{_TAG}merge")
                yield from self.merged(source, path, depth + 1)

    def value(self, node: Node, path: KeyPath, at: Position) -> Value:
        self.budget(node, len(path))
        self.places[path] = at
        if node.tag not in _KNOWN_TAGS:
            self.problem(
                path,
                at,
                f"`{str(node.tag).replace(_TAG, '!!')}` begins with `!`, which YAML takes for a tag",
                'Put the whole text in quotes, as in "!isTau".',
            )
            return None
        if isinstance(node, MappingNode):
            return self.mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*path, index), _start(item)) for index, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self.scalar(node, path)

    def key(self, node: Node) -> str:
        if isinstance(node, ScalarNode):
            return str(node.value)
        raise AnalysisSyntaxError("a key must be text, not a list or mapping", where=_where(node), fix=_QUOTING)

    def scalar(self, node: ScalarNode, path: KeyPath) -> Value:
        text = str(node.value)
        match str(node.tag).removeprefix(_TAG):
            case "null":
                return None
            case "bool":
                return text.lower() in ("true", "yes", "on")  # the words count with `%YAML 1.1` only
            case "int":
                return self.integer(node, path)
            case "float":
                return self.number(node, path)
            case _:
                return text

    def integer(self, node: ScalarNode, path: KeyPath) -> Value:
        digits = str(node.value).replace("_", "")
        try:
            return int(digits, 0 if _INTEGER_PREFIX.match(digits) else 10)
        except ValueError:  # Python's own limit on the number of digits
            self.problem(
                path, self.places[path], "a number with too many digits", "Write it as `1e10`, or in quotes as text."
            )
            return 0

    def number(self, node: ScalarNode, path: KeyPath) -> Value:
        digits = str(node.value).replace("_", "").lower()
        try:
            return float({".nan": "nan", ".inf": "inf", "+.inf": "inf", "-.inf": "-inf"}.get(digits, digits))
        except ValueError:  # only with an explicit `!!float`
            self.problem(path, self.places[path], f"`{node.value}` is not a number", "Leave out the tag `!!float`.")
            return 0

    def problem(self, path: KeyPath, at: Position, what: str, fix: str) -> None:
        self.problems.append((at, AnalysisSyntaxError(what, fix=fix, key=path)))

    def budget(self, node: Node, depth: int) -> None:
        self.values_seen += 1
        if self.values_seen > MOST_VALUES or depth > DEEPEST:
            raise AnalysisSyntaxError(
                "anchors expand to too many values" if depth <= DEEPEST else "values are nested too deeply",
                where=_where(node),
                fix="Use fewer or simpler anchors (`&name`, `*name`); an anchor must not contain itself.",
            )


def _start(node: Node) -> Position:
    return Position(line=node.start_mark.line + 1, column=node.start_mark.column + 1)


def _where(node: Node) -> str:
    position = _start(node)
    return f"{position.line}:{position.column}"
