"""Golden files: what is rendered is compared with what lies beside the test, byte by byte, and no file may be missing.

`GRIDLOOM_WRITE_GOLDEN=1` writes them anew; whoever does so reads the difference before it is committed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from gridloom import __version__

_WRITE = "GRIDLOOM_WRITE_GOLDEN"


def compare_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Every rendered file with its golden one; the two sets of names must agree."""
    found = {name: _neutral(content) for name, content in files.items()}
    if os.environ.get(_WRITE):
        shutil.rmtree(folder, ignore_errors=True)
        for name, content in found.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    golden = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert sorted(found) == sorted(golden)
    for name, content in found.items():
        assert content.decode() == golden[name].decode(), name


def compare_text(path: Path, text: str) -> None:
    """One text with its golden file."""
    if os.environ.get(_WRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _neutral(content: bytes) -> bytes:
    """Releases change the version that stands in comments, and nothing else."""
    return content.replace(f"Gridloom {__version__}".encode(), b"Gridloom VERSION")
