"""A shard: the selected events of some files of one sample, as arrays that are mapped into memory.

Layout of the folder (N events, F features; all arrays are row-major npy files):

    features.npy           float32 (N, F)       raw values, sentinels and NaN kept (float16: `storage` of the analysis)
    collection.<name>.npy  float32 (N, M, C)    objects padded with 0 to M = `at_most` (float16 like the features)
    count.<name>.npy       uint16 (N,)          objects kept
    label.npy              int16 (N,)           index into the classes; -1 for collision data and regression
    target.npy             float64 (N,)         regression only
    weight.npy             float64 (N,)         physics weight before the sample's scale
    factor.npy             float64 (N,)         factor of the training weight
    id.npy                 uint64 (N, 3)        event id
    entry.npy              int64 (N,)           number of the entry in its file, rising within one
    fold.npy               int16 (N,)
    trains.npy             bool (N,)            passes the training selection and is simulation
    statistics.json        ShardStatistics
    origin.json            Origin: what another task must share to take events from here
    shard.json             Contents: type, shape and checksum of every array, checksums of the others; written last

Opening a shard reads it once in full and compares every file with its checksum.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pydantic import BaseModel, ConfigDict

from gridloom.data.arrays import ArrayFile, ArrayRecord, DamagedArray, checksum, mapped, verify
from gridloom.data.statistics import ShardStatistics
from gridloom.errors import DamagedResult
from gridloom.files import canonical_json, full_disk_named, write_text
from gridloom.origin import ORIGIN, Origin

STATISTICS = "statistics.json"
CONTENTS = "shard.json"
_FIX = (
    "`gridloom run` sets this result aside and prepares only these events anew; delete the folder if it finds it whole."
)
_COLLECTION = "collection."

Storage = Literal["float32", "float16"]
Values = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The arrays of a shard: name -> (dtype, shape of one event)."""

    arrays: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]

    @classmethod
    def of(
        cls,
        *,
        features: int,
        collections: Mapping[str, tuple[int, int]],
        regression: bool,
        storage: Storage = "float32",
    ) -> Layout:
        """`collections`: name -> (at most how many objects, features per object)."""
        arrays: dict[str, tuple[DTypeLike, tuple[int, ...]]] = {"features": (storage, (features,))}
        for name, shape in collections.items():
            arrays[f"{_COLLECTION}{name}"] = (storage, shape)
            arrays[f"count.{name}"] = (np.uint16, ())
        if regression:
            arrays["target"] = (np.float64, ())
        arrays |= {
            "label": (np.int16, ()),
            "weight": (np.float64, ()),
            "factor": (np.float64, ()),
            "id": (np.uint64, (3,)),
            "entry": (np.int64, ()),
            "fold": (np.int16, ()),
            "trains": (np.bool_, ()),
        }
        return cls(arrays={name: (np.dtype(dtype), shape) for name, (dtype, shape) in arrays.items()})

    def fits(self, records: Mapping[str, ArrayRecord]) -> bool:
        """Whether these are the arrays of a shard of this layout."""
        found = {name: (np.dtype(record.dtype), record.shape[1:]) for name, record in records.items()}
        return found == self.arrays


class _Told(BaseModel):
    """What shard.json tells of the other files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arrays: dict[str, ArrayRecord]
    texts: dict[str, str]  # file -> checksum


class Contents(BaseModel):
    """Content of shard.json, with a checksum of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    told: _Told
    xxh3: str

    @classmethod
    def of(cls, told: _Told) -> Contents:
        return cls(told=told, xxh3=checksum(canonical_json(told.model_dump(mode="json")).encode()))

    def as_text(self) -> str:
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, indent=1) + "\n"


class ShardWriter:
    """Writes a shard piece by piece; as a context manager it closes its files whatever happens.

    Raises DiskFull when the disk is full. Without `finish` the folder is not a shard.
    """

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.rows = 0
        with full_disk_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, ArrayFile] = {}
        try:
            for name, (dtype, shape) in layout.arrays.items():
                self._files[name] = ArrayFile(folder / f"{name}.npy", dtype, shape)
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

    def finish(self, statistics: ShardStatistics, origin: Origin | None = None) -> None:
        """Complete the arrays, write statistics and origin and, last, what all files must be."""
        records = {name: file.finish(self.rows) for name, file in self._files.items()}
        self._files = {}
        texts = {STATISTICS: statistics.model_dump_json(indent=1) + "\n"}
        if origin is not None:
            texts[ORIGIN] = origin.model_dump_json(indent=1) + "\n"
        for name, text in texts.items():
            write_text(self.folder / name, text)
        told = _Told(arrays=records, texts={name: checksum(text.encode()) for name, text in texts.items()})
        write_text(self.folder / CONTENTS, Contents.of(told).as_text())

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
    """An open shard; all arrays are memory maps.

    `features` and `collections` may be float16: who takes rows of them gives an array of float32 to write into.
    """

    folder: Path
    statistics: ShardStatistics
    origin: Origin | None
    features: Values
    collections: dict[str, Values]
    counts: dict[str, NDArray[np.uint16]]
    label: NDArray[np.int16]
    target: NDArray[np.float64] | None
    weight: NDArray[np.float64]
    factor: NDArray[np.float64]
    id: NDArray[np.uint64]
    entry: NDArray[np.int64]
    fold: NDArray[np.int16]
    trains: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def open(cls, folder: Path) -> Shard:
        """Open a shard folder and read it in full; raises DamagedResult if a file is not what was written."""
        try:
            told = _read_contents(folder / CONTENTS)
            for name, record in told.arrays.items():
                verify(folder / f"{name}.npy", record)
            return cls._open(folder, told)
        except DamagedArray as error:
            raise DamagedResult(
                f"the prepared events are damaged: {error.what}", where=str(error.path), fix=_FIX
            ) from error
        except (OSError, ValueError) as error:
            raise DamagedResult(f"the prepared events cannot be read: {error}", where=str(folder), fix=_FIX) from error

    @classmethod
    def _open(cls, folder: Path, told: _Told) -> Shard:
        texts = {name: _read_text(folder / name, expected) for name, expected in told.texts.items()}
        statistics = ShardStatistics.model_validate_json(texts[STATISTICS])
        records = told.arrays
        names = [name.removeprefix(_COLLECTION) for name in records if name.startswith(_COLLECTION)]
        _check_layout(folder / CONTENTS, records, statistics)

        def seen(name: str) -> NDArray[Any]:
            return mapped(folder / f"{name}.npy", records[name])

        return cls(
            folder=folder,
            statistics=statistics,
            origin=Origin.model_validate_json(texts[ORIGIN]) if ORIGIN in texts else None,
            features=seen("features"),
            collections={name: seen(f"{_COLLECTION}{name}") for name in sorted(names)},
            counts={name: seen(f"count.{name}") for name in sorted(names)},
            label=seen("label"),
            target=seen("target") if "target" in records else None,
            weight=seen("weight"),
            factor=seen("factor"),
            id=seen("id"),
            entry=seen("entry"),
            fold=seen("fold"),
            trains=seen("trains"),
        )


def _read_contents(path: Path) -> _Told:
    text = path.read_bytes()
    try:
        contents = Contents.model_validate_json(text)
    except ValueError as error:
        raise DamagedArray(path, "it cannot be read") from error
    if Contents.of(contents.told) != contents or contents.as_text().encode() != text:
        raise DamagedArray(path, "its content disagrees with its checksum")
    return contents.told


def _read_text(path: Path, expected: str) -> bytes:
    text = path.read_bytes()
    if checksum(text) != expected:
        raise DamagedArray(path, "its content disagrees with its checksum")
    return text


def _check_layout(path: Path, records: Mapping[str, ArrayRecord], statistics: ShardStatistics) -> None:
    """Whether these are the arrays that shards have, with a row for each event."""
    shapes = {
        name.removeprefix(_COLLECTION): record.shape for name, record in records.items() if name.startswith(_COLLECTION)
    }
    features = records.get("features")
    if features is None or np.dtype(features.dtype) not in (np.float32, np.float16):
        raise DamagedArray(path, "it has no features")
    layout = Layout.of(
        features=features.shape[1],
        collections={name: (shape[1], shape[2]) for name, shape in shapes.items()},
        regression="target" in records,
        storage="float16" if np.dtype(features.dtype) == np.float16 else "float32",
    )
    if not layout.fits(records):
        raise DamagedArray(path, "its arrays are not those of a shard")
    if {record.shape[0] for record in records.values()} != {statistics.events}:
        raise DamagedArray(path, "arrays and statistics disagree on the number of events")
