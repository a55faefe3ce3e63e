"""What a job has said so far: its notes folded into how often it began, where, how far it is, and how it left."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from gridloom.messages import Note, progress_of
from gridloom.task import Progress


@dataclass
class Heard:
    """One job, as its notes tell it."""

    began: float | None = None
    restarts: int = 0
    host: str = ""
    job: str = ""
    progress: Progress | None = None
    left: Note | None = None
    lost_seconds: float | None = None
    last: float = 0.0

    @property
    def lost_at_end(self) -> float | None:
        """Work of a job that has left, from the state that it left behind to its end; None where it did not say."""
        return None if self.left is None else self._work_since(self.left.saved)

    def _work_since(self, saved: float | None) -> float | None:
        """Work of the newest start since a state; one that it has brought along is older than the start."""
        return None if self.began is None else max(0.0, self.last - max(self.began, saved or 0.0))

    def hear(self, note: Note) -> None:
        """Take the next note in."""
        if note.kind == "began":
            self._begin(note)
        elif note.kind == "progress" and note.step is not None:
            self.progress = progress_of(note.step)
        elif note.kind == "left":
            self.left = note
            self.host = note.host or self.host
        self.last = max(self.last, note.at)

    def _begin(self, note: Note) -> None:
        planned = self.left is not None and self.left.reason == "planned"
        if self.began is not None and not planned:
            self.restarts += 1
            self.lost_seconds = self._work_since(note.saved)
        self.began, self.host, self.job, self.left = note.at, note.host, note.job, None


@dataclass
class NotesReader:
    """Reads a growing file of notes; a line that is still being written waits for the next look."""

    path: Path
    heard: Heard = field(default_factory=Heard)
    _offset: int = 0

    def look(self) -> Heard:
        """All that has been said until now."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                content = stream.read()
        except FileNotFoundError:
            return self.heard
        end = content.rfind(b"\n") + 1
        self._offset += end
        for line in content[:end].splitlines():
            note = parse_note(line)
            if note is not None:
                self.heard.hear(note)
        return self.heard


def parse_note(line: bytes | str) -> Note | None:
    """A note, or None for a line that is none (a full disk cuts lines short)."""
    try:
        return Note.model_validate_json(line)
    except ValidationError:
        return None
