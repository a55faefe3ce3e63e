"""Where in an expression's text something stands, and errors that point at it."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom.errors import InvalidExpression

_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of an expression's text: the characters from `start` up to `end`, counted from zero."""

    text: str
    start: int
    end: int

    @property
    def words(self) -> str:
        """The part itself, shortened when it is long."""
        part = " ".join(self.text[self.start : self.end].split())
        return part if len(part) <= 40 else f"{part[:39]}…"


def pointed(what: str, place: Place, fix: str = "") -> InvalidExpression:
    """An error whose message names the column (from one) and shows the text with a caret under it."""
    return InvalidExpression(f"{what} at {_position(place)}\n{picture(place)}", fix=fix)


def picture(place: Place) -> str:
    """The line of the text that `place` starts in, and a caret below the place; long lines are cut."""
    line_start = place.text.rfind("\n", 0, place.start) + 1
    line_end = place.text.find("\n", place.start)
    line = place.text[line_start : line_end if line_end >= 0 else len(place.text)].replace("\t", " ")
    column = place.start - line_start
    first = max(0, column - _WIDTH // 2) if len(line) > _WIDTH else 0
    shown = line[first : first + _WIDTH]
    head = "…" if first else ""
    tail = "…" if first + _WIDTH < len(line) else ""
    return f"    {head}{shown}{tail}\n    {' ' * (len(head) + column - first)}^"


def _position(place: Place) -> str:
    line = place.text.count("\n", 0, place.start) + 1
    column = place.start - (place.text.rfind("\n", 0, place.start) + 1) + 1
    return f"line {line}, column {column}" if "\n" in place.text.strip() else f"column {column}"
