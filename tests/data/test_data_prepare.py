"""From ROOT files to shards: values, cutflow, classes, ids, sums of weights, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from gridloom.analysis.models import Analysis
from gridloom.data.folds import fold_of, uuid_word
from gridloom.data.scan import scan
from gridloom.data.shard import Shard
from gridloom.errors import (
    AmbiguousClass,
    BadWeights,
    BranchType,
    DamagedFile,
    Interrupted,
    Problems,
    UndeclaredMissing,
)
from gridloom.testing.ntuples import Format, damage_basket, make_events, runs_of, write_sample, write_tree

Tiny = Callable[..., Analysis]
SAMPLE: dict[str, Any] = {"files": "a.root", "class": {"s": "flavour == 0", "b": "otherwise"}, "weight": "genWeight"}
ONE: dict[str, Any] = {"a": SAMPLE}


def one(place: Any, analysis: Analysis) -> Shard:
    (shard,) = place.shards(analysis)
    assert isinstance(shard, Shard)
    return shard


@pytest.fixture
def columns(tmp_path: Path) -> dict[str, Any]:
    found = make_events(700, seed=3, signal=True, negative_fraction=0.2)
    write_tree(tmp_path / "a.root", found, others={"Runs": runs_of(found)}, basket_entries=150)
    return found


def test_values_are_those_of_the_file(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(
        samples=ONE,
        features=[
            "MET_pt",
            {"name": "mass", "missing": -999},
            {"name": "lead", "expression": "Jet_pt[0]", "missing": "nan"},
        ],
        collections={
            "jets": {"at_most": 3, "where": "Jet_pt > 30", "order_by": "Jet_eta", "features": ["Jet_pt", "nJet"]}
        },
        selection={"met": "MET_pt > 20", "trigger": "trigger"},
        training_selection=["abs(Lepton_eta) < 2"],
        training_weights={"factor": "1 + (Lepton_charge > 0)"},
    )
    shard = one(place, analysis)
    keep = (columns["MET_pt"] > 20) & columns["trigger"]
    assert len(shard) == keep.sum()
    np.testing.assert_array_equal(shard.features[:, 0], columns["MET_pt"][keep])
    np.testing.assert_array_equal(shard.features[:, 1], columns["mass"][keep])
    lead = ak.to_numpy(ak.fill_none(ak.firsts(columns["Jet"]["pt"]), np.nan))[keep]
    np.testing.assert_array_equal(shard.features[:, 2], lead)
    np.testing.assert_array_equal(shard.label, np.where(columns["flavour"][keep] == 0, 0, 1))
    np.testing.assert_array_equal(shard.weight, columns["genWeight"][keep].astype(np.float64))
    np.testing.assert_array_equal(shard.factor, 1.0 + (columns["Lepton_charge"][keep] > 0))
    np.testing.assert_array_equal(shard.id[:, 2], columns["event"][keep])
    np.testing.assert_array_equal(shard.id[:, 1], columns["luminosityBlock"][keep])
    np.testing.assert_array_equal(shard.fold, fold_of(shard.id, 3))
    np.testing.assert_array_equal(shard.trains, np.abs(columns["Lepton_eta"][keep]) < 2)
    jets = columns["Jet"][keep]
    jets = jets[jets["pt"] > 30]
    jets = jets[ak.argsort(jets["eta"])]
    for event in range(len(shard)):
        wanted = ak.to_list(jets["pt"][event])[:3]
        assert shard.counts["jets"][event] == len(wanted)
        assert shard.collections["jets"][event, :, 0].tolist() == wanted + [0.0] * (3 - len(wanted))


def test_cutflow_and_moments(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(
        samples=ONE,
        features=[{"name": "mass", "missing": -999}],
        selection={"met": "MET_pt > 20", "trigger": "trigger"},
        training_selection={"central": "abs(Lepton_eta) < 2"},
        collections={"jets": {"at_most": 2, "features": ["Jet_pt"]}},
    )
    statistics = one(place, analysis).statistics
    weight = columns["genWeight"].astype(np.float64)
    masks = {"all entries": np.ones(700, dtype=bool), "met": columns["MET_pt"] > 20}
    masks["trigger"] = masks["met"] & columns["trigger"]
    masks["central"] = masks["trigger"] & (np.abs(columns["Lepton_eta"]) < 2)
    assert [row.name for row in statistics.cutflow] == list(masks)
    for row, mask in zip(statistics.cutflow, masks.values(), strict=True):
        assert row.events == mask.sum()
        assert row.sum_weights == pytest.approx(weight[mask].sum())
        assert row.sum_weights_squared == pytest.approx((weight[mask] ** 2).sum())
    values = columns["mass"][masks["central"]]
    known = values[values != -999]
    moments = [fold.features[0] for fold in statistics.folds]
    assert sum(item.count for item in moments) == len(known)
    assert sum(item.missing for item in moments) == len(values) - len(known)
    assert sum(item.mean * item.count for item in moments) == pytest.approx(known.astype(np.float64).sum())
    jets = ak.flatten(columns["Jet"]["pt"][masks["central"]][:, :2])
    assert sum(fold.collections["jets"][0].count for fold in statistics.folds) == len(jets)
    assert statistics.files[0].selected == masks["trigger"].sum()
    yields = statistics.classes
    assert yields["s"].events + yields["b"].events == masks["trigger"].sum()


@pytest.mark.parametrize("storage", ["TTree", "RNTuple"])
def test_both_formats_give_the_same(place: Any, tiny: Tiny, storage: Format) -> None:
    write_sample(place.folder / "a.root", events=300, seed=5, format=storage, basket_entries=70)
    analysis = tiny(
        samples={"a": SAMPLE | {"normalisation": normalisation("Runs"), "weight": None}},
        collections={"jets": {"at_most": 4, "features": ["Jet_pt", "Jet_btag"]}},
    )
    columns = make_events(300, seed=5)
    shard = one(place, analysis)
    np.testing.assert_array_equal(shard.features[:, 0], columns["MET_pt"])
    counts = ak.to_numpy(ak.num(columns["Jet"]["pt"]))
    np.testing.assert_array_equal(shard.counts["jets"], np.minimum(counts, 4))
    assert shard.statistics.sum_generator_weights == 300.0


def normalisation(tree: str | None) -> dict[str, Any]:
    known = {"tree": tree, "branch": "genEventSumw"} if tree else "events"
    return {"cross_section": 2.0, "generator_weight": "genWeight", "sum_of_weights": known}


@pytest.mark.parametrize("tree", [None, "Runs"])
def test_sum_of_generator_weights_is_before_the_selection(
    place: Any, tiny: Tiny, columns: dict[str, Any], tree: str | None
) -> None:
    analysis = tiny(
        samples={"a": SAMPLE | {"weight": None, "normalisation": normalisation(tree) | {"corrections": "0.5"}}},
        selection=["MET_pt > 50"],
    )
    shard = one(place, analysis)
    total = float(columns["genWeight"].astype(np.float64).sum())
    assert shard.statistics.sum_generator_weights == pytest.approx(total)
    kept = columns["MET_pt"] > 50
    np.testing.assert_allclose(shard.weight, 0.5 * columns["genWeight"][kept])
    dataset = place.dataset(analysis)
    assert dataset.scales["a"] == pytest.approx(1000.0 * 2.0 / total)


def test_entry_ids_are_the_file_and_the_entry(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE, event_id="entry", selection=["event % 2 == 0"])
    (file,) = scan(analysis, place.folder).samples["a"].files
    shard = one(place, analysis)
    assert set(shard.id[:, 0].tolist()) == {uuid_word(file.uuid)}
    np.testing.assert_array_equal(shard.id[:, 2], np.flatnonzero(columns["event"] % 2 == 0))


def test_large_event_numbers_stay_exact(place: Any, tiny: Tiny) -> None:
    columns = make_events(50, seed=1)
    columns["event"] = columns["event"] + np.uint64(2**63)
    write_tree(place.folder / "a.root", columns)
    np.testing.assert_array_equal(one(place, tiny(samples=ONE)).id[:, 2], columns["event"])


def test_collision_data_has_no_label_and_does_not_train(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(
        samples={**ONE, "data": {"files": "d.root", "data": True}},
        training_selection=["flavour >= 0"],
        selection=["MET_pt > 10"],
    )
    raw = {name: values for name, values in make_events(60, seed=9).items() if name not in ("flavour", "genWeight")}
    write_tree(place.folder / "d.root", raw)
    data = place.shards(analysis)[1]
    assert set(data.label.tolist()) == {-1}
    assert not data.trains.any()
    assert set(data.weight.tolist()) == {1.0}
    assert [row.name for row in data.statistics.cutflow] == ["all entries", "MET_pt > 10"]


def test_regression_has_a_target(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples={"a": SAMPLE | {"class": None}}, target={"regression": "2 * MET_pt"})
    shard = one(place, analysis)
    assert shard.target is not None
    np.testing.assert_allclose(shard.target, 2 * columns["MET_pt"].astype(np.float64))
    assert set(shard.label.tolist()) == {-1}
    with pytest.raises(UndeclaredMissing, match="regression target") as caught:
        one(place, tiny(samples={"a": SAMPLE | {"class": None}}, target={"regression": "Jet_pt[0]"}))
    assert caught.value.key == ("target", "regression")


def test_nothing_selected_is_a_legal_shard(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE, selection=["MET_pt < 0"], collections={"jets": {"at_most": 2, "features": ["Jet_pt"]}})
    shard = one(place, analysis)
    assert len(shard) == 0
    assert shard.collections["jets"].shape == (0, 2, 1)
    assert shard.statistics.cutflow[-1].events == 0


def test_constant_features_and_weights(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    shard = one(place, tiny(samples={"a": SAMPLE | {"weight": 2}}, features=[{"name": "one", "expression": "1"}]))
    assert set(shard.features[:, 0].tolist()) == {1.0}
    assert set(shard.weight.tolist()) == {2.0}


@pytest.mark.parametrize(
    ("changes", "kind", "key", "words"),
    [
        ({"features": ["Jet_pt[0]"]}, UndeclaredMissing, ("features", 0), ["NaN for", "entry", "missing: nan"]),
        (
            {"features": ["MET_pt", {"name": "x", "expression": "1 / (flavour - 1)", "missing": [-1, "nan"]}]},
            UndeclaredMissing,
            ("features", 1),
            ["infinite for", "missing: [-1, nan, inf]"],
        ),
        (
            {"collections": {"j": {"at_most": 9, "features": ["Jet_pt", "sqrt(Jet_eta)"]}}},
            UndeclaredMissing,
            ("collections", "j", "features", 1),
            ["nan for", "objects"],
        ),
        ({"features": ["Jet_pt"]}, BranchType, ("features", 0, "expression"), ["one value per object"]),
        (
            {"collections": {"j": {"at_most": 9, "features": ["MET_pt"]}}},
            BranchType,
            ("collections", "j", "features"),
            ["one value per event"],
        ),
        (
            {"collections": {"j": {"at_most": 9, "features": ["Jet_pt", "Jet_eta[Jet_pt > 40]"]}}},
            BranchType,
            ("collections", "j", "features", 1),
            ["other numbers of objects"],
        ),
        ({"event_id": ["run", "event - 300"]}, BranchType, ("event_id", 1), ["whole number", "-299"]),
        ({"event_id": ["MET_pt"]}, BranchType, ("event_id", 0), ["whole number"]),
        (
            {"samples": {"a": SAMPLE | {"weight": "log(flavour)"}}},
            BadWeights,
            ("samples", "a", "weight"),
            ["not a finite number", "-inf"],
        ),
        ({"training_weights": {"factor": "Jet_pt[0]"}}, BadWeights, ("training_weights", "factor"), ["nan"]),
        (
            {"samples": {"a": SAMPLE | {"class": {"s": "flavour <= 1", "b": "flavour == 1"}}}},
            AmbiguousClass,
            ("samples", "a", "class"),
            ["more than one class, the first to `s` and `b`", "belong to no class"],
        ),
        (
            {"samples": {"a": SAMPLE | {"class": {"s": "flavour == 0", "b": "flavour == 1"}}}},
            AmbiguousClass,
            ("samples", "a", "class"),
            ["belong to no class"],
        ),
    ],
)
def test_bad_events_are_refused_by_name(
    place: Any,
    tiny: Tiny,
    columns: dict[str, Any],
    changes: dict[str, Any],
    kind: type[Exception],
    key: tuple[str | int, ...],
    words: list[str],
) -> None:
    with pytest.raises(kind) as caught:
        one(place, tiny(**({"samples": ONE} | changes)))
    assert caught.value.key == key  # type: ignore[attr-defined]
    for word in words:
        assert word in str(caught.value)


def test_all_features_are_named_at_once(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    with pytest.raises(Problems) as caught:
        one(place, tiny(samples=ONE, features=["Jet_pt[0]", "MET_pt", "Jet_pt[1]"]))
    assert [error.key for error in caught.value.errors] == [("features", 0), ("features", 2)]


def test_float_ids_must_be_exact(place: Any, tiny: Tiny) -> None:
    columns = make_events(50, seed=1)
    write_tree(place.folder / "a.root", columns | {"event": columns["event"].astype(np.float32)})
    assert one(place, tiny(samples=ONE)).id[-1, 2] == 50
    write_tree(place.folder / "a.root", columns | {"event": columns["event"].astype(np.float32) + 2**25})
    with pytest.raises(BranchType, match="exact in its type"):
        one(place, tiny(samples=ONE))


def test_stopping_leaves_no_shard(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE)
    files = scan(analysis, place.folder).samples["a"].files
    with pytest.raises(Interrupted, match="0 of 700 entries"):
        place.prepare(analysis, "a", files, stop=lambda: True)


def test_damage_inside_a_file_is_named(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    damage_basket(place.folder / "a.root", "MET_pt")
    with pytest.raises(DamagedFile, match="entries 0 to 700") as caught:
        one(place, tiny(samples=ONE))
    assert caught.value.where == str(place.folder / "a.root")


def test_damaged_file_is_dropped_whole_where_allowed(place: Any, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        path = place.folder / f"a{number}.root"
        write_sample(path, events=400, seed=number, first_event=1 + 400 * number, basket_entries=100)
    damage_basket(place.folder / "a1.root", "MET_pt")
    # Several chunks per file, so that the first ones are written before the damage is met.
    monkeypatch.setattr("gridloom.data.ttree.entries_per_chunk", lambda size, entries: 100)
    sample = SAMPLE | {"files": "a*.root"}
    analysis = tiny(samples={"a": sample}, damaged_files={"skip_at_most": 0.3})
    shard = one(place, analysis)
    assert len(shard) == 1200
    assert sorted(set((shard.id[:, 2].astype(int) - 1) // 400)) == [0, 2, 3]
    assert [Path(file.path).name for file in shard.statistics.lost] == ["a1.root"]
    assert shard.statistics.cutflow[0].events == 1200
    # The weight holds the normalisation: four files' worth of events.
    assert place.dataset(analysis).scales["a"] == pytest.approx(4 / 3)
    normalised = tiny(
        samples={"a": sample | {"weight": None, "normalisation": normalisation("Runs")}},
        damaged_files={"skip_at_most": 0.3},
    )
    dataset = place.dataset(normalised)
    assert dataset.weight.sum() == pytest.approx(1000.0 * 2.0)


def test_changed_file_is_noticed(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE)
    files = scan(analysis, place.folder).samples["a"].files
    write_tree(place.folder / "a.root", columns)
    with pytest.raises(DamagedFile, match="not the one that was scanned"):
        place.prepare(analysis, "a", files)


def test_definitions_are_used(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE, definitions={"hard": "Jet_pt > 40"}, features=["count(hard)"])
    counts = ak.sum(columns["Jet"]["pt"] > 40, axis=1)
    np.testing.assert_array_equal(one(place, analysis).features[:, 0], ak.to_numpy(counts))
