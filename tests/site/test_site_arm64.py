"""The image for arm64, under emulation (`testbed/up arm64`, `make test-arm64`): it builds, trains, and scores alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scored_run import run  # noqa: F401 - a fixture
from site_images import image, output
from site_runs import ROOT
from whole_runs import Run, command

from gridloom.analysis.load import load_analysis
from gridloom.data.dataset import open_dataset
from gridloom.testing.trial import main as trial

pytestmark = [pytest.mark.site, pytest.mark.arm64]
TAG = "gridloom:test-arm64"
PATIENCE = 3600


@pytest.fixture(scope="module")
def arm64(testbed: Path) -> str:
    """The image; docker has one image of a name, so the base has a name of its own."""
    base = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert base is not None
    words = [
        "--platform",
        "linux/arm64",
        "--base",
        f"{base[1]}-arm64",
        "--tag",
        TAG,
        "--builder",
        "docker",
        "--no-check",
    ]
    done = image("build", *words, "--out", testbed / "images")
    assert done.returncode == 0, done.stdout + done.stderr
    return TAG


def inside(name: str, work: Path, *words: str, packages: str = "") -> dict[str, Any]:
    """What Python in the image prints, that sees a folder, the tests' own scripts, and `packages`."""
    support = ROOT / "tests" / "support"
    done = subprocess.run(
        [
            *(
                "docker",
                "run",
                "--rm",
                "--platform",
                "linux/arm64",
                "--network",
                "none",
                "--read-only",
                "--tmpfs",
                "/tmp",
            ),
            *("--user", f"{os.getuid()}:{os.getgid()}", "--env", "HOME=/tmp", "--env", "TF_CPP_MIN_LOG_LEVEL=3"),
            *("--env", f"PYTHONPATH={packages}"),
            *("-v", f"{work}:{work}", "-v", f"{support}:{support}:ro", "-w", str(work), name),
            *("/opt/gridloom/bin/python", *words),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_it_is_for_arm64(arm64: str) -> None:
    assert output("docker", "image", "inspect", "--format", "{{.Architecture}}", arm64) == "arm64\n"


def test_a_training_runs_and_is_as_good(arm64: str, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    there = inside(arm64, tmp_path / "there", "-m", "gridloom.testing.trial", str(tmp_path / "there" / "work"))
    here = json.loads(trial(tmp_path / "here"))
    print(f"arm64: {there}\nhere: {here}", file=sys.stderr)
    assert there["architecture"] == "aarch64"
    assert abs(there["auc"] - here["auc"]) < 1e-3


def test_scores_agree(arm64: str, tmp_path: Path) -> None:
    """Networks that were trained here say the same there."""
    trial(tmp_path / "here")
    found = inside(arm64, tmp_path, str(ROOT / "tests" / "support" / "score_again.py"), str(tmp_path / "here" / "runs"))
    print(found, file=sys.stderr)
    assert found["architecture"] == "aarch64"
    assert found["events"] > 0
    assert found["largest"] < 1e-5


def test_litert_gives_the_same_scores_there(arm64: str, tmp_path: Path, run: Run) -> None:  # noqa: F811
    """An export of a run that was trained here, by LiteRT's own build for arm64."""
    # At the top it would bring TensorFlow into the process of all site tests, where HTCondor's bindings fail with it.
    from gridloom.training.feed import as_inputs

    done = subprocess.run(
        command("export", run.folder, "--to", "litert", "--out", tmp_path, "--jobs", "1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (tmp_path / "scored.tflite").rename(tmp_path / "model.tflite")
    analysis = load_analysis(run.folder / "analysis.yaml").analysis
    dataset = open_dataset(analysis, run.results("prepare"))
    rows = np.arange(1500)
    inputs = as_inputs(dataset.inputs(rows))
    scores = np.load(run.results("evaluate")[0] / "scores.npy")[rows]
    np.savez(
        tmp_path / "inputs.npz", allow_pickle=False, **inputs, fold=dataset.fold[rows].astype(np.int32), scores=scores
    )
    lock = (ROOT / "requirements" / "lock.txt").read_text()
    version = re.search(r"^ai-edge-litert==(\S+)", lock, re.MULTILINE)
    assert version is not None
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable]
    platform = ["--python-platform", "aarch64-manylinux_2_28", "--python-version", "3.11", "--only-binary", ":all:"]
    wanted = [f"ai-edge-litert=={version[1]}", "backports.strenum", "tqdm"]
    subprocess.run([*uv, *platform, "--target", str(tmp_path / "packages"), *wanted], check=True)
    found = inside(
        arm64,
        tmp_path,
        str(ROOT / "tests" / "support" / "litert_there.py"),
        str(tmp_path),
        packages=str(tmp_path / "packages"),
    )
    print(found, file=sys.stderr)
    assert found["architecture"] == "aarch64"
    assert found["events"] == 1500
    assert max(found["largest"].values()) < 1e-5
