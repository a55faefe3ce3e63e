"""Scanning: which files there are, and everything that can be wrong with them, at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from gridloom.analysis.models import Analysis
from gridloom.data.scan import scan
from gridloom.errors import (
    BranchType,
    DamagedFile,
    DuplicateEvents,
    EmptyTree,
    EnvironmentProblem,
    GridloomError,
    InvalidValue,
    MissingBranch,
    MissingTree,
    NoFiles,
    Problems,
)
from gridloom.testing.ntuples import make_events, truncate, write_sample, write_tree

Tiny = Callable[..., Analysis]


def problems(analysis: Analysis, folder: Path) -> tuple[GridloomError, ...]:
    with pytest.raises(Problems) as caught:
        scan(analysis, folder)
    return caught.value.errors


def only(files: str | list[str], **more: Any) -> dict[str, Any]:
    return {"samples": {"a": {"files": files, "class": {"s": "flavour == 0", "b": "otherwise"}, "weight": 1, **more}}}


def test_files_are_sorted_and_each_once(tmp_path: Path, tiny: Tiny) -> None:
    names = ["b.root", "a [1].root", "ä ö.root", "a:b.root", "c/d.root"]
    for number, name in enumerate(names):
        write_sample(tmp_path / name, events=10 + number, seed=number)
    analysis = tiny(**only(["*.root", "b.root", "a [1].root", "**/d.root", str(tmp_path / "b.root")]))
    found = scan(analysis, tmp_path).samples["a"]
    assert [Path(file.path).relative_to(tmp_path).as_posix() for file in found.files] == sorted(names)
    assert found.entries == sum(range(10, 15))
    assert found.size == sum((tmp_path / name).stat().st_size for name in names)
    with uproot.open({tmp_path / "b.root": None}) as file:
        assert str(file.file.uuid) in {item.uuid for item in found.files}


def test_a_file_may_be_in_two_samples(tmp_path: Path, tiny: Tiny) -> None:
    write_sample(tmp_path / "x.root", events=10, seed=1)
    sample = {"files": "x.root", "weight": 1}
    analysis = tiny(samples={"one": sample | {"class": "s"}, "two": sample | {"class": "b"}})
    assert set(scan(analysis, tmp_path).samples) == {"one", "two"}


def test_copies_of_a_file_are_refused(tmp_path: Path, tiny: Tiny) -> None:
    shutil.copy(write_sample(tmp_path / "x.root", events=10, seed=1), tmp_path / "y.root")
    (error,) = problems(tiny(**only("*.root")), tmp_path)
    assert isinstance(error, DuplicateEvents)
    assert "x.root" in error.what
    assert "y.root" in error.what


def test_every_pattern_that_matches_nothing_is_named(tmp_path: Path, tiny: Tiny) -> None:
    write_sample(tmp_path / "signal.root", events=10, seed=1)
    (tmp_path / "folder").mkdir()
    found = problems(tiny(**only(["signl.root", "*.txt", "folder", "no/where/*.root", "signal.root"])), tmp_path)
    assert all(isinstance(error, NoFiles) for error in found)
    assert [error.key for error in found] == [("samples", "a", "files", index) for index in range(4)]
    assert "Did you mean `signal.root`?" in found[0].fix
    assert "matches no file" in found[1].what
    assert "`folder/*.root`" in found[2].fix
    assert "does not exist" in found[3].fix


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty (0 bytes)"), (b"PK\x03\x04" * 20, "not a ROOT file"), (b"root" + b"\x00" * 200, "")],
)
def test_what_is_no_root_file_is_named(tmp_path: Path, tiny: Tiny, content: bytes, words: str) -> None:
    (tmp_path / "x.root").write_bytes(content)
    (error,) = problems(tiny(**only("x.root")), tmp_path)
    assert isinstance(error, DamagedFile)
    assert words in error.what
    assert error.where == str(tmp_path / "x.root")
    assert error.key == ("samples", "a", "files")


@pytest.mark.parametrize("storage", ["TTree", "RNTuple"])
@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_damaged(tmp_path: Path, tiny: Tiny, fraction: float, storage: Any) -> None:
    truncate(write_sample(tmp_path / "x.root", events=300, seed=1, format=storage), fraction)
    (error,) = problems(tiny(**only("x.root")), tmp_path)
    assert isinstance(error, DamagedFile)


def test_lost_files_within_the_fraction_are_recorded(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(4):
        write_sample(tmp_path / f"{number}.root", events=20, seed=number)
    truncate(tmp_path / "2.root", 0.5)
    found = scan(tiny(**only("*.root"), damaged_files={"skip_at_most": 0.25}), tmp_path).samples["a"]
    assert [Path(file.path).name for file in found.files] == ["0.root", "1.root", "3.root"]
    assert [Path(file.path).name for file in found.lost] == ["2.root"]
    assert found.lost[0].reason
    (error,) = problems(tiny(**only("*.root"), damaged_files={"skip_at_most": 0.2}), tmp_path)
    assert isinstance(error, DamagedFile)
    assert "1 of 4 files" in error.what


def test_collision_data_may_lose_nothing(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(4):
        write_sample(tmp_path / f"{number}.root", events=20, seed=number)
    write_sample(tmp_path / "mc" / "x.root", events=20, seed=8)
    truncate(tmp_path / "2.root", 0.5)
    samples = {"d": {"files": "*.root", "data": True}, **only("mc/x.root")["samples"]}
    (error,) = problems(tiny(samples=samples, damaged_files={"skip_at_most": 0.9}), tmp_path)
    assert isinstance(error, DamagedFile)
    assert error.key == ("samples", "d", "files")


def test_tree_missing_in_one_of_many_files(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(3):
        write_sample(tmp_path / f"{number}.root", events=20, seed=number)
    write_tree(tmp_path / "3.root", make_events(20, seed=3), tree="Event")
    (error,) = problems(tiny(**only("*.root")), tmp_path)
    assert isinstance(error, MissingTree)
    assert error.where == str(tmp_path / "3.root")
    assert "`Event`" in error.what
    assert "Did you mean `Event`?" in error.fix
    assert error.key == ("samples", "a", "files")  # nothing in the file speaks of the tree


def test_an_object_that_is_no_tree(tmp_path: Path, tiny: Tiny) -> None:
    with uproot.recreate(tmp_path / "x.root") as file:
        file["Events"] = np.histogram([1.0, 2.0])
        file["dir/nothing"] = "text"
    (error,) = problems(tiny(**only("x.root")), tmp_path)
    assert isinstance(error, MissingTree)
    assert "TH1" in error.what
    (error,) = problems(tiny(**only("x.root", tree="Other")), tmp_path)
    assert "no tree at all" in error.what
    assert error.key == ("samples", "a", "tree")


def test_trees_in_directories_and_cycles(tmp_path: Path, tiny: Tiny) -> None:
    write_tree(tmp_path / "x.root", make_events(20, seed=1), tree="a/b/Events")
    assert scan(tiny(**only("x.root", tree="a/b/Events")), tmp_path).samples["a"].entries == 20
    assert scan(tiny(**only("x.root", tree="a/b/Events;1")), tmp_path).samples["a"].entries == 20


def test_empty_files_among_others_are_fine(tmp_path: Path, tiny: Tiny) -> None:
    write_tree(tmp_path / "0.root", make_events(0, seed=1))
    write_sample(tmp_path / "1.root", events=5, seed=1)
    assert [file.entries for file in scan(tiny(**only("*.root")), tmp_path).samples["a"].files] == [0, 5]
    (error,) = problems(tiny(**only("0.root")), tmp_path)
    assert isinstance(error, EmptyTree)


def test_every_missing_branch_is_named_with_the_nearest(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(3):
        write_sample(tmp_path / f"{number}.root", events=5, seed=number)
    analysis = tiny(**only("*.root"), features=["MET_pT", "Lepton_pt"], selection=["Jets_pt[0] > 3", "zzz > 1"])
    found = problems(analysis, tmp_path)
    assert {error.key for error in found} == {
        ("features", 0, "expression"),
        ("selection", 0, "cut"),
        ("selection", 1, "cut"),
    }
    by_key = {error.key: error for error in found}
    assert all(isinstance(error, MissingBranch) for error in found)
    assert "Did you mean `MET_pt`" in by_key["features", 0, "expression"].fix
    assert "`Jet_pt`" in by_key["selection", 0, "cut"].fix
    assert "The tree has 16 branches" in by_key["selection", 1, "cut"].fix
    assert "(and 2 more files)" in found[0].where


def test_text_is_no_number(tmp_path: Path, tiny: Tiny) -> None:
    write_tree(tmp_path / "x.root", make_events(3, seed=1) | {"text": ak.Array(["a", "b", "c"])}, format="RNTuple")
    (error,) = problems(tiny(**only("x.root"), features=["text"]), tmp_path)
    assert isinstance(error, BranchType)
    assert "holds text" in error.what


def test_branches_of_no_columns_and_sums_of_weights(tmp_path: Path, tiny: Tiny) -> None:
    write_sample(tmp_path / "x.root", events=5, seed=1)
    known = {"cross_section": 1, "sum_of_weights": {"tree": "Run", "branch": "genEventSumw"}}
    (error,) = problems(tiny(**only("x.root", weight=None, normalisation=known)), tmp_path)
    assert isinstance(error, MissingTree)
    assert error.key == ("samples", "a", "normalisation", "sum_of_weights")
    known["sum_of_weights"] = {"tree": "Runs", "branch": "genEventSum"}
    (error,) = problems(tiny(**only("x.root", weight=None, normalisation=known)), tmp_path)
    assert isinstance(error, MissingBranch)


def test_friend_files_are_counted(tmp_path: Path, tiny: Tiny) -> None:
    for number in range(2):
        write_sample(tmp_path / f"{number}.root", events=5, seed=number)
    write_tree(tmp_path / "f" / "0.root", {"score": np.arange(4.0)}, tree="F")
    friend = {"files": "f/*.root", "tree": "F"}
    (error,) = problems(tiny(**only("*.root", friends=[friend])), tmp_path)
    assert isinstance(error, InvalidValue)
    assert "1 friend files for 2 files" in error.what
    (error,) = problems(tiny(**only("0.root", friends=[friend])), tmp_path)
    assert isinstance(error, InvalidValue)
    assert "4 entries, the events tree 5" in error.what
    (error,) = problems(tiny(**only("0.root", friends=[friend | {"files": "f/1.root"}])), tmp_path)
    assert isinstance(error, NoFiles)
    assert error.key == ("samples", "a", "friends", 0, "files", 0)
    (error,) = problems(tiny(**only("0.root", friends=[friend | {"tree": "G"}])), tmp_path)
    assert isinstance(error, MissingTree)
    assert error.key == ("samples", "a", "friends", 0, "tree")


def test_problems_of_all_samples_come_at_once(tmp_path: Path, tiny: Tiny) -> None:
    write_sample(tmp_path / "signal.root", events=5, seed=1)
    (tmp_path / "background.root").write_bytes(b"")
    kinds = {type(error) for error in problems(tiny(features=["nothing"]), tmp_path)}
    assert kinds == {MissingBranch, DamagedFile}


def test_names_that_cannot_be_written_down(tmp_path: Path, tiny: Tiny) -> None:
    path = tmp_path / "bad\udcff.root"
    path.write_bytes(b"")
    (error,) = problems(tiny(**only("bad*.root")), tmp_path)
    assert isinstance(error, NoFiles)
    assert "not UTF-8" in error.what


def test_urls_are_left_alone(tmp_path: Path, tiny: Tiny) -> None:
    (error,) = problems(tiny(**only("root://localhost:1//x.root")), tmp_path)
    assert isinstance(error, EnvironmentProblem)
    assert error.where == "root://localhost:1//x.root"
