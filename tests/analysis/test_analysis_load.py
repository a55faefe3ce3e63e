"""Analysis files are loaded, or refused with every error at once and the place of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom.analysis.load import load_analysis, load_text
from gridloom.analysis.models import Analysis
from gridloom.errors import (
    AnalysisSyntaxError,
    DoubleNormalisation,
    GridloomError,
    InvalidExpression,
    InvalidValue,
    NotFound,
    Problems,
    UnknownKey,
)

GOLDEN = Path(__file__).with_name("golden")
FILE = Path("analysis.yaml")
GOOD = """\
gridloom: 1
name: higgs
samples:
  tth: {files: tth.root, class: tth, weight: 1}
  ttbar: {files: ttbar.root, class: ttbar, weight: 1}
features: [met]
target: {signal: tth}
"""


def problems(text: str) -> tuple[GridloomError, ...]:
    with pytest.raises(Problems) as caught:
        load_text(text, FILE)
    return caught.value.errors


def problem(text: str) -> GridloomError:
    (error,) = problems(text)
    return error


def test_a_good_file_gives_the_analysis() -> None:
    loaded = load_text(GOOD, FILE)
    assert loaded.path == FILE
    assert loaded.text == GOOD
    assert loaded.analysis == Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "higgs",
            "samples": {
                "tth": {"files": ["tth.root"], "class": "tth", "weight": "1"},
                "ttbar": {"files": ["ttbar.root"], "class": "ttbar", "weight": "1"},
            },
            "features": [{"name": "met", "expression": "met"}],
            "target": {"signal": ["tth"]},
        }
    )


def test_places_of_keys_items_and_what_is_not_there() -> None:
    loaded = load_text(GOOD + "selection:\n  one: a > 1\n  two: b > 1\n", FILE)
    assert loaded.locate(("samples", "ttbar")) == "analysis.yaml:5:3"
    assert loaded.locate(("samples", "ttbar", "files")) == "analysis.yaml:5:11"
    assert loaded.locate(("samples", "ttbar", "files", 0)) == "analysis.yaml:5:11"
    assert loaded.locate(("features", 0)) == "analysis.yaml:6:12"
    assert loaded.locate(("features", 0, "expression")) == "analysis.yaml:6:12"
    assert loaded.locate(("selection", "two")) == "analysis.yaml:10:3"
    assert loaded.locate(("selection", 1, "cut")) == "analysis.yaml:10:3"
    assert loaded.locate(("training", "batch")) == "analysis.yaml:1:1"
    assert loaded.locate(()) == "analysis.yaml:1:1"


def test_every_error_at_once_in_the_order_of_the_file() -> None:
    """The golden file holds what a user sees for a file that is wrong in every part."""
    text = (GOLDEN / "all_wrong.yaml").read_text()
    with pytest.raises(Problems) as caught:
        load_text(text, Path("all_wrong.yaml"))
    assert str(caught.value) + "\n" == (GOLDEN / "all_wrong.txt").read_text()
    lines = [int(error.where.split(":")[1]) for error in caught.value.errors]
    assert lines == sorted(lines)
    assert caught.value.exit_code == caught.value.errors[0].exit_code


@pytest.mark.parametrize(
    ("extra", "kind", "where", "what", "fix"),
    [
        (
            "luminosty: 1",
            UnknownKey,
            "8:1",
            "unknown key `luminosty`",
            "Did you mean `luminosity`? Valid keys here: grid",
        ),
        ("class_: 1", UnknownKey, "8:1", "unknown key `class_`", "Valid keys here: gridloom,"),
        ("training: {bach: 1}", UnknownKey, "8:12", "unknown key `bach` in `training`", "Did you mean `batch`?"),
        ("folds: 2", InvalidValue, "8:1", "`folds` must be a whole number from 3 to 100, not 2", ""),
        ("folds: true", InvalidValue, "8:1", "`folds`: must be a whole number, not `true` or `false`", ""),
        ("folds: 3.5", InvalidValue, "8:1", "`folds` must be a whole number from 3 to 100, not 3.5", ""),
        ('folds: "5"', InvalidValue, "8:1", 'whole number from 3 to 100, not "5"', "Write the number without quotes."),
        ("folds:", InvalidValue, "8:1", "but is empty", "Write the value after the colon, or leave the key out."),
        ("tree: 5", InvalidValue, "8:1", "`tree` must be text, not 5", "Put it in quotes."),
        ("luminosity: .nan", InvalidValue, "8:1", "`luminosity` must be a number above 0, not nan", ""),
        ("luminosity: 1" + "0" * 400, InvalidValue, "8:1", "not 1" + "0" * 59 + "...", ""),
        ("training: {xla: maybe}", InvalidValue, "8:12", 'must be `auto`, `on` or `off`, not "maybe"', ""),
        (
            "training: {early_stopping: no}",
            InvalidValue,
            "8:12",
            'a mapping or `null`, not "no"',
            "Write `null` for none.",
        ),
        (
            "evaluation: {unblind: yes}",
            InvalidValue,
            "8:14",
            '`true` or `false`, not "yes"',
            "Write `true` or `false`.",
        ),
        ("event_id: [a, b, c, d]", InvalidValue, "8:1", "a list of 1 to 3 expressions, not a list of 4", ""),
        ("event_id: []", InvalidValue, "8:1", "not an empty list", ""),
        (
            "selection: {one: {}}",
            InvalidValue,
            "8:13",
            "`selection.one` must be an expression, not an empty mapping",
            "",
        ),
        (
            "selection: [a > 1, {name: b}]",
            InvalidValue,
            "8:20",
            "`cut` is missing in item 2 of `selection`",
            "Add `cut:`",
        ),
        ("definitions: {1a: x}", InvalidValue, "8:15", "`1a` cannot be used as a name", "It must be a name of letters"),
        ("model: {name: mlp, function: a:b}", InvalidValue, "8:1", "`model`: give either `name` or `function`", ""),
        ("model: {parameters: {a: .inf}}", InvalidValue, "8:22", "any value but `nan` and `inf`, not inf", ""),
        ("definitions: {ht: Sum$(Jet_pt}", InvalidExpression, "8:15", "`definitions.ht`: ", ""),
        ("selection: [a > 1, b >]", InvalidExpression, "8:20", "item 2 of `selection`: ", ""),
        ("training_weights: {factor: 1 +}", InvalidExpression, "8:20", "`training_weights.factor`: ", ""),
    ],
)
def test_one_error(extra: str, kind: type[GridloomError], where: str, what: str, fix: str) -> None:
    error = problem(GOOD + extra + "\n")
    assert type(error) is kind
    assert error.where == f"analysis.yaml:{where}"
    assert what in error.what
    assert fix in error.fix
    assert "pydantic" not in str(error)


def test_missing_keys_are_named() -> None:
    errors = problems("training: {batch: 64}")
    assert [error.what for error in errors] == [
        f"`{key}` is missing" for key in ("gridloom", "name", "samples", "target")
    ]
    assert {error.where for error in errors} == {"analysis.yaml:1:1"}
    assert errors[0].fix == "Add `gridloom:` with `1`."


def test_missing_values_may_be_given_in_words_or_numbers() -> None:
    text = GOOD.replace(
        "[met]", "[{name: a, missing: .nan}, {name: b, missing: [-999, nan, -.inf, 1e5]}, {name: c, missing: 0}]"
    )
    assert [feature.missing for feature in load_text(text, FILE).analysis.features] == [
        ("nan",),
        (-999.0, "nan", "inf", 100_000.0),
        (0.0,),
    ]


def test_a_feature_needs_a_name_or_an_expression() -> None:
    assert problem(GOOD.replace("[met]", "[{missing: 1}]")).what == "item 1 of `features`: needs `name` or `expression`"
    features = load_text(
        GOOD.replace("[met]", "[{name: a}, {expression: b + c}, {expression: 2}]"), FILE
    ).analysis.features
    assert [(feature.name, feature.expression) for feature in features] == [("a", "a"), ("b + c", "b + c"), ("2", "2")]


def test_whole_numbers_may_be_written_as_floats() -> None:
    assert (
        load_text(GOOD + "evaluation: {importance_events: 1e4}", FILE).analysis.evaluation.importance_events == 10_000
    )


def test_one_cut_and_one_id_stand_alone() -> None:
    analysis = load_text(GOOD + "selection: a > 1\nevent_id: number", FILE).analysis
    assert [(cut.name, cut.cut) for cut in analysis.selection] == [("a > 1", "a > 1")]
    assert analysis.event_id == ("number",)


def test_duplicate_keys_and_other_errors_come_together() -> None:
    errors = problems(GOOD + "folds: 5\nfolds: 7\ntraining: {batch: 0}\nmodel: {function: !x a}\n")
    assert [(type(error), error.where) for error in errors] == [
        (AnalysisSyntaxError, "analysis.yaml:9:1"),
        (InvalidValue, "analysis.yaml:10:12"),
        (AnalysisSyntaxError, "analysis.yaml:11:9"),
    ]


def test_wrong_values_hide_no_other_error_and_cause_none() -> None:
    text = GOOD.replace("weight: 1}", "wieght: 1}", 1).replace("[met]", "[met, 7, met, 'a +']")
    errors = problems(text + "collections: {jets: {at_most: 0, features: [Jet_pt, 'b +']}}")
    assert [(type(error), error.key) for error in errors] == [
        (UnknownKey, ("samples", "tth", "wieght")),
        (InvalidValue, ("features", 1)),
        (InvalidValue, ("features", 2)),
        (InvalidExpression, ("features", 3, "expression")),
        (InvalidValue, ("collections", "jets", "at_most")),
        (InvalidExpression, ("collections", "jets", "features", 1)),
    ]


def test_a_target_is_a_classification_or_a_regression() -> None:
    assert problem(GOOD.replace("{signal: tth}", "{classes: [tth, ttbar]}")).what == (
        "`target`: give either `signal` (a classification) or `regression`"
    )
    assert "belongs to a classification" in problem(GOOD.replace("{signal: tth}", "{regression: y, classes: [a]}")).what


def test_several_wrong_samples_are_all_reported() -> None:
    errors = problems(GOOD.replace("files: tth.root, ", "").replace("files: ttbar.root", "files: [ttbar.root, 5]"))
    assert [error.key for error in errors] == [("samples", "tth", "files"), ("samples", "ttbar", "files", 1)]
    text = GOOD.replace("weight: 1}", "weight: 1, friends: [{match: entry}, {tree: 5}, 7]}", 1)
    assert [error.key[2:] for error in problems(text)] == [
        ("friends", 0, "tree"),
        ("friends", 1, "tree"),
        ("friends", 2),
    ]


def test_a_definition_may_only_use_earlier_ones() -> None:
    assert load_text(GOOD + "definitions: {a: x + 1, b: a * 2}\nselection: b > 1", FILE).analysis.definitions
    errors = problems(GOOD + "definitions: {a: b + 1, b: x, c: c + 1, d: b >}\nselection: a > 1")
    assert [error.key for error in errors] == [("definitions", name) for name in "acd"]


def test_double_normalisation_has_its_own_exit_code() -> None:
    with pytest.raises(Problems) as caught:
        load_text(
            GOOD.replace("weight: 1}", "weight: 1, normalisation: {cross_section: 1}}", 1) + "luminosity: 1", FILE
        )
    assert caught.value.exit_code == DoubleNormalisation.exit_code


def test_syntax_errors_name_the_file() -> None:
    with pytest.raises(AnalysisSyntaxError) as caught:
        load_text("a: [1", FILE)
    assert caught.value.where.startswith("analysis.yaml:1:")


@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf"])
def test_files_with_and_without_byte_order_mark(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "analysis.yaml"
    path.write_bytes(before + GOOD.replace("\n", "\r\n").encode())
    loaded = load_analysis(path)
    assert loaded.analysis == load_text(GOOD, FILE).analysis
    assert loaded.locate(("target",)) == f"{path}:7:1"


def test_other_encodings_are_refused_where_they_begin(tmp_path: Path) -> None:
    path = tmp_path / "analysis.yaml"
    path.write_bytes("gridloom: 1\nname: h\xe9\n".encode("latin-1"))
    with pytest.raises(AnalysisSyntaxError) as caught:
        load_analysis(path)
    assert caught.value.where == f"{path}:2:8"
    path.write_text(GOOD, encoding="utf-16")
    with pytest.raises(AnalysisSyntaxError):
        load_analysis(path)


def test_no_file(tmp_path: Path) -> None:
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(NotFound) as caught:
            load_analysis(path)
        assert caught.value.where == str(path)
        assert caught.value.fix
