"""Trees as columns: types, chunks, clusters, names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

from gridloom.data.rootfile import open_file, open_tree
from gridloom.data.trees import CHUNK_BYTES, CHUNK_ENTRIES, entries_per_chunk, require, sum_branch
from gridloom.data.ttree import TTree
from gridloom.errors import BranchType, DamagedFile, EnvironmentProblem, MissingBranch, MissingTree, NoFiles
from gridloom.testing.ntuples import Format, make_events, write_sample, write_tree

EVENTS = 500


@pytest.mark.parametrize("storage", ["TTree", "RNTuple"])
@pytest.mark.parametrize("step", [None, 1, 64, 130, 1000])
@pytest.mark.parametrize("basket", [None, 100])
def test_chunks_cover_all_entries_once(tmp_path: Path, storage: Format, step: int | None, basket: int | None) -> None:
    path = write_sample(tmp_path / "x.root", events=EVENTS, seed=1, format=storage, basket_entries=basket)
    columns = make_events(EVENTS, seed=1)
    with open_file(str(path)) as file:
        tree = open_tree(file, "Events", str(path))
        chunks = list(tree.chunks(["MET_pt", "Jet_pt", "event"], step))
        assert [chunk.start for chunk in chunks[1:]] == [chunk.stop for chunk in chunks[:-1]]
        assert (chunks[0].start, chunks[-1].stop) == (0, EVENTS)
        if step:
            assert max(chunk.stop - chunk.start for chunk in chunks) <= step
        flat = np.concatenate([chunk.columns["MET_pt"] for chunk in chunks])
        np.testing.assert_array_equal(flat, columns["MET_pt"])
        assert isinstance(chunks[0].columns["event"], np.ndarray)
        jagged = ak.concatenate([chunk.columns["Jet_pt"] for chunk in chunks])
        assert bool(ak.all(jagged == columns["Jet"]["pt"]))
        part = tree.read(["MET_pt", "Jet_pt"], 90, 110)
        np.testing.assert_array_equal(part["MET_pt"], columns["MET_pt"][90:110])
        assert len(tree.read(["MET_pt", "Jet_pt"], 5, 5)["Jet_pt"]) == 0
        assert sum(chunk.stop - chunk.start for chunk in tree.chunks([], step)) == EVENTS


def test_a_chunk_fits_the_memory() -> None:
    assert entries_per_chunk(8, 10**9) == CHUNK_ENTRIES
    assert entries_per_chunk(10**12, 1000) == 1
    assert entries_per_chunk(10_000 * 10**6, 10**6) == CHUNK_BYTES // 10_000
    assert entries_per_chunk(0, 0) == CHUNK_ENTRIES


def test_fixed_size_and_odd_names(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "fixed": np.arange(12, dtype=np.float32).reshape(4, 3),
        "Jet.pt": np.arange(4.0),
        "a-b": np.arange(4),
        "flag": np.array([True, False, True, False]),
    }
    path = str(write_tree(tmp_path / "x.root", columns))
    with open_file(path) as file:
        tree = open_tree(file, "Events", path)
        require(tree, columns)
        (chunk,) = tree.chunks(columns)
        assert ak.to_list(chunk.columns["fixed"]) == columns["fixed"].tolist()
        for name in ("Jet.pt", "a-b", "flag"):
            np.testing.assert_array_equal(chunk.columns[name], columns[name])


def test_vectors_of_vectors_and_text(tmp_path: Path) -> None:
    path = str(tmp_path / "x.root")
    with uproot.recreate(path) as file:
        file.mkrntuple(
            "nt",
            {
                "deep": ak.Array([[[1.0], []], [[2.0, 3.0]]]),
                "text": ak.Array(["a", "b"]),
                "record": ak.Array([{"x": 1.0, "y": 2}, {"x": 3.0, "y": 4}]),
            },
        )
    with open_file(path) as file:
        tree = open_tree(file, "nt", path)
        assert tree.unusable("text") == "text"
        assert tree.unusable("deep") is None
        assert "parts `x`, `y`" in str(tree.unusable("record"))
        assert "record.x" in tree.names
        (chunk,) = tree.chunks(["record.x", "deep"])
        assert chunk.columns["record.x"].tolist() == [1.0, 3.0]
        with pytest.raises(BranchType, match="holds text"):
            require(tree, ["text"])
        with pytest.raises(MissingBranch):
            require(tree, ["nothing"])


def test_sums_need_numbers(tmp_path: Path) -> None:
    columns = make_events(EVENTS, seed=1)
    path = str(write_tree(tmp_path / "x.root", columns))
    with open_file(path) as file:
        tree = open_tree(file, "Events", path)
        assert sum_branch(tree, "event") == EVENTS * (EVENTS + 1) / 2
        with pytest.raises(BranchType, match="holds lists"):
            sum_branch(tree, "Jet_pt")


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(NoFiles), open_file(str(tmp_path / "none.root")):
        pass
    with pytest.raises(DamagedFile), open_file(str(tmp_path)):
        pass


def test_missing_protocol_does_not_blame_the_file() -> None:
    with pytest.raises(EnvironmentProblem, match="library"), open_file("root://localhost:1//x.root"):
        pass


class FakeBranch:
    """A branch as uproot describes what its writer cannot write."""

    def __init__(self, interpretation: object, entries: int = 5, parts: tuple[FakeBranch, ...] = ()) -> None:
        self.interpretation = interpretation
        self.num_entries = entries
        self.branches = parts
        self.name = "part" if not parts else "whole"
        self.typename = "MyObject"
        self.file = None


class Pointers:
    """What uproot makes of pointers to objects."""

    def awkward_form(self, file: object) -> None:
        raise uproot.interpretation.objects.CannotBeAwkward("pointers")


class FakeTree:
    """A tree of one branch."""

    num_entries = 5

    def __init__(self, branch: FakeBranch) -> None:
        self._branch = branch

    def iteritems(self, **options: bool) -> list[tuple[str, FakeBranch]]:
        return [("whole", self._branch), *((f"whole/{part.name}", part) for part in self._branch.branches)]


def test_what_cannot_be_read_is_said() -> None:
    numbers = uproot.AsDtype(">f4")
    unknown = uproot.interpretation.identify.UnknownInterpretation("no streamer", None, None)
    part = FakeBranch(numbers)
    grouped = FakeBranch(uproot.interpretation.grouped.AsGrouped(None, {}), entries=0, parts=(part,))
    for branch, words in (
        (unknown, "C++ objects of type MyObject"),
        (Pointers(), "C++ objects of type MyObject"),
        (uproot.AsDtype([("x", ">f4"), ("y", ">i4")]), "objects with the parts `x`, `y`"),
    ):
        assert words in str(TTree(FakeTree(FakeBranch(branch)), "t", "x.root").unusable("part"))
    tree = TTree(FakeTree(grouped), "t", "x.root")
    assert tree.unusable("whole") == "no values of its own but the branches `part`"
    assert tree.names == ("part",)
    assert tree.find("whole.part") is tree.find("part")
    with pytest.raises(DamagedFile, match="4 entries"):
        TTree(FakeTree(FakeBranch(numbers, entries=4)), "t", "x.root").unusable("part")


@pytest.mark.parametrize("storage", ["TTree", "RNTuple"])
@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_never_escape(tmp_path: Path, storage: Format, seed: int) -> None:
    """Whatever is broken inside a file, it is read or refused as damaged."""
    path = write_sample(tmp_path / "x.root", events=60, seed=1, format=storage, basket_entries=20)
    content = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    for position in random.integers(4, len(content), 40):
        content[position] = random.integers(0, 256)
    path.write_bytes(content)
    with suppress(DamagedFile, MissingTree, MissingBranch, BranchType), open_file(str(path)) as file:
        tree = open_tree(file, "Events", str(path))
        require(tree, ["MET_pt", "Jet_pt"])
        list(tree.chunks(["MET_pt", "Jet_pt"], 25))
