"""A shard: the selected events of some files of one sample, as arrays that are mapped into memory.

Layout of the folder (N events, F features; all arrays are row-major npy files):

    features.npy           float32 (N, F)       raw values, sentinels and NaN kept
    collection.<name>.npy  float32 (N, M, C)    objects padded with 0 to M = `at_most`
    count.<name>.npy       uint16 (N,)          objects kept
    label.npy              int16 (N,)           index into the classes; -1 for collision data and regression
    target.npy             float64 (N,)         regression only
    weight.npy             float64 (N,)         physics weight before the sample's scale
    factor.npy             float64 (N,)         factor of the training weight
    id.npy                 uint64 (N, 3)        event id
    fold.npy               int16 (N,)
    trains.npy             bool (N,)            passes the training selection and is simulation
    statistics.json        ShardStatistics
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from gridloom.data.statistics import ShardStatistics
from gridloom.errors import DamagedResult
from gridloom.files import full_disk_named, write_text

STATISTICS = "statistics.json"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The arrays of a shard: name -> (dtype, shape of one event)."""

    arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]

    @classmethod
    def of(cls, *, features: int, collections: Mapping[str, tuple[int, int]], regression: bool) -> Layout:
        """`collections`: name -> (at most how many objects, features per object)."""
        arrays: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {"features": (np.float32, (features,))}
        for name, shape in collections.items():
            arrays[f"collection.{name}"] = (np.float32, shape)
            arrays[f"count.{name}"] = (np.uint16, ())
        if regression:
            arrays["target"] = (np.float64, ())
        arrays |= {
            "label": (np.int16, ()),
            "weight": (np.float64, ()),
            "factor": (np.float64, ()),
            "id": (np.uint64, (3,)),
            "fold": (np.int16, ()),
            "trains": (np.bool_, ()),
        }
        return cls(arrays={name: (np.dtype(dtype), shape) for name, (dtype, shape) in arrays.items()})


class _ArrayFile:
    """One npy file that grows: the header is written again when the number of rows is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._path = path
        self._dtype = dtype
        self._shape = shape
        self._row_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        with full_disk_named(path):
            self._stream: BinaryIO = path.open("wb")
            try:
                self._header(0)
            except OSError:
                self.abandon()
                raise
        self._start = self._stream.tell()

    def _header(self, rows: int) -> None:
        # NumPy pads the header for the growth of the first axis, so its length does not depend on `rows`.
        header = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": (rows, *self._shape)}
        npy.write_array_header_1_0(self._stream, header)

    def append(self, rows: NDArray[Any]) -> None:
        content = np.ascontiguousarray(rows, dtype=self._dtype)
        if content.shape[1:] != self._shape:
            raise ValueError(f"{self._path.name}: rows of shape {content.shape[1:]} instead of {self._shape}")
        with full_disk_named(self._path):
            self._stream.write(content.data if content.size else b"")

    def cut(self, rows: int) -> None:
        """Drop all rows after the first so many."""
        with full_disk_named(self._path):
            self._stream.flush()
            self._stream.truncate(self._start + rows * self._row_bytes)
            self._stream.seek(0, os.SEEK_END)

    def finish(self, rows: int) -> None:
        with full_disk_named(self._path):
            self._stream.seek(0)
            self._header(rows)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()

    def abandon(self) -> None:
        # What is still buffered is of no use, and a full disk must not hide the first error.
        try:
            self._stream.close()
        except OSError:
            self._path.unlink(missing_ok=True)


class ShardWriter:
    """Writes a shard piece by piece; as a context manager it closes its files whatever happens.

    Raises DiskFull when the disk is full. Without `finish` the folder is not a shard.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.rows = 0
        with full_disk_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, _ArrayFile] = {}
        try:
            for name, (dtype, shape) in layout.arrays.items():
                self._files[name] = _ArrayFile(folder / f"{name}.npy", dtype, shape)
        except BaseException:
            self._abandon()
            raise

    def append(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Append events; `arrays` holds all arrays of the layout, with equal lengths."""
        if set(arrays) != set(self._files):
            raise ValueError(f"a shard needs the arrays {sorted(self._files)}, got {sorted(arrays)}")
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1:
            raise ValueError(f"arrays of different lengths: {sorted(lengths)}")
        for name, array in arrays.items():
            self._files[name].append(array)
        self.rows += lengths.pop()

    def cut(self, rows: int) -> None:
        """Go back to the first so many events: for a file that turns out to be damaged half-way."""
        for file in self._files.values():
            file.cut(rows)
        self.rows = rows

    def finish(self, statistics: ShardStatistics) -> None:
        """Complete the arrays and write the statistics, last."""
        for file in self._files.values():
            file.finish(self.rows)
        self._files = {}
        write_text(self.folder / STATISTICS, statistics.model_dump_json(indent=1) + "\n")

    def _abandon(self) -> None:
        for file in self._files.values():
            file.abandon()
        self._files = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._abandon()


@dataclass(frozen=True, kw_only=True)
class Shard:
    """An open shard; features and collections are memory maps, the rest is loaded."""

    folder: Path
    statistics: ShardStatistics
    features: NDArray[np.float32]
    collections: dict[str, NDArray[np.float32]]
    counts: dict[str, NDArray[np.uint16]]
    label: NDArray[np.int16]
    target: NDArray[np.float64] | None
    weight: NDArray[np.float64]
    factor: NDArray[np.float64]
    id: NDArray[np.uint64]
    fold: NDArray[np.int16]
    trains: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def open(cls, folder: Path) -> Shard:
        """Open a shard folder; raises DamagedResult if it is not a whole shard."""
        try:
            return cls._open(folder)
        except (OSError, ValueError) as error:
            raise DamagedResult(
                f"the prepared events cannot be read: {error}",
                where=str(folder),
                fix="Delete this folder and run again: only this part is prepared anew.",
            ) from error

    @classmethod
    def _open(cls, folder: Path) -> Shard:
        statistics = ShardStatistics.model_validate_json((folder / STATISTICS).read_bytes())
        names = sorted(path.name.removesuffix(".npy") for path in folder.glob("*.npy"))
        collections = [name.removeprefix("collection.") for name in names if name.startswith("collection.")]
        shard = cls(
            folder=folder,
            statistics=statistics,
            features=_map(folder / "features.npy"),
            collections={name: _map(folder / f"collection.{name}.npy") for name in collections},
            counts={name: _load(folder / f"count.{name}.npy") for name in collections},
            label=_load(folder / "label.npy"),
            target=_load(folder / "target.npy") if "target" in names else None,
            weight=_load(folder / "weight.npy"),
            factor=_load(folder / "factor.npy"),
            id=_load(folder / "id.npy"),
            fold=_load(folder / "fold.npy"),
            trains=_load(folder / "trains.npy"),
        )
        if {len(shard.features), len(shard.label), len(shard.id), len(shard.weight)} != {statistics.events}:
            raise ValueError("arrays and statistics disagree on the number of events")
        return shard


def _load(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def _map(path: Path) -> NDArray[np.float32]:
    """Memory map of an npy file; an empty array cannot be mapped and is loaded."""
    with path.open("rb") as stream:
        npy.read_magic(stream)
        shape, _, _ = npy.read_array_header_1_0(stream)
    if 0 in shape:
        return _load(path)
    # As a plain array: the subclass of NumPy costs time in every gather.
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
