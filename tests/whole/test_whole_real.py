"""Written analyses of real physics files, from the command line to the report; damaged files to a clear error."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
from hand_cutflows import CUTFLOWS
from whole_runs import Run, command, run_analysis, write_analysis

from gridloom.errors import DamagedFile, EmptyTree, GridloomError, MissingBranch, MissingTree

ANALYSES = Path(__file__).parent / "analyses"

pytestmark = pytest.mark.data


def beside_the_data(name: str, folder: Path, physics_files: Path) -> Path:
    """A copy of a written analysis file in a folder where `data` leads to the physics files."""
    (folder / "data").symlink_to(physics_files.resolve())
    return Path(shutil.copy(ANALYSES / f"{name}.yaml", folder))


def row_of(evaluation: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    """A yield by its name."""
    found: dict[str, Any] = next(one for one in evaluation[part] if one.get("name", one.get("sample")) == name)
    return found


def verdict(evaluation: dict[str, Any], name: str) -> str:
    return str(row_of(evaluation, "verdict", name)["status"])


# --- what each analysis shows beyond its yields -------------------------------------------------------------------
def higgs(evaluation: dict[str, Any], data: Path) -> None:
    """The training selection is a row of the cutflow, but judged are all selected events."""
    assert evaluation["meta"]["events"] > evaluation["meta"]["training_events"]
    assert evaluation["discriminations"][0]["network"]["area"]["value"] > 0.65
    assert evaluation["discriminations"][0]["reference"]["area"]["value"] > 0.75
    assert len(evaluation["separations"]) == 19


def th(evaluation: dict[str, Any], data: Path) -> None:
    """Physics weights differ by a factor of 160 between the classes; the network still learns both."""
    assert evaluation["class_yields"][0]["effective"] < evaluation["class_yields"][0]["raw"]
    assert evaluation["discriminations"][0]["network"]["area"]["value"] > 0.75
    assert evaluation["discriminations"][0]["reference"]["area"]["value"] > 0.78


def hep_tutorial(evaluation: dict[str, Any], data: Path) -> None:
    """The huge weight is in the cutflow until its cut; what is left of the multijets still draws a warning."""
    (flow,) = (one for one in evaluation["cutflows"] if one["sample"] == "multijets")
    steps = {row["name"]: row["weighted"]["value"] for row in flow["rows"]}
    assert steps["isolated"] - steps["a jet"] > 55_087
    assert row_of(evaluation, "class_yields", "background")["zero_weights"] > 0
    assert verdict(evaluation, "Effective events") == "bad"
    with uproot.open(data / "hep_tutorial" / "single_top.root") as file:
        weight = file["events"]["EventWeight"].array(library="np")
    assert row_of(evaluation, "class_yields", "single_top")["zero_weights"] <= np.count_nonzero(weight == 0)


def nanoaod(evaluation: dict[str, Any], data: Path) -> None:
    """Classes event by event, and the one negative weight kept with its sign."""
    raw = {one["name"]: one["raw"] for one in evaluation["class_yields"]}
    assert list(raw) == ["ttbb", "ttcc", "ttlight"]
    expected = dict.fromkeys(raw, 0)
    for name in ("NanoAODv5_sample", "nano_tt_v12", "nano_tt_v15"):
        with uproot.open(data / "nanoaod" / f"{name}.root") as file:
            events = file["Events"].arrays(["genTtbarId", "Jet_pt", "Jet_eta", "PuppiMET_pt"])
        for flavour, jets_pt, jets_eta, met in zip(
            events["genTtbarId"], events["Jet_pt"], events["Jet_eta"], events["PuppiMET_pt"], strict=True
        ):
            jets = sum(pt > 25 and abs(eta) < 2.4 for pt, eta in zip(jets_pt, jets_eta, strict=True))
            if jets >= 4 and met > 10:
                tens = int(flavour) % 100 // 10
                expected["ttbb" if tens == 5 else "ttcc" if tens == 4 else "ttlight"] += 1
    assert raw == expected
    assert row_of(evaluation, "class_yields", "ttlight")["negative_fraction"] > 0
    assert evaluation["confusion"]["classes"] == list(raw)


def rntuple(evaluation: dict[str, Any], data: Path) -> None:
    """A quarter of the weight is negative and 40 events are few: the report says both."""
    assert row_of(evaluation, "class_yields", "simulated")["negative_fraction"] == pytest.approx(0.225, abs=0.001)
    assert verdict(evaluation, "Negative weights") == "warn"
    assert verdict(evaluation, "Effective events") == "bad"


def deepjet(evaluation: dict[str, Any], data: Path) -> None:
    """Four classes of jets, of which b jets are easily told from the rest."""
    with uproot.open(data / "jets" / "deepjet_ntuple_ttbar.root") as file:
        jets = file["deepntuplizer/tree"].arrays(library="np")
    passed = (jets["jet_pt"] > 25) & (abs(jets["jet_eta"]) < 2.4) & (jets["n_Cpfcand"] >= 2)
    for name, branch in (("b", "isB"), ("c", "isC"), ("uds", "isUDS"), ("g", "isG")):
        assert row_of(evaluation, "class_yields", name)["raw"] == np.count_nonzero(passed & (jets[branch] == 1))
    areas = {one["name"]: one["network"]["area"]["value"] for one in evaluation["discriminations"]}
    # The one class that is the signal is not shown a second time.
    assert list(areas) == ["signal", "c", "uds", "g"]
    assert areas["signal"] > 0.75


SHOWN: dict[str, Callable[[dict[str, Any], Path], None]] = {
    "higgs": higgs,
    "th": th,
    "hep_tutorial": hep_tutorial,
    "nanoaod": nanoaod,
    "rntuple": rntuple,
    "deepjet": deepjet,
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_written_analysis_comes_to_a_report(name: str, tmp_path: Path, physics_files: Path) -> None:
    path = beside_the_data(name, tmp_path, physics_files)
    # One worker: the tests themselves run side by side, and each worker imports TensorFlow.
    run = run_analysis(path, tmp_path / "runs", "--jobs", "1")
    check_report(run)
    evaluation = run.evaluation()
    cutflow_is(evaluation, name, physics_files)
    SHOWN[name](evaluation, physics_files)


def check_report(run: Run) -> None:
    page = (run.folder / "report" / "index.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "nan" not in run.output.lower().split()


def cutflow_is(evaluation: dict[str, Any], name: str, data: Path) -> None:
    """Raw and weighted yields after each cut, sample by sample, equal those by hand; so does what is judged."""
    expected = CUTFLOWS[name](data)
    found = {one["sample"]: one["rows"] for one in evaluation["cutflows"]}
    assert set(found) == set(expected)
    for sample, by_hand in expected.items():
        rows = found[sample]
        assert [(row["name"], row["raw"]) for row in rows] == [(label, raw) for label, raw, _ in by_hand]
        weighted = [row["weighted"]["value"] for row in rows]
        assert weighted == pytest.approx([value for _, _, value in by_hand], rel=1e-9)
        # The last cut of `higgs` is one of the training alone.
        _, raw, value = by_hand[-2 if name == "higgs" else -1]
        total = row_of(evaluation, "samples", sample)["total"]
        assert total["raw"] == raw
        assert total["weighted"]["value"] == pytest.approx(value, rel=1e-9)


# --- damaged files ------------------------------------------------------------------------------------------------
DAMAGED = {
    "bad_delphes.root": (MissingTree, "no tree at all", "make it again, or take it out"),
    "missing_luminosityBlock.root": (MissingBranch, "no branch `luminosityBlock`", "`event_id` needs it"),
    "nano_dy_empty.root": (EmptyTree, "no entries in the only file of sample `bad`", "List files with events"),
    "truncated.root": (DamagedFile, "the file is truncated", "Copy the file again"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_gives_a_clear_error(name: str, tmp_path: Path, physics_files: Path) -> None:
    """Beside a good sample; the same from `check` and `run`, and nothing is left behind."""
    kind, what, fix = DAMAGED[name]
    good = physics_files / "nanoaod" / "nano_tt_v12.root"
    (tmp_path / "good.root").symlink_to(good)
    if name == "truncated.root":
        (tmp_path / name).write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    else:
        (tmp_path / name).symlink_to(physics_files / "damaged" / name)
    content = {
        "gridloom": 1,
        "name": "damaged",
        "samples": {
            "good": {"files": "good.root", "class": "good", "weight": "genWeight"},
            "bad": {"files": name, "class": "bad", "weight": "genWeight"},
        },
        "features": ["nJet"],
        "target": {"signal": "good"},
    }
    write_analysis(tmp_path / "damaged.yaml", content)
    before = sorted(tmp_path.iterdir())
    for words in (("check", "damaged.yaml"), ("run", "damaged.yaml", "--runs", "runs")):
        output = failed(tmp_path, kind, *words)
        assert output.startswith(f"error[{kind.__name__}] damaged.yaml:")
        assert output.count("error[") == 1
        assert f"{tmp_path / name}" in output
        assert what in output
        assert fix in output
        assert sorted(tmp_path.iterdir()) == before


def failed(folder: Path, kind: type[GridloomError], *words: str) -> str:
    """What a command that must fail says; its exit code is the error's."""
    done = subprocess.run(
        command(*words),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert done.returncode == kind.exit_code, done.stdout + done.stderr
    assert not done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr
