"""The analysis file written from ROOT files' own branches: golden, and always loadable."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.analysis.load import load_text
from gridloom.analysis.queries import class_names, training_samples
from gridloom.analysis.roles import BranchType
from gridloom.analysis.write import BranchInfo, FileInfo, TreeInfo, scaffold
from gridloom.errors import MissingBranch, MissingTree

GOLDEN = Path(__file__).with_name("golden")


def tree(name: str, flat: str = "", jagged: str = "", integers: str = "", other: str = "") -> TreeInfo:
    """A tree from lists of branch names."""
    kinds: tuple[tuple[str, BranchType, str], ...] = (
        (integers, "number", "uint64"),
        (flat, "number", "float32"),
        (jagged, "jagged", "float32"),
        (other, "other", "string"),
    )
    return TreeInfo(
        name=name,
        entries=100,
        branches=tuple(
            BranchInfo(name=branch, type=kind, dtype=dtype) for names, kind, dtype in kinds for branch in names.split()
        ),
    )


NANO = {
    "integers": "run luminosityBlock event nJet nGenPart PV_npvs",
    "flat": "MET_pt MET_phi MET_ptUnclusteredUp Flag_goodVertices HLT_IsoMu24 Pileup_nTrueInt",
    "jagged": (
        "Jet_eta Jet_pt Jet_phi Jet_mass Jet_btagDeepFlavB Jet_area Jet_chHEF Jet_neHEF Jet_nMuons Jet_muonIdx1"
        " Muon_pt Muon_eta FatJet_pt FatJet_eta Tau_pt Tau_eta SV_x lonely TrigObj_id"
    ),
    "other": "title",
}
SIMULATED = "genWeight Generator_x1 LHE_HT GenMET_pt nJet_pt"
TRUTH = " Jet_hadronFlavour Jet_genJetIdx GenPart_pt GenPart_eta"


def nanoaod_like(name: str) -> FileInfo:
    if name.startswith("data"):
        return FileInfo(path=f"ntuples/{name}.root", trees=(tree("Events", **NANO),))
    everything = {**NANO, "flat": f"{NANO['flat']} {SIMULATED}", "jagged": NANO["jagged"] + TRUTH}
    runs = tree("Runs", flat="genEventSumw") if name == "tth" else tree("Runs", flat="other")
    return FileInfo(path=f"ntuples/{name}.root", trees=(runs, tree("Events", **everything)))


FILES = {
    "nanoaod": (nanoaod_like("tth"), nanoaod_like("ttbar"), nanoaod_like("data_2018")),
    "two_trees": (
        FileInfo(
            path="Higgs_data.root",
            trees=(tree("bkg_tree", flat="pt m_jj jet-1.eta and"), tree("sig_tree", flat="pt m_jj jet-1.eta and")),
        ),
    ),
    "one_sample": (
        FileInfo(
            path="root://eos.example.org//store/jets.root",
            trees=(tree("deep/tree", flat="jet_pt gen_pt isB isC", integers="event_no n_sv", jagged="sv_pt sv_x"),),
        ),
    ),
    "weighted": (
        FileInfo(path="2 tH.root", trees=(tree("Vars", flat="Weight m extra", integers="runNumber eventNumber"),)),
        FileInfo(path="_ttbar.root", trees=(tree("Vars", flat="Weight m", integers="runNumber eventNumber"),)),
        FileInfo(path="more/_ttbar.root", trees=(tree("Other", flat="Weight m"),)),
    ),
    "many_features": (
        FileInfo(path="a.root", trees=(tree("t", flat=" ".join(f"x{index}" for index in range(150))),)),
        FileInfo(path="b.root", trees=(tree("t", flat=" ".join(f"x{index}" for index in range(150))),)),
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_scaffolds(case: str) -> None:
    text = scaffold(FILES[case], name=case)
    assert text == (GOLDEN / f"scaffold_{case}.yaml").read_text()
    analysis = load_text(text, Path("analysis.yaml")).analysis
    assert analysis.name == case
    assert set(class_names(analysis)) == {"signal", "background"}


def test_files_named_data_are_simulation_if_there_is_nothing_else() -> None:
    files = tuple(FileInfo(path=f"data_{name}.root", trees=(tree("t", flat="x"),)) for name in "ab")
    analysis = load_text(scaffold(files), Path("analysis.yaml")).analysis
    assert training_samples(analysis) == ("data_a", "data_b")


@pytest.mark.parametrize("trees", [(), (tree("Runs", flat="x"),), (tree("Events", other="x"),)])
def test_no_tree_of_events(trees: tuple[TreeInfo, ...]) -> None:
    with pytest.raises(MissingTree) as caught:
        scaffold((FileInfo(path="a.root", trees=trees),))
    assert caught.value.where == "a.root"


def test_no_inputs() -> None:
    with pytest.raises(MissingBranch) as caught:
        scaffold((FileInfo(path="a.root", trees=(tree("Events", integers="run event", flat="genWeight"),)),))
    assert "run, event, genWeight" in caught.value.fix


branch_names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=8
) | st.sampled_from(
    (
        "run",
        "event",
        "weight",
        "genWeight",
        "isSignal",
        "Jet_pt",
        "Jet_eta",
        "nJet",
        "true",
        "null",
        "a.b",
        "x-y",
        "1",
        "é",
    )
)
branches = st.builds(BranchInfo, name=branch_names, type=st.sampled_from(("number", "jagged", "other")))
trees = st.builds(
    TreeInfo,
    name=branch_names,
    entries=st.just(10),
    branches=st.lists(branches, max_size=8, unique_by=lambda branch: branch.name).map(tuple),
)
files = st.builds(
    FileInfo, path=branch_names, trees=st.lists(trees, max_size=2, unique_by=lambda tree: tree.name).map(tuple)
)


@settings(deadline=None)
@given(st.lists(files, min_size=1, max_size=3))
def test_any_files_give_a_valid_analysis_or_a_clear_error(described: list[FileInfo]) -> None:
    try:
        text = scaffold(described)
    except (MissingTree, MissingBranch):
        return
    load_text(text, Path("analysis.yaml"))
