"""Files written whole or not at all, canonical JSON, digests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gridloom.errors import DiskFull, GridloomError, NotWritable

_NO_SPACE = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "no space left in your quota",
    errno.EFBIG: "a file may not grow any more (`ulimit -f`, or a limit of the file system)",
}
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
# NumPy says only so much of a write that was cut short.
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """Turn "no space left" below `path` into DiskFull, which says where and what to do."""
    try:
        yield
    except GridloomError:
        raise
    except Exception as error:
        space = _no_space(error)
        if space:
            raise DiskFull(
                space,
                where=str(path),
                fix="Free some space (`gridloom clean` removes results that no run uses) and run again: "
                "what was finished is kept.",
            ) from error
        raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says when `path` cannot be written into DiskFull or NotWritable."""
    try:
        with full_disk_named(path):
            yield
    except OSError as error:
        if error.errno in _FORBIDDEN:
            raise NotWritable(
                f"cannot be written: {error.strerror}",
                where=str(error.filename or path),
                fix="Name another folder with `--runs`, or change what stands in the way.",
            ) from error
        raise


def _no_space(error: Exception) -> str:
    """Which kind of space has run out; nothing if none has. Compiled libraries hide the number in their text."""
    for number, text in _NO_SPACE.items():
        if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
            return text
    cut_short = isinstance(error, OSError) and error.errno is None and _CUT_SHORT.search(str(error))
    return _NO_SPACE[errno.ENOSPC] if cut_short else ""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old content or the new, never a part; durable on return."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no white space; NaN and infinity raise ValueError."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def write_json(path: Path, value: object) -> None:
    """Write JSON for people and machines: sorted keys, indented, no NaN."""
    write_text(path, json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def digest_bytes(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def digest_json(value: object) -> str:
    """SHA-256 of the canonical JSON."""
    return digest_bytes(canonical_json(value).encode())


def digest_file(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
