"""Prepared events, once for all tests of the room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tasks import Bench, Prepared

from gridloom.analysis.models import Analysis
from gridloom.testing.ntuples import write_sample

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "tiny",
    "samples": {
        "signal": {"files": "signal.root", "class": "signal", "weight": "genWeight"},
        "background": {"files": "background.root", "class": "background", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt", {"name": "mass", "missing": -999}],
    "target": {"signal": "signal"},
    "folds": 3,
    "training": {"batch": 64, "epochs": 3, "checkpoint_seconds": 1e-3},
}

COLLECTION = {"jets": {"at_most": 4, "features": ["Jet_pt", "Jet_eta"], "order_by": "-Jet_pt"}}
FLAVOURS = {
    "down": "flavour == 0",
    "strange": "flavour == 1",
    "bottom": "otherwise",
}
VARIANTS: dict[str, Mapping[str, Any]] = {
    "flat": {},
    "objects": {"collections": COLLECTION, "features": ["MET_pt"]},
    "objects alone": {"collections": COLLECTION, "features": []},
    "flavours": {
        "samples": {"signal": {"files": "signal.root", "class": FLAVOURS, "weight": "1"}},
        "target": {"signal": ["bottom"]},
    },
    "regression": {
        "samples": {"signal": {"files": "signal.root", "weight": "1"}},
        "target": {"regression": "MET_pt + 0.5 * Lepton_pt"},
    },
}


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Prepared]:
    """The variants of the tiny analysis, prepared from real ROOT files."""
    folder = tmp_path_factory.mktemp("training")
    files = {
        "signal": [write_sample(folder / "signal.root", events=400, seed=1, signal=True)],
        "background": [write_sample(folder / "background.root", events=400, seed=2, negative_fraction=0.1)],
    }
    found = {}
    for name, changes in VARIANTS.items():
        analysis = Analysis.model_validate({**CONTENT, **changes})
        bench = Bench(folder=folder / name)
        inputs = bench.prepared(analysis, {sample: files[sample] for sample in analysis.samples})
        found[name] = Prepared(analysis=analysis, inputs=inputs, bench=bench)
    return found
