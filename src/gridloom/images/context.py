"""What an image is built from: the Dockerfile, locked requirements, Gridloom's own sources."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from packaging.requirements import Requirement

from gridloom.errors import NotFound, NotWritable
from gridloom.files import digest_bytes, digest_json, writing

PACKAGE = Path(__file__).parents[1]
_INSTALLED = Path("images", "context")  # where a wheel keeps what lies beside the sources in a checkout
_FILES = (
    "Dockerfile",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "requirements/image-build.txt",
    "requirements/image-cpu.txt",
    "requirements/image-cuda.txt",
    "requirements/image-packages.txt",
)
_ADDED = "requirements/image-packages.txt"
PYTHON = "3.11"  # that of the base image


def context(packages: tuple[str, ...] = (), *, package: Path = PACKAGE) -> dict[str, bytes]:
    """All files by their names; `packages` are requirements that an analysis adds. Raises NotFound."""
    installed = package / _INSTALLED
    root = installed if installed.is_dir() else package.parents[1]
    try:
        files = {name: (root / name).read_bytes() for name in _FILES}
    except OSError as error:
        raise NotFound(
            "what the image is built from is not there",
            where=str(error.filename),
            fix="Install Gridloom from a wheel, or work in a whole checkout.",
        ) from error
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        if path.is_file() and "__pycache__" not in inside.parts and not inside.is_relative_to(_INSTALLED):
            files[f"src/gridloom/{inside.as_posix()}"] = path.read_bytes()
    files[_ADDED] += "".join(f"{requirement}\n" for requirement in packages).encode()
    return dict(sorted(files.items()))


def digest(files: Mapping[str, bytes]) -> str:
    """One digest of all names and contents."""
    return digest_json({name: digest_bytes(content) for name, content in files.items()})


def write_context(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a context into a folder, new or empty. Raises NotWritable, DiskFull."""
    if folder.is_dir() and any(folder.iterdir()):
        raise NotWritable("the folder is not empty", where=str(folder), fix="Name a new one.")
    with writing(folder):
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def locked_versions(files: Mapping[str, bytes], variant: str, machine: str) -> dict[str, str]:
    """Name -> version of what the image of a variant has, with the base image that the Dockerfile names."""
    here = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.2", "sys_platform": "linux"}
    here |= {"platform_machine": machine, "platform_system": "Linux"}
    found = {}
    for line in files[f"requirements/image-{variant}.txt"].decode().splitlines():
        if not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            if requirement.marker is None or requirement.marker.evaluate(here):
                found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found
