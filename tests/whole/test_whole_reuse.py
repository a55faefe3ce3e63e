"""A run whose analysis got another feature reads it alone; its results are those of a run from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whole_runs import Run, run_analysis, write_analysis

from gridloom.testing.ntuples import write_sample

CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "reuse",
    "samples": {
        "signal": {"files": "signal.root", "class": "s", "weight": "genWeight"},
        "background": {"files": "background.root", "class": "b", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt"],
    "target": {"signal": "s"},
    "folds": 3,
    "training": {"batch": 64, "epochs": 1},
    "evaluation": {"bootstrap": 20, "reference": False},
}


def files(run: Run, kind: str, name: str) -> list[bytes]:
    return [(path / name).read_bytes() for path in run.results(kind)]


def test_another_feature_is_read_alone(tmp_path: Path) -> None:
    for seed, name in enumerate(("signal", "background"), start=1):
        write_sample(tmp_path / f"{name}.root", events=400, seed=seed, signal=name == "signal", first_event=seed * 1000)
    path = tmp_path / "analysis.yaml"
    first = run_analysis(write_analysis(path, CONTENT), tmp_path / "runs")
    more = CONTENT | {"features": ["MET_pt", "Lepton_pt", "Lepton_eta"]}
    second = run_analysis(write_analysis(path, more), tmp_path / "runs")
    assert second.folder != first.folder
    log = "\n".join(found.read_text() for found in second.folder.rglob("*.log"))
    for donor in first.results("prepare"):
        assert f"read 1 of 3 features, 2 from {donor.name}" in log
    alone = run_analysis(path, tmp_path / "alone")
    assert [found.name for found in alone.results("train")] == [found.name for found in second.results("train")]
    for name in ("features.npy", "statistics.json", "shard.json"):
        assert files(second, "prepare", name) == files(alone, "prepare", name)
    assert files(second, "evaluate", "evaluation.json") == files(alone, "evaluate", "evaluation.json")
