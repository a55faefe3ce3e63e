"""A production: which files to make, which of them exist already, and workers that make the rest."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal

from examples.simulation.process import Process
from examples.simulation.request import CHUNK, Job, Request, jobs_of

MANIFEST = "production.json"
LIBRARIES = ("awkward", "fastjet", "numpy", "pythia8mc", "uproot")


class ProductionError(Exception):
    """The production cannot go on; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """From a worker: so many more events are done, or a file is ready, or it cannot be made."""

    kind: Literal["events", "ready", "failed"]
    job: Job
    number: int = 0
    text: str = ""


def settings_digest(request: Request, process: Process) -> str:
    """SHA-256 of all that decides a process' files, but for their number: this code and its libraries too."""
    settings = {
        "process": asdict(process),
        "seed": request.seed,
        "signed": request.signed,
        "interactions": request.interactions,
        "detector": asdict(request.detector),
        "chunk": CHUNK,
        "code": {path.name: path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))},
        "libraries": {library: version(library) for library in LIBRARIES},
    }
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished file: its process, how it was made, generated events, size in bytes."""

    process: str
    settings: str
    events: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The finished files of a folder, by name; kept in the folder itself."""

    folder: Path
    settings: Mapping[str, str]
    files: dict[str, Finished]

    def has(self, job: Job) -> bool:
        """Is the job's file there, as the manifest knows it?"""
        path = self.folder / job.name
        return path.is_file() and self.files.get(job.name) == self._entry(job, path.stat().st_size)

    def add(self, job: Job, size: int) -> None:
        self.files[job.name] = self._entry(job, size)
        self._write()

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.folder / name).unlink(missing_ok=True)
            del self.files[name]
        self._write()

    def _entry(self, job: Job, size: int) -> Finished:
        name = job.process.name
        return Finished(process=name, settings=self.settings[name], events=job.events, size=size)

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {name: asdict(self.files[name]) for name in sorted(self.files)}
        temporary = self.folder / f".{MANIFEST}.part"
        temporary.write_text(json.dumps(content, indent=1) + "\n")
        temporary.replace(self.folder / MANIFEST)


def open_manifest(folder: Path, request: Request, *, overwrite: bool) -> Manifest:
    """The folder's manifest, new or that of an earlier call.

    Raises ProductionError if the folder holds files of the same processes that were made otherwise, or more of them
    than asked for, unless they may be overwritten.
    """
    settings = {process.name: settings_digest(request, process) for process in request.processes}
    path = folder / MANIFEST
    stored = json.loads(path.read_text()) if path.exists() else {}
    manifest = Manifest(
        folder=folder, settings=settings, files={name: Finished(**entry) for name, entry in stored.items()}
    )
    ours = {name: entry for name, entry in manifest.files.items() if entry.process in settings}
    if overwrite:
        manifest.remove(ours)
        return manifest
    if any(entry.settings != settings[entry.process] for entry in ours.values()):
        raise ProductionError(
            f"{folder} holds files made with other arguments or another version of the simulation.\n"
            "Choose another folder with --out, or replace them with --overwrite."
        )
    if surplus := sorted(set(ours) - {job.name for job in jobs_of(request)}):
        raise ProductionError(
            f"{folder} holds more than asked for: {', '.join(surplus)}.\n"
            "Ask for as many events, choose another folder with --out, or replace them with --overwrite."
        )
    return manifest


def produce(jobs: tuple[Job, ...], folder: Path, workers: int) -> Generator[Message, None, None]:
    """Make files in parallel and tell how it goes; stopping the iteration stops the workers.

    Raises ProductionError if a file cannot be made.
    """
    # The longest first, so that the workers end together; the order does not change any file.
    waiting = deque(sorted(jobs, key=lambda job: -job.events))
    pool: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(min(workers, len(jobs))):
            connection, process = _start(folder)
            pool[connection] = process
            connection.send(waiting.popleft())
        while pool:
            for ready in wait(list(pool)):
                assert isinstance(ready, Connection)
                message = _receive(ready)
                yield message
                if message.kind == "ready" and waiting:
                    ready.send(waiting.popleft())
                elif message.kind == "ready":
                    ready.send(None)
                    pool.pop(ready).join()
                    ready.close()
    finally:
        for connection, process in pool.items():
            process.terminate()
            process.join()
            connection.close()
        for part in folder.glob(".*.part"):
            part.unlink()


def _start(folder: Path) -> tuple[Connection, BaseProcess]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, folder), daemon=True)
    process.start()
    theirs.close()
    return ours, process


def _receive(connection: Connection) -> Message:
    try:
        message = connection.recv()
    except EOFError:
        raise ProductionError("a worker was killed, perhaps for memory; run again to go on") from None
    assert isinstance(message, Message)
    if message.kind == "failed":
        raise ProductionError(f"{message.job.name}: {message.text}")
    return message


def _work(connection: Connection, folder: Path) -> None:
    """Make files until there are no more. Runs in a process of its own, which Ctrl-C leaves to the parent to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # FastJet greets on standard output, in the middle of the progress bar.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from examples.simulation.chunk import make

    job: Job | None
    while (job := connection.recv()) is not None:
        try:
            size = make(job, folder, partial(_tell, connection, job))
        except (OSError, RuntimeError) as error:
            connection.send(Message(kind="failed", job=job, text=str(error)))
            return
        connection.send(Message(kind="ready", job=job, number=size))


def _tell(connection: Connection, job: Job, events: int) -> None:
    connection.send(Message(kind="events", job=job, number=events))
