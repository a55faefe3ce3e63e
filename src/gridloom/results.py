"""The store: results by task id, shared by all runs.

    <id>/                   a finished result: its files and, written last, result.json
    <id>.attempt-<token>/   what an attempt writes
    <id>.scratch/           checkpoints: outlives attempts, removed when the task is done; its lock says that a
                            worker is on the task
    <id>.damaged-<token>/   a result that disagreed with its own digests

An attempt becomes the result by one rename, so the first valid result wins and no reader sees a part of one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from gridloom.errors import DamagedResult, Interrupted, RunLocked
from gridloom.files import digest_file, full_disk_named, write_json, writing

RESULT = "result.json"
_FIX = "`gridloom run` sets it aside and computes it again."
_SHORT, _LONG_CLEAN = 10.0, 300.0  # seconds of patience
_WAIT = 0.1  # seconds between two looks at a task that another worker holds


def _inside(path: str) -> str:
    """Results travel between machines: a name must not lead out of their folder."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ValueError("a name that leads out of the result's folder")
    return path


class Output(BaseModel):
    """One file of a result; the time of its last change saves reading files that nobody touched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, AfterValidator(_inside)]
    size: int
    sha256: str
    changed_ns: int


class Image(BaseModel):
    """The container image that a result was made in. All forms of an image (docker, SIF, directory) share a digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    digest: str
    runtime: str


class Result(BaseModel):
    """Content of result.json: every output with size and digest, and who made it when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    kind: str
    label: str
    token: str
    outputs: tuple[Output, ...]
    host: str
    user: str
    started: float
    seconds: float
    versions: dict[str, str]
    image: Image | None = None


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What `clean` removed (or would remove)."""

    name: str
    size: int


@dataclass(frozen=True)
class Store:
    """The folder of results."""

    root: Path

    def folder(self, task_id: str) -> Path:
        return self.root / task_id

    def attempt(self, task_id: str, token: str) -> Path:
        return self.root / f"{task_id}.attempt-{token}"

    def scratch(self, task_id: str) -> Path:
        return self.root / f"{task_id}.scratch"

    def has_state(self, task_id: str) -> bool:
        """Whether an earlier attempt has left something to go on from."""
        scratch = self.scratch(task_id)
        return scratch.is_dir() and any(scratch.iterdir())

    def find(self, task_id: str) -> Result | None:
        """The result of a task, or None while there is none.

        Raises DamagedResult when result.json is unreadable or says that it is the result of another task.
        """
        path = self.folder(task_id) / RESULT
        try:
            result = Result.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            if self.folder(task_id).exists():
                raise DamagedResult("the result has no result.json", where=str(path.parent), fix=_FIX) from None
            return None
        except ValidationError as error:
            raise DamagedResult("result.json cannot be read", where=str(path), fix=_FIX) from error
        if result.task != task_id:
            raise DamagedResult(f"this is the result of another task, {result.task}", where=str(path), fix=_FIX)
        return result

    def verify(self, task_id: str, *, fully: bool = False) -> Result | None:
        """Compare a result with its sizes and digests; None while there is none.

        A file whose size and time of change are the recorded ones is read again only if `fully`.
        Raises DamagedResult.
        """
        result = self.find(task_id)
        if result is None:
            return None
        for output in result.outputs:
            self._verify_output(self.folder(task_id) / output.path, output, fully=fully)
        return result

    def _verify_output(self, path: Path, output: Output, *, fully: bool) -> None:
        try:
            found = path.stat()
        except OSError as error:
            raise DamagedResult("a file of the result is missing", where=str(path), fix=_FIX) from error
        if found.st_size != output.size:
            raise DamagedResult(
                f"the file has {found.st_size} bytes, result.json says {output.size}", where=str(path), fix=_FIX
            )
        if (fully or found.st_mtime_ns != output.changed_ns) and digest_file(path) != output.sha256:
            raise DamagedResult("the file's content disagrees with its digest", where=str(path), fix=_FIX)

    def finish(self, attempt: Path, result: Result) -> Result:
        """Make an attempt the task's result: result.json last, then one rename. The first one wins and is returned."""
        final = self.folder(result.task)
        with full_disk_named(attempt):
            write_json(attempt / RESULT, result.model_dump(mode="json"))
            try:
                attempt.rename(final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                first = self.find(result.task)
                shutil.rmtree(attempt)
                return first or result
            _make_durable(self.root)
        return result

    def adopt(self, brought: Path, task_id: str, token: str) -> Result:
        """Make a result that was brought from elsewhere the task's own, if it agrees with its digests.

        Raises DamagedResult, and then leaves it where it is. The first result of a task wins.
        """
        result = self._read_brought(brought, task_id)
        listed = {output.path for output in result.outputs} | {RESULT}
        for path in brought.rglob("*"):
            if path.is_symlink() or (path.is_file() and path.relative_to(brought).as_posix() not in listed):
                path.unlink()
        for output in result.outputs:
            self._verify_output(brought / output.path, output, fully=True)
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            attempt = self.attempt(task_id, token)
            shutil.rmtree(attempt, ignore_errors=True)
            shutil.move(brought, attempt)
            # The times of change that were recorded are those of another disk.
            outputs = list_outputs(attempt)
        return self.finish(attempt, result.model_copy(update={"outputs": outputs}))

    def _read_brought(self, brought: Path, task_id: str) -> Result:
        path = brought / RESULT
        if brought.is_symlink():
            raise DamagedResult("the result that came back is a link", where=str(brought))
        try:
            result = Result.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise DamagedResult("the result that came back has no readable result.json", where=str(path)) from error
        if result.task != task_id:
            raise DamagedResult(f"the result that came back is one of {result.task}", where=str(path))
        return result

    def keep_scratch(self, brought: Path, task_id: str) -> bool:
        """Put a state that was saved elsewhere where the task's next attempt goes on from; not while one is on it."""
        scratch = self.scratch(task_id)
        if _is_locked(scratch):
            return False
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.move(brought, scratch)
        return True

    def discard(self, task_id: str) -> None:
        """Forget a result that was taken elsewhere, and what its attempts have left."""
        gone = self.root / f"{task_id}.discarded"
        with suppress(FileNotFoundError):
            self.folder(task_id).rename(gone)
        for folder in (gone, self.scratch(task_id)):
            shutil.rmtree(folder, ignore_errors=True)

    def quarantine(self, task_id: str, token: str) -> Path:
        """Set a damaged result aside, so that it is computed again and can still be looked at."""
        aside = self.root / f"{task_id}.damaged-{token}"
        self.folder(task_id).rename(aside)
        return aside

    def entries(self) -> tuple[Path, ...]:
        """Every folder of the store."""
        return tuple(sorted(path for path in self.root.glob("*") if path.is_dir()))

    def finished(self, kind: str) -> Iterator[str]:
        """Ids of all results of a kind; nothing of them is verified."""
        with suppress(FileNotFoundError), os.scandir(self.root) as found:
            yield from (entry.name for entry in found if entry.name.startswith(f"{kind}-") and "." not in entry.name)

    def clean(self, keep: Collection[str], *, dry_run: bool = False) -> tuple[Removed, ...]:
        """Remove what no id in `keep` needs, set-aside results and attempts whose worker is gone."""
        removed = []
        for path in self.entries():
            task_id, _, rest = path.name.partition(".")
            wanted = task_id in keep and not rest.startswith(("attempt-", "damaged-"))
            if wanted or _is_locked(self.scratch(task_id)):
                continue
            removed.append(Removed(name=path.name, size=folder_size(path)))
            if not dry_run:
                shutil.rmtree(path)
        return tuple(removed)

    @contextmanager
    def work(self, task_id: str, token: str, stop: Callable[[], bool]) -> Iterator[Path | None]:
        """An empty attempt folder, or None if the task has a result (or gets one while waiting).

        Two workers on one task (two runs that share it, or one left over from a killed driver) take turns: the
        scratch folder is locked. Raises Interrupted when `stop` comes true while waiting.
        """
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = self._lock_scratch(task_id, stop)
        if lock is None:
            yield None
            return
        attempt = self.attempt(task_id, token)
        # Whoever made these was killed: the lock says that nobody else is on the task.
        for left in self.root.glob(f"{task_id}.attempt-*"):
            shutil.rmtree(left)
        try:
            with full_disk_named(self.root):
                attempt.mkdir()
            yield attempt
            shutil.rmtree(self.scratch(task_id), ignore_errors=True)
        finally:
            shutil.rmtree(attempt, ignore_errors=True)
            os.close(lock)

    def _lock_scratch(self, task_id: str, stop: Callable[[], bool]) -> int | None:
        scratch = self.scratch(task_id)
        while self.find(task_id) is None:
            scratch.mkdir(exist_ok=True)
            handle = _try_lock(scratch)
            if handle is not None:
                # The former holder may have finished, and removed the folder, between the look and the lock.
                if self.find(task_id) is None and _same_folder(handle, scratch):
                    return handle
                os.close(handle)
                continue
            if stop():
                raise Interrupted("stopped while another worker holds the task", where=task_id)
            time.sleep(_WAIT)
        return None

    @contextmanager
    def referring(self) -> Iterator[None]:
        """Hold off `clean` while a run's manifest is written; what the run then finds stays. Raises RunLocked."""
        with self._gate(fcntl.LOCK_SH, _LONG_CLEAN):
            yield

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Hold off new manifests while results that none refers to are removed. Raises RunLocked."""
        with self._gate(fcntl.LOCK_EX, _SHORT):
            yield

    @contextmanager
    def _gate(self, how: int, patience: float) -> Iterator[None]:
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.root, os.O_RDONLY)
        try:
            deadline = time.monotonic() + patience
            while not _lock(handle, how):
                if time.monotonic() > deadline:
                    raise RunLocked(
                        "results are just being removed, or a run is about to begin",
                        where=str(self.root),
                        fix="Try again in a moment.",
                    )
                time.sleep(_WAIT)
            yield
        finally:
            os.close(handle)


def list_outputs(folder: Path) -> tuple[Output, ...]:
    """Every file below a folder with size and SHA-256; each is on the disk, not only in memory, on return."""
    outputs = []
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path == folder / RESULT:
            continue
        with full_disk_named(path):
            _make_durable(path)
        found = path.stat()
        outputs.append(
            Output(
                path=path.relative_to(folder).as_posix(),
                size=found.st_size,
                sha256=digest_file(path),
                changed_ns=found.st_mtime_ns,
            )
        )
    return tuple(outputs)


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _try_lock(folder: Path) -> int | None:
    """An open handle that holds the lock of a folder, or None if another process holds it or the folder is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    if _lock(handle, fcntl.LOCK_EX):
        return handle
    os.close(handle)
    return None


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(folder: Path) -> bool:
    if not folder.exists():
        return False
    handle = _try_lock(folder)
    if handle is None:
        return True
    os.close(handle)
    return False


def _same_folder(handle: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
