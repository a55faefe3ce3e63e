"""TensorBoard event files without TensorFlow: scalars by epoch.

A file is a sequence of records (length, checksum, content, checksum), each holding one `Event` message of Protocol
Buffers: record_writer.h, event.proto and summary.proto of TensorFlow.
"""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_CASTAGNOLI = 0x82F63B78


class EventFile:
    """An event file for one training, rewritten from the history when a training is resumed."""

    def __init__(self, folder: Path, history: Sequence[Mapping[str, float]]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._path = folder / f"events.out.tfevents.{int(time.time()):010d}.gridloom"
        self._append(_text(3, "brain.Event:2"))
        for record in history:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> None:
        """Write one epoch's numbers."""
        values = b"".join(_scalar(name, value) for name, value in record.items() if name != "epoch")
        self._append(_key(2, 0) + _varint(int(record["epoch"])) + _bytes(5, values))

    def _append(self, content: bytes) -> None:
        event = _key(1, 1) + struct.pack("<d", time.time()) + content
        length = struct.pack("<Q", len(event))
        with self._path.open("ab") as stream:
            stream.write(length + _checksum(length) + event + _checksum(event))


def _scalar(name: str, value: float) -> bytes:
    """`Summary.value` with the tag, the plug-in that shows it, and a float tensor without dimensions."""
    metadata = _bytes(1, _text(1, "scalars"))
    tensor = _key(1, 0) + _varint(1) + _bytes(2, b"") + _bytes(5, struct.pack("<f", value))
    return _bytes(1, _text(1, name) + _bytes(8, tensor) + _bytes(9, metadata))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _varint(number: int) -> bytes:
    digits = []
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*digits, number])


def _checksum(content: bytes) -> bytes:
    """CRC-32C, masked as the format wants it."""
    rest = 0xFFFFFFFF
    for byte in content:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (_CASTAGNOLI if rest & 1 else 0)
    crc = rest ^ 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
