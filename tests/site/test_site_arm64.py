"""The image for arm64, under emulation (`testbed/up arm64`, `make test-arm64`): it builds, trains, and scores alike."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from site_images import image, output
from site_runs import ROOT

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


def inside(name: str, work: Path, *words: str) -> dict[str, Any]:
    """What Python in the image prints, that sees a folder and the tests' own scripts."""
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
