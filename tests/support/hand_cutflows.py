"""Cutflows of the written analyses, by hand: plain uproot, awkward and NumPy, nothing of Gridloom.

Each function returns, per sample, the rows of the table in order: (name, events, sum of weights).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

Row = tuple[str, int, float]
Cutflow = list[Row]
Mask = npt.NDArray[np.bool_]


def rows(weight: Any, cuts: Sequence[tuple[str, Any]]) -> Cutflow:
    """Events and weights that are left after each cut and all those before it."""
    weights = ak.to_numpy(weight).astype(np.float64)
    passed: Mask = np.ones(len(weights), dtype=np.bool_)
    table: Cutflow = [("all entries", len(weights), float(weights.sum()))]
    for name, cut in cuts:
        passed = passed & ak.to_numpy(cut).astype(np.bool_)
        table.append((name, int(passed.sum()), float(weights[passed].sum())))
    return table


def read(path: Path, tree: str, branches: Sequence[str]) -> Any:
    with uproot.open(path) as file:
        return file[tree].arrays(list(branches))


def higgs(data: Path) -> dict[str, Cutflow]:
    found = {}
    names = ("lepton_pT", "jet1_eta", "jet2_eta", "m_wwbb", "m_bb", *(f"jet{i}_btag" for i in range(1, 5)))
    for sample, tree in (("signal", "sig_tree"), ("background", "bkg_tree")):
        events = read(data / "flat" / "Higgs_data.root", tree, names)
        tags = sum(ak.values_astype(events[f"jet{i}_btag"] > 0, np.int64) for i in range(1, 5))
        found[sample] = rows(
            np.ones(len(events)),
            [
                ("hard lepton", events["lepton_pT"] > 0.4),
                ("central jets", (abs(events["jet1_eta"]) < 2.5) & (abs(events["jet2_eta"]) < 2.5)),
                ("b tag", tags >= 1),
                ("no tails", events["m_wwbb"] < 3),
                ("around the peak", (events["m_bb"] > 0.3) & (events["m_bb"] < 2.5)),
            ],
        )
    return found


def th(data: Path) -> dict[str, Cutflow]:
    found = {}
    for sample in ("tH", "ttbar"):
        names = ("Weight", "tHq_NumBTag_Higgs", "tHq_Pt_Recoil")
        events = read(data / "weights" / f"{sample}_10k.root", "Vars", names)
        cuts = [
            ("a b tag in the Higgs boson", events["tHq_NumBTag_Higgs"] >= 1),
            ("forward jet", events["tHq_Pt_Recoil"] > 30),
        ]
        found[sample] = rows(events["Weight"], cuts)
    return found


def hep_tutorial(data: Path) -> dict[str, Cutflow]:
    names = ("EventWeight", "triggerIsoMu24", "NMuon", "Muon_Iso", "Muon_Px", "Muon_Py", "Jet_Px", "Jet_Py", "Jet_Pz")
    files = {"single_top": ("single_top",), "dibosons": ("ww", "wz", "zz"), "multijets": ("qcd",)}
    found = {}
    for sample, parts in files.items():
        events = ak.concatenate([read(data / "hep_tutorial" / f"{part}.root", "events", names) for part in parts])
        px, py, pz = (ak.values_astype(events[f"Jet_P{axis}"], np.float64) for axis in "xyz")
        jet_pt = np.sqrt(px * px + py * py)
        jets = ak.sum((jet_pt > 30) & (abs(np.arcsinh(pz / jet_pt)) < 2.4), axis=1)
        muon_pt = np.sqrt(ak.values_astype(events["Muon_Px"], np.float64) ** 2 + events["Muon_Py"] ** 2)
        isolation = ak.fill_none(ak.firsts(events["Muon_Iso"] / muon_pt), np.inf)
        cuts = [
            ("trigger", events["triggerIsoMu24"]),
            ("one muon", events["NMuon"] == 1),
            ("isolated", isolation < 0.2),
            ("a jet", jets >= 1),
        ]
        found[sample] = rows(events["EventWeight"], cuts)
    return found


def nanoaod(data: Path) -> dict[str, Cutflow]:
    files = {"tt_v5": "NanoAODv5_sample", "tt_v12": "nano_tt_v12", "tt_v15": "nano_tt_v15"}
    found = {}
    for sample, name in files.items():
        branches = ("genWeight", "Jet_pt", "Jet_eta", "PuppiMET_pt")
        events = read(data / "nanoaod" / f"{name}.root", "Events", branches)
        weight = ak.to_numpy(events["genWeight"]).astype(np.float64)
        good = ak.sum((events["Jet_pt"] > 25) & (abs(events["Jet_eta"]) < 2.4), axis=1)
        # Luminosity times cross section over the sum of the generator's weights of all events.
        found[sample] = rows(
            59830 * 831.76 * weight / weight.sum(),
            [("four jets", good >= 4), ("missing pt", events["PuppiMET_pt"] > 10)],
        )
    return found


def rntuple(data: Path) -> dict[str, Cutflow]:
    muons = "Run2012BC_DoubleMuParked_Muons_1000evts_rntuple_v1-0-0-0.root"
    simulated = read(data / "rntuple" / "nano_dy_rntuple.root", "Events", ("genWeight", "Muon_eta"))
    recorded = read(data / "rntuple" / muons, "Events", ("Muon_eta",))
    weight = ak.to_numpy(simulated["genWeight"]).astype(np.float64)
    weights = {"simulated": 11580 * 0.04 * weight / weight.sum(), "recorded": np.ones(len(recorded))}
    return {
        sample: rows(
            weights[sample],
            [
                ("no shower of muons", ak.num(events["Muon_eta"]) <= 4),
                ("central", ak.all(abs(events["Muon_eta"]) < 2.4, axis=1)),
            ],
        )
        for sample, events in (("simulated", simulated), ("recorded", recorded))
    }


def deepjet(data: Path) -> dict[str, Cutflow]:
    jets = read(
        data / "jets" / "deepjet_ntuple_ttbar.root",
        "deepntuplizer/tree",
        ("jet_pt", "jet_eta", "n_Cpfcand"),
    )
    cuts = [
        ("hard", jets["jet_pt"] > 25),
        ("central", abs(jets["jet_eta"]) < 2.4),
        ("tracks", jets["n_Cpfcand"] >= 2),
    ]
    return {"ttbar": rows(np.ones(len(jets)), cuts)}


CUTFLOWS: dict[str, Callable[[Path], dict[str, Cutflow]]] = {
    "higgs": higgs,
    "th": th,
    "hep_tutorial": hep_tutorial,
    "nanoaod": nanoaod,
    "rntuple": rntuple,
    "deepjet": deepjet,
}
