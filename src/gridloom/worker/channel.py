"""How a job on a node is heard: notes go into a file on a shared folder, or by chirp into HTCondor's event log."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gridloom.messages import Note

# Seconds between two notes of progress, by how long the job has been running: a thousand jobs must not flood anyone.
_PACE = ((60.0, 2.0), (600.0, 10.0), (3600.0, 30.0))
_SLOWEST = 60.0
_PATIENCE = 2  # seconds
_LONGEST = 900  # bytes that HTCondor's event log takes for sure


class Channel(Protocol):
    """Carries notes to the submitting side; it may fail, and a task does not end for that."""

    def tell(self, note: Note) -> None: ...

    def deliver(self, archive: Path) -> None: ...


class NotesFile:
    """Notes as lines of a file that the submitting side reads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def tell(self, note: Note) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, note.line())
        finally:
            os.close(handle)

    def deliver(self, archive: Path) -> None:
        """Nothing: the saved state lies on the shared folder already."""


class Chirp:
    """Notes as events of the job in HTCondor's event log, and files put beside the job on the submitting side."""

    def __init__(self, target: str) -> None:
        self._target = target

    def tell(self, note: Note) -> None:
        import htchirp

        text = note.line().decode().strip()
        if len(text.encode()) > _LONGEST:
            text = note.model_copy(update={"reason": note.reason[:200], "step": None}).line().decode().strip()
        # A signal must not wait long for a line to the watcher.
        with htchirp.HTChirp(timeout=_PATIENCE) as chirp:
            chirp.ulog(text)

    def deliver(self, archive: Path) -> None:
        import htchirp

        with htchirp.HTChirp() as chirp:
            chirp.put(str(archive), self._target)


def quietly(deed: Callable[[], None]) -> None:
    """Do what concerns only those who watch; what stands in its way is printed into the log."""
    try:
        deed()
    except Exception as error:  # noqa: BLE001 - a broken line to the watcher is no reason to lose the task's work
        with suppress(OSError):  # the disk may be full
            os.write(2, f"could not tell the submitting side: {type(error).__name__}: {error}\n".encode())


def pace(running: float) -> float:
    """Seconds until the next note of progress of a job that has been running so long."""
    return next((every for until, every in _PACE if running < until), _SLOWEST)
