"""Cut an expression's text into numbers, names and operators."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from gridloom.expressions.places import Place, pointed

MAX_LENGTH = 10_000

Kind = Literal["number", "name", "branch", "operator", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<number>0[xX][0-9a-fA-F]+ | (?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::)[A-Za-z_][A-Za-z0-9_]*)*\$?)
  | `(?P<branch>[^`\n]+)`
  | (?P<operator>&&|\|\||\*\*|<<|>>|<=|>=|==|!=|[-+*/%^<>!~&|?:()\[\],])
    """,
    re.VERBOSE,
)
_HINTS = {
    "=": "Equality is written `==`.",
    '"': "Expressions work on numbers, not on text.",
    "'": "Expressions work on numbers, not on text.",
    "`": "A branch name between backquotes ends with a backquote.",
    "@": "Write `len(Jet_pt)` for the number of objects.",
    ";": "Give one expression, without a semicolon.",
    "≤": "Write `<=`.",
    "≥": "Write `>=`.",
    "≠": "Write `!=`.",
    "−": "Write the minus sign `-` of the keyboard.",
    "–": "Write the minus sign `-` of the keyboard.",
    "×": "Write `*`.",
    "·": "Write `*`.",
    "²": "Write `**2`.",
}


@dataclass(frozen=True, kw_only=True)
class Token:
    """One word of an expression and where it stands."""

    kind: Kind
    text: str
    place: Place


def tokens(text: str) -> tuple[Token, ...]:
    """The words of an expression, an `end` after the last.

    Raises InvalidExpression for a character that has no meaning, and for texts over MAX_LENGTH characters.
    """
    if len(text) > MAX_LENGTH:
        start = Place(text=text[:80], start=0, end=1)
        raise pointed(
            f"expression of {len(text)} characters, more than {MAX_LENGTH},", start, "Split it with `definitions`."
        )
    found: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            place = Place(text=text, start=position, end=position + 1)
            raise pointed(f"unexpected character {text[position]!r}", place, _HINTS.get(text[position], ""))
        place = Place(text=text, start=position, end=match.end())
        position = match.end()
        for kind in ("number", "name", "branch", "operator"):
            word = match[kind]
            if word is not None:
                found.append(Token(kind=kind, text=word, place=place))
    # The end is pointed at right behind the last word, not behind trailing white space.
    last = found[-1].place.end if found else 0
    found.append(Token(kind="end", text="", place=Place(text=text, start=last, end=last)))
    return tuple(found)


def number(token: Token) -> int | float:
    """The value of a number; integers are exact up to 2**64.

    Raises InvalidExpression for numbers out of range and for leading zeros, which C++ would read as octal.
    """
    word = token.text
    if word[:2] in ("0x", "0X"):
        value: int | float = int(word, 16)
    elif word.isdigit():
        if len(word) > 1 and word[0] == "0":
            raise pointed(f"number `{word}` with a leading zero", token.place, f"Write {word.lstrip('0') or '0'}.")
        value = int(word)
    else:
        value = float(word)
    if isinstance(value, float) and math.isinf(value):
        raise pointed(f"number `{word}` out of range", token.place, "Numbers go up to 1.8e308.")
    if isinstance(value, int) and value >= 2**64:
        raise pointed(f"integer `{word}` out of range", token.place, "Integers go up to 2**64 - 1; beyond, write 1e20.")
    return value
