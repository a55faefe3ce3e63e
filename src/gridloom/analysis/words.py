"""Types in plain words, from the JSON schema: the same words in error messages and in the reference."""

from __future__ import annotations

from collections.abc import Iterable

from gridloom.analysis.forms import Schema, forms, keys_of
from gridloom.analysis.models import FUNCTION_PATTERN, IDENTIFIER_PATTERN, NAME_PATTERN

PATTERNS = {
    NAME_PATTERN: "a name of letters, digits and `_ . + -`, beginning with a letter or digit",
    IDENTIFIER_PATTERN: "a name of letters, digits and `_`, not beginning with a digit",
    FUNCTION_PATTERN: "`module:function`",
}
_PLURALS = {"an expression": "expressions", "text": "texts", "a number": "numbers"}
_HUGE = 2**31
_JSON_WORDS = {"boolean": "`true` or `false`", "null": "nothing"}


def type_in_words(node: Schema) -> str:
    """What a value may be, e.g. "a whole number of at least 1"."""
    # Single words come first: "`events` or a mapping with `tree` and `branch`".
    ordered = sorted(forms(node), key=lambda form: "const" not in form and "enum" not in form)
    words = dict.fromkeys(_form_in_words(form) for form in ordered)
    # Where leaving a key out means null, null needs no mention.
    null = {"type": "null"} in node.get("anyOf", ()) and node.get("default", "") is not None
    return joined([*words, "`null`"] if null else words)


def joined(words: Iterable[str]) -> str:
    """ "a, b or c"."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _form_in_words(form: Schema) -> str:
    kind = form.get("type")
    if form.get("format") == "expression":
        return "an expression"
    if "title" in form and "properties" not in form:
        return str(form["title"])  # a value with a form of its own is described by its title
    if "const" in form:
        return f"`{form['const']}`"
    if "enum" in form:
        return joined(f"`{choice}`" for choice in form["enum"])
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(form)
    if kind == "string":
        return PATTERNS.get(str(form.get("pattern")), "text")
    if kind == "array":
        return _list_in_words(form)
    if kind == "object":
        return _mapping_in_words(form)
    return _JSON_WORDS.get(str(kind), "any value but `nan` and `inf`")


def _bounds(form: Schema) -> str:
    if "minimum" in form and "maximum" in form and form["maximum"] < _HUGE:
        return f" from {form['minimum']:g} to {form['maximum']:g}"
    limits = (
        ("at least", form.get("minimum")),
        ("above", form.get("exclusiveMinimum")),
        ("at most", form.get("maximum")),
        ("below", form.get("exclusiveMaximum")),
    )
    said = [f"{word} {limit:g}" for word, limit in limits if limit is not None and limit < _HUGE]
    if not said:
        return ""
    return (" of " if said[0].startswith("at") else " ") + " and ".join(said)


def _list_in_words(form: Schema) -> str:
    fewest, most = form.get("minItems"), form.get("maxItems")
    count = f"{fewest} to {most} " if most is not None else "one or more " if fewest else ""
    each = type_in_words(form["items"])
    return f"a list of {count}" + _PLURALS.get(each, f"items, each {each}")


def _mapping_in_words(form: Schema) -> str:
    if "properties" in form:
        required = form.get("required", ())
        return "a mapping" + (" with " + " and ".join(f"`{key}`" for key in required) if required else "")
    patterns = tuple(form.get("patternProperties", {}).values())
    names = joined(f"`{key}`" for key in keys_of(form)) if keys_of(form) else "name"
    return f"a mapping from {names} to " + type_in_words(patterns[0] if patterns else form["additionalProperties"])
