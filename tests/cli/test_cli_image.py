"""`gridloom image` as a user types it, around a program that stands for docker (docker itself: tests/site)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_docker import install

from gridloom import __version__
from gridloom.images.context import context

ANALYSIS = """\
gridloom: 1
name: own
samples:
  s: {files: s.root, class: s, weight: 1}
  b: {files: b.root, class: b, weight: 1}
features: [x]
target: {signal: s}
model: {function: mine:build}
packages: [einops>=0.8]
"""
TRIAL = {"auc": 0.7102, "digest": "0123456789abcdef", "seconds": 0.01, "architecture": "x86_64"}


class Place:
    """A folder with docker's stand-in, and the commands in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.images = folder / "images"

    def with_docker(self, **answer: object) -> Place:
        install(self.programs, self.folder)
        (self.folder / "answer").write_text(json.dumps(answer))
        return self

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gridloom.cli.main", "image", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                **os.environ,
                "NO_COLOR": "1",
                "PATH": f"{self.programs}:/bin:/usr/bin",
                "TMPDIR": str(self.folder),
            },
        )
        assert "Traceback" not in done.stdout + done.stderr
        return done

    def asked(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.folder / "asked").read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "own.yaml").write_text(ANALYSIS)
    return Place(tmp_path)


def test_an_image_in_docker(place: Place) -> None:
    done = place.with_docker(trial=TRIAL)("build")
    assert done.returncode == 0, done.stderr
    heading, row, *rest = done.stdout.splitlines()
    assert heading.split() == ["form", "size", "image", "start", "run", "AUC", "networks"]
    assert row.split()[:4] == ["docker", "1.4", "GB", f"gridloom:{__version__}-cpu"]
    assert row.split()[-2:] == ["0.7102", "0123456789ab"]
    assert rest == [
        "layers: base 129.0 MB, TensorFlow 771.0 MB, libraries 454.0 MB, own packages 100 B, Gridloom 3.9 MB",
        f"digest of the image, whatever its form: sha256:{'ab' * 32}",
        f"In sites.yaml a site runs in it by `container: {{image: [gridloom:{__version__}-cpu]}}`.",
    ]
    assert "[system 2/2] RUN apt-get update" in done.stderr
    assert (place.folder / "context").read_text().splitlines() == sorted(context())
    assert not place.images.exists()
    assert sorted(path.name for path in place.folder.glob("gridloom-*")) == []


def test_the_packages_of_an_analysis_come_into_an_image_of_its_own(place: Place) -> None:
    done = place.with_docker()("build", "own.yaml", "--no-check")
    assert done.returncode == 0, done.stderr
    assert f"gridloom:{__version__}-cpu-own" in done.stdout
    assert "not tried" in done.stdout
    assert (place.folder / "packages").read_text().splitlines()[1:] == ["einops>=0.8"]
    (build,) = [words for words in place.asked() if words[0] == "build"]
    assert "PACKAGES=einops>=0.8" in build


def test_a_directory_without_apptainer(place: Place) -> None:
    if any((Path(folder) / "apptainer").exists() for folder in ("/usr/bin", "/bin")):
        pytest.skip("this machine has an apptainer where every program is looked for")
    done = place.with_docker()("build", "--to", "directory", "--tag", "example.org/me/mine:1")
    assert done.returncode == 0, done.stderr
    made = place.images / "mine-1"
    assert (made / "opt" / "gridloom" / "file").read_text() == "hello"
    labels = json.loads((made / ".singularity.d" / "labels.json").read_text())
    assert labels == {"org.gridloom.image": f"sha256:{'ab' * 32}", "org.gridloom.variant": "cpu"}
    assert "no apptainer here" in done.stderr
    assert "directory" in done.stdout
    assert "docker" not in done.stdout.splitlines()[1]
    assert list(place.images.iterdir()) == [made]
    assert ["rm", "c0ffee"] in place.asked()


def test_no_docker_and_no_apptainer(place: Place) -> None:
    for arguments, told in (
        (("build", "--builder", "podman"), "there is no podman to build an image with"),
        (("build", "--to", "sif"), "there is no apptainer to make a SIF file with"),
        (("check", "gridloom:1", "--container", "podman"), "there is no podman on this machine"),
    ):
        done = place(*arguments)
        assert (done.returncode, told in done.stderr) == (61, True), done.stderr


def test_what_can_be_known_is_said_before_minutes_are_spent(place: Place) -> None:
    place.with_docker()
    (place.folder / "file").touch()
    (place.images / f"gridloom-{__version__}-cpu").mkdir(parents=True)
    (place.images / f"gridloom-{__version__}-cpu" / "thesis.tex").touch()
    for arguments, code, told in (
        (("build", "--to", "directory", "--out", "file"), 56, "file: cannot be written"),
        (("build", "--to", "directory"), 56, "this folder is no image of Gridloom's"),
        (("build", "none.yaml"), 54, "no such analysis file"),
    ):
        done = place(*arguments)
        assert (done.returncode, told in done.stderr) == (code, True), done.stderr
    assert not (place.folder / "asked").exists()


def test_a_trial_that_fails(place: Place) -> None:
    place.with_docker(error="gridloom.errors.TaskFailed: it trained nothing\n")
    done = place("check", "gridloom:1")
    assert done.returncode == 61
    assert "error[ImageProblem] gridloom:1: the trial in it failed: " in done.stderr
    assert "it trained nothing" in done.stderr
    place.with_docker(trial={"auc": "high"})
    done = place("check", "gridloom:1")
    assert (done.returncode, "gave no answer" in done.stderr) == (61, True)


def test_images_are_tried(place: Place) -> None:
    done = place.with_docker(trial=TRIAL)("check", "gridloom:1", "gridloom:2", "--container", "docker")
    assert done.returncode == 0, done.stderr
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["image", "runtime", "architecture", "start", "run", "AUC", "networks"]
    assert [row.split()[:3] for row in rows] == [["gridloom:1", "docker", "x86_64"], ["gridloom:2", "docker", "x86_64"]]
    (run, _) = [words for words in place.asked() if words[0] == "run"]
    assert run[run.index("--network") + 1] == "none"
    assert "--read-only" in run
    assert list(place.folder.glob("gridloom-trial-*")) == []


def test_a_context_for_another_machine(place: Place) -> None:
    done = place("context", "new", "own.yaml")
    assert done.returncode == 0, done.stderr
    assert "docker build" in done.stdout
    assert (place.folder / "new" / "Dockerfile").is_file()
    assert (place.folder / "new" / "requirements" / "image-packages.txt").read_text().endswith("\neinops>=0.8\n")
    done = place("context", "new")
    assert (done.returncode, "the folder is not empty" in done.stderr) == (56, True)
