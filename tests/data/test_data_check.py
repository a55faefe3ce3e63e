"""`check`: what is wrong with files and events, all at once, each with its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gridloom.analysis.models import Analysis
from gridloom.data import check as check_module
from gridloom.data.check import check
from gridloom.errors import (
    AmbiguousClass,
    BadWeights,
    BranchType,
    DamagedFile,
    DuplicateEvents,
    EmptyClass,
    GridloomError,
    InvalidExpression,
    MissingBranch,
    UndeclaredMissing,
)
from gridloom.testing.ntuples import damage_basket, make_events, write_sample, write_tree

Tiny = Callable[..., Analysis]
SAMPLE: dict[str, Any] = {"files": "a*.root", "class": {"s": "flavour == 0", "b": "otherwise"}, "weight": "genWeight"}


def kinds(errors: tuple[GridloomError, ...]) -> list[type[GridloomError]]:
    return [type(error) for error in errors]


@pytest.fixture
def files(place: Any) -> None:
    write_sample(place.folder / "a1.root", events=200, seed=1)
    write_sample(place.folder / "a2.root", events=200, seed=2, first_event=201)


@pytest.mark.usefixtures("files")
class TestOneSample:
    """Two good files."""

    def test_nothing_is_wrong(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(
            samples={"a": SAMPLE},
            selection=["MET_pt > 10"],
            training_selection=["trigger"],
            collections={"j": {"at_most": 3, "features": ["Jet_pt"], "order_by": "-Jet_pt", "where": "Jet_pt > 30"}},
        )
        assert check(analysis, place.folder) == ()

    def test_everything_is_found_at_once(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(
            samples={"a": SAMPLE | {"weight": "Jet_pt[0]", "class": {"s": "flavour == 0", "b": "flavour == 1"}}},
            selection=["Jet_pt > 10", "MET_pt > 0"],
            training_selection=["Jet_eta > 0"],
            features=["Jet_pt", "Jet_pt[0]", "MET_pt"],
            collections={"j": {"at_most": 3, "features": ["MET_pt"]}},
            event_id=["run", "-event"],
            training_weights={"factor": "log(-1)"},
        )
        found = {error.key: type(error) for error in check(analysis, place.folder)}
        assert found == {
            ("samples", "a", "weight"): BadWeights,
            ("samples", "a", "class"): AmbiguousClass,
            ("selection", 0, "cut"): InvalidExpression,
            ("training_selection", 0, "cut"): InvalidExpression,
            ("features", 0, "expression"): BranchType,
            ("features", 1): UndeclaredMissing,
            ("collections", "j", "features"): BranchType,
            ("event_id", 1): BranchType,
            ("training_weights", "factor"): BadWeights,
        }

    def test_missing_branch_is_reported_once_for_all_samples(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(samples={"a": SAMPLE, "c": SAMPLE | {"class": "s"}}, features=["nothing"])
        assert kinds(check(analysis, place.folder)) == [MissingBranch]

    def test_empty_class(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(samples={"a": SAMPLE}, selection=["flavour == 0"])
        (error,) = check(analysis, place.folder)
        assert isinstance(error, EmptyClass)
        assert error.key == ("samples", "a", "class", "b")
        hard = tiny(samples={"a": SAMPLE}, training_selection=["flavour != 0"])
        (error,) = check(hard, place.folder)
        assert "`training_selection`" in error.what

    def test_ambiguity_after_the_first_events(self, place: Any, tiny: Tiny) -> None:
        classes = {"s": "flavour == 0 || event > 150", "b": "flavour > 0"}
        found = check(tiny(samples={"a": SAMPLE | {"class": classes}}), place.folder)
        assert kinds(found) == [AmbiguousClass]

    def test_regression(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(samples={"a": SAMPLE | {"class": None}}, target={"regression": "Jet_pt[0]"})
        (error,) = check(analysis, place.folder)
        assert isinstance(error, UndeclaredMissing)
        assert check(tiny(samples={"a": SAMPLE | {"class": None}}, target={"regression": "MET_pt"}), place.folder) == ()

    def test_damage_at_the_start(self, place: Any, tiny: Tiny) -> None:
        damage_basket(place.folder / "a1.root", "MET_pt")
        assert kinds(check(tiny(samples={"a": SAMPLE}), place.folder)) == [DamagedFile]

    def test_wrong_definitions(self, place: Any, tiny: Tiny) -> None:
        analysis = tiny(samples={"a": SAMPLE, "b": SAMPLE}, definitions={"x": "1 +", "y": ")"})
        found = check(analysis, place.folder)
        assert [error.key for error in found] == [("definitions", "x"), ("definitions", "y")]


def test_duplicates(place: Any, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(place.folder / "a1.root", make_events(100, seed=1))
    write_tree(place.folder / "a2.root", make_events(100, seed=2, first_event=99))
    analysis = tiny(samples={"a": SAMPLE})
    (error,) = check(analysis, place.folder)
    assert isinstance(error, DuplicateEvents)
    assert "2 events of sample `a`" in error.what
    assert "(1, 1, 99) in" in error.what
    assert "a1.root and" in error.what
    assert check(tiny(samples={"a": SAMPLE}, event_id="entry"), place.folder) == ()
    data = {"d": {"files": "a1.root", "data": True}, "e": {"files": "a2.root", "data": True}}
    (error,) = check(tiny(samples=data | {"a": SAMPLE | {"files": "a1.root"}}), place.folder)
    assert "2 events of the data samples `d`, `e`" in error.what
    monkeypatch.setattr(check_module, "WHOLE_ENTRIES", 100)
    assert check(analysis, place.folder) == ()
