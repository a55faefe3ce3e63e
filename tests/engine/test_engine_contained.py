"""Scripts that start containers, run by a real bash: a program in the runtime's place tells how it was started."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import HOSTILE_FOLDER, hostile_variables, job, site, values
from hypothesis import given

from gridloom.engines.batches import bundled
from gridloom.engines.contained import word
from gridloom.engines.ended import judge, read_errors
from gridloom.engines.notes import Heard
from gridloom.engines.slurm import render as slurm
from gridloom.engines.slurm.options import SlurmOptions

PROGRAM = """\
#!{python} -ISE
import json, os, sys
if sys.argv[1:2] in (["version"], ["--version"]):
    print("a runtime 1.0")
    sys.exit({usable})
if sys.argv[1:3] == ["image", "inspect"]:
    print("sha256:abc")
    sys.exit(0)
with open({dump!r}, "w") as stream:
    json.dump([sys.argv, dict(os.environ), sys.stdin.fileno()], stream)
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """How the runtime was started."""

    arguments: list[str]
    variables: dict[str, str]

    def mounts(self) -> dict[str, tuple[str, str]]:
        """Place inside -> place outside, mode."""
        found = {}
        for number, text in enumerate(self.arguments):
            if text == "--mount":
                (fields,) = csv.reader(io.StringIO(self.arguments[number + 1], newline=""))
                outside, inside = fields[1].removeprefix("source="), fields[2].removeprefix("destination=")
                found[inside] = (outside, "".join(fields[3:]))
        return found


class Node:
    """A Slurm job on a node that has some runtimes."""

    def __init__(self, root: Path, runtimes: tuple[str, ...], *, usable: bool = True, **container: Any) -> None:
        self.root, self.bin = root, root.parent / "bin"
        self.bin.mkdir(parents=True)
        self.dump = root.parent / "dump.json"
        for name in runtimes:
            text = PROGRAM.format(python=sys.executable, dump=str(self.dump), usable=int(not usable))
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.job = job("aa", store=str(root / "store")).model_copy(
            update={"reads": (str(root.parent / HOSTILE_FOLDER),)}
        )
        where = site("slurm", container=container, variables=hostile_variables())
        (bundle,) = bundled([self.job], at_most=10, engine="slurm")
        for name, content in slurm.files_of(bundle, where, SlurmOptions(), root, "").items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        self.script = root / bundle.batch.folder / slurm.SCRIPT
        self.folder = root / self.job.folder

    def start(self, **variables: str) -> tuple[int, Told | None]:
        done = subprocess.run(
            ["/bin/bash", str(self.script)],
            cwd="/",
            capture_output=True,
            timeout=30,
            check=False,
            env={"PATH": f"{self.bin}:/usr/bin:/bin", "SLURM_ARRAY_TASK_ID": "0", "HOME": "/home/me", **variables},
        )
        if not self.dump.exists():
            return done.returncode, None
        arguments, environment, _ = json.loads(self.dump.read_text())
        return done.returncode, Told(arguments=arguments, variables=environment)

    def printed(self) -> str:
        return (self.folder / "job.out").read_text()


def image_in(folder: Path) -> str:
    path = folder / "it's an image.sif"
    path.touch()
    return str(path)


def test_all_arrives_in_apptainer(tmp_path: Path) -> None:
    image = image_in(tmp_path)
    node = Node(tmp_path / 'it\'s "here", $(x) ü' / "logs", ("apptainer",), image=image, reads=["/eos, $(x)"])
    code, told = node.start(BEARER_TOKEN="secret", APPTAINER_BIND="/etc", CUDA_VISIBLE_DEVICES="GPU-a,b")
    assert (code, node.printed()) == (0, "")
    assert told is not None
    assert told.arguments[1] == "exec"
    assert told.arguments[told.arguments.index("--pwd") + 1] == str(node.folder)
    assert told.arguments[told.arguments.index(image) + 1] == "/opt/gridloom/bin/python"
    assert told.arguments[-8:] == ["--grace", "30", "--wall", "86400", "--saved-exit", "143", "--planned-exit", "85"]
    assert told.mounts() == {
        "/tmp": (f"{node.folder}/.tmp", ""),
        str(node.folder): (str(node.folder), ""),
        str(node.root / "store"): (str(node.root / "store"), ""),
        str(node.root.parent / HOSTILE_FOLDER): (str(node.root.parent / HOSTILE_FOLDER), "ro"),
        "/eos, $(x)": ("/eos, $(x)", "ro"),
    }
    assert "none" in told.arguments
    inside = {name: value for name, value in told.variables.items() if name.startswith("APPTAINERENV_")}
    for name, value in hostile_variables().items():
        assert inside[f"APPTAINERENV_{name}"] == value
    assert inside["APPTAINERENV_CUDA_VISIBLE_DEVICES"] == "GPU-a,b"
    assert inside["APPTAINERENV_GRIDLOOM_IMAGE"] == image
    assert {"PATH", "HOME"} <= set(told.variables) - set(inside)
    assert not {"BEARER_TOKEN", "APPTAINER_BIND"} & set(told.variables)
    assert "secret" not in json.dumps([told.arguments, told.variables])


def test_all_arrives_in_docker(tmp_path: Path) -> None:
    node = Node(tmp_path / "runs" / "logs", ("docker",), image="gridloom:1", network="on")
    code, told = node.start()
    assert code == 0
    assert told is not None
    assert told.arguments[1] == "run"
    assert told.arguments[told.arguments.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert told.arguments[told.arguments.index("--network") + 1] == "host"
    assert told.arguments[-1] == "--attached"
    assert told.variables["GRIDLOOM_IMAGE_DIGEST"] == "sha256:abc"
    assert not (node.folder / ".input").exists()


def test_the_first_image_that_can_be_used(tmp_path: Path) -> None:
    node = Node(tmp_path / "runs", ("apptainer", "docker"), image=["/no/such.sif", "gridloom:1"])
    _, told = node.start()
    assert told is not None
    assert told.variables["GRIDLOOM_RUNTIME"] == "docker"


@pytest.mark.parametrize(
    ("runtimes", "container", "told"),
    [
        ((), {"image": "/x.sif"}, "there is no apptainer or podman or docker that could use the image on "),
        (("docker",), {"image": "/x.sif"}, "there is no apptainer or podman or docker that could use the image on "),
        (("apptainer",), {"image": '/no/"such".sif'}, 'the image /no/"such".sif cannot be read on '),
        (
            ("apptainer",),
            {"image": "gridloom:1", "runtime": "docker"},
            "there is no docker that could use the image on ",
        ),
    ],
)
def test_a_node_that_cannot_is_told(
    runtimes: tuple[str, ...], container: dict[str, Any], told: str, tmp_path: Path
) -> None:
    node = Node(tmp_path / "runs", runtimes, **container)
    code, started = node.start(SLURMD_NODENAME="node7")
    assert (code, started) == (60, None)
    (error,) = read_errors(node.folder)
    assert error.what == f"{told}node7"
    assert judge(60, Heard(), node.folder, memory_mb=1000).host == "node7"


def test_a_daemon_that_does_not_answer(tmp_path: Path) -> None:
    node = Node(tmp_path / "runs", ("docker",), usable=False, image="gridloom:1")
    code, _ = node.start(SLURMD_NODENAME="node7")
    (error,) = read_errors(node.folder)
    assert code == 60
    assert error.what == "docker is there, but it (or its daemon) cannot be used on node7"


@given(values)
def test_a_word_of_bash_is_what_it_was(text: str) -> None:
    done = subprocess.run(
        ["/bin/bash", "-c", f"printf %s {word(text)}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert done.stdout.decode() == text


@pytest.mark.parametrize(
    ("code", "words", "state", "told"),
    [
        (
            255,
            "FATAL:   while loading: something new",
            "evicted",
            "the job could not begin (while loading: something new)",
        ),
        (255, "FATAL: image format not recognized", "failed", "the image is no SIF file"),
        (1, "python: No module named gridloom", "failed", "Gridloom is not in the image"),
        (126, "exec /opt/gridloom/bin/python: exec format error", "evicted", "for another architecture"),
    ],
)
def test_what_a_runtime_says_is_understood(code: int, words: str, state: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "job.out").write_text(words)
    found = judge(code, Heard(), tmp_path, memory_mb=1000)
    assert found.state == state
    assert told in found.reason
    # A job that has begun is its task's: nothing that it prints is taken for a runtime's words.
    assert judge(1, Heard(began=1.0), tmp_path, memory_mb=1000).exit_code == 52
