"""Where images are put: whole or not at all, readable by everybody."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gridloom.errors import NotWritable
from gridloom.files import writing

LABELS = Path(".singularity.d", "labels.json")


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """A name beside the target; what is made there takes the target's place at the end, else it is removed."""
    check_target(target)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        yield fresh
        with writing(target):
            _replace(fresh, target)
    finally:
        remove(fresh)


def check_target(target: Path) -> None:
    """Raise NotWritable where something else than an image has the place."""
    if not target.is_dir() or (target / LABELS).is_file():
        return
    if target.suffix == ".sif" or any(target.iterdir()):
        raise NotWritable(
            "this folder is no image of Gridloom's", where=str(target), fix="Name another place with `--out`."
        )


def _replace(fresh: Path, target: Path) -> None:
    old = fresh.with_name(f"{fresh.name}.old")
    if target.is_dir():
        target.rename(old)  # a folder takes the place of an empty one only
    fresh.rename(target)
    remove(old)


def remove(path: Path) -> None:
    """Remove a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            Path(folder).chmod(0o755)  # an image may have folders that not even their owner may change
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def open_to_all(folder: Path) -> None:
    """Let everybody read: a file system such as CVMFS serves what anybody may read."""
    for path, _, files in os.walk(folder):
        for entry in (Path(path), *(Path(path, name) for name in files)):
            _open(entry)


def _open(path: Path) -> None:
    if path.is_symlink():
        return
    mode = path.stat().st_mode & 0o7777
    wanted = mode | 0o644 | (0o111 if path.is_dir() or mode & 0o100 else 0)
    if wanted != mode:
        path.chmod(wanted)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a directory, each counted once."""
    if path.is_file():
        return path.stat().st_size
    found = [entry.lstat() for entry in path.rglob("*")]
    return sum({(status.st_dev, status.st_ino): status.st_size for status in found}.values())
