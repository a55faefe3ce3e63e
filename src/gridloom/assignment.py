"""What a worker is given: `task.json`, written by an engine and read by `python -m gridloom.worker`."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.errors import NotFound
from gridloom.files import write_text
from gridloom.task import Task

FILE = "task.json"
ERROR_FILE = "error.json"
LOG_FILE = "output.log"
NOTES_FILE = "notes.jsonl"
# What travels back from a node without a shared file system, and what is in it.
STATE = "state"
SCRATCH = "scratch"
RESULT_FOLDER = "result"
SAVED_STATE = "saved.tar"
# Beside the task: what is /tmp in a job's container.
JOB_TEMPORARY = ".tmp"
_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")


class Assignment(BaseModel):
    """One attempt at one task.

    `token` names the attempt; `store` is the folder of results as the worker sees it; `avoid` names nodes that have
    failed; `versions` are those that the task was planned with, to say what differs where they do. It `goes_on` where
    an earlier attempt has left its state in the store. `reads` are the folders that it must see
    in a container, where it shares a file system. `donor` is a result in the store from which events may be taken: a
    hint, which changes no result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Task
    token: str
    store: str
    avoid: tuple[str, ...] = ()
    versions: dict[str, str] = {}
    goes_on: bool = False
    reads: tuple[str, ...] = ()
    donor: str = ""

    @property
    def folder(self) -> str:
        """Name of the attempt's folder of log and messages, for people too."""
        return f"{_UNSAFE.sub('-', self.task.label)}-{self.token}"

    def as_text(self) -> str:
        """JSON in the models' own order: in `samples` and `definitions` the order has a meaning."""
        return self.model_dump_json(indent=1, exclude=self._unsaid) + "\n"

    @property
    def _unsaid(self) -> set[str]:
        return {name for name in ("avoid", "versions", "goes_on", "reads", "donor") if not getattr(self, name)}

    def write(self, folder: Path) -> Path:
        path = folder / FILE
        write_text(path, self.as_text())
        return path


def read_assignment(path: Path) -> Assignment:
    """Read a `task.json`. Raises NotFound when there is none or when it is not one."""
    try:
        return Assignment.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise NotFound(
            "this is no task that a worker can read",
            where=str(path),
            fix="Give the task.json that `gridloom run` wrote below the run's logs/ folder.",
        ) from error
