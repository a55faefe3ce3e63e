"""Put results where the user asked for them: whole or not at all, and nothing of hers is overwritten unasked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from gridloom.errors import NotWritable
from gridloom.files import writing


def put(source: Path, target: Path) -> None:
    """Copy a file or folder under another name, then rename: nobody sees half of it. Raises DiskFull, NotWritable."""
    fresh = target.with_name(f".{target.name}.part")
    with writing(target.parent):
        _remove(fresh)
        try:
            _copy(source, fresh)
            if target.is_dir() or fresh.is_dir():
                _remove(target)
            fresh.replace(target)
        finally:
            _remove(fresh)


def taken(path: Path) -> NotWritable:
    """The error for a name that something else has."""
    return NotWritable(
        "something else is there already, which this command has not made",
        where=str(path),
        fix="Choose another folder by `--out`, or let it be replaced by `--replace`.",
    )


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
        return
    shutil.copyfile(source, target)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
