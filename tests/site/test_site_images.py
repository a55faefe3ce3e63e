"""Images built by real docker, podman and apptainer, and what is in them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from site_images import Images, as_user, built_images, image, output
from site_runs import ROOT
from small_disk import small_disk
from whole_runs import command, environment

from gridloom import __version__
from gridloom.testing.ntuples import write_sample
from gridloom.testing.trial import ANALYSIS

pytestmark = [pytest.mark.site, pytest.mark.containers]

LABEL = "org.gridloom.image"
OWN = """\
import einops
import keras


def build(inputs, outputs):
    assert einops.__version__
    return keras.layers.Dense(outputs)(keras.layers.Dense(8, activation="relu")(inputs.features))
"""


@pytest.fixture(scope="module")
def images(testbed: Path) -> Images:
    return built_images()


def in_docker(name: str, *words: str) -> str:
    return output("docker", "run", "--rm", "--read-only", "--network", "none", name, *words)


# --- the image --------------------------------------------------------------------------------------------------------
def test_a_plain_docker_build(images: Images) -> None:
    """Somebody with a checkout and docker: no arguments, no help of Gridloom's."""
    name = output("docker", "build", "--quiet", ".", cwd=ROOT).strip()
    try:
        assert in_docker(name, "gridloom", "--version") == f"gridloom {__version__}\n"
        assert "Usage: gridloom" in in_docker(name)
        assert in_docker(name, "id", "-u", "-n") == "gridloom\n"
        labels = json.loads(output("docker", "image", "inspect", "--format", "{{json .Config.Labels}}", name))
        assert labels["org.opencontainers.image.title"] == "Gridloom"
        assert labels["org.opencontainers.image.version"] == __version__
    finally:
        output("docker", "image", "rm", name)


def test_what_is_left_out_and_what_is_there(images: Images) -> None:
    site = "/opt/gridloom/lib/python3.11/site-packages"
    absent = [
        "/usr/bin/gcc",
        "/usr/bin/pip3",
        "/usr/bin/apt-get.distrib",
        f"{site}/clang",
        f"{site}/tensorflow/include",
    ]
    there = in_docker(
        images.docker, "sh", "-c", 'for name in "$@"; do [ ! -e "$name" ] || echo "$name"; done', "", *absent
    )
    assert there == ""
    lists = in_docker(images.docker, "sh", "-c", "ls /var/lib/apt/lists | wc -l; command -v pip gcc cc || echo none")
    assert lists.split() == ["0", "none"]
    compiled = """
import pathlib, sys, importlib.util
files = [path for path in pathlib.Path(sys.argv[1]).rglob("*.py")]
print(sum(not pathlib.Path(importlib.util.cache_from_source(str(path))).exists() for path in files), len(files))
"""
    missing, count = map(int, in_docker(images.docker, "python", "-c", compiled, site).split())
    assert count > 5000
    assert missing < count / 1000  # templates that are no Python


def test_bytecode_is_used_as_it_is(images: Images) -> None:
    """The sources' times differ from form to form; nothing may be compiled anew at every start."""
    script = "import sys; print(open(sys.argv[1], 'rb').read(8)[4])"
    path = "/opt/gridloom/lib/python3.11/site-packages/gridloom/__pycache__/__init__.cpython-311.pyc"
    unchecked = 0b01
    assert int(in_docker(images.docker, "python", "-c", script, path)) == unchecked


def test_all_forms_are_tried_and_train_the_same_networks_as_here(images: Images, tmp_path: Path) -> None:
    here = json.loads(output(sys.executable, "-m", "gridloom.testing.trial", tmp_path / "trial"))
    rows = [line.split() for line in images.said.splitlines() if line.startswith(("docker ", "sif ", "directory "))]
    assert [row[0] for row in rows] == ["docker", "sif", "directory"]
    assert {row[-1] for row in rows} == {here["digest"][:12]}
    assert {row[-2] for row in rows} == {f"{here['auc']:.4f}"}


def test_all_forms_have_one_digest(images: Images) -> None:
    digest = output("docker", "image", "inspect", "--format", "{{.Id}}", images.docker).strip()
    assert digest in images.said
    assert json.loads((images.directory / ".singularity.d" / "labels.json").read_text())[LABEL] == digest
    told = output("apptainer", "inspect", "--json", images.sif)
    assert json.loads(told)["data"]["attributes"]["labels"][LABEL] == digest


def test_the_sif_is_compressed_for_quick_starts(images: Images) -> None:
    """Its file system's header names the compressor."""
    with images.sif.open("rb") as stream:
        head = stream.read(1 << 20)
    start = next(at for at in range(0, len(head), 4096) if head[at : at + 4] == b"hsqs")
    zstd = 6
    assert int.from_bytes(head[start + 20 : start + 22], "little") == zstd


def test_everybody_can_read_the_directory(images: Images) -> None:
    paths = [path for path in images.directory.rglob("*") if not path.is_symlink()]
    wanted = {path: 0o005 if path.is_dir() else 0o004 for path in paths}
    closed = [path for path, mode in wanted.items() if path.stat().st_mode & mode != mode]
    assert closed == []


@pytest.mark.parametrize("form", ["sif", "directory"])
def test_an_ordinary_user_runs_it_and_writes_nothing(form: str, images: Images) -> None:
    where = getattr(images, form)
    run = ["apptainer", "exec", "--containall", "--cleanenv", where]
    assert output(*as_user(*run, "gridloom", "--version")) == f"gridloom {__version__}\n"
    told = output(*as_user(*run, "sh", "-c", "echo x > /opt/gridloom/x"), code=2)
    assert "Read-only file system" in told or "Permission denied" in told


# --- packages of an analysis ------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def own(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An analysis whose model needs a package that is not among the locked ones."""
    folder = tmp_path_factory.mktemp("own")
    write_sample(folder / "signal.root", events=300, seed=1, signal=True)
    write_sample(folder / "background.root", events=300, seed=2, first_event=1000)
    (folder / "mine.py").write_text(OWN)
    text = ANALYSIS.replace("name: trial", "name: own").replace("epochs: 3", "epochs: 1")
    (folder / "own.yaml").write_text(text + "model: {function: mine:build}\npackages:\n  - einops>=0.8\n")
    return folder


def gridloom(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=900, check=False, env=environment()
    )


def test_an_image_with_the_packages_of_an_analysis(own: Path, images: Images) -> None:
    done = image("build", "own.yaml", "--no-check", cwd=own)
    assert done.returncode == 0, done.stderr
    name = f"gridloom:{__version__}-cpu-own"
    run = gridloom(own, "run", "own.yaml", "--image", name, "--container", "docker")
    assert run.returncode == 0, run.stderr
    (provenance,) = own.glob("runs/own-*/provenance.json")
    version = json.loads(provenance.read_text())["versions"]["einops"]
    told = in_docker(name, "python", "-c", "import einops; print(einops.__version__)")
    assert version == told.strip()
    for result in own.glob("runs/.store/train-*/result.json"):
        assert json.loads(result.read_text())["versions"]["einops"] == version


def test_an_image_without_the_package(own: Path, images: Images) -> None:
    for arguments in ((), ("--image", images.docker, "--container", "docker"), ("--image", str(images.sif))):
        done = gridloom(own, "run", "own.yaml", "--runs", "other", *arguments)
        assert done.returncode == 55, done.stderr
        assert "error[EnvironmentProblem] own.yaml:" in done.stderr
        assert "einops is not installed" in done.stderr


# --- what goes wrong --------------------------------------------------------------------------------------------------
def test_a_package_that_there_is_not(own: Path) -> None:
    text = (own / "own.yaml").read_text()
    (own / "wrong.yaml").write_text(text + "  - gridloom-has-no-such-package>=1\n")
    done = image("build", "wrong.yaml", "--no-check", cwd=own)
    assert done.returncode == 61
    line = len(text.splitlines()) + 1
    assert f"error[ImageProblem] wrong.yaml:{line}:5: the image cannot be built: the packages of the" in done.stderr


def test_a_base_that_there_is_not(testbed: Path, tmp_path: Path) -> None:
    done = image("build", "--base", "localhost/no-such:base", "--no-check", "--tag", "gridloom:never", cwd=tmp_path)
    assert (done.returncode, "the base image cannot be had" in done.stderr) == (61, True), done.stderr


def test_a_socket_that_may_not_be_used(testbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary user cannot read this checkout, so docker alone is hers."""
    real = shutil.which("docker")
    assert real is not None
    (tmp_path / "docker").write_text(f'#!/bin/sh\nexec {shlex.join(as_user(real))} "$@"\n')
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = image("build", "--builder", "docker")
    assert (done.returncode, "may not be asked: permission denied" in done.stderr) == (61, True), done.stderr


def test_a_full_disk(images: Images) -> None:
    with small_disk() as disk:
        if not disk.real:
            pytest.fail("root can mount a small disk")
        done = image("build", "--to", "sif", "--tag", "gridloom:test", "--out", disk.folder, "--no-check")
        assert (done.returncode, "error[DiskFull]" in done.stderr) == (50, True), done.stderr
        assert list(disk.folder.iterdir()) == []


def test_an_interrupted_build_leaves_nothing(images: Images, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build = command("image", "build", "--to", "directory", "--tag", "gridloom:test", "--out", out, "--no-check")
    with subprocess.Popen(build, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "making" in line:
                break
        time.sleep(3)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert list(out.iterdir()) == []


def test_podman_builds_it_too(images: Images, tmp_path: Path) -> None:
    done = image("build", "--builder", "podman", "--tag", "gridloom:podman")
    assert done.returncode == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("docker ")]
    assert row[-1] in images.said
