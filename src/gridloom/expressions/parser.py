"""Text to tree: operator-precedence parsing with the precedences of C++, as ROOT has them.

Vaughan Pratt, Top down operator precedence, POPL 1973. Where C++ and Python read the same text differently and a
physicist may mean either, the text is refused and parentheses are asked for.
"""

from __future__ import annotations

from dataclasses import replace

from gridloom.errors import InvalidExpression
from gridloom.expressions.functions import FUNCTIONS, Function, find_function, nearest_function
from gridloom.expressions.places import Place, pointed
from gridloom.expressions.tokens import Token, number, tokens
from gridloom.expressions.tree import Binary, Call, Comparison, Conditional, Index, Literal, Name, Node, Unary

MAX_NESTING = 80

# How tightly an operator binds, from loose to tight; `^` is the power, as in TTreeFormula.
_CONDITIONAL, _NOT, _COMPARISON, _UNARY, _POWER = 1, 4, 7, 11, 12
_BINDING = {
    "?": _CONDITIONAL,
    "||": 2, "or": 2,
    "&&": 3, "and": 3,
    "|": 5,
    "&": 6,
    "<": _COMPARISON, "<=": _COMPARISON, ">": _COMPARISON, ">=": _COMPARISON, "==": _COMPARISON, "!=": _COMPARISON,
    "<<": 8, ">>": 8,
    "+": 9, "-": 9,
    "*": 10, "/": 10, "%": 10,
    "**": _POWER, "^": _POWER,
}  # fmt: skip
_SAME_AS = {"and": "&&", "or": "||", "^": "**"}
_ORDER = frozenset(("<", "<=", ">", ">="))
_WORDS = {"true": True, "True": True, "kTRUE": True, "false": False, "False": False, "kFALSE": False}
KEYWORDS = frozenset(("and", "or", "not", *_WORDS))


def parse_tree(text: str) -> Node:
    """The tree of an expression; every node knows its place in the text.

    Raises InvalidExpression.
    """
    return _Parser(text).whole()


class _Parser:
    """Position in the words of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._nesting = 0

    def whole(self) -> Node:
        if self._next().kind == "end":
            raise InvalidExpression("the expression is empty", fix="Give a branch name, a number or a formula.")
        tree = self._expression(0)
        if self._next().kind != "end":
            raise self._unexpected()
        return tree

    # --- words ----------------------------------------------------------------------------------------------
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expect(self, closing: str, opened: Token) -> Token:
        if self._is(closing):
            return self._take()
        if self._next().kind == "end":
            fix = "Write `condition ? a : b`." if closing == ":" else f"Close it with `{closing}`."
            raise pointed(f"`{opened.text}` without `{closing}`", opened.place, fix)
        raise self._unexpected()

    def _is(self, operator: str) -> bool:
        return self._next().kind == "operator" and self._next().text == operator

    def _place(self, start: Place) -> Place:
        """From `start` up to the last word taken."""
        return Place(text=self._text, start=start.start, end=self._tokens[self._at - 1].place.end)

    def _unexpected(self) -> InvalidExpression:
        token = self._next()
        if token.kind == "end":
            return pointed("the expression ends too early", token.place, "Something is missing after the last word.")
        fix = ""
        if self._at and token.kind in ("name", "number", "branch"):
            before = self._tokens[self._at - 1]
            if before.kind == "number" and before.place.end == token.place.start:
                fix = "A name does not begin with a digit; multiplication is written `*`."
            elif before.kind != "operator" or before.text in (")", "]"):
                fix = "An operator such as `*` or `&&` is missing before it."
        return pointed(f"unexpected `{token.text}`", token.place, fix)

    # --- grammar --------------------------------------------------------------------------------------------
    def _expression(self, loosest: int) -> Node:
        """An expression of operators that bind more tightly than `loosest`."""
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise pointed(
                f"more than {MAX_NESTING} levels of nesting", self._next().place, "Split it with `definitions`."
            )
        left = self._operand()
        while (binding := self._binding()) > loosest:
            left = self._operation(left, binding)
        self._nesting -= 1
        return left

    def _binding(self) -> int:
        return _BINDING.get(self._next().text, 0) if self._next().kind in ("operator", "name") else 0

    def _operation(self, left: Node, binding: int) -> Node:
        if binding == _COMPARISON:
            return self._comparison(left)
        token = self._take()
        if binding == _CONDITIONAL:
            yes = self._expression(0)
            self._expect(":", token)
            no = self._expression(_CONDITIONAL - 1)
            return Conditional(condition=left, yes=yes, no=no, place=self._place(left.place))
        # The power groups from the right and takes a sign: 2**-1.
        right = self._expression(_UNARY - 1 if binding == _POWER else binding)
        operator = _SAME_AS.get(token.text, token.text)
        return Binary(operator=operator, left=left, right=right, place=self._place(left.place))

    def _comparison(self, left: Node) -> Node:
        if isinstance(left, Unary) and left.operator == "!" and not left.grouped:
            raise pointed(
                "`!` binds more tightly than the comparison",
                left.place,
                "Write `!(a > b)`, or `(!a) > b` if you mean it.",
            )
        operators: list[str] = []
        operands = [left]
        while self._binding() == _COMPARISON:
            token = self._take()
            operators.append(token.text)
            if len(operators) > 1 and not (_ORDER.issuperset(operators) or set(operators) == {"=="}):
                raise pointed(
                    "a chain of comparisons with two readings",
                    token.place,
                    "Chain only `<`, `<=`, `>`, `>=`, or only `==`; otherwise set parentheses.",
                )
            operands.append(self._expression(_COMPARISON))
        return Comparison(operators=tuple(operators), operands=tuple(operands), place=self._place(left.place))

    def _operand(self) -> Node:
        token = self._next()
        if token.kind == "operator" and token.text in ("-", "+", "!", "~"):
            self._take()
            operand = self._expression(_UNARY - 1)
            return Unary(operator=token.text, operand=operand, place=self._place(token.place))
        if token.kind == "name" and token.text == "not":
            self._take()
            return Unary(operator="!", operand=self._expression(_NOT), place=self._place(token.place))
        return self._indexed(self._atom())

    def _atom(self) -> Node:
        token = self._next()
        if token.kind == "number":
            self._take()
            return Literal(value=number(token), place=token.place)
        if token.kind == "branch":
            self._take()
            return Name(name=token.text, place=token.place)
        if token.kind == "name" and token.text not in ("and", "or"):
            return self._named(self._take())
        if self._is("("):
            self._take()
            inner = self._expression(0)
            self._expect(")", token)
            return replace(inner, grouped=True, place=self._place(token.place))
        raise self._unexpected()

    def _named(self, token: Token) -> Node:
        if token.text in _WORDS:
            return Literal(value=_WORDS[token.text], place=token.place)
        if self._is("("):
            return self._call(token)
        if "::" in token.text or token.text.endswith("$"):
            name = _known(token)
            if not FUNCTIONS[name].bare or "::" in token.text:
                raise pointed(f"`{token.text}` without arguments", token.place, _usage(FUNCTIONS[name]))
            return Call(function=name, arguments=(), place=token.place)
        return Name(name=token.text, place=token.place)

    def _call(self, token: Token) -> Node:
        name = _known(token)
        opened = self._take()
        arguments: list[Node] = []
        while not self._is(")"):
            if arguments and not self._is(","):
                self._expect(")", opened)
            if arguments:
                self._take()
            arguments.append(self._expression(0))
        self._take()
        place = self._place(token.place)
        if len(arguments) not in FUNCTIONS[name].arguments:
            raise pointed(
                f"`{token.text}` does not take {len(arguments)} argument{'s' * (len(arguments) != 1)}",
                place,
                _usage(FUNCTIONS[name]),
            )
        return Call(function=name, arguments=tuple(arguments), place=place)

    def _indexed(self, base: Node) -> Node:
        while self._is("["):
            opened = self._take()
            if self._is("]"):
                raise pointed("an index is missing", self._next().place, "Write the name alone for all objects.")
            index = self._expression(0)
            self._expect("]", opened)
            if isinstance(index, Unary) and index.operator == "-" and isinstance(index.operand, Literal):
                raise pointed(
                    "no object has a negative index",
                    index.place,
                    "The last object is `last(...)`; the first has index 0.",
                )
            base = Index(base=base, index=index, place=self._place(base.place))
        return base


def _known(token: Token) -> str:
    name = find_function(token.text)
    if name is not None:
        return name
    near = nearest_function(token.text)
    if near is not None:
        fix = f"Did you mean `{near}`?"
    elif "::" in token.text:
        fix = "Functions may be written with `TMath::` or `std::`; the reference of expressions lists them."
    else:
        fix = f"The reference of expressions lists the functions; one object of a branch is `{token.text}[0]`."
    raise pointed(f"unknown function `{token.text}`", token.place, fix)


def _usage(function: Function) -> str:
    return f"It is used as {function.signature}."
