"""One array of a shard: an npy file that grows, with a checksum of its rows, and how it is opened and verified.

XXH3 runs at the speed of memory, so that a checksum costs less than reading the file.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.lib import format as npy
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gridloom.files import full_disk_named

_BLOCK = 2**20  # bytes read at a time: they stay in the processor's cache for the checksum


class ArrayRecord(BaseModel):
    """What a shard says of an array: NumPy's name of its type, its shape, and XXH3 of its rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: str
    shape: tuple[int, ...]
    xxh3: str

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + np.dtype(self.dtype).itemsize * int(np.prod(self.shape, dtype=np.int64))

    @property
    def header(self) -> bytes:
        return _header(np.dtype(self.dtype), self.shape)


class DamagedArray(Exception):
    """A file that is not what its record says."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path.name}: {what}")
        self.path = path
        self.what = what


def _header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    # NumPy pads the header for the growth of the first axis, so its length does not depend on the number of rows.
    content = io.BytesIO()
    told = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(content, told)
    return content.getvalue()


class ArrayFile:
    """One npy file that grows: the header is written again when the number of rows is known."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        self._path = path
        self._dtype = dtype
        self._shape = shape
        self._row_bytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._sum = xxhash.xxh3_64()
        with full_disk_named(path):
            self._stream: BinaryIO = path.open("w+b")
            try:
                self._write_header(0)
            except OSError:
                self.abandon()
                raise
        self._start = self._stream.tell()

    def _write_header(self, rows: int) -> None:
        self._stream.write(_header(self._dtype, (rows, *self._shape)))

    def append(self, rows: NDArray[Any]) -> None:
        content = np.ascontiguousarray(rows, dtype=self._dtype)
        if content.shape[1:] != self._shape:
            raise ValueError(f"{self._path.name}: rows of shape {content.shape[1:]} instead of {self._shape}")
        if not content.size:
            return
        with full_disk_named(self._path):
            self._stream.write(content.data)
        self._sum.update(content.data)

    def cut(self, rows: int) -> None:
        """Drop all rows after the first so many."""
        with full_disk_named(self._path):
            self._stream.flush()
            self._stream.truncate(self._start + rows * self._row_bytes)
            self._stream.seek(self._start)
            self._sum = _sum_of(self._stream)  # a checksum cannot be taken back
            self._stream.seek(0, os.SEEK_END)

    def finish(self, rows: int) -> ArrayRecord:
        with full_disk_named(self._path):
            self._stream.seek(0)
            self._write_header(rows)
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        return ArrayRecord(
            dtype=npy.dtype_to_descr(self._dtype), shape=(rows, *self._shape), xxh3=self._sum.hexdigest()
        )

    def abandon(self) -> None:
        # What is still buffered is of no use, and a full disk must not hide the first error.
        try:
            self._stream.close()
        except OSError:
            self._path.unlink(missing_ok=True)


def verify(path: Path, record: ArrayRecord) -> None:
    """Read a whole array and compare it with its record. Raises DamagedArray, OSError."""
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size != record.size:
            raise DamagedArray(path, f"it has {size:,} bytes instead of {record.size:,}")
        if stream.read(len(record.header)) != record.header:
            raise DamagedArray(path, "its header was changed")
        if _sum_of(stream).hexdigest() != record.xxh3:
            raise DamagedArray(path, "its content disagrees with its checksum")


def mapped(path: Path, record: ArrayRecord) -> NDArray[Any]:
    """Memory map of the array; an empty one cannot be mapped."""
    if 0 in record.shape:
        return np.empty(record.shape, dtype=record.dtype)
    # As a plain array: the subclass of NumPy costs time in every gather.
    return np.asarray(np.memmap(path, dtype=record.dtype, mode="r", offset=len(record.header), shape=record.shape))


def checksum(content: bytes) -> str:
    """XXH3 of a small file."""
    return xxhash.xxh3_64_hexdigest(content)


def _sum_of(stream: Any) -> xxhash.xxh3_64:
    """XXH3 of the rest of a stream."""
    found = xxhash.xxh3_64()
    block = memoryview(bytearray(_BLOCK))
    while count := stream.readinto(block):
        found.update(block[:count])
    return found
