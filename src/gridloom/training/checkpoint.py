"""Checkpoints: numbered folders whose manifest is written last; two are kept; arrays are npy, never pickles.

A folder without a manifest, or with a file that does not agree with it, does not exist for the reader, who then takes
the one before. So a kill at any moment leaves a checkpoint to go on from.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gridloom.files import digest_file, full_disk_named, write_json

_PREFIX = "checkpoint-"
_MANIFEST = "manifest.json"
_KEPT = 2

Arrays = tuple[npt.NDArray[Any], ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A moment of a training: groups of arrays (weights, optimiser, best weights) and what fits into JSON."""

    arrays: Mapping[str, Arrays]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write the next checkpoint and remove all but the newest two. Raises DiskFull."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = _numbers(folder)
    number = (numbers[-1] + 1) if numbers else 1
    final = folder / f"{_PREFIX}{number:06d}"
    with full_disk_named(folder):
        if final.exists():  # left without a manifest by a kill
            shutil.rmtree(final)
        final.mkdir()
        try:
            _write(final, checkpoint)
        except BaseException:
            shutil.rmtree(final, ignore_errors=True)
            raise
    for old in numbers[: -(_KEPT - 1)]:
        shutil.rmtree(folder / f"{_PREFIX}{old:06d}", ignore_errors=True)
    return final


def load(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole, or None."""
    for number in reversed(_numbers(folder)):
        found = _read(folder / f"{_PREFIX}{number:06d}")
        if found is not None:
            return found
    return None


def _numbers(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    names = (path.parent.name for path in folder.glob(f"{_PREFIX}*/{_MANIFEST}"))
    return sorted(int(name.removeprefix(_PREFIX)) for name in names)


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    groups: dict[str, Any] = {}
    for group, arrays in checkpoint.arrays.items():
        path = folder / f"{group}.npy"
        # One flat file of bytes per group: a network has dozens of small variables of several types.
        flat = np.frombuffer(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays), np.uint8)
        with path.open("wb") as stream:
            np.save(stream, flat, allow_pickle=False)
            stream.flush()
            os.fsync(stream.fileno())
        groups[group] = {
            "sha256": digest_file(path),
            "arrays": [{"shape": list(array.shape), "dtype": str(array.dtype)} for array in arrays],
        }
    write_json(folder / _MANIFEST, {"groups": groups, "state": dict(checkpoint.state)})


def _read(folder: Path) -> Checkpoint | None:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        arrays = {group: _read_group(folder / f"{group}.npy", about) for group, about in manifest["groups"].items()}
    except (OSError, ValueError, KeyError):
        return None
    return Checkpoint(arrays=arrays, state=manifest["state"])


def _read_group(path: Path, about: Mapping[str, Any]) -> Arrays:
    if digest_file(path) != about["sha256"]:
        raise ValueError(f"{path} does not agree with its manifest")
    flat = np.load(path, allow_pickle=False)
    arrays, start = [], 0
    for entry in about["arrays"]:
        dtype = np.dtype(entry["dtype"])
        size = dtype.itemsize * int(np.prod(entry["shape"], dtype=np.int64))
        arrays.append(flat[start : start + size].view(dtype).reshape(entry["shape"]))
        start += size
    return tuple(arrays)
