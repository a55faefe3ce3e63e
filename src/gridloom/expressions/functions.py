"""The functions of the language: one visible table of names, signatures, meanings and implementations.

Parsing needs the names only, so an implementation is named here and imported when it is first used: whoever checks
an analysis file does not load numpy.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridloom.expressions.jagged import Column

MANY = 64
PREFIXES = ("tmath::", "std::")


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function: how many arguments it takes, what it means and what computes it.

    `reduces` are the numbers of arguments with which it turns values per object into one value per event. `bare`
    functions may be written without parentheses; they then get the names around them as arguments (see `bare.py`).
    """

    signature: str
    meaning: str
    arguments: range
    compute: Callable[..., Column]
    aliases: tuple[str, ...] = ()
    reduces: range = range(0)
    bare: bool = False


def _call(module: str, name: str, *columns: Column) -> Column:
    function: Callable[..., Column] = getattr(importlib.import_module(f"gridloom.expressions.{module}"), name)
    return function(*columns)


def _in(module: str, name: str) -> Callable[..., Column]:
    """The function `name` of a module of this package, imported when it is first called."""
    return partial(_call, module, name)


def _call_numpy(name: str, *columns: Column) -> Column:
    elementwise: Any = importlib.import_module("gridloom.expressions.elementwise")
    result: Column = elementwise.floating(name, *columns)
    return result


def _math(signature: str, meaning: str, *aliases: str, numpy: str = "") -> Function:
    """A function of numpy in double precision, element by element."""
    name, _, rest = signature.partition("(")
    count = rest.count(",") + 1
    compute = partial(_call_numpy, numpy or name)
    return Function(
        signature=signature, meaning=meaning, arguments=range(count, count + 1), compute=compute, aliases=aliases
    )


_ONE, _TWO, _THREE, _FOUR = (range(n, n + 1) for n in (1, 2, 3, 4))

FUNCTIONS: dict[str, Function] = {
    # over the objects of an event
    "sum": Function(
        signature="sum(x)",
        meaning="Sum over the objects; of a condition: how many fulfil it; 0 without objects.",
        arguments=_ONE, reduces=_ONE, compute=_in("reductions", "total"), aliases=("Sum$",),
    ),
    "count": Function(
        signature="count(condition)",
        meaning="Number of objects that fulfil the condition.",
        arguments=_ONE, reduces=_ONE, compute=_in("reductions", "count"),
    ),
    "len": Function(
        signature="len(x)",
        meaning="Number of objects.",
        arguments=_ONE, reduces=range(1, MANY), compute=_in("reductions", "length"),
        aliases=("size", "length", "Length$"), bare=True,
    ),
    "min": Function(
        signature="min(x) or min(a, b, ...)",
        meaning="Smallest over the objects, missing without objects; with several arguments: the smaller, one by one.",
        arguments=range(1, MANY), reduces=_ONE, compute=_in("reductions", "minimum"), aliases=("Min$",),
    ),
    "max": Function(
        signature="max(x) or max(a, b, ...)",
        meaning="Largest over the objects, missing without objects; with several arguments: the larger, one by one.",
        arguments=range(1, MANY), reduces=_ONE, compute=_in("reductions", "maximum"), aliases=("Max$",),
    ),
    "minif": Function(
        signature="MinIf$(x, condition)",
        meaning="Smallest over the objects that fulfil the condition, missing if none does.",
        arguments=_TWO, reduces=_TWO, compute=_in("reductions", "minimum_if"), aliases=("MinIf$",),
    ),
    "maxif": Function(
        signature="MaxIf$(x, condition)",
        meaning="Largest over the objects that fulfil the condition, missing if none does.",
        arguments=_TWO, reduces=_TWO, compute=_in("reductions", "maximum_if"), aliases=("MaxIf$",),
    ),
    "mean": Function(
        signature="mean(x)",
        meaning="Mean over the objects, missing without objects.",
        arguments=_ONE, reduces=_ONE, compute=_in("reductions", "mean"),
    ),
    "any": Function(
        signature="any(condition)",
        meaning="Whether an object fulfils the condition; false without objects.",
        arguments=_ONE, reduces=_ONE, compute=_in("reductions", "any_of"),
    ),
    "all": Function(
        signature="all(condition)",
        meaning="Whether all objects fulfil the condition; true without objects.",
        arguments=_ONE, reduces=_ONE, compute=_in("reductions", "all_of"),
    ),
    "first": Function(
        signature="first(x)",
        meaning="Value of the first object, as `x[0]`.",
        arguments=_ONE, reduces=_ONE, compute=_in("indexing", "first"),
    ),
    "last": Function(
        signature="last(x)",
        meaning="Value of the last object.",
        arguments=_ONE, reduces=_ONE, compute=_in("indexing", "last"),
    ),
    "iteration": Function(
        signature="Iteration$ or Iteration$(x)",
        meaning="Number of each object within its event, from 0; without argument: of the objects around it.",
        arguments=_ONE, compute=_in("indexing", "iteration"), aliases=("Iteration$",), bare=True,
    ),
    # missing values and choices
    "alt": Function(
        signature="Alt$(x, y)",
        meaning="x, or y where x is missing or NaN.",
        arguments=_TWO, compute=_in("elementwise", "alternative"), aliases=("Alt$",),
    ),
    "where": Function(
        signature="where(condition, a, b)",
        meaning="a where the condition is fulfilled, else b; as `condition ? a : b`.",
        arguments=_THREE, compute=_in("elementwise", "choose"), aliases=("if",),
    ),
    "isnan": Function(
        signature="isnan(x)",
        meaning="Whether x is missing or NaN.",
        arguments=_ONE, compute=_in("elementwise", "is_nan"),
    ),
    "isfinite": Function(
        signature="isfinite(x)",
        meaning="Whether x is neither missing nor NaN nor infinite.",
        arguments=_ONE, compute=_in("elementwise", "is_finite"), aliases=("finite",),
    ),
    "isinf": Function(
        signature="isinf(x)",
        meaning="Whether x is infinite.",
        arguments=_ONE, compute=_in("elementwise", "is_infinite"),
    ),
    # numbers
    "abs": Function(
        signature="abs(x)",
        meaning="Absolute value.",
        arguments=_ONE, compute=_in("elementwise", "absolute"), aliases=("fabs",),
    ),
    "sign": Function(
        signature="sign(x) or sign(a, b)",
        meaning="-1, 0 or 1; with two arguments: the size of a with the sign of b.",
        arguments=range(1, 3), compute=_in("elementwise", "sign"),
    ),
    "clip": Function(
        signature="clip(x, low, high)",
        meaning="x, at least `low` and at most `high`.",
        arguments=_THREE, compute=_in("elementwise", "clip"),
    ),
    "fmod": Function(
        signature="fmod(a, b)",
        meaning="Remainder with the sign of a, as `a % b`; missing where integers are divided by 0.",
        arguments=_TWO, compute=_in("arithmetic", "remainder"),
    ),
    "round": Function(
        signature="round(x)",
        meaning="Nearest integer, halves away from zero.",
        arguments=_ONE, compute=_in("elementwise", "round_away"),
    ),
    "floor": _math("floor(x)", "Largest integer not above x."),
    "ceil": _math("ceil(x)", "Smallest integer not below x."),
    "trunc": _math("trunc(x)", "x without its fraction."),
    "rint": _math("rint(x)", "Nearest integer, halves to the even one.", "nint"),
    "sqrt": _math("sqrt(x)", "Square root; NaN below 0."),
    "cbrt": _math("cbrt(x)", "Cubic root."),
    "pow": _math("pow(x, y)", "x to the power y, as `x**y`.", "power", numpy="power"),
    "hypot": _math("hypot(x, y)", "sqrt(x**2 + y**2) without overflow."),
    "exp": _math("exp(x)", "Exponential function."),
    "expm1": _math("expm1(x)", "exp(x) - 1, exact for small x."),
    "log": _math("log(x)", "Natural logarithm; NaN below 0.", "ln"),
    "log10": _math("log10(x)", "Logarithm to base 10."),
    "log2": _math("log2(x)", "Logarithm to base 2."),
    "log1p": _math("log1p(x)", "log(1 + x), exact for small x."),
    "sin": _math("sin(x)", "Sine."),
    "cos": _math("cos(x)", "Cosine."),
    "tan": _math("tan(x)", "Tangent."),
    "asin": _math("asin(x)", "Inverse sine.", "arcsin", numpy="arcsin"),
    "acos": _math("acos(x)", "Inverse cosine.", "arccos", numpy="arccos"),
    "atan": _math("atan(x)", "Inverse tangent.", "arctan", numpy="arctan"),
    "atan2": _math("atan2(y, x)", "Angle of the point (x, y), from -pi to pi.", "arctan2", numpy="arctan2"),
    "sinh": _math("sinh(x)", "Hyperbolic sine."),
    "cosh": _math("cosh(x)", "Hyperbolic cosine."),
    "tanh": _math("tanh(x)", "Hyperbolic tangent."),
    "asinh": _math("asinh(x)", "Inverse hyperbolic sine.", "arcsinh", numpy="arcsinh"),
    "acosh": _math("acosh(x)", "Inverse hyperbolic cosine.", "arccosh", numpy="arccosh"),
    "atanh": _math("atanh(x)", "Inverse hyperbolic tangent.", "arctanh", numpy="arctanh"),
    # constants
    "pi": Function(
        signature="pi()", meaning="3.14159...", arguments=range(1), compute=_in("elementwise", "pi")
    ),
    "nan": Function(
        signature="nan()", meaning="NaN.", arguments=range(1), compute=_in("elementwise", "nan"), aliases=("quietnan",)
    ),
    "inf": Function(
        signature="inf()", meaning="Infinity.", arguments=range(1), compute=_in("elementwise", "infinity"),
        aliases=("infinity",),
    ),
    # physics
    "deltaphi": Function(
        signature="deltaPhi(phi1, phi2)",
        meaning="phi1 - phi2, from -pi to pi.",
        arguments=_TWO, compute=_in("kinematics", "delta_phi"),
    ),
    "deltar": Function(
        signature="deltaR(eta1, phi1, eta2, phi2)",
        meaning="sqrt((eta1 - eta2)**2 + deltaPhi(phi1, phi2)**2).",
        arguments=_FOUR, compute=_in("kinematics", "delta_r"),
    ),
    "mass": Function(
        signature="mass(pt, eta, phi, m) or mass(pt1, eta1, phi1, m1, pt2, eta2, phi2, m2, ...)",
        meaning="Invariant mass of the sum of all objects of a collection (missing without objects), or of two or more "
        "given ones; negative, -sqrt(-m**2), where rounding makes it space-like.",
        arguments=range(4, MANY, 4), reduces=_FOUR, compute=_in("kinematics", "invariant_mass"),
    ),
    "ptsum": Function(
        signature="ptsum(pt, phi) or ptsum(pt1, phi1, pt2, phi2, ...)",
        meaning="Transverse momentum of the vector sum of a collection (0 without objects), or of two or more objects.",
        arguments=range(2, MANY, 2), reduces=_TWO, compute=_in("kinematics", "pt_of_sum"),
    ),
    "mt": Function(
        signature="mt(pt1, phi1, pt2, phi2)",
        meaning="Transverse mass of two massless objects, sqrt(2 pt1 pt2 (1 - cos(phi1 - phi2))).",
        arguments=_FOUR, compute=_in("kinematics", "transverse_mass"),
    ),
}  # fmt: skip

_NAMES: dict[str, str] = {
    written.lower(): name for name, function in FUNCTIONS.items() for written in (name, *function.aliases)
}


def find_function(written: str) -> str | None:
    """The name in FUNCTIONS of a function as written, whatever its case, with or without `TMath::` or `std::`."""
    return _NAMES.get(_without_prefix(written))


def nearest_function(written: str) -> str | None:
    """The known function name most like an unknown one; none for names from foreign namespaces."""
    near = difflib.get_close_matches(_without_prefix(written), _NAMES, n=1, cutoff=0.7)
    return _spelling(near[0]) if near else None


def _without_prefix(written: str) -> str:
    lowered = written.lower()
    for prefix in PREFIXES:
        lowered = lowered.removeprefix(prefix)
    return lowered


def _spelling(lowered: str) -> str:
    """A name as the reference writes it: `deltaR`, `Sum$`."""
    function = FUNCTIONS[_NAMES[lowered]]
    written = (function.signature.partition("(")[0], *function.aliases)
    return next((name for name in written if name.lower() == lowered), lowered)


def functions_reference() -> list[tuple[str, str, str]]:
    """Name, signature and meaning of every function, for the documentation; other spellings stand in the meaning."""
    rows = []
    for name, function in FUNCTIONS.items():
        others = ", ".join(f"`{alias}`" for alias in function.aliases if f"{alias}(" not in function.signature)
        rows.append((name, function.signature, f"{function.meaning} Also {others}." if others else function.meaning))
    return rows
