"""What must hold between the keys of an analysis file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom.analysis.load import load_text
from gridloom.analysis.rules import RULES
from gridloom.errors import DoubleNormalisation, GridloomError, InvalidValue, KeyPath, Problems

HEAD = "gridloom: 1\nname: higgs\n"
S = "  s: {files: s.root, class: s, weight: 1}\n"
B = "  b: {files: b.root, class: b, weight: 1}\n"
DATA = "  d: {files: d.root, data: true}\n"
TAIL = "features: [x]\ntarget: {signal: s}\n"


def file(samples: str, tail: str = TAIL) -> str:
    return f"{HEAD}samples:\n{samples}{tail}"


def errors_of(text: str) -> tuple[GridloomError, ...]:
    try:
        load_text(text, Path("analysis.yaml"))
    except Problems as problems:
        return problems.errors
    return ()


GOOD = {
    "data beside simulation": file(S + B + DATA),
    "regression": file("  s: {files: s.root, weight: w}\n" + DATA, "features: [x]\ntarget: {regression: y}\n"),
    "classes per event": file(
        "  t: {files: t.root, class: {s: n > 1, b: n == 1, c: otherwise}, weight: 1}\n",
        "features: [x]\ntarget: {signal: [s, b], classes: [c, b, s]}\n",
    ),
    "normalisation": file(S + "  b: {files: b.root, class: b, normalisation: {cross_section: 1}}\n")
    + "luminosity: 1\n",
    "collections alone": file(S + B, "collections: {j: {at_most: 2, features: [y]}}\ntarget: {signal: s}\n"),
    "the user's own model": file(S + B) + "collections: {j: {at_most: 2, features: [y]}}\nmodel: {function: m:f}\n",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_good_files_break_no_rule(text: str) -> None:
    assert errors_of(text) == ()


BROKEN: dict[str, tuple[str, KeyPath, str]] = {
    "no weight": (file("  s: {files: s.root, class: s}\n" + B), ("samples", "s"), "does not say how its events"),
    "weight twice": (
        file("  s: {files: s.root, class: s, weight: 1, normalisation: {cross_section: 1}}\n" + B) + "luminosity: 1\n",
        ("samples", "s", "normalisation"),
        "normalised twice",
    ),
    "weighted data": (
        file(S + B + "  d: {files: d.root, data: true, weight: 1}\n"),
        ("samples", "d", "weight"),
        "collision data, where every event counts once",
    ),
    "normalised data": (
        file(S + B + "  d: {files: d.root, data: true, normalisation: {cross_section: 1}}\n") + "luminosity: 1\n",
        ("samples", "d", "normalisation"),
        "collision data, where every event counts once",
    ),
    "no luminosity": (
        file(S + "  b: {files: b.root, class: b, normalisation: {cross_section: 1}}\n"),
        ("samples", "b", "normalisation"),
        "has a cross section, but the analysis has no `luminosity`",
    ),
    "no class": (file(S + B + "  c: {files: c.root, weight: 1}\n"), ("samples", "c", "class"), "has no class"),
    "data with class": (
        file(S + B + "  d: {files: d.root, data: true, class: s}\n"),
        ("samples", "d", "class"),
        "has a class, but it is collision data",
    ),
    "regression with class": (
        file(S, "features: [x]\ntarget: {regression: y}\n"),
        ("samples", "s", "class"),
        "has a class, but `target` is a regression",
    ),
    "otherwise first": (
        file("  s: {files: s.root, class: {s: otherwise, b: n > 1}, weight: 1}\n"),
        ("samples", "s", "class", "s"),
        "comes once and last",
    ),
    "otherwise twice": (
        file("  s: {files: s.root, class: {s: otherwise, b: otherwise}, weight: 1}\n"),
        ("samples", "s", "class", "s"),
        "comes once and last",
    ),
    "unknown signal": (
        file(S + B, "features: [x]\ntarget: {signal: [s, c]}\n"),
        ("target", "signal", 1),
        "signal `c` is the class of no sample",
    ),
    "class of no sample": (
        file(S + B, "features: [x]\ntarget: {signal: s, classes: [s, b, c]}\n"),
        ("target", "classes", 2),
        "class `c` belongs to no sample",
    ),
    "class not listed": (
        file(S + B + B.replace("b", "c"), "features: [x]\ntarget: {signal: s, classes: [s, b]}\n"),
        ("target", "classes"),
        "class `c` of the samples is not listed",
    ),
    "one class": (file(S), ("target",), "nothing to tell apart"),
    "no background": (
        file(S + B, "features: [x]\ntarget: {signal: [s, b]}\n"),
        ("target", "signal"),
        "there is no background",
    ),
    "no inputs": (file(S + B, "target: {signal: s}\n"), ("features",), "the model has no inputs"),
    "deepsets without collections": (
        file(S + B) + "model: {name: deepsets}\n",
        ("model", "name"),
        "needs at least one collection",
    ),
    "mlp with collections": (
        file(S + B) + "model: {name: mlp}\ncollections: {j: {at_most: 2, features: [y]}}\n",
        ("model", "name"),
        "the collections would not be used",
    ),
    "feature twice": (
        file(S + B, "features: [x, y, {name: x, expression: z}]\ntarget: {signal: s}\n"),
        ("features", 2),
        "feature `x` is given 2 times",
    ),
    "cut twice": (file(S + B) + "selection: [a > 1, a > 1]\n", ("selection", 1), "cut `a > 1` is given 2 times"),
    "object feature twice": (
        file(S + B) + "collections: {j: {at_most: 2, features: [y, y]}}\n",
        ("collections", "j", "features", 1),
        "feature `y` is given 2 times",
    ),
    "file twice": (
        file("  s: {files: [s.root, s.root], class: s, weight: 1}\n" + B),
        ("samples", "s", "files", 1),
        "file `s.root` is given 2 times",
    ),
    "id twice": (file(S + B) + "event_id: [a, a]\n", ("event_id", 1), "expression `a` is given 2 times"),
    "collection named features": (
        file(S + B) + "collections: {features: {at_most: 2, features: [y]}}\n",
        ("collections", "features"),
        "another input of the model has that name",
    ),
    "collection named like a mask": (
        file(S + B) + "collections: {j: {at_most: 2, features: [y]}, j_mask: {at_most: 2, features: [y]}}\n",
        ("collections", "j_mask"),
        "another input of the model has that name",
    ),
    "definition named like a function": (
        file(S + B) + "definitions: {abs: x}\n",
        ("definitions", "abs"),
        "has the name of a function",
    ),
    "friend by event id of entries": (
        file("  s: {files: s.root, class: s, weight: 1, friends: [{tree: t, match: event_id}]}\n" + B)
        + "event_id: entry\n",
        ("samples", "s", "friends", 0, "match"),
        "cannot be matched by event id",
    ),
}


@pytest.mark.parametrize(("text", "key", "what"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_rules(text: str, key: KeyPath, what: str) -> None:
    (error,) = errors_of(text)
    assert what in error.what
    assert error.key == key
    assert error.fix
    assert isinstance(
        error, DoubleNormalisation if "normalised twice" in what or "counts once" in what else InvalidValue
    )


def test_nothing_to_train_on() -> None:
    assert [error.key for error in errors_of(file(DATA))] == [("samples",), ("target", "signal", 0)]


def test_the_nearest_class_is_suggested() -> None:
    (error,) = errors_of(file(S.replace("class: s", "class: ttH") + B, "features: [x]\ntarget: {signal: tth}\n"))
    assert error.fix == "Did you mean `ttH`? Classes: ttH, b."


def test_rules_wait_for_what_they_read() -> None:
    """A class that cannot be read says nothing about the signal, a misspelt key nothing about what it stands for."""
    (error,) = errors_of(file(S.replace("class: s", "class: 5") + B))
    assert error.key == ("samples", "s", "class")
    (error,) = errors_of(file(S + B, "feature: [x]\ntarget: {signal: s}\n"))
    assert error.key == ("feature",)
    (error,) = errors_of(file(S + B.replace("weight: 1", "normalisation: {cross_section: -1}")) + "luminosity: 1\n")
    assert error.key == ("samples", "b", "normalisation", "cross_section")


def test_every_rule_has_a_sentence_for_the_reference() -> None:
    assert all(rule.says.endswith(".") for rule in RULES)
    assert len({rule.check for rule in RULES}) == len(RULES)
