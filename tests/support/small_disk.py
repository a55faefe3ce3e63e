"""A disk so small that it can be filled: a file system in memory, as far as the machine lets a test have one.

Root mounts it; other users do so in a user namespace of their own, in which the commands are then started. Where
neither is allowed (many containers), the size of every file is limited instead: the system then refuses writes just
as it does on a full disk, with another number.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_SIZE = 64_000_000
_BALLAST = "ballast"
# What fits into a file where space left over is short: as a share of the space that a test wants to leave.
_SHARE = 24
_LIMITED = """
import os, resource, sys
size = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass
class SmallDisk:
    """`folder` is its place for commands wrapped by `inside`, `seen` the same folder for the test's own process."""

    folder: Path
    seen: Path
    prefix: list[str] = field(default_factory=list)
    real: bool = True

    def inside(self, arguments: list[str]) -> list[str]:
        """The command where the disk is mounted, or its files limited."""
        return [*self.prefix, *arguments]

    def leave(self, space: int | None) -> None:
        """Leave so many bytes free; None: all."""
        ballast = self.seen / _BALLAST
        ballast.unlink(missing_ok=True)
        if not self.real:
            self.prefix = [] if space is None else [sys.executable, "-c", _LIMITED, str(space // _SHARE)]
        elif space is not None:
            disk = os.statvfs(self.seen)
            with ballast.open("wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, disk.f_bavail * disk.f_frsize - space)

    def kinds(self) -> list[str]:
        """The kinds of the results that are there."""
        return sorted(path.parent.name.partition("-")[0] for path in self.seen.glob(".store/*/result.json"))


@contextmanager
def small_disk() -> Iterator[SmallDisk]:
    """A small disk; nothing of it is left behind."""
    with tempfile.TemporaryDirectory(prefix="gridloom-disk-") as name:
        folder = Path(name)
        if os.geteuid() == 0 and _mount(folder):
            try:
                yield SmallDisk(folder=folder, seen=folder)
            finally:
                subprocess.run(["umount", "--lazy", folder], check=True)
            return
        with _namespace(folder) as process:
            if process is None:
                yield SmallDisk(folder=folder, seen=folder, real=False)
                return
            enter = ["nsenter", "--target", str(process), "--user", "--mount", "--preserve-credentials"]
            yield SmallDisk(folder=folder, seen=Path(f"/proc/{process}/root{folder}"), prefix=enter)


def _mount(folder: Path) -> bool:
    return subprocess.run(_command(folder), capture_output=True, check=False).returncode == 0


def _command(folder: Path) -> list[str]:
    return ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]


@contextmanager
def _namespace(folder: Path) -> Iterator[int | None]:
    """The process that holds a user namespace with the disk mounted; None where there may be none."""
    script = " ".join(_command(folder)) + " && echo mounted && exec cat"
    try:
        process = subprocess.Popen(
            ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        yield None
        return
    with process:
        assert process.stdout is not None
        mounted = process.stdout.readline() == b"mounted\n"
        yield process.pid if mounted else None
        process.kill()
