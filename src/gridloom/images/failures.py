"""What builders say when a build fails, and what to do then."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from gridloom.containers import failures as runtimes
from gridloom.errors import DiskFull, GridloomError, ImageProblem

_TAIL, _WIDTH = 12, 200  # lines of a failed program that are shown, and their characters
# Decoration of build logs: `#12 3.456 `, colours.
_CLUTTER = re.compile(r"^#\d+ (?:\d+\.\d+ )?|^\d+\.\d{3} |\x1b\[[0-9;]*m")
# BuildKit shows the part of the Dockerfile.
_EXCERPT = re.compile(r"^\s*\d+ \|(?: |$)|^-{6,}$|^Dockerfile:\d+$|^ > ")
_COMPLAINT = re.compile(r"error|fatal|cannot|denied|failed", re.IGNORECASE)
_NO_SPACE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Words of a builder, as a pattern; what they mean; what to do."""

    words: str
    what: str
    fix: str


FAILURES = (
    Failure(
        words=r"failed to resolve source metadata|pull access denied|manifest unknown|initializing source docker://"
        r"|error getting credentials|(?:no such image|image not known|repository .* not found)",
        what="the base image cannot be had",
        fix="Load it into the builder (`docker pull`, `docker load`), or name one that it has by `--base`.",
    ),
    Failure(
        words=r"No solution found|was not found in the package registry|requirements are unsatisfiable",
        what="the packages of the analysis cannot be had together with the locked ones",
        fix="Correct `packages:` of the analysis file.",
    ),
    Failure(
        words=r"Failed to build `|Build backend (?:failed|returned an error)|error: command '\S*(?:gcc|cc|g\+\+)'",
        what="a package has no wheel for the image's Python, and the image has no compilers",
        fix="Ask for a version that has one, in `packages:` of the analysis file.",
    ),
    Failure(
        words=r"certificate verify failed|invalid peer certificate|UnknownIssuer|self.signed certificate",
        what="a certificate on the way to the package index is not trusted inside the build",
        fix="Name a base image that has the certificate, and SSL_CERT_FILE and PIP_CERT pointing at it, by `--base`.",
    ),
    Failure(
        words=r"Temporary failure resolving|Could not resolve|failed to lookup address|Name or service not known"
        r"|dns error|Network is unreachable",
        what="the build has no network",
        fix="Builds fetch packages; build where they can, or allow it (`docker build --network=host` is one way).",
    ),
    Failure(
        words=r"exec format error",
        what="this machine cannot run programs of the image's architecture",
        fix="Install qemu-user-static with binfmt support, or build on such a machine.",
    ),
    Failure(
        words=r"do not match the hashes|hash mismatch",
        what="a package is not the one that was locked",
        fix="Something on the way to the package index changes files: build from another network.",
    ),
)


def explain(what: str, words: str, log: Path) -> GridloomError:
    """The error behind a program's words; `what` says what it was doing."""
    plain = "\n".join(_CLUTTER.sub("", line) for line in words.splitlines())
    end = f"The end of {log}:\n{last_lines(plain)}"
    if _NO_SPACE.search(plain):
        return DiskFull(f"{what}: no space left", where=str(log), fix=f"Free some space. {end}")
    for known in FAILURES:
        if re.search(known.words, plain, re.IGNORECASE):
            return ImageProblem(f"{what}: {known.what}{_because(plain)}", where=str(log), fix=f"{known.fix}\n{end}")
    # Only complaints at the end: a long log names half of Debian.
    complaints = [line for line in last_lines(plain).splitlines() if _COMPLAINT.search(line)]
    runtime = runtimes.failure_in("\n".join(complaints))
    if runtime is not None:
        return ImageProblem(f"{what}: {runtime.what}", where=str(log), fix=f"{runtime.fix}\n{end}")
    return ImageProblem(what, where=str(log), fix=end)


def last_lines(words: str) -> str:
    """The last lines that say something, indented; of a build with BuildKit, those of the step that failed."""
    steps = re.findall(r"^------\n > .+?\n(.+?)^------$", words, re.DOTALL | re.MULTILINE)
    lines = [line.rstrip() for line in (steps[-1] if steps else words).splitlines()]
    said = [line[:_WIDTH] for line in lines if line and not _EXCERPT.match(line)]
    return "\n".join(f"    {line}" for line in said[-_TAIL:])


def _because(words: str) -> str:
    """The sentence with which uv explains why requirements cannot be met, on one line."""
    found = re.search(r"(?:╰─▶|cause:) (Because .+?)(?:\n\s*\n|\n(?!\s)|\Z)", words, re.DOTALL)
    return f": {' '.join(found[1].split())}" if found else ""
