"""The part of a job's script that starts its Python in a container, whichever runtime the node has. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gridloom.assignment import JOB_TEMPORARY
from gridloom.containers import RUNTIMES, Enclosure, Runtime
from gridloom.containers.enclosure import is_file
from gridloom.containers.variables import DIGEST, IMAGE, INSIDE, NODE, OUTSIDE, RUNTIME, STARTED
from gridloom.sites.models import Container

# Words that bash fills in on the node. `gridloom_mount` is the job's folder as a field of CSV.
_HERE, _MOUNT = "${gridloom_here}", "${gridloom_mount}"
_EXPANDED = re.compile(r"(\$\{gridloom_[a-z]+(?:\[@\])?\})")

_PREPARATION = f"""\
# What the container may see: this folder, and what is named below. What it may know: a few variables, and nothing else.
gridloom_here=$(pwd -P)
gridloom_mount=${{gridloom_here//\\"/\\"\\"}}
mkdir -p {JOB_TEMPORARY} || fail "the job's folder cannot be written" "Look at the disk of the node."
gridloom_user=$(id -u) gridloom_group=$(id -g) gridloom_groups=() gridloom_clean=() gridloom_inside=() gridloom_gpu=()
for name in $(id -G); do gridloom_groups+=(--group-add "$name"); done
for name in {" ".join(OUTSIDE)}; do
  [ -z "${{!name+x}}" ] || gridloom_clean+=("$name=${{!name}}")
done
export {STARTED}=${{EPOCHREALTIME:-$(date +%s.%N)}}
"""

# A probe's look at what the runtimes need, told to it as lines of `name=value`.
PROBE = f"""\
look() {{
  for name in squashfuse squashfuse_ll fusermount3 newuidmap; do
    program=$(command -v "$name") && echo "$name=$program"
  done
  for name in apptainer singularity podman docker; do
    command -v "$name" >/dev/null && echo "$name version=$("$name" --version 2>&1 | head -n 1)"
  done
  unshare --user --map-root-user true 2>/dev/null && echo "user namespaces=yes" || echo "user namespaces=no"
  [ -w /dev/fuse ] && echo "fuse=yes" || echo "fuse=no"
  docker version >/dev/null 2>&1 && echo "docker daemon=yes"
  ls /dev/nvidia[0-9]* 2>/dev/null | sed 's/^/gpu device=/'
  echo "user=$(id -un 2>/dev/null || id -u)"
}}
export {NODE}=$(look)
"""


@dataclass(frozen=True, kw_only=True)
class Sees:
    """What a job sees besides its own folder, and whether it is a probe of the node."""

    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    network: bool = False
    probe: bool = False


def lines(container: Container, command: Sequence[str], variables: Sequence[str], sees: Sees) -> list[str]:
    """Bash that becomes the command in the first container that works, or fails with the reason.

    `command` are words of Python's command line, after its name; `variables` names of the site's own variables.
    """
    found = [_PREPARATION.rstrip(), *([PROBE.rstrip()] if sees.probe else [])]
    if sees.writes:
        folders = " ".join(shlex.quote(folder) for folder in sees.writes)
        found.append(f'mkdir -p {folders} || fail "the store cannot be written" "Is it the same on the nodes?"')
    names = (*INSIDE, *variables)
    wanted = {name: kind for name, kind in RUNTIMES.items() if container.runtime in ("auto", name)}
    missing = f"there is no {' or '.join(wanted)} that could use the image"
    found.append(f"gridloom_why={_told(missing)}")
    for image in container.image:
        for kind in wanted.values():
            if kind.takes(image):
                found += _attempt(container, kind, image, command, names, sees)
    found.append(f'fail "$gridloom_why" {_told(_FIX)}')
    return found


_FIX = "Install one on the nodes, or correct container: of the site. gridloom site check says more."


def _told(text: str) -> str:
    """A text as a word of bash that may stand inside JSON."""
    return shlex.quote(json.dumps(text)[1:-1])


def _attempt(
    container: Container, kind: Runtime, image: str, command: Sequence[str], names: Sequence[str], sees: Sees
) -> Iterator[str]:
    program = " || ".join(f"command -v {name}" for name in kind.programs)
    yield f"if gridloom_program=$({program}); then"
    quoted = shlex.quote(image)
    if is_file(image):
        yield f"  if [ -r {quoted} ] && {{ [ ! -d {quoted} ] || [ -x {quoted} ]; }}; then"
    elif kind.kill is None:
        yield "  if true; then"  # it is fetched from its address
    else:
        yield '  if "$gridloom_program" version >/dev/null 2>&1; then'
    yield from (f"    {line}" for line in _start(container, kind, image, command, names, sees))
    yield "  else"
    why = (
        f"the image {image} cannot be read"
        if is_file(image)
        else f"{kind.name} is there, but it (or its daemon) cannot be used"
    )
    yield f"    gridloom_why={_told(why)}"
    yield "  fi"
    yield "fi"


def _start(
    container: Container, kind: Runtime, image: str, command: Sequence[str], names: Sequence[str], sees: Sees
) -> Iterator[str]:
    if kind.kill is not None:
        inspect = f"\"$gridloom_program\" image inspect --format '{{{{.Id}}}}' {shlex.quote(image)} 2>/dev/null"
        yield f"export {DIGEST}=$({inspect})"
        # An input that ends when this process does: then its container leaves, too, however this process ended.
        yield "mkfifo .input && exec <>.input && rm .input"
    yield f"export {IMAGE}={shlex.quote(image)} {RUNTIME}={kind.name}"
    yield f"for name in {' '.join(names)}; do"
    yield f'  [ -z "${{!name+x}}" ] || gridloom_inside+=("{kind.outside("$name")}=${{!name}}")'
    yield "done"
    yield f"[ ! -e /dev/nvidiactl ] || gridloom_gpu=({' '.join(kind.gpu())})"
    enclosure = Enclosure(
        image=image,
        command=(container.python, *command, *(("--attached",) if kind.kill is not None else ())),
        folder=_HERE,
        writes=(_MOUNT, *sees.writes),
        reads=(*sees.reads, *container.reads),
        temporary=f"{_MOUNT}/{JOB_TEMPORARY}",
        variables=tuple(names),
        network={"on": True, "off": False}.get(container.network, sees.network),
        user="${gridloom_user}",
        group="${gridloom_group}",
        options=(
            "${gridloom_gpu[@]}",
            *(("${gridloom_groups[@]}",) if kind.adds_groups else ()),
            *container.options,
        ),
    )
    arguments = kind.arguments(enclosure)
    yield 'exec env -i "${gridloom_clean[@]}" "${gridloom_inside[@]}" "$gridloom_program" \\'
    yield from _wrapped([word(argument) for argument in arguments])


def _wrapped(words: Sequence[str]) -> Iterator[str]:
    """Words over several lines: each option begins one."""
    line = ""
    for text in words:
        if line and (text.startswith("--") or len(line) > 100):
            yield f"  {line} \\"
            line = ""
        line = f"{line} {text}".strip()
    yield f"  {line}"


def word(text: str) -> str:
    """A word of bash in which only `${gridloom_...}` is filled in."""
    pieces = [piece for piece in _EXPANDED.split(text) if piece]
    return "".join(f'"{piece}"' if _EXPANDED.fullmatch(piece) else shlex.quote(piece) for piece in pieces) or "''"
