"""One task: find the function of its kind, give it a Context, make what it wrote a result."""

from __future__ import annotations

import getpass
import importlib
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gridloom.assignment import ERROR_FILE, Assignment
from gridloom.environment import code_digest, versions
from gridloom.errors import DamagedResult, EnvironmentProblem, GridloomError, TaskFailed, UserModelError
from gridloom.files import full_disk_named, write_json
from gridloom.messages import errors_as_json
from gridloom.results import Result, Store, list_outputs
from gridloom.task import Context, Progress, Task
from gridloom.worker import inside

# What does each kind of task; imported by the worker that does one, never by the side that submits.
KINDS: dict[str, str] = {
    "prepare": "gridloom.data.prepare:run",
    "tune": "gridloom.training.tune:run",
    "train": "gridloom.training.train:run",
    "reference": "gridloom.training.reference:run",
    "evaluate": "gridloom.training.evaluate:run",
    "report": "gridloom.report.task:run",
    "predict": "gridloom.prediction.task:run",
    "export": "gridloom.export.task:run",
    "probe": "gridloom.worker.probe:run",
}


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a task hears that it should stop, and says how far it is."""

    stop: Callable[[], bool]
    progress: Callable[[Progress], None]


def perform(assignment: Assignment, hooks: Hooks, *, kinds: Mapping[str, str] = KINDS) -> Result:
    """Do a task and store its result; the result already there if there is one.

    Raises the GridloomError that the task raised; OSErrors of a full disk as DiskFull.
    """
    task = assignment.task
    store = Store(Path(assignment.store))
    started = time.time()
    clock = time.monotonic()
    _check_code(task)
    with store.work(task.id, assignment.token, hooks.stop) as attempt:
        if attempt is None:
            return _stored(store, task.id)
        context = Context(
            task=task,
            inputs={name: _stored_folder(store, name) for name in task.inputs},
            output=attempt,
            scratch=store.scratch(task.id),
            stop=hooks.stop,
            progress=hooks.progress,
            donor=store.folder(assignment.donor) if assignment.donor else None,
        )
        with full_disk_named(attempt):
            load_function(kinds[task.kind])(context)
        result = Result(
            task=task.id,
            kind=task.kind,
            label=task.label,
            token=assignment.token,
            outputs=list_outputs(attempt),
            host=socket.gethostname(),
            user=user_name(),
            started=started,
            seconds=time.monotonic() - clock,
            versions=versions(task.packages),
            image=inside.image(),
        )
        return store.finish(attempt, result)


def load_kinds(reference: str) -> Mapping[str, str]:
    """A mapping from kind to `module:function` that stands in for the built-in one (for tests and plug-ins)."""
    module, _, name = reference.partition(":")
    kinds: Mapping[str, str] = getattr(importlib.import_module(module), name)
    return kinds


def load_function(reference: str) -> Callable[[Context], object]:
    """The function behind `module:function`. Raises EnvironmentProblem when a library it needs is missing."""
    module, _, name = reference.partition(":")
    try:
        function: Callable[[Context], object] = getattr(importlib.import_module(module), name)
    except ImportError as error:
        traceback.print_exc()
        raise EnvironmentProblem(
            f"cannot import {module}: {error}",
            where=sys.prefix,
            fix="Install Gridloom with its locked requirements, as the README says.",
        ) from error
    return function


def known_error(error: BaseException, *, what: str, log: Path) -> GridloomError:
    """The error to report: the task's own, or TaskFailed for anything unforeseen, whose traceback goes to the log."""
    if isinstance(error, GridloomError):
        return error
    traceback.print_exception(error)
    if isinstance(error, MemoryError):
        return TaskFailed(
            f"{what} ran out of memory", where=str(log), fix="Free memory or use fewer --jobs, and run again."
        )
    text = "".join(traceback.format_exception_only(error)).strip()
    return TaskFailed(f"{what} failed: {text}", where=str(log), fix="The log holds the whole story.")


def write_error(folder: Path, error: GridloomError) -> None:
    """Leave `error.json` beside the task.json."""
    write_json(folder / ERROR_FILE, list(errors_as_json(error)))


def _check_code(task: Task) -> None:
    """Refuse to make a result under the name of code that has changed since it was planned."""
    analysis = task.parameters.get("analysis")
    model = analysis.get("model") if isinstance(analysis, dict) else None
    function = model.get("function") if isinstance(model, dict) else None
    if task.code and isinstance(function, str) and code_digest(function, Path(task.folder)) != task.code:
        raise UserModelError(
            "the code of the user's model has changed since the run began",
            where=task.folder,
            fix="Run again: what depends on the model is done anew.",
            key=("model", "function"),
        )


def _stored(store: Store, task_id: str) -> Result:
    result = store.verify(task_id)
    if result is None:
        raise DamagedResult(
            "the result of an earlier task is not in the store",
            where=str(store.folder(task_id)),
            fix="Run again: it is computed anew.",
        )
    return result


def _stored_folder(store: Store, task_id: str) -> Path:
    _stored(store, task_id)
    return store.folder(task_id)


def user_name() -> str:
    """Who this process belongs to."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # In a container the user id may have no name.
        return "unknown"
