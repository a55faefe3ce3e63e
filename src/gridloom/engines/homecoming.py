"""What comes back without a shared file system: log and error to the job's folder, result and state to the store."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from gridloom.assignment import ERROR_FILE, LOG_FILE, RESULT_FOLDER, SAVED_STATE, SCRATCH, STATE
from gridloom.errors import DamagedResult
from gridloom.files import full_disk_named
from gridloom.results import Store


def bring_log_home(folder: Path) -> None:
    """Put log and error of a job where they lie with a shared folder, too. May be done again."""
    _unpack(folder)
    for name in (LOG_FILE, ERROR_FILE):
        if (folder / STATE / name).is_file():
            (folder / STATE / name).replace(folder / name)


def bring_work_home(folder: Path, store: Store, task_id: str, token: str) -> DamagedResult | None:
    """Put a job's result, or the state that it saved, into the store; the error if the result is damaged."""
    bring_log_home(folder)
    state = folder / STATE
    try:
        if (state / RESULT_FOLDER).is_dir():
            store.adopt(state / RESULT_FOLDER, task_id, token)
        elif (state / SCRATCH).is_dir() and any((state / SCRATCH).iterdir()):
            store.keep_scratch(state / SCRATCH, task_id)
    except DamagedResult as error:
        aside = folder / f"damaged-{token}"
        (state / RESULT_FOLDER).rename(aside)
        return DamagedResult(error.what, where=str(aside), fix=error.fix)
    shutil.rmtree(state, ignore_errors=True)
    return None


def _unpack(folder: Path) -> None:
    """The state that a job sent when it was removed; names that lead out of the folder are refused by the filter."""
    archive = folder / SAVED_STATE
    if not archive.is_file():
        return
    try:
        if not _has_its_end(archive):
            raise tarfile.ReadError("cut off")
        with full_disk_named(folder), tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError):
        # Cut off on its way: the state before it is what there is.
        shutil.rmtree(folder / STATE, ignore_errors=True)
    archive.unlink()


def _has_its_end(archive: Path) -> bool:
    """Whether the end of an archive is there: to tarfile, one that was cut off in a header is only a shorter one."""
    size, end = archive.stat().st_size, 2 * tarfile.BLOCKSIZE
    with archive.open("rb") as stream:
        stream.seek(max(0, size - end))
        return size % tarfile.RECORDSIZE == 0 and stream.read() == bytes(end)
