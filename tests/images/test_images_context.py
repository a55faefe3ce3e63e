"""What an image is built from: the same from a checkout and from an installed package, pinned and in agreement."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gridloom import __version__
from gridloom.errors import NotFound, NotWritable
from gridloom.images.context import context, digest, locked_versions, write_context

ROOT = Path(__file__).parents[2]
VARIANTS = ("cpu", "cuda")


def test_the_checkout_has_all_that_the_dockerfile_copies() -> None:
    files = context()
    copied = re.findall(r"^COPY (requirements/\S+)", files["Dockerfile"].decode(), re.MULTILINE)
    names = {name.replace("${VARIANT}", variant) for line in copied for name in [line] for variant in VARIANTS}
    assert names <= set(files)
    assert {"pyproject.toml", "README.md", "LICENSE", "src/gridloom/__main__.py", "src/gridloom/py.typed"} <= set(files)
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]
    assert list(files) == sorted(files)


def test_the_digest_is_of_names_and_contents() -> None:
    files = context()
    assert digest(files) == digest(dict(reversed(files.items()))) == digest(context())
    assert digest(context(("einops>=0.8",))) != digest(files)
    renamed = {("x" if name == "LICENSE" else name): content for name, content in files.items()}
    assert digest(renamed) != digest(files)


def test_packages_of_an_analysis_are_lines_of_their_file() -> None:
    name = "requirements/image-packages.txt"
    assert context(("a>=1", "b[c]"))[name] == context()[name] + b"a>=1\nb[c]\n"
    assert all(line.startswith("#") for line in context()[name].decode().splitlines())


def test_a_wheel_carries_the_same(tmp_path: Path) -> None:
    """Built as in the image, from a context alone; unpacked elsewhere, it is the context again."""
    write_context(context(), tmp_path / "source")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)],
        cwd=tmp_path / "source",
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert context(package=tmp_path / "site" / "gridloom") == context()


def test_half_a_checkout(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src" / "gridloom" / "images", tmp_path / "src" / "gridloom" / "images")
    with pytest.raises(NotFound, match="what the image is built from is not there") as caught:
        context(package=tmp_path / "src" / "gridloom")
    assert caught.value.where == str(tmp_path / "Dockerfile")


def test_a_context_is_written_into_a_folder_of_its_own(tmp_path: Path) -> None:
    files = {"Dockerfile": b"FROM x\n", "src/gridloom/a.py": b""}
    write_context(files, tmp_path / "new")
    assert (tmp_path / "new" / "src" / "gridloom" / "a.py").read_bytes() == b""
    with pytest.raises(NotWritable, match="not empty"):
        write_context(files, tmp_path / "new")


# --- the locks --------------------------------------------------------------------------------------------------------
def requirements(name: str) -> dict[str, list[str]]:
    """Name -> its locked versions, each with its marker."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        package, equal, rest = line.partition("==")
        if equal and not line.startswith((" ", "#")):
            found.setdefault(package.partition("[")[0], []).append(rest.split(";")[0].strip(" \\"))
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_images_versions_are_those_of_the_environment(variant: str) -> None:
    """Results are the same bits inside and outside only then."""
    locked = requirements("lock.txt")
    image = requirements(f"image-{variant}.txt")
    assert {name: versions for name, versions in image.items() if name in locked and locked[name] != versions} == {}
    assert all(name.startswith("nvidia-") for name in set(image) - set(locked))
    assert {"htchirp", "keras", "uproot"} <= set(image)
    assert "htcondor" not in image


@pytest.mark.parametrize("name", ["image-build.txt", *(f"image-{variant}.txt" for variant in VARIANTS)])
def test_every_package_is_locked_with_hashes(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements" / name).read_text().rstrip())
    assert len(entries) > 5
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


def test_versions_for_the_base_images_python() -> None:
    files = context()
    amd64, arm64 = (locked_versions(files, "cpu", machine) for machine in ("x86_64", "aarch64"))
    assert amd64.keys() - arm64.keys() == {"tensorflow-cpu"}
    assert arm64.keys() - amd64.keys() == {"tensorflow"}
    assert amd64["numpy"] in requirements("lock.txt")["numpy"]


# --- the Dockerfile ---------------------------------------------------------------------------------------------------
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_the_base_is_pinned() -> None:
    assert re.findall(r"^ARG BASE=(.*)$", DOCKERFILE, re.MULTILINE) == ["debian:bookworm-20251229-slim"]


def test_a_plain_build_knows_its_version() -> None:
    assert f"\nARG VERSION={__version__}\n" in DOCKERFILE


def test_nothing_of_this_machine_is_in_it() -> None:
    """Certificates, proxies and indexes are the base image's, or the builder's."""
    assert not re.search(r"https?:|proxy|index-url|SSL_|PIP_|REQUESTS_", DOCKERFILE, re.IGNORECASE)
    assert not re.search(r"<<|--mount=", DOCKERFILE)  # which older builders do not know


def test_only_the_context_is_sent() -> None:
    """A plain `docker build .` of a checkout sees the files of the context, and no others."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    patterns = [re.escape(line).replace(r"\*", "[^/]*") + "(?:/.*)?" for line in allowed]
    assert [name for name in context() if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    for name in ("requirements/lock.txt", "requirements/uv.txt", "docs/index.md", "tests/conftest.py", ".git/config"):
        assert not any(re.fullmatch(pattern, name) for pattern in patterns), name
