"""The entries of a task's files as they go by: progress, and the end when the task is asked to stop."""

from __future__ import annotations

from collections.abc import Iterator

from gridloom.data.ntuple import Ntuple
from gridloom.data.trees import Chunk
from gridloom.errors import Interrupted
from gridloom.task import Context, InputFile, Progress


class Watch:
    """Counts entries over all files; `text` is what the progress says besides."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._total = sum(file.entries for file in context.task.files)
        self._before = 0  # entries of the files that are finished
        self._done = 0
        self.text = ""

    def chunks(self, ntuple: Ntuple) -> Iterator[Chunk]:
        """A file's chunks; raises Interrupted between two of them."""
        for chunk in ntuple.chunks():
            self.heed()
            yield chunk
            self._tell(self._before + chunk.stop)

    def next(self, file: InputFile) -> None:
        """A file is finished with, whether its chunks went by or not."""
        self._before += file.entries
        self._tell(self._before)

    def heed(self) -> None:
        """Raise Interrupted when the task was asked to stop."""
        if self._context.stop():
            raise Interrupted(
                f"stopped after {self._done:,} of {self._total:,} entries",
                where=self._context.task.label,
                fix="Run again: this task starts anew, finished ones are kept.",
            )

    def _tell(self, done: int) -> None:
        if done != self._done:
            self._done = done
            self._context.progress(Progress(done=done, total=self._total, text=self.text))
