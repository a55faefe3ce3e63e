"""Containers on this machine: which runtime takes an image, and how a command is started in it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gridloom.containers import RUNTIMES
from gridloom.containers.enclosure import Enclosure, Runtime, is_address, is_file, kept
from gridloom.containers.failures import explain
from gridloom.containers.variables import DIGEST, IMAGE, INSIDE, OUTSIDE, RUNTIME
from gridloom.errors import ImageProblem

_PATIENCE = 60  # seconds for a daemon to answer
_GPU = Path("/dev/nvidiactl")


@dataclass(frozen=True, kw_only=True)
class Found:
    """A runtime of this machine and an image that it can use; `digest` is the image's, where that is known."""

    runtime: Runtime
    program: str
    image: str
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Start:
    """How to start a container, and how to end it where ending the started process is not enough."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    kill: tuple[str, ...] = ()


def find(images: tuple[str, ...], runtime: str = "auto", environ: Mapping[str, str] = os.environ) -> Found:
    """The first image that a runtime of this machine can use. Raises ImageProblem, which says why none can."""
    names = tuple(RUNTIMES) if runtime == "auto" else (runtime,)
    reasons = []
    for image in images:
        for name in names:
            kind = RUNTIMES[name]
            if not kind.takes(image):
                continue
            try:
                return _usable(kind, image, environ)
            except ImageProblem as problem:
                reasons.append(problem)
    if not reasons:
        raise ImageProblem(
            f"{runtime} cannot use {' or '.join(images)}" if images else "there is no image",
            fix="apptainer takes SIF files, directories and addresses (`oras://...`); docker and podman take names.",
        )
    raise _strongest(reasons)


def _strongest(reasons: list[ImageProblem]) -> ImageProblem:
    """Of several reasons that of a runtime that is there; else all of them as one."""
    there = [reason for reason in reasons if not isinstance(reason, _NoRuntime)]
    if there:
        return there[0]
    what = " and ".join(dict.fromkeys(reason.what for reason in reasons))
    return ImageProblem(what, where=reasons[0].where, fix="Install one of them, or run without `--image`.")


class _NoRuntime(ImageProblem):
    """A runtime is not there."""


def _usable(kind: Runtime, image: str, environ: Mapping[str, str]) -> Found:
    path = environ.get("PATH", os.defpath)
    program = next((place for name in kind.programs if (place := shutil.which(name, path=path))), None)
    if program is None:
        raise _NoRuntime(f"there is no {kind.name} on this machine", where=image)
    found = Found(runtime=kind, program=program, image=image)
    if is_file(image):
        _check_file(Path(image))
        return found
    if is_address(image):
        return found
    return replace(found, digest=_digest(found, environ))


def _check_file(image: Path) -> None:
    try:
        image.stat()
    except OSError as error:
        raise ImageProblem(
            f"the image cannot be read: {error.strerror}",
            where=str(image),
            fix="`gridloom image build` makes one; relative names start at the current folder.",
        ) from error
    if not os.access(image, os.R_OK | (os.X_OK if image.is_dir() else 0)):
        raise ImageProblem("the image may not be read", where=str(image), fix=f"chmod a+rX {image}")


def _digest(found: Found, environ: Mapping[str, str]) -> str:
    """The id of an image that a daemon has; nothing if it has yet to fetch it. Raises ImageProblem: no daemon."""
    argv = [found.program, "image", "inspect", "--format", "{{.Id}}", found.image]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=_PATIENCE, env=kept(environ, OUTSIDE), check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageProblem(f"{found.runtime.name} gives no answer: {error}", where=found.program) from error
    if done.returncode == 0:
        identity = done.stdout.strip()
        return identity if identity.startswith("sha256:") else f"sha256:{identity}"
    words = done.stderr.strip()
    if "no such image" in words.lower() or "image not known" in words.lower():
        raise ImageProblem(
            f"{found.runtime.name} has no image `{found.image}`",
            where=found.program,
            fix=f"`gridloom image build` makes one; `{found.runtime.name} pull {found.image}` fetches one.",
        )
    raise explain(found.runtime.name, found.image, words) or ImageProblem(
        f"{found.runtime.name} cannot be used: {words.splitlines()[-1] if words else 'it gives no reason'}",
        where=found.program,
    )


def start(found: Found, enclosure: Enclosure, environ: Mapping[str, str], values: Mapping[str, str]) -> Start:
    """The command line for an enclosure; `values` are what the variables inside are, besides those passed on."""
    runtime = found.runtime
    inside = {**kept(environ, INSIDE), **values, IMAGE: found.image, RUNTIME: runtime.name}
    if found.digest:
        inside[DIGEST] = found.digest
    whole = replace(
        enclosure,
        image=found.image,
        variables=tuple(inside),
        gpu=_GPU.exists(),
        user=str(os.getuid()),
        group=str(os.getgid()),
        groups=tuple(str(number) for number in os.getgroups()),
    )
    return Start(
        argv=(found.program, *runtime.arguments(whole)),
        environment={
            **kept(environ, OUTSIDE),
            **{runtime.outside(name): value for name, value in inside.items()},
        },
        kill=(found.program, *runtime.kill(whole.name)) if runtime.kill is not None and whole.name else (),
    )
