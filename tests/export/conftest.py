"""What the tests of the room share: a finished run, its exports and its scores."""

from __future__ import annotations

from pathlib import Path

import pytest
from scored_run import call, folder, run
from whole_runs import Run

__all__ = ["exported", "folder", "run"]


@pytest.fixture(scope="session")
def exported(run: Run, folder: Path) -> Path:
    """All formats of the run; beside them, in `friends`, the friend trees to compare with."""
    out = folder / "exports"
    said = call("export", run.folder, "--to", "onnx", "litert", "savedmodel", "--out", out, "--jobs", "1")
    assert "all folds" in said
    assert "AUC" in said
    files = [folder / f"{name}.root" for name in ("signal", "background", "data")]
    call("predict", run.folder, *files, "--out", folder / "friends", "--jobs", "1")
    return out
