"""Physicists' expressions: `abs(Jet_eta[0]) < 2.4 && Sum$(Jet_pt > 25) >= 4`.

Parsing (here) is light; computing columns is in `gridloom.expressions.columns`, which needs numpy and awkward. No
text is ever handed to `eval`. The language is described in docs/reference/expressions.md, and why it has a parser of
its own in docs/decisions/0001-expressions.md.
"""

from gridloom.expressions.expression import Expression, parse, parse_all
from gridloom.expressions.functions import functions_reference

__all__ = ["Expression", "functions_reference", "parse", "parse_all"]
