"""A shard made from another one: bit for bit as if all were read, and nothing but new features is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom.analysis.models import Analysis
from gridloom.data.blocks import Blocks
from gridloom.data.rootfile import open_tree
from gridloom.data.scan import scan
from gridloom.data.shard import Shard
from gridloom.data.trees import Chunk, Columns, Tree
from gridloom.errors import DamagedFile, Interrupted, UndeclaredMissing
from gridloom.task import InputFile
from gridloom.testing.ntuples import damage_basket, make_events, runs_of, write_tree

Tiny = Callable[..., Analysis]

FEATURES: dict[str, Any] = {
    "MET_pt": "MET_pt",
    "pt": {"name": "pt", "expression": "Lepton_pt"},
    "mass": {"name": "mass", "missing": -999},
    "first": {"name": "first", "expression": "Jet_pt[0]", "missing": "nan"},
    "ht": {"name": "ht", "expression": "log(1 + all)"},
    "constant": {"name": "constant", "expression": "1.5"},
}
DEFINITIONS = {"jets": "Sum$(Jet_pt)", "all": "jets + MET_pt", "met": "MET_pt"}
SAMPLE: dict[str, Any] = {
    "files": "*.root",
    "class": {"s": "flavour == 0", "b": "otherwise"},
    "normalisation": {
        "cross_section": 2.0,
        "generator_weight": "genWeight",
        "sum_of_weights": {"tree": "Runs", "branch": "genEventSumw"},
    },
}


def analysis_of(tiny: Tiny, names: Iterable[str], **changes: Any) -> Analysis:
    content: dict[str, Any] = {
        "samples": {"a": SAMPLE},
        "definitions": DEFINITIONS,
        "selection": {"met": "met > 20"},
        "training_selection": {"central": "abs(Lepton_eta) < 2"},
        "collections": {"jets": {"at_most": 3, "where": "Jet_pt > 30", "features": ["Jet_pt", "Jet_eta"]}},
        "features": [FEATURES[name] for name in names],
    }
    return tiny(**{**content, **changes})


@pytest.fixture
def files(place: Any, tiny: Tiny) -> tuple[InputFile, ...]:
    """Three files, one of them without entries, another with few."""
    for number, count in enumerate((400, 0, 7)):
        found = make_events(count, seed=number, signal=True, negative_fraction=0.2, first_event=1000 * number)
        write_tree(place.folder / f"{number}.root", found, others={"Runs": runs_of(found)}, basket_entries=90)
    found_files: tuple[InputFile, ...] = scan(analysis_of(tiny, ["MET_pt"]), place.folder).samples["a"].files
    return found_files


def contents(shard: Shard) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in shard.folder.iterdir()}


class Reads:
    """Which branches were read of which tree, and how many bytes their values have."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.branches: set[str] = set()
        self.bytes = 0
        monkeypatch.setattr("gridloom.data.ntuple.open_tree", lambda *arguments: _Spy(open_tree(*arguments), self))

    def add(self, columns: Columns) -> None:
        self.branches |= set(columns)
        self.bytes += sum(column.nbytes for column in columns.values())


class _Spy:
    """A tree that tells what is read of it."""

    def __init__(self, tree: Tree, reads: Reads) -> None:
        self._tree = tree
        self._reads = reads

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tree, name)

    def read(self, branches: Iterable[str], start: int, stop: int) -> Columns:
        columns = self._tree.read(branches, start, stop)
        self._reads.add(columns)
        return columns

    def chunks(self, branches: Iterable[str], step: int | None = None, start: int = 0) -> Iterator[Chunk]:
        for chunk in self._tree.chunks(branches, step, start):
            self._reads.add(chunk.columns)
            yield chunk


Names = st.lists(st.sampled_from(sorted(FEATURES)), unique=True)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=Names, after=Names, half=st.booleans(), rows=st.sampled_from([5, 64, 10_000]))
def test_any_change_of_features_gives_what_reading_everything_gives(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...], before: list[str], after: list[str], half: bool, rows: int
) -> None:
    storage = {"storage": {"features": "float16"}} if half else {}
    donor = place.prepare(analysis_of(tiny, before, **storage), "a", files)
    analysis = analysis_of(tiny, after, **storage)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Blocks.__init__, "__defaults__", (rows,))
        patch.setattr("gridloom.data.reuse.BLOCK_ROWS", rows + 3)
        whole = place.prepare(analysis, "a", files)
        reads = Reads(patch)
        made = place.prepare(analysis, "a", files, donor=donor.folder)
    assert contents(made) == contents(whole)
    branches = {"first": "Jet_pt", "ht": "Jet_pt MET_pt", "pt": "Lepton_pt", "constant": ""}
    new = set(after) - set(before)
    assert reads.branches == {branch for name in new for branch in branches.get(name, name).split()}


def test_a_twenty_first_feature_reads_a_twentieth(
    place: Any,
    tiny: Tiny,
    files: tuple[InputFile, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    twenty = [{"name": f"f{number}", "expression": f"MET_pt * {number} + Lepton_pt"} for number in range(20)]
    donor = place.prepare(analysis_of(tiny, [], features=twenty), "a", files)
    analysis = analysis_of(tiny, [], features=[*twenty, "Lepton_eta"])
    reads = Reads(monkeypatch)
    made = place.prepare(analysis, "a", files, donor=donor.folder)
    assert reads.branches == {"Lepton_eta"}
    assert reads.bytes == 4 * 407
    assert f"read 1 of 21 features, 20 from {donor.folder.name}" in capfd.readouterr().err
    reads.branches.clear()
    assert contents(made) == contents(place.prepare(analysis, "a", files))
    assert len(reads.branches) > 8


def test_damage_in_branches_that_are_not_read_does_not_matter(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...]
) -> None:
    """The proof without a counter: nobody can read these baskets any more."""
    donor = place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files)
    wanted = place.prepare(analysis_of(tiny, ["mass", "pt", "MET_pt"]), "a", files)
    for branch in ("MET_pt", "Lepton_pt", "genWeight", "Jet_pt"):
        damage_basket(place.folder / "0.root", branch, basket=0)
    with pytest.raises(DamagedFile):
        place.prepare(analysis_of(tiny, ["mass", "pt", "MET_pt"]), "a", files)
    made = place.prepare(analysis_of(tiny, ["mass", "pt", "MET_pt"]), "a", files, donor=donor.folder)
    assert contents(made) == contents(wanted)


def test_fewer_features_need_no_files(place: Any, tiny: Tiny, files: tuple[InputFile, ...]) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt", "mass", "pt"]), "a", files)
    wanted = place.prepare(analysis_of(tiny, ["pt", "MET_pt"]), "a", files)
    for file in files:
        Path(file.path).unlink()
    made = place.prepare(analysis_of(tiny, ["pt", "MET_pt"]), "a", files, donor=donor.folder)
    assert contents(made) == contents(wanted)


def test_a_definition_for_the_new_feature_alone_matters_to_nothing_else(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    donor = place.prepare(analysis_of(tiny, ["ht"]), "a", files)
    more = {"twice": "2 * Lepton_eta", **DEFINITIONS}
    analysis = analysis_of(tiny, ["ht"], features=[FEATURES["ht"], "twice"], definitions=more)
    reads = Reads(monkeypatch)
    place.prepare(analysis, "a", files, donor=donor.folder)
    assert reads.branches == {"Lepton_eta"}
    # Another definition behind the same words is another feature.
    changed = DEFINITIONS | {"jets": "2 * Sum$(Jet_pt)"}
    place.prepare(analysis_of(tiny, ["ht"], definitions=changed), "a", files, donor=donor.folder)
    assert reads.branches == {"Lepton_eta", "Jet_pt", "MET_pt"}


@pytest.mark.parametrize(
    "changes",
    [
        {"selection": {"met": "met > 21"}},
        {"definitions": DEFINITIONS | {"met": "MET_pt + 1"}},
        {"storage": {"features": "float16"}},
        {"collections": {}},
        {"folds": 4},
        {"training_weights": {"factor": "2"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_anything_else_that_differs_is_read(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...], changes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt"]), "a", files)
    analysis = analysis_of(tiny, ["MET_pt", "pt"], **changes)
    made = place.prepare(analysis, "a", files, donor=donor.folder)
    assert "all is read: its events were prepared in another way" in capfd.readouterr().err
    assert contents(made) == contents(place.prepare(analysis, "a", files))


def test_other_files_are_read(place: Any, tiny: Tiny, files: tuple[InputFile, ...]) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt"]), "a", files[:2])
    analysis = analysis_of(tiny, ["MET_pt", "pt"])
    made = place.prepare(analysis, "a", files, donor=donor.folder)
    assert contents(made) == contents(place.prepare(analysis, "a", files))


@pytest.mark.parametrize("name", ["features.npy", "entry.npy", "statistics.json", "origin.json", "shard.json"])
def test_a_damaged_donor_is_not_used_and_the_log_says_so(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...], name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt"]), "a", files)
    content = bytearray((donor.folder / name).read_bytes())
    content[-30] ^= 1
    (donor.folder / name).write_bytes(content)
    made = place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files, donor=donor.folder)
    told = capfd.readouterr().err
    assert f"nothing is taken from {donor.folder.name}, all is read" in told
    assert contents(made) == contents(place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files))


def test_a_donor_out_of_reach_is_no_error(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    made = place.prepare(analysis_of(tiny, ["pt"]), "a", files, donor=place.folder / "elsewhere")
    assert "cannot be reached" in capfd.readouterr().err
    assert contents(made) == contents(place.prepare(analysis_of(tiny, ["pt"]), "a", files))


def test_damage_in_the_new_branch_is_judged_by_reading_everything(
    place: Any, tiny: Tiny, files: tuple[InputFile, ...]
) -> None:
    skip = {"damaged_files": {"skip_at_most": 0.5}}
    donor = place.prepare(analysis_of(tiny, ["MET_pt"], **skip), "a", files)
    damage_basket(place.folder / "0.root", "Lepton_pt", basket=2)
    with pytest.raises(DamagedFile):
        place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files, donor=donor.folder)
    made = place.prepare(analysis_of(tiny, ["MET_pt", "pt"], **skip), "a", files, donor=donor.folder)
    assert [file.path for file in made.statistics.lost] == [str(place.folder / "0.root")]
    assert contents(made) == contents(place.prepare(analysis_of(tiny, ["MET_pt", "pt"], **skip), "a", files))
    # What was lost on the way is not passed on: the file may be there again.
    again = place.prepare(analysis_of(tiny, ["pt"], **skip), "a", files, donor=made.folder)
    assert contents(again) == contents(place.prepare(analysis_of(tiny, ["pt"], **skip), "a", files))


def test_errors_of_the_new_feature_name_its_key(place: Any, tiny: Tiny, files: tuple[InputFile, ...]) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files)
    bad = [FEATURES["MET_pt"], FEATURES["pt"], "log(Lepton_eta)"]
    with pytest.raises(UndeclaredMissing) as caught:
        place.prepare(analysis_of(tiny, [], features=bad), "a", files, donor=donor.folder)
    assert caught.value.key == ("features", 2)


def test_it_can_be_stopped(place: Any, tiny: Tiny, files: tuple[InputFile, ...]) -> None:
    donor = place.prepare(analysis_of(tiny, ["MET_pt", "pt"]), "a", files)
    for names in (["pt"], ["pt", "mass"]):
        with pytest.raises(Interrupted):
            place.prepare(analysis_of(tiny, names), "a", files, donor=donor.folder, stop=lambda: True)


def test_friends_by_id_are_found_for_a_new_feature(place: Any, tiny: Tiny) -> None:
    columns = make_events(300, seed=1, signal=True)
    write_tree(place.folder / "a.root", columns)
    order = np.random.default_rng(1).permutation(300)
    friend = {name: columns[name][order] for name in ("run", "luminosityBlock", "event")}
    friend["score"] = np.arange(300, dtype=np.float32)[order]
    write_tree(place.folder / "friend" / "f.root", friend, tree="More")
    sample = {
        "files": "a.root",
        "class": {"s": "flavour == 0", "b": "otherwise"},
        "weight": "genWeight",
        "friends": [{"files": "friend/f.root", "tree": "More", "match": "event_id"}],
    }
    few = analysis_of(tiny, [], samples={"a": sample}, features=["MET_pt"])
    more = analysis_of(tiny, [], samples={"a": sample}, features=["MET_pt", "score"])
    files = scan(more, place.folder).samples["a"].files
    donor = place.prepare(few, "a", files)
    made = place.prepare(more, "a", files, donor=donor.folder)
    np.testing.assert_array_equal(made.features[:, 1], made.entry)
    assert contents(made) == contents(place.prepare(more, "a", files))
