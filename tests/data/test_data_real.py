"""Real physics files: what is prepared equals what uproot and a cutflow by hand give."""

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
from gridloom.data.check import check
from gridloom.errors import DamagedFile, EmptyTree, MissingBranch, MissingTree

pytestmark = pytest.mark.data
Tiny = Callable[..., Analysis]


@pytest.fixture
def copied(place: Any, physics_files: Path) -> Callable[..., None]:
    """Links files into the folder of the test."""

    def link(*names: str) -> None:
        for name in names:
            (place.folder / Path(name).name).symlink_to(physics_files / name)

    return link


def test_higgs_from_two_trees_of_one_file(place: Any, tiny: Tiny, copied: Callable[..., None]) -> None:
    copied("flat/Higgs_data.root")
    sample = {"files": "*.root", "weight": 1}
    samples = {
        "signal": sample | {"tree": "sig_tree", "class": "s"},
        "background": sample | {"tree": "bkg_tree", "class": "b"},
    }
    dataset = place.dataset(tiny(samples=samples, features=["m_bb", "jet1_pt"], event_id="entry"))
    assert len(dataset) == 20_000
    with uproot.open(place.folder / "Higgs_data.root") as file:
        np.testing.assert_array_equal(dataset.shards[1].features[:, 0], file["bkg_tree"]["m_bb"].array(library="np"))


def test_hep_tutorial_cutflow_by_hand(place: Any, tiny: Tiny, copied: Callable[..., None]) -> None:
    copied(*(f"hep_tutorial/{name}.root" for name in ("single_top", "ww", "wz", "zz", "qcd")))
    analysis = tiny(
        tree="events",
        samples={
            "top": {"files": "single_top.root", "class": "s", "weight": "EventWeight"},
            "rest": {"files": ["w?.root", "zz.root", "qcd.root"], "class": "b", "weight": "EventWeight"},
        },
        definitions={"Jet_pt": "sqrt(Jet_Px**2 + Jet_Py**2)"},
        selection={"trigger": "triggerIsoMu24", "muon": "NMuon == 1", "jets": "Sum$(Jet_pt > 30) >= 1"},
        features=["NJet", "MET_px", {"name": "second jet", "expression": "Jet_pt[1]", "missing": "nan"}],
        collections={"jets": {"where": "Jet_pt > 30", "order_by": "-Jet_pt", "at_most": 4, "features": ["Jet_Px"]}},
        event_id="entry",
    )
    assert check(analysis, place.folder) == ()
    dataset = place.dataset(analysis)
    for sample, paths in {"top": ["single_top"], "rest": ["qcd", "ww", "wz", "zz"]}.items():
        arrays = uproot.concatenate(
            [{place.folder / f"{name}.root": "events"} for name in paths],
            ["Jet_Px", "Jet_Py", "NMuon", "triggerIsoMu24", "EventWeight"],
        )
        jet_pt = np.sqrt(
            ak.values_astype(arrays["Jet_Px"], float) ** 2 + ak.values_astype(arrays["Jet_Py"], float) ** 2
        )
        masks = [np.ones(len(arrays), dtype=bool), ak.to_numpy(arrays["triggerIsoMu24"])]
        masks.append(masks[-1] & ak.to_numpy(arrays["NMuon"] == 1))
        masks.append(masks[-1] & ak.to_numpy(ak.sum(jet_pt > 30, axis=1) >= 1))
        weight = ak.to_numpy(arrays["EventWeight"]).astype(np.float64)
        for row, mask in zip(dataset.statistics[sample].cutflow, masks, strict=True):
            assert row.events == mask.sum()
            assert row.sum_weights == pytest.approx(weight[mask].sum())
        ordered = arrays["Jet_Px"][ak.argsort(jet_pt, ascending=False)][masks[-1]]
        own = [shard for shard in dataset.shards if shard.statistics.sample == sample]
        found = np.concatenate([shard.collections["jets"][:, 0, 0] for shard in own])
        np.testing.assert_array_equal(found, ak.to_numpy(ordered[:, 0]))


def test_deepjet_has_four_classes(place: Any, tiny: Tiny, copied: Callable[..., None]) -> None:
    copied("jets/deepjet_ntuple_ttbar.root")
    classes = {"b": "isB", "c": "isC", "uds": "isUDS", "g": "otherwise"}
    analysis = tiny(
        tree="deepntuplizer/tree",
        samples={"jets": {"files": "*.root", "class": classes, "weight": 1}},
        target={"signal": "b"},
        features=["jet_pt", "jet_eta"],
        collections={"vertices": {"at_most": 4, "features": ["sv_pt", "sv_mass"]}},
        event_id="entry",
    )
    assert np.bincount(place.dataset(analysis).label).tolist() == [2232, 899, 2276, 1792]


def nano(name: str, **sample: Any) -> dict[str, Any]:
    known = {"cross_section": 10.0, "generator_weight": "genWeight"} | sample
    classes = {"s": "nJet >= 5", "b": "otherwise"}
    return {
        "samples": {"a": {"files": name, "class": classes, "normalisation": known}},
        "features": ["nJet", {"name": "muon", "expression": "Muon_pt[0]", "missing": "nan"}],
        "collections": {"jets": {"at_most": 5, "features": ["Jet_pt", "Jet_eta"]}},
        "event_id": ["run", "event"],
    }


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("nanoaod/NanoAODv5_sample.root", 1000),
        ("nanoaod/nano_tt_v12.root", 200),
        ("nanoaod/nano_tt_v15.root", 200),
    ],
)
def test_nanoaod(place: Any, tiny: Tiny, copied: Callable[..., None], name: str, events: int) -> None:
    copied(name)
    dataset = place.dataset(tiny(**nano("*.root")))
    assert len(dataset) == events
    with uproot.open(place.folder / Path(name).name) as file:
        weight = file["Events"]["genWeight"].array(library="np").astype(np.float64)
    assert dataset.statistics["a"].sum_generator_weights == pytest.approx(weight.sum())
    assert dataset.weight.sum() == pytest.approx(10_000.0)
    assert dataset.statistics["a"].classes["s"].negative_events + dataset.statistics["a"].classes[
        "b"
    ].negative_events == np.count_nonzero(weight < 0)


def test_rntuple_gives_what_the_ttree_gives(place: Any, tiny: Tiny, copied: Callable[..., None]) -> None:
    copied("nanoaod/nano_dy.root", "rntuple/nano_dy_rntuple.root")
    runs = {"sum_of_weights": {"tree": "Runs", "branch": "genEventSumw_"}}
    (old,) = place.shards(tiny(**nano("nano_dy.root", **runs)))
    (new,) = place.shards(tiny(**nano("nano_dy_rntuple.root")))
    for name in ("features", "id", "label", "weight", "fold"):
        np.testing.assert_array_equal(getattr(old, name), getattr(new, name))
    np.testing.assert_array_equal(old.collections["jets"], new.collections["jets"])
    assert old.statistics.sum_generator_weights != new.statistics.sum_generator_weights


def test_open_data_muons(place: Any, tiny: Tiny, copied: Callable[..., None]) -> None:
    name = "rntuple/Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    copied(name)
    analysis = tiny(
        samples={"a": {"files": "*.root", "class": {"s": "nMuon >= 2", "b": "otherwise"}, "weight": 1}},
        features=["nMuon"],
        collections={"muons": {"at_most": 3, "features": ["Muon_pt", "Muon_charge"]}},
        event_id="entry",
    )
    (shard,) = place.shards(analysis)
    with uproot.open(place.folder / Path(name).name) as file:
        muons = file["Events"]["Muon_pt"].array()
    np.testing.assert_array_equal(shard.features[:, 0], ak.to_numpy(ak.num(muons)))
    expected = ak.to_numpy(ak.fill_none(ak.pad_none(muons, 3, clip=True), 0.0))
    np.testing.assert_array_equal(shard.collections["muons"][:, :, 0], expected)


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("bad_delphes.root", MissingTree, "no tree at all"),
        ("missing_luminosityBlock.root", MissingBranch, "`luminosityBlock`"),
        ("nano_dy_empty.root", EmptyTree, "no entries"),
    ],
)
def test_damaged_files(
    place: Any, tiny: Tiny, copied: Callable[..., None], name: str, kind: type[Exception], words: str
) -> None:
    copied(f"damaged/{name}")
    content = nano("*.root") | {"event_id": ["run", "luminosityBlock", "event"]}
    (error,) = check(tiny(**content), place.folder)
    assert isinstance(error, kind)
    assert words in str(error)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.95])
def test_truncated_real_file(place: Any, tiny: Tiny, physics_files: Path, fraction: float) -> None:
    path = place.folder / "x.root"
    shutil.copyfile(physics_files / "nanoaod" / "nano_tt_v12.root", path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    (error,) = check(tiny(**nano("x.root")), place.folder)
    assert isinstance(error, DamagedFile)
    assert "truncated" in error.what or "cannot be opened" in error.what
