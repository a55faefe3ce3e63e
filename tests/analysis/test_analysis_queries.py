"""What other rooms ask of an analysis."""

from __future__ import annotations

from pathlib import Path

from gridloom.analysis import queries
from gridloom.analysis.load import load_text
from gridloom.analysis.models import Analysis
from gridloom.analysis.reference import EXAMPLE_FILE

EXAMPLE = load_text(EXAMPLE_FILE.read_text(), EXAMPLE_FILE).analysis
SMALL = """\
gridloom: 1
name: small
tree: T
samples:
  b: {files: b.root, class: b, weight: w}
  s: {files: s.root, class: s, weight: 1, tree: U}
features: [x]
target: {signal: s}
event_id: entry
"""


def small(extra: str = "", text: str = SMALL) -> Analysis:
    return load_text(text + extra, Path("small.yaml")).analysis


def test_classes_in_order_of_appearance_or_as_listed() -> None:
    assert queries.class_names(small()) == ("b", "s")
    assert queries.signal_indices(small()) == (1,)
    listed = small(text=SMALL.replace("{signal: s}", "{signal: s, classes: [s, b]}"))
    assert queries.class_names(listed) == ("s", "b")
    assert queries.signal_indices(listed) == (0,)
    assert queries.used_classes(EXAMPLE) == ("signal", "ttbb", "ttcc", "ttlight")


def test_a_regression_has_no_classes() -> None:
    text = SMALL.replace("class: b, ", "").replace("class: s, ", "").replace("{signal: s}", "{regression: y}")
    analysis = small(text=text)
    assert queries.class_names(analysis) == ()
    assert queries.signal_indices(analysis) == ()
    assert (("target", "regression"), "y") in queries.expressions_of(analysis, "s")


def test_trees_samples_and_models() -> None:
    assert [queries.sample_tree(small(), name) for name in ("b", "s")] == ["T", "U"]
    assert queries.training_samples(EXAMPLE) == ("tth", "ttbar", "single_top")
    assert queries.model_name(small()) == "mlp"
    assert queries.model_name(small("collections: {j: {at_most: 1, features: [y]}}")) == "deepsets"
    assert queries.model_name(small("model: {function: m:f}")) is None


def test_expressions_of_a_sample() -> None:
    assert queries.expressions_of(small(), "b") == (
        (("features", 0, "expression"), "x"),
        (("training_weights", "factor"), "1"),
        (("samples", "b", "weight"), "w"),
    )
    found = dict(queries.expressions_of(EXAMPLE, "ttbar"))
    assert found["samples", "ttbar", "class", "ttbb"] == "nAdditionalB >= 2"
    assert ("samples", "ttbar", "class", "ttlight") not in found  # otherwise
    assert found["samples", "ttbar", "normalisation", "generator_weight"] == "genWeight"
    assert found["collections", "jets", "order_by"] == "-Jet_pt"
    assert found["collections", "jets", "where"] == "Jet_pt > 25 && abs(Jet_eta) < 2.4"
    assert found["training_selection", 0, "cut"] == "ht > 200"
    assert not any(key[:2] == ("samples", "tth") for key in found)


def test_data_needs_no_weight_and_no_label() -> None:
    assert queries.expressions_of(EXAMPLE, "data") == queries.application_expressions(EXAMPLE)
    keys = {key[0] for key, _ in queries.application_expressions(EXAMPLE)}
    assert keys == {"event_id", "selection", "features", "collections"}
