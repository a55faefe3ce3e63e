"""A command in a container: what it may see, and how a runtime is told. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

TEMPORARY = "/tmp"  # noqa: S108 - inside: a folder of the job's own lies there


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """A command and all that it may see besides its image.

    Folders (or files) have the same path inside as outside. `temporary` is the folder outside that is /tmp inside;
    nothing else of the image can be written. `variables` are names: their values come from the environment that the
    runtime is started in, so that none shows in a list of processes. `user` and `groups` are numbers, as text.
    """

    image: str
    command: tuple[str, ...]
    folder: str
    writes: tuple[str, ...]
    reads: tuple[str, ...] = ()
    temporary: str = ""
    variables: tuple[str, ...] = ()
    network: bool = False
    gpu: bool = False
    user: str = "0"
    group: str = "0"
    groups: tuple[str, ...] = ()
    name: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """A container runtime: its programs, the images it takes, and its command line.

    A variable reaches the container when the runtime's own environment has it under the name that `outside` gives.
    `kill` ends a container by its name, where ending the program that started it is not enough.
    """

    name: str
    programs: tuple[str, ...]
    takes: Callable[[str], bool]
    arguments: Callable[[Enclosure], Sequence[str]]
    outside: Callable[[str], str]
    gpu: Callable[[], Sequence[str]]
    kill: Callable[[str], Sequence[str]] | None = None
    adds_groups: bool = False  # it has to be told the user's supplementary groups, by `--group-add`


def is_file(image: str) -> bool:
    """Whether an image is a SIF or a directory, not a name."""
    return image.startswith("/")


def is_address(image: str) -> bool:
    """Whether an image is named by where it is fetched from, such as `oras://...`."""
    return "://" in image


def mounts(enclosure: Enclosure, read_only: str) -> tuple[str, ...]:
    """`--mount` and its value for everything seen, outer folders before those inside them.

    The values are lines of CSV (so the manuals of all three runtimes), in which a comma or a quote in a path is
    harmless.
    """
    modes: dict[str, bool] = dict.fromkeys(enclosure.reads, False)
    modes |= dict.fromkeys(enclosure.writes, True)
    found = [(TEMPORARY, enclosure.temporary, True)] if enclosure.temporary else []
    found += [(path, path, writable) for path, writable in modes.items()]
    words: list[str] = []
    # What a shell fills in on a node, the job's own folder, has nothing of the others inside it: it comes last.
    for inside, outside, writable in sorted(found, key=lambda mount: (mount[0].startswith("$"), mount[0])):
        value = f'type=bind,"source={_escaped(outside)}","destination={_escaped(inside)}"'
        words += ["--mount", value if writable else f"{value},{read_only}"]
    return tuple(words)


def _escaped(path: str) -> str:
    return path.replace('"', '""')


def kept(environ: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Of an environment, what has one of these names."""
    return {name: environ[name] for name in names if name in environ}
