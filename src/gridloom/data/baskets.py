"""Flat numeric branches of a TTree read basket by basket, by ranges of entries.

uproot knows where the baskets are (`fBasketSeek`, `fBasketBytes`, `fBasketEntry`) and what is in them; it is asked once
per branch. Everything after that is a read, a decompression and a copy per basket, without an object for each: with
baskets of 32 kB, as most ntuples have, that is where uproot spends its time. Nothing here knows of Gridloom: the
module needs a `uproot.TBranch` and a way to read bytes. On every file the values are uproot's, bit for bit.

The format: ROOT's TKey and TBasket (tree/tree/src/TBasket.cxx), compressed blocks with a header of 9 bytes
(core/zip/src/RZip.cxx), LZ4 blocks with a checksum before the data (core/lz4/src/ZipLZ4.cxx).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import cramjam
import deflate
import numpy as np
import uproot
import xxhash
import zstandard
from numpy.typing import NDArray

Column = NDArray[Any]

# TKey: bytes with the header, version, bytes uncompressed, date, bytes of the header, cycle.
_KEY = struct.Struct(">ihiIhh")
# The end of a basket's header: version, buffer size, bytes per entry, entries, last byte used, flag.
_BASKET = struct.Struct(">hiiiib")
_BLOCK = struct.Struct("<2sB3s3s")
_CHECKSUM = struct.Struct(">Q")
# A key this far into the file has 64-bit addresses.
_LARGE_KEY = 1000


class Bytes(Protocol):
    """Where the file's bytes come from."""

    def read(self, start: int, size: int) -> bytes:
        """Exactly so many bytes from `start` on; raises EOFError if there are fewer."""


class LocalBytes:
    """A file of this machine; never mapped into memory, since a file cut short while mapped kills the process."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, start: int, size: int) -> bytes:
        found = os.pread(self._file, size, start)
        if len(found) != size:
            raise EOFError(f"the file ends {size - len(found):,} bytes before the end of a basket")
        return found

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, kw_only=True)
class Baskets:
    """Where the baskets of a branch are: `seek` and `size` in bytes (n,), entries from `first[i]` to `first[i + 1]`.

    `stored`: the type of the values in the file, big-endian. `embedded`: values of the last baskets, which lie inside
    the tree itself where its writer did not flush them.
    """

    name: bytes
    stored: np.dtype[Any]
    seek: NDArray[np.int64]
    size: NDArray[np.int64]
    first: NDArray[np.int64]
    embedded: tuple[Column, ...] = ()

    @property
    def native(self) -> np.dtype[Any]:
        """The type of the values in memory."""
        return self.stored.newbyteorder("=")

    @property
    def entries(self) -> int:
        return int(self.first[-1])


def baskets_of(branch: uproot.TBranch) -> Baskets | None:
    """The plan of a branch with one number per entry; None for all others, which are uproot's to read."""
    found = branch.interpretation
    if type(found) is not uproot.interpretation.numerical.AsDtype or found.inner_shape or found.from_dtype.fields:
        return None
    if found.from_dtype.kind not in "biuf" or found.to_dtype != found.from_dtype.newbyteorder("="):
        return None
    embedded = tuple(np.asarray(basket.data).view(found.from_dtype) for basket in branch.embedded_baskets)
    count = int(branch.num_baskets) - len(embedded)
    first = np.asarray(branch.entry_offsets, dtype=np.int64)
    lengths = np.diff(first)
    if len(first) < 2 or first[0] != 0 or bool(np.any(lengths < 0)):
        return None
    if lengths[count:].tolist() != [len(values) for values in embedded]:
        raise ValueError(f"a basket inside the tree does not hold the entries of branch `{branch.name}` that it should")
    return Baskets(
        name=branch.name.encode(),
        stored=found.from_dtype,
        seek=np.asarray(branch.member("fBasketSeek")[:count], dtype=np.int64),
        size=np.asarray(branch.member("fBasketBytes")[:count], dtype=np.int64),
        first=first,
        embedded=embedded,
    )


class BasketReader:
    """Ranges of entries of some branches; the baskets that a range ends in are kept for the next.

    Raises ValueError, EOFError and the decompressors' errors on damaged baskets.
    """

    def __init__(self, source: Bytes, branches: Mapping[str, Baskets]) -> None:
        self._source = source
        self._branches = dict(branches)
        self._kept: dict[str, tuple[int, Column]] = {}
        self._decompress = Decompressor()

    def column(self, name: str, start: int, stop: int) -> Column:
        """Values of the entries from `start` up to, not including, `stop`, in the machine's byte order."""
        out = np.empty(stop - start, dtype=self._branches[name].native)
        for begin, values in self._pieces(name, start, stop):
            out[begin - start : begin - start + len(values)] = values
        return out

    def _pieces(self, name: str, start: int, stop: int) -> Iterator[tuple[int, Column]]:
        """(first entry, stored values) of every basket that the range touches, cut to the range."""
        branch = self._branches[name]
        if not 0 <= start <= stop <= branch.entries:
            raise ValueError(f"entries {start} to {stop} of {branch.entries}")
        number = int(np.searchsorted(branch.first, start, side="right")) - 1
        while start < stop:
            begin, end = int(branch.first[number]), int(branch.first[number + 1])
            if end > start:
                values = self._basket(name, number)
                if end > stop:
                    self._kept[name] = (number, values)
                yield start, values[start - begin : stop - begin]
                start = min(end, stop)
            number += 1

    def _basket(self, name: str, number: int) -> Column:
        kept = self._kept.pop(name, None)
        if kept is not None and kept[0] == number:
            return kept[1]
        branch = self._branches[name]
        if number >= len(branch.seek):
            return branch.embedded[number - len(branch.seek)]
        seek, size = int(branch.seek[number]), int(branch.size[number])
        expected = int(branch.first[number + 1] - branch.first[number])
        content = self._content(self._source.read(seek, size), seek, branch.name, expected)
        values = np.frombuffer(content, dtype=branch.stored)
        if len(values) != expected:
            raise ValueError(f"basket {number} holds {len(values):,} values instead of {expected:,}")
        return values

    def _content(self, basket: bytes, seek: int, name: bytes, entries: int) -> memoryview:
        """The values' bytes of a basket with its key; what the key says of itself must fit."""
        total, version, size, _, header, _ = _KEY.unpack_from(basket)
        address = ">q" if version > _LARGE_KEY else ">i"
        if total != len(basket) or not _KEY.size + _BASKET.size < header <= total:
            raise ValueError("a basket's size is not what the tree says")
        (itself,) = struct.unpack_from(address, basket, _KEY.size)
        strings = _KEY.size + 2 * struct.calcsize(address)
        if itself != seek or _text(basket, strings) != b"TBasket":
            raise ValueError("a basket is not where the tree says")
        if _text(basket, strings + 1 + len(b"TBasket")) != name:
            raise ValueError("a basket belongs to another branch than the tree says")
        *_, stored, last, _ = _BASKET.unpack_from(basket, header - _BASKET.size)
        if stored != entries or not 0 <= last - header <= size:
            raise ValueError(f"a basket says that it has {stored:,} entries, the tree {entries:,}")
        content = memoryview(basket)[header:]
        if len(content) != size:
            content = memoryview(self._decompress(content, size))
        return content[: last - header]


def _text(basket: bytes, at: int) -> bytes:
    """A string of the key: one byte of length, or 255 and four bytes."""
    length, start = basket[at], at + 1
    if length == 255:
        (length,) = struct.unpack_from(">i", basket, start)
        start += 4
    return basket[start : start + length]


class Decompressor:
    """Compressed blocks of ROOT, by the fastest library for each method (docs/performance.md); for one thread.

    Raises ValueError and the libraries' own errors on damaged blocks.
    """

    def __init__(self) -> None:
        self._zstandard = zstandard.ZstdDecompressor()  # making one costs more than a small basket
        self._methods: dict[bytes, Callable[[memoryview, int], Any]] = {
            b"ZL": deflate.zlib_decompress,
            b"ZS": self._zstd,
            b"L4": _lz4,
            b"XZ": _xz,
        }

    def __call__(self, content: memoryview, size: int) -> Any:
        """One or more blocks, joined: a buffer of `size` bytes."""
        blocks: list[Any] = []
        at = found = 0
        while at < len(content):
            method, _, packed, unpacked = _BLOCK.unpack_from(content, at)
            begin, expected = at + _BLOCK.size, int.from_bytes(unpacked, "little")
            at = begin + int.from_bytes(packed, "little")
            if at > len(content) or method not in self._methods:
                raise ValueError(f"a compressed block of unknown method {method!r}, or longer than its basket")
            block = self._methods[method](content[begin:at], expected)
            if len(block) != expected:
                raise ValueError(f"a compressed block holds {len(block):,} bytes instead of {expected:,}")
            blocks.append(block)
            found += expected
        if found != size:
            raise ValueError(f"a basket holds {found:,} bytes instead of {size:,}")
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def _zstd(self, block: memoryview, size: int) -> Any:
        return self._zstandard.decompress(block, max_output_size=size)


def _lz4(block: memoryview, size: int) -> Any:
    (checksum,) = _CHECKSUM.unpack_from(block)
    data = block[_CHECKSUM.size :]
    if xxhash.xxh64_intdigest(data) != checksum:
        raise ValueError("the checksum of a compressed block is not that of its content")
    return cramjam.lz4.decompress_block(data, output_len=size)


def _xz(block: memoryview, size: int) -> Any:
    return cramjam.xz.decompress(block, output_len=size)
