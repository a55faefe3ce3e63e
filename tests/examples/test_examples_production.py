"""Real events, from the command line to the ROOT files: tiny samples of both examples."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

PROJECT = Path(__file__).resolve().parents[2]
TTH = PROJECT / "examples" / "tth" / "simulate.py"
NANOAOD = PROJECT / "examples" / "nanoaod" / "simulate.py"
EVENTS = 160


def simulate(script: Path, out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "--out", str(out), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def read(path: Path) -> tuple[Any, Any]:
    with uproot.open(path) as file:
        return file["Events"].arrays(), file["Runs"].arrays()


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both processes of the ttH example, signed, by two workers."""
    out = tmp_path_factory.mktemp("tth")
    done = simulate(TTH, out, "--events", str(EVENTS), "--seed", "4", "--jobs", "2", "--signed", "0.2")
    assert done.returncode == 0, done.stderr
    assert "100 %" in done.stdout
    return out


@pytest.fixture(scope="module")
def events(production: Path) -> dict[str, Any]:
    return {name: read(production / f"{name}_000.root")[0] for name in ("ttH", "tt")}


def test_the_folder_holds_the_files_and_the_manifest_alone(production: Path) -> None:
    assert sorted(path.name for path in production.iterdir()) == ["production.json", "ttH_000.root", "tt_000.root"]


@pytest.mark.parametrize(("name", "generated"), [("ttH", 48), ("tt", 112)])
def test_sums_are_over_all_generated_events(production: Path, name: str, generated: int) -> None:
    events, runs = read(production / f"{name}_000.root")
    assert runs.genEventCount.to_list() == [generated]
    assert 0 < len(events) < generated
    assert runs.genEventSumw2[0] >= ak.sum(events.genWeight**2)
    negative = ak.sum(events.genWeight < 0)
    assert 0 < negative <= round(0.2 * generated)


def test_same_seed_same_bits_whatever_the_jobs(production: Path, tmp_path: Path) -> None:
    done = simulate(TTH, tmp_path, "--events", str(EVENTS), "--seed", "4", "--jobs", "1", "--signed", "0.2")
    assert done.returncode == 0, done.stderr
    for name in ("ttH", "tt"):
        ours, theirs = production / f"{name}_000.root", tmp_path / f"{name}_000.root"
        for one, other in zip(read(ours), read(theirs), strict=True):
            assert one.fields == other.fields
            assert ak.array_equal(one, other, equal_nan=False)
        with uproot.open(ours) as first, uproot.open(theirs) as second:
            assert first.file.uuid == second.file.uuid


def test_the_sign_changes_weights_only_and_keeps_the_total(production: Path, tmp_path: Path) -> None:
    done = simulate(TTH, tmp_path, "--events", str(EVENTS), "--seed", "4", "--signed", "0")
    assert done.returncode == 0, done.stderr
    for name in ("ttH", "tt"):
        plain, plain_runs = read(tmp_path / f"{name}_000.root")
        signed, signed_runs = read(production / f"{name}_000.root")
        assert ak.all(plain.genWeight > 0)
        assert signed_runs.genEventSumw[0] == pytest.approx(plain_runs.genEventSumw[0], rel=1e-6)
        # All weights are scaled alike, by about 1 / (1 - 2 x 0.2).
        scale = np.abs(ak.to_numpy(signed.genWeight / plain.genWeight))
        assert scale == pytest.approx(scale[0], rel=1e-5)
        assert scale[0] == pytest.approx(1 / 0.6, rel=0.1)
        assert signed_runs.genEventSumw2[0] == pytest.approx(plain_runs.genEventSumw2[0] * scale[0] ** 2, rel=1e-5)
        for branch in set(plain.fields) - {"genWeight"}:
            assert ak.array_equal(plain[branch], signed[branch])


@pytest.mark.parametrize("name", ["ttH", "tt"])
def test_kinematics_are_sane(events: dict[str, Any], name: str) -> None:
    found = events[name]
    assert ak.all(found.Jet_pt > 20)
    assert ak.all(abs(found.Jet_eta) < 2.5)
    assert ak.all((found.Jet_mass >= 0) & (found.Jet_mass < found.Jet_pt))
    assert ak.all((found.Jet_btag > 0) & (found.Jet_btag < 1))
    assert ak.all(found.Jet_pt[:, :-1] >= found.Jet_pt[:, 1:])
    assert ak.all(abs(found.Lepton_eta) < 2.4)
    assert ak.all(np.isin(ak.flatten(abs(found.Lepton_pdgId)), (11, 13)))
    assert ak.all(found.Lepton_charge == -np.sign(found.Lepton_pdgId))
    assert {-1, 1} == set(ak.flatten(found.Lepton_charge).to_list())
    assert ak.all(abs(found.Jet_phi) <= np.pi + 1e-6)
    assert ak.all(found.MET_pt > 0)
    # The skim: one lepton, four jets.
    assert ak.all(ak.sum(found.Lepton_pt > 27, axis=1) >= 1)
    assert ak.all(ak.sum(found.Jet_pt > 25, axis=1) >= 4)


def test_event_ids_are_unique(events: dict[str, Any]) -> None:
    ids = {
        (int(event.run), int(event.luminosityBlock), int(event.event)) for sample in events.values() for event in sample
    }
    assert len(ids) == sum(len(sample) for sample in events.values())


def test_the_truth_is_that_of_the_process(events: dict[str, Any]) -> None:
    signal_events, background = events["ttH"], events["tt"]
    assert ak.all(signal_events.GenHiggs_pt > 0)
    assert ak.all(background.GenHiggs_pt == -999)
    assert set(background.genTtbarId.to_list()) <= {0, *range(41, 46), *range(51, 56)}
    # Four b quarks against two; in ttH the Higgs boson's count as additional.
    b_jets = {name: ak.mean(ak.sum(sample.Jet_hadronFlavour == 5, axis=1)) for name, sample in events.items()}
    assert b_jets["ttH"] > 2.5 > b_jets["tt"] > 1.2
    assert ak.mean(signal_events.genTtbarId > 50) > 0.9
    assert ak.mean(background.genTtbarId > 50) < 0.5
    beauty = background.Jet_btag[background.Jet_hadronFlavour == 5]
    light = background.Jet_btag[background.Jet_hadronFlavour == 0]
    assert ak.mean(beauty > 0.5) > 0.6
    assert ak.mean(light > 0.5) < 0.1
    assert ak.mean(abs(background.Jet_partonFlavour[background.Jet_hadronFlavour == 5]) == 5) > 0.9


def test_finished_files_are_reused_and_never_mixed_with_others(production: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in production.iterdir()}
    arguments = ("--events", str(EVENTS), "--signed", "0.2")
    again = simulate(TTH, production, *arguments, "--seed", "4")
    assert again.returncode == 0
    assert "2 of them already there" in again.stdout
    other = simulate(TTH, production, *arguments, "--seed", "5")
    assert other.returncode == 1
    assert "--overwrite" in other.stdout
    assert before == {path.name: path.stat().st_mtime_ns for path in production.iterdir()}


def test_interrupt_leaves_no_broken_file(tmp_path: Path) -> None:
    arguments = ("--processes", "Z", "--events", "90000", "--jobs", "1", "--out", str(tmp_path / "data"))
    command = [sys.executable, str(NANOAOD), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "%" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 130
    assert "Stopped." in rest
    for path in (tmp_path / "data").glob("*.root"):
        read(path)
    assert not list((tmp_path / "data").glob(".*"))


def test_four_processes_with_two_leptons(tmp_path: Path) -> None:
    done = simulate(NANOAOD, tmp_path, "--events", "80", "--jobs", "2")
    assert done.returncode == 0, done.stderr
    samples = {name: read(tmp_path / f"{name}_000.root")[0] for name in ("HWW", "WW", "tt2l", "Z")}
    for sample in samples.values():
        assert len(sample) > 0
        assert ak.all(ak.num(sample.Lepton_pt) == 2)
        assert ak.all(ak.sum(sample.Lepton_charge, axis=1) == 0)
    pairs = samples["Z"]
    assert ak.all(abs(pairs.Lepton_pdgId[:, 0]) == abs(pairs.Lepton_pdgId[:, 1]))
    cosh = np.cosh(pairs.Lepton_eta[:, 0] - pairs.Lepton_eta[:, 1])
    cos = np.cos(pairs.Lepton_phi[:, 0] - pairs.Lepton_phi[:, 1])
    mass = np.sqrt(2 * pairs.Lepton_pt[:, 0] * pairs.Lepton_pt[:, 1] * (cosh - cos))
    assert np.median(mass) == pytest.approx(91.2, abs=3)
