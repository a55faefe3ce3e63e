"""Builds an image with docker or podman."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from gridloom import __version__
from gridloom.analysis.packages import package_name
from gridloom.containers.failures import explain, own_words
from gridloom.errors import GridloomError, ImageProblem
from gridloom.images.commands import Log, answer, run
from gridloom.images.context import PYTHON, context, digest, locked_versions, write_context

BUILDERS = ("docker", "podman")
# Of the locked versions, those that the label tells: what results depend on.
_TOLD = ("awkward", "keras", "numpy", "scikit-learn", "scipy", "tensorflow", "tensorflow-cpu", "uproot", "vector")
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}  # as docker calls them, and as Python does
_PATIENCE = 60  # seconds for a daemon to answer


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to build; `packages` are what an analysis adds. Empty, `platform` and `base` are what the builder takes."""

    tag: str
    variant: str = "cpu"
    packages: tuple[str, ...] = ()
    platform: str = ""
    base: str = ""


@dataclass(frozen=True, kw_only=True)
class Built:
    """An image in a builder's store; all its forms share the `digest`. `layers` are their contents and sizes."""

    builder: str
    tag: str
    digest: str
    layers: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        return sum(size for _, size in self.layers)


def default_tag(variant: str, analysis: str = "") -> str:
    """The name of an image; one with packages of an analysis is called after it."""
    return f"gridloom:{__version__}-{variant}" + (f"-{analysis.replace('+', '-')}" if analysis else "")


def find_builder(wanted: str = "auto") -> str:
    """The program that builds: docker or podman, whichever answers. Raises ImageProblem."""
    names = BUILDERS if wanted == "auto" else (wanted,)
    reasons: list[ImageProblem] = []
    for name in names:
        program = shutil.which(name)
        if program is None:
            continue
        problem = _unusable(name, program)
        if problem is None:
            return program
        reasons.append(problem)
    elsewhere = "`gridloom image context DIR` writes what `docker build DIR` needs, on a machine that can."
    if not reasons:
        what = f"there is no {' or '.join(names)} to build an image with"
        raise ImageProblem(what, fix=f"Install one; or: {elsewhere}")
    first = reasons[0]
    raise ImageProblem(first.what, where=first.where, fix=f"{first.fix}\nOr: {elsewhere}".strip())


def _unusable(name: str, program: str) -> ImageProblem | None:
    try:
        done = subprocess.run([program, "version"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return ImageProblem(f"{name} gives no answer: {error}", where=program)
    if done.returncode == 0:
        return None
    known = explain(name, program, done.stderr)
    return known or ImageProblem(f"{name} cannot be used: {own_words(done.stderr)}", where=program)


def build(recipe: Recipe, builder: str, log: Log) -> Built:
    """Build the image. Raises ImageProblem, with its place in the analysis file if a package of it is to blame."""
    files = context(recipe.packages)
    with tempfile.TemporaryDirectory(prefix="gridloom-image-") as name:
        folder = Path(name)
        write_context(files, folder / "context")
        command = build_command(recipe, builder, files, folder)
        try:
            run(command, log, "the image cannot be built", variables={"BUILDKIT_PROGRESS": "plain"})
        except ImageProblem as problem:
            index = _to_blame(problem, recipe.packages)
            if index is None:
                raise
            raise ImageProblem(problem.what, where=problem.where, fix=problem.fix, key=("packages", index)) from problem
        identity = (folder / "id").read_text().strip()
    return Built(
        builder=builder,
        tag=recipe.tag,
        digest=identity if ":" in identity else f"sha256:{identity}",
        layers=layers(builder, recipe.tag),
    )


def build_command(recipe: Recipe, builder: str, files: Mapping[str, bytes], folder: Path) -> list[str]:
    """The command line of a build of `folder`/context; the image's id goes to `folder`/id."""
    arguments = {
        "VARIANT": recipe.variant,
        "VERSION": __version__,
        "SOURCE": digest(files),
        "PACKAGES": " ".join(recipe.packages) or "none",
        # Another base may have another Python, for which other versions are locked.
        **({"BASE": recipe.base} if recipe.base else {"VERSIONS": _versions(recipe, files)}),
    }
    command = [builder, "build", "--tag", recipe.tag, "--iidfile", str(folder / "id")]
    command += ["--platform", recipe.platform] if recipe.platform else []
    for name, value in arguments.items():
        command += ["--build-arg", f"{name}={value}"]
    return [*command, str(folder / "context")]


def _versions(recipe: Recipe, files: Mapping[str, bytes]) -> str:
    machine = recipe.platform.rpartition("/")[2] or platform.machine()
    locked = locked_versions(files, recipe.variant, _MACHINES.get(machine, machine))
    return " ".join((f"python=={PYTHON}", *(f"{name}=={locked[name]}" for name in _TOLD if name in locked)))


def _to_blame(problem: GridloomError, packages: tuple[str, ...]) -> int | None:
    """The number of the package that a problem names."""
    said = {canonicalize_name(word.strip("`',")) for word in re.split(r"[\s\[<>=!~]+", problem.what)}
    return next((index for index, text in enumerate(packages) if package_name(text) in said), None)


# --- layers -----------------------------------------------------------------------------------------------------------
# What the last steps of the Dockerfile copy into the image, in their order.
_COPIED = ("TensorFlow", "libraries", "own packages", "Gridloom")


def layers(builder: str, tag: str) -> tuple[tuple[str, int], ...]:
    """What the layers of an image bring and their sizes in bytes, from the base upwards. Raises ImageProblem."""
    told = answer([builder, "history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", tag])
    return read_history(told)


def read_history(told: str) -> tuple[tuple[str, int], ...]:
    """Layers from lines of size and command, the newest first."""
    sizes: dict[str, int] = {}
    copied = list(reversed(_COPIED))
    for line in told.splitlines():
        size, _, command = line.partition("\t")
        brings = "Python" if "ca-certificates python3" in command else "base"
        if copied and command.removeprefix("/bin/sh -c #(nop) ").startswith("COPY "):
            brings = copied.pop(0)
        if _bytes(size):
            sizes[brings] = sizes.get(brings, 0) + _bytes(size)
    return tuple(reversed(sizes.items()))


def _bytes(text: str) -> int:
    """A size as docker tells it, in bytes, or as podman does: `37.1MB`."""
    number = text.rstrip("BkMGT")
    return round(float(number) * 1000.0 ** "BkMGT".index((text[len(number) :] or "B")[0]))
