"""A finished run with everything that scoring has to deal with, trained through the command line."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from tasks import dumped
from whole_runs import Run, command, environment, run_analysis, write_analysis

from gridloom.analysis.load import load_analysis
from gridloom.analysis.models import Analysis
from gridloom.testing.ntuples import write_sample

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "scored",
    "samples": {
        "signal": {"files": "signal.root", "class": "tt+b", "weight": "genWeight"},
        "background": {"files": "background.root", "class": "tt", "weight": "genWeight"},
        "data": {"files": "data.root", "data": True},
    },
    "selection": {"met": "MET_pt > 20"},
    "features": [
        {"name": "MET", "expression": "MET_pt", "unit": "GeV"},
        "Lepton_pt",
        {"name": "mass", "missing": -999},
        {"name": "first", "expression": "Jet_pt[0]", "missing": "nan"},
        "nJet",
    ],
    "collections": {"jets": {"at_most": 3, "features": ["Jet_pt", "Jet_eta"], "order_by": "-Jet_pt"}},
    "target": {"signal": "tt+b"},
    "folds": 3,
    "training": {"batch": 64, "epochs": 2},
    "evaluation": {"bootstrap": 20, "reference": False},
}


def call(*arguments: str | Path, code: int = 0) -> str:
    """A command of Gridloom that ends with this exit code; all that it prints."""
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=300, env=environment(), check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of three samples, one of them collision data, with missing values and a collection."""
    folder = tmp_path_factory.mktemp("scored")
    for seed, name in enumerate(("signal", "background", "data"), start=1):
        write_sample(
            folder / f"{name}.root", events=500 * seed, seed=seed, signal=name == "signal", first_event=seed * 10_000
        )
    return run_analysis(write_analysis(folder / "analysis.yaml", CONTENT), folder / "runs")


@pytest.fixture(scope="session")
def folder(run: Run) -> Path:
    """Where the analysis file and its ROOT files are."""
    return run.store.parent.parent


def analysis_of(run: Run) -> Analysis:
    """The run's analysis with its classes spelt out, as a task has it."""
    analysis = load_analysis(run.folder / "analysis.yaml").analysis
    return Analysis.model_validate({**dumped(analysis), "target": {"signal": ["tt+b"], "classes": ["tt+b", "tt"]}})
