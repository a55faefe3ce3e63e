"""A job's own folder on a node without a shared file system: inputs were brought there, `state/` is brought back.

<id of an input task>/       results that the task needs
input-<n>-<name>             ROOT files
code/                        the user's own modules
<task id>.scratch/           what an earlier job saved; taken over into state/ if that has nothing newer
state/scratch/               checkpoints        state/result/   the finished result
state/left.json              when the state was saved
store/                       the store as the worker sees it, made of the above
"""

from __future__ import annotations

import json
import shutil
import tarfile
import time
from contextlib import suppress
from pathlib import Path

from gridloom.assignment import RESULT_FOLDER, SAVED_STATE, SCRATCH, STATE, Assignment
from gridloom.files import write_json

_LEFT = "left.json"
_STORE = "store"


class Sandbox:
    """The folder that a job was started in."""

    def __init__(self, folder: Path) -> None:
        self.entered = time.time()
        self._folder = folder
        self._state = folder / STATE
        self._store = folder / _STORE

    @property
    def saved(self) -> float | None:
        """When the state that was brought here was saved; None if there is none."""
        try:
            saved = json.loads((self._state / _LEFT).read_text())["saved"]
        except (OSError, ValueError, KeyError):
            return None
        return float(saved) if saved is not None else None

    def stage_in(self, assignment: Assignment) -> Assignment:
        """Lay the store out and have the task find all that was brought."""
        task = assignment.task
        self._store.mkdir(exist_ok=True)
        for name in task.inputs:
            if not (self._store / name).exists():
                (self._folder / name).rename(self._store / name)
        scratch = self._state / SCRATCH
        brought = self._folder / f"{task.id}.scratch"
        if brought.exists() and not scratch.exists():
            brought.rename(scratch)
        scratch.mkdir(parents=True, exist_ok=True)
        link = self._store / f"{task.id}.scratch"
        link.unlink(missing_ok=True)
        link.symlink_to(scratch.resolve())
        files = tuple(
            file.model_copy(update={"copies": {path: str(self._folder / name) for path, name in file.copies.items()}})
            for file in task.files
        )
        code = self._folder / "code"
        folder = str(code) if code.is_dir() else task.folder
        return assignment.model_copy(
            update={
                "task": task.model_copy(update={"files": files, "folder": folder}),
                "store": str(self._store),
            }
        )

    def keep_result(self, task_id: str) -> None:
        """Put the finished result where it is brought back from; checkpoints are not needed any more."""
        shutil.rmtree(self._state / RESULT_FOLDER, ignore_errors=True)
        (self._store / task_id).rename(self._state / RESULT_FOLDER)
        shutil.rmtree(self._state / SCRATCH, ignore_errors=True)
        (self._state / _LEFT).unlink(missing_ok=True)

    def keep_state(self, saved: float | None) -> None:
        """Say when the state that goes back was saved."""
        write_json(self._state / _LEFT, {"saved": saved})

    def packed_state(self) -> Path:
        """The state as one file, for a job that is removed: nothing else of it is brought back."""
        archive = self._folder / SAVED_STATE
        with tarfile.open(archive, "w") as packed:
            packed.add(self._state, arcname=STATE)
        return archive


def newest_change(folder: Path) -> float | None:
    """When anything below a folder was last written; None if there is nothing."""
    newest: float | None = None
    with suppress(FileNotFoundError):  # another job may still be on the task, and move what is looked at
        for path in folder.rglob("*"):
            if path.is_file():
                newest = max(newest or 0.0, path.stat().st_mtime)
    return newest
