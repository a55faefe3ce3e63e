"""What a runtime's own words mean when it could not start a container."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gridloom.errors import ImageProblem

# Exit codes with which runtimes say that the failure was theirs, not the command's.
CODES = frozenset({125, 126, 127, 255})
_CLUTTER = re.compile(r"^(?:\S+ )?(?:FATAL|ERROR|Error|docker):?\s*(?:Error response from daemon:\s*)?")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Words in a runtime's message, what they mean, and what helps. `node`: another node may do better."""

    words: str
    what: str
    fix: str
    node: bool = False


FAILURES = (
    Failure(
        words=r"exec format error|cannot execute binary file|\bELF\S*: not found"
        r"|architecture .*could not run|does not match the (?:specified|detected host) platform",
        what="the image is for another architecture than this machine's",
        fix="Name an image for this architecture; `gridloom image build --platform` makes one.",
        node=True,
    ),
    Failure(
        words=r"no module named '?\"?gridloom",
        what="Gridloom is not in the image",
        fix="Build the image with `gridloom image build`, or correct `python:` of the container.",
    ),
    Failure(
        words=r"(?:stat|exec|executable file|unable to start container process|no such file).*/[a-z-]*python[0-9.]*\b",
        what="the image has no Python where Gridloom looks for it",
        fix="Build the image with `gridloom image build`, or correct `python:` of the container.",
    ),
    Failure(
        words=r"permission denied.*docker.*\.sock|docker\.sock.*permission denied",
        what="the docker daemon may not be asked: permission denied",
        fix="Join the group `docker` (which has root's rights), or use apptainer or podman.",
        node=True,
    ),
    Failure(
        words=r"cannot connect to the docker daemon|failed to connect to the docker|error during connect"
        r"|is the docker daemon",
        what="the docker daemon does not answer",
        fix="Start it, or use apptainer or podman.",
        node=True,
    ),
    Failure(
        words=r"user namespaces?\b.*(?:disabled|not (?:permitted|allowed|enabled|supported))"
        r"|failed to create user namespace|unshare.*(?:operation not permitted|no space left)"
        r"|clone.*operation not permitted|newuidmap|no subuid",
        what="the runtime may not make a user namespace here",
        fix="The site's admin allows it (`sysctl user.max_user_namespaces`), or installs apptainer-suid.",
        node=True,
    ),
    Failure(
        words=r"bad superblock|failed to read|corrupt|zlib|unsquashfs.*(?:error|failed)",
        what="the image is damaged or cut short",
        fix="Copy it again and compare its size, or build it again with `gridloom image build`.",
        node=True,
    ),
    Failure(
        words=r"destination \S+ doesn't exist in container",
        what="the image is no root file system: folders such as /dev, /proc and /tmp are missing",
        fix="Unpack it with `gridloom image build --to directory`.",
    ),
    Failure(
        words=r"squashfuse|fuse.*(?:not found|no such|permitted)|failed to mount squashfs|image driver|/dev/fuse",
        what="the runtime cannot mount the SIF file here",
        fix="Install squashfuse, allow /dev/fuse, or use an unpacked directory as the image.",
        node=True,
    ),
    Failure(
        words=r"image format not recognized|not a valid sif|unknown image format|could not load image|malformed",
        what="the image is no SIF file and no directory that the runtime can read",
        fix="Build it again with `gridloom image build`.",
    ),
    Failure(
        words=r"pull access denied|manifest unknown|no such image|image not known|unable to find image"
        r"|repository .* not found",
        what="the image is not there",
        fix="`gridloom image build` makes one; or correct its name.",
        node=True,
    ),
    Failure(
        words=r"could not open image|failed to open|no such file or directory.*\.sif|while checking image",
        what="the image cannot be read",
        fix="Correct the image's path, or its permissions.",
        node=True,
    ),
    Failure(
        words=r"no space left on device",
        what="there is no space left where the runtime works",
        fix="Free some, or point APPTAINER_TMPDIR at a larger folder.",
        node=True,
    ),
)


def failure_in(words: str) -> Failure | None:
    """The known failure that a text tells of, if any."""
    return next((known for known in FAILURES if re.search(known.words, words, re.IGNORECASE)), None)


def explain(runtime: str, image: str, words: str) -> ImageProblem | None:
    """The error behind what a runtime printed; None where it says nothing known."""
    known = failure_in(words)
    if known is None:
        return None
    said = own_words(words)
    return ImageProblem(known.what + (f" ({runtime}: {said})" if said else ""), where=image, fix=known.fix)


def own_words(words: str) -> str:
    """The line of a runtime's message that says most, without its decoration."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    known = [line for line in lines if failure_in(line)] or [line for line in lines if _CLUTTER.match(line)] or lines
    return _CLUTTER.sub("", known[-1])[:300] if known else ""
