"""Building: the command line, the builder, and what a failed build says."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from golden import compare_text

from gridloom import __version__
from gridloom.errors import DiskFull, GridloomError, ImageProblem
from gridloom.images.build import Recipe, build, build_command, default_tag, find_builder, read_history
from gridloom.images.commands import Log
from gridloom.images.failures import explain

GOLDEN = Path(__file__).with_name("golden")
FILES = {
    "Dockerfile": b"FROM x\n",
    "requirements/image-cpu.txt": b"numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
    b"numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:00\nkeras==3.15.1 \\\n    # via x\n"
    b"tensorflow-cpu==2.21.0 ; platform_machine == 'x86_64' \\\n    --hash=sha256:00\nwrapt==2.0\n",
}


def program(folder: Path, name: str, text: str) -> None:
    """A script that stands for a program, to fail as that would."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where programs are found."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    return tmp_path / "bin"


# --- the command line -------------------------------------------------------------------------------------------------
def test_the_least_and_all_that_can_be_asked_for() -> None:
    least = Recipe(tag="gridloom:1")
    whole = Recipe(
        tag="registry.example.org/me/gridloom:2",
        variant="cpu",
        packages=("einops>=0.8", "my-package[fast]<2,>=1"),
        platform="linux/arm64",
        base="debian:trixie-slim",
    )
    text = ""
    for recipe in (least, whole, Recipe(tag="gridloom:arm", platform="linux/arm64")):
        words = build_command(recipe, "/usr/bin/docker", FILES, Path("/tmp/x"))
        text += " \\\n  ".join(words).replace(f"=={__version__}", "==VERSION").replace(f"={__version__}", "=VERSION")
        text += "\n\n"
    if platform.machine() != "x86_64":
        pytest.skip("the golden file is of an x86-64 machine")
    compare_text(GOLDEN / "build.txt", text)


def test_images_are_called_after_version_variant_and_analysis() -> None:
    assert default_tag("cpu") == f"gridloom:{__version__}-cpu"
    assert default_tag("cuda", "tt+jets") == f"gridloom:{__version__}-cuda-tt-jets"


# --- the builder ------------------------------------------------------------------------------------------------------
def test_no_builder(path: Path) -> None:
    with pytest.raises(ImageProblem, match="there is no docker or podman to build an image with") as caught:
        find_builder()
    assert "gridloom image context DIR" in caught.value.fix
    with pytest.raises(ImageProblem, match="there is no podman"):
        find_builder("podman")


DEAD = 'echo "Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?" >&2; exit 1'
FORBIDDEN = (
    'echo "permission denied while trying to connect to the Docker daemon socket at unix:///run/docker.sock: '
    'dial unix /run/docker.sock: connect: permission denied" >&2; exit 1'
)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (DEAD, "the docker daemon does not answer"),
        (FORBIDDEN, "may not be asked: permission denied"),
        ("echo nothing known >&2; exit 1", "docker cannot be used: nothing known"),
    ],
)
def test_a_builder_that_does_not_answer(says: str, told: str, path: Path) -> None:
    program(path, "docker", says)
    with pytest.raises(ImageProblem, match=told) as caught:
        find_builder()
    assert caught.value.where == str(path / "docker")
    assert "gridloom image context DIR" in caught.value.fix


def test_the_first_builder_that_answers(path: Path) -> None:
    program(path, "docker", DEAD)
    program(path, "podman", "exit 0")
    assert find_builder() == str(path / "podman")
    with pytest.raises(ImageProblem, match="does not answer"):
        find_builder("docker")


# --- what a failed build says -----------------------------------------------------------------------------------------
UV = """\
#13 [packages 2/2] RUN sed 1
#13 0.221 Using Python 3.11.2 environment at: /opt/gridloom
#13 0.292 error: No solution found when resolving dependencies
#13 0.292   cause: Because no-such-thing was not found in the package registry and you require no-such-thing>=1, we can
#13 0.292          conclude that your requirements are unsatisfiable.
#13 ERROR: process "/bin/sh -c sed" did not complete successfully: exit code: 1
------
 > [packages 2/2] RUN sed 1:
0.221 Using Python 3.11.2 environment at: /opt/gridloom
0.292 error: No solution found when resolving dependencies
0.292   cause: Because no-such-thing was not found in the package registry and you require no-such-thing>=1, we can
0.292          conclude that your requirements are unsatisfiable.
------
Dockerfile:50
--------------------
  49 |     COPY requirements/image-packages.txt /requirements/
  50 | >>> RUN sed
--------------------
ERROR: failed to solve: process "/bin/sh -c sed" did not complete successfully: exit code: 1
"""
OLDER_UV = """\
STEP 4/4: RUN uv
  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of einops==99 and you require
      einops==99, we can conclude that your requirements are unsatisfiable.
Error: building at STEP "RUN uv": while running runtime: exit status 1
"""
WORDS: dict[str, tuple[str, type[GridloomError], str]] = {
    "uv": (UV, ImageProblem, "locked ones: Because no-such-thing was not found in the package registry and you"),
    "older uv": (
        OLDER_UV,
        ImageProblem,
        "Because there is no version of einops==99 and you require einops==99, we can",
    ),
    "docker's base": (
        "ERROR: failed to solve: failed to resolve source metadata for docker.io/library/debian:no: not found",
        ImageProblem,
        "the base image cannot be had",
    ),
    "podman's base": (
        'Error: creating build container: initializing source docker://debian:nope: pinging registry: Get "h"',
        ImageProblem,
        "the base image cannot be had",
    ),
    "disk": (
        "#11 5.1 error: failed to write /opt/gridloom/x: No space left on device (os error 28)",
        DiskFull,
        "no space left",
    ),
    "quota": ("write /home/me/image.tar: disk quota exceeded", DiskFull, "no space left"),
    "certificate": ("error sending request: invalid peer certificate: UnknownIssuer", ImageProblem, "is not trusted"),
    "network": ("W: Failed to fetch x  Temporary failure resolving 'deb.debian.org'", ImageProblem, "has no network"),
    "processor": ("exec /bin/sh: exec format error", ImageProblem, "cannot run programs of the image's architecture"),
    "hash": ("Hash mismatch for `numpy==2.4.6`: do not match the hashes", ImageProblem, "not the one that was locked"),
    "compiler": ("error: command 'gcc' failed: No such file or directory", ImageProblem, "the image has no compilers"),
    "runtime": (
        "zlib1g is here\nFATAL:   could not create user namespace: not permitted",
        ImageProblem,
        "cannot be built",
    ),
    "unknown": ("#5 0.1 it went wrong", ImageProblem, "the image cannot be built"),
}


@pytest.mark.parametrize(("words", "kind", "told"), WORDS.values(), ids=WORDS.keys())
def test_what_builders_say(words: str, kind: type[GridloomError], told: str) -> None:
    error = explain("the image cannot be built", words, Path("/tmp/x.log"))
    assert type(error) is kind
    assert error.what.startswith("the image cannot be built")
    assert told in error.what
    assert (error.where, "The end of /tmp/x.log:\n    " in error.fix) == ("/tmp/x.log", True)


def test_of_a_failed_step_its_own_words_are_shown() -> None:
    fix = explain("the image cannot be built", UV, Path("/tmp/x.log")).fix
    assert "    error: No solution found" in fix
    assert "COPY" not in fix
    assert ">>>" not in fix


def test_a_package_to_blame_has_its_place(path: Path, tmp_path: Path) -> None:
    """The error is that of the analysis file's own line."""
    (tmp_path / "words").write_text(UV)
    program(path, "docker", f'while read -r line; do echo "$line"; done < {tmp_path / "words"}; exit 1')
    log = Log(path=tmp_path / "log", say=lambda text: None)
    for packages, key in ((("einops", "No_Such.Thing>=1"), ("packages", 1)), (("einops",), ())):
        with pytest.raises(ImageProblem, match="no-such-thing") as caught:
            build(Recipe(tag="x", packages=packages), str(path / "docker"), log)
        assert caught.value.key == key
    assert "No solution found" in (tmp_path / "log").read_text()


# --- layers -----------------------------------------------------------------------------------------------------------
DOCKER = """\
0\tLABEL org.gridloom.variant=cpu
0\tENV PATH=/opt/gridloom/bin
4\tCOPY /layers/application / # buildkit
115\tCOPY /layers/packages / # buildkit
454\tCOPY /opt/gridloom /opt/gridloom # buildkit
771\tCOPY /layers/tensorflow / # buildkit
37\tRUN /bin/sh -c apt-get update  && apt-get install -y --no-install-recommends ca-certificates python3 # buildkit
0\tCMD ["bash"]
129\tADD rootfs.tar.xz / # buildkit
"""
PODMAN = """\
0B\t/bin/sh -c #(nop) LABEL x
4.35MB\t/bin/sh -c #(nop) COPY dir:4 in /
1.02kB\t/bin/sh -c #(nop) COPY dir:3 in /
464MB\t/bin/sh -c #(nop) COPY dir:2 in /opt/gridloom
1.2GB\t/bin/sh -c #(nop) COPY dir:1 in /
38.2MB\t/bin/sh -c apt-get update  && apt-get install -y --no-install-recommends ca-certificates python3
100MB\t/bin/sh -c #(nop) COPY dir:0 in /
34MB\t
"""


def test_layers_have_names() -> None:
    assert read_history(DOCKER) == (
        ("base", 129),
        ("Python", 37),
        ("TensorFlow", 771),
        ("libraries", 454),
        ("own packages", 115),
        ("Gridloom", 4),
    )
    assert read_history(PODMAN) == (
        ("base", 134_000_000),
        ("Python", 38_200_000),
        ("TensorFlow", 1_200_000_000),
        ("libraries", 464_000_000),
        ("own packages", 1020),
        ("Gridloom", 4_350_000),
    )
