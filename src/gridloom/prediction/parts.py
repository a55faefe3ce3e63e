"""Records on their way to the friend tree, kept so that a killed task goes on where it was."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from gridloom.errors import DamagedResult
from gridloom.files import full_disk_named, write_json
from gridloom.prediction.layout import Records

_PART = 200_000
_EVERY = 10.0  # seconds of work that a kill may cost


class Parts:
    """Records of one file: appended in order; what was kept is found again by the next attempt."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[np.void]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._dtype = dtype
        self._path = folder / f"{name}.records"
        self._known = folder / f"{name}.json"
        self.rows = self._kept()
        self._stream = self._path.open("r+b" if self._path.exists() else "w+b")
        self._stream.truncate(self.rows * dtype.itemsize)
        self._stream.seek(0, os.SEEK_END)
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.close()

    def _kept(self) -> int:
        """Rows that are surely on the disk, and of these columns."""
        try:
            known = json.loads(self._known.read_text(encoding="utf-8"))
            size = self._path.stat().st_size
        except (OSError, ValueError):
            return 0
        rows = int(known["rows"])
        same = known["columns"] == _described(self._dtype) and size >= rows * self._dtype.itemsize
        return rows if same else 0

    def append(self, records: Records) -> None:
        with full_disk_named(self._path):
            self._stream.write(records.data)
        self.rows += len(records)
        if time.monotonic() - self._saved > _EVERY:
            self.keep()

    def keep(self) -> None:
        """Have all that was appended on the disk, and only then say so."""
        with full_disk_named(self._path):
            self._stream.flush()
            os.fsync(self._stream.fileno())
            write_json(self._known, {"rows": self.rows, "columns": _described(self._dtype)})
        self._saved = time.monotonic()

    def read(self, rows: int) -> Iterator[Records]:
        """All records in parts. Raises DamagedResult unless there are `rows` of them."""
        self._stream.flush()
        if self.rows != rows:
            raise DamagedResult(
                f"{self.rows:,} scores for {rows:,} entries", where=str(self._path), fix="Delete this file; run again."
            )
        with self._path.open("rb") as stream:
            for begin in range(0, rows, _PART):
                yield np.fromfile(stream, dtype=self._dtype, count=min(_PART, rows - begin))


def _described(dtype: np.dtype[np.void]) -> list[list[str]]:
    return [[name, dtype[name].str] for name in dtype.names or ()]
