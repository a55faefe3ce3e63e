"""Finding a runtime on this machine: each way in which there is none has its words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gridloom.containers import Enclosure
from gridloom.containers.failures import explain, failure_in, own_words
from gridloom.containers.here import find, start
from gridloom.errors import ImageProblem


def program(folder: Path, name: str, text: str) -> dict[str, str]:
    """An environment in which a script stands for a runtime."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin", "HOME": "/home/me"}


def test_no_runtime(tmp_path: Path) -> None:
    empty = {"PATH": str(tmp_path)}
    with pytest.raises(ImageProblem) as caught:
        find(("gridloom:1",), environ=empty)
    assert caught.value.what == "there is no podman on this machine and there is no docker on this machine"
    with pytest.raises(ImageProblem, match="there is no apptainer on this machine"):
        find((str(tmp_path),), environ=empty)


def test_a_runtime_that_cannot_take_the_image(tmp_path: Path) -> None:
    with pytest.raises(ImageProblem, match=r"docker cannot use /x\.sif"):
        find(("/x.sif",), "docker")
    with pytest.raises(ImageProblem, match="apptainer cannot use gridloom:1"):
        find(("gridloom:1",), "apptainer")


@pytest.mark.parametrize(
    ("image", "told"), [("missing.sif", "cannot be read: No such file"), ("file/x.sif", "cannot be read: Not a dir")]
)
def test_an_image_that_is_not_there(tmp_path: Path, image: str, told: str) -> None:
    (tmp_path / "file").touch()
    environ = program(tmp_path / "bin", "apptainer", "exit 0")
    with pytest.raises(ImageProblem, match=told) as caught:
        find((str(tmp_path / image),), environ=environ)
    assert caught.value.where.endswith(image)


def test_the_first_image_that_can_be_used(tmp_path: Path) -> None:
    environ = program(tmp_path / "bin", "apptainer", "exit 0")
    found = find((str(tmp_path / "no.sif"), "gridloom:1", str(tmp_path)), environ=environ)
    assert (found.runtime.name, found.image) == ("apptainer", str(tmp_path))


@pytest.mark.parametrize(
    ("says", "told"),
    [
        ("Error response from daemon: No such image: gridloom:1", "docker has no image `gridloom:1`"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "does not answer"),
        ("permission denied while trying to connect to the docker API at unix:///x/docker.sock", "permission denied"),
        ("something new", "docker cannot be used: something new"),
    ],
)
def test_a_daemon_that_does_not_give_the_image(tmp_path: Path, says: str, told: str) -> None:
    environ = program(tmp_path, "docker", f"echo '{says}' >&2; exit 1")
    with pytest.raises(ImageProblem, match=told):
        find(("gridloom:1",), "docker", environ=environ)


def test_only_named_variables_reach_the_container_and_none_of_their_values_the_command_line(tmp_path: Path) -> None:
    environ = {
        **program(tmp_path / "bin", "apptainer", "exit 0"),
        "APPTAINER_BIND": "/etc",
        "APPTAINERENV_LD_PRELOAD": "/evil.so",
        "PYTHONPATH": "/evil",
        "BEARER_TOKEN": "secret",
        "OMP_NUM_THREADS": "2",
        "SLURM_JOB_ID": "7",
        "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b",
    }
    found = find((str(tmp_path),), environ=environ)
    begun = start(
        found,
        Enclosure(image="", command=("python",), folder="/", writes=()),
        environ,
        {"MINE": 'a, "b"\n$(x)'},
    )
    inside = {name: value for name, value in begun.environment.items() if name.startswith("APPTAINERENV_")}
    assert inside == {
        "APPTAINERENV_OMP_NUM_THREADS": "2",
        "APPTAINERENV_SLURM_JOB_ID": "7",
        "APPTAINERENV_CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b",
        "APPTAINERENV_MINE": 'a, "b"\n$(x)',
        "APPTAINERENV_GRIDLOOM_IMAGE": str(tmp_path),
        "APPTAINERENV_GRIDLOOM_RUNTIME": "apptainer",
    }
    assert set(begun.environment) - set(inside) == {"PATH", "HOME"}
    words = " ".join(begun.argv)
    assert not any(value in words for value in ("secret", "GPU-a", "/evil"))
    assert begun.argv[:2] == (found.program, "exec")
    assert begun.kill == ()


def test_a_docker_container_has_a_digest_a_user_and_an_end(tmp_path: Path) -> None:
    environ = program(tmp_path, "docker", "echo sha256:abc")
    found = find(("gridloom:1",), "docker", environ=environ)
    enclosure = Enclosure(image="", command=("python", "-c"), folder="/", writes=(), name="box")
    begun = start(found, enclosure, environ, {})
    assert begun.environment["GRIDLOOM_IMAGE_DIGEST"] == "sha256:abc"
    assert begun.kill == (found.program, "rm", "--force", "box")
    assert begun.argv[begun.argv.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert begun.argv[-4:] == ("--entrypoint", "python", "gridloom:1", "-c")


def test_words_that_mean_nothing_known() -> None:
    assert failure_in("all is well") is None
    assert explain("docker", "x", "all is well") is None
    assert own_words("") == ""
    assert own_words("INFO: a\nFATAL:   container creation failed: b\nmore") == "container creation failed: b"
