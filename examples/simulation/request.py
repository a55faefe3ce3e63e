"""What to produce, and its division into files: pure data, the same however many workers there are."""

from __future__ import annotations

from dataclasses import dataclass

from examples.simulation.detector import Detector
from examples.simulation.process import Process

CHUNK = 4000  # events generated per file, except a process' last


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to produce; `events` are generated events of all processes together."""

    processes: tuple[Process, ...]
    events: int
    seed: int
    signed: float
    interactions: bool
    detector: Detector


@dataclass(frozen=True, kw_only=True)
class Job:
    """One file to make: a part of a request, and all that decides the file's content."""

    request: Request
    process: Process
    number: int
    events: int

    @property
    def name(self) -> str:
        return f"{self.process.name}_{self.number:03d}.root"

    @property
    def entropy(self) -> tuple[int, ...]:
        """Where this file's random numbers start: the same whichever worker makes it, and when."""
        return (self.request.seed, *self.process.name.encode(), self.number)


def jobs_of(request: Request) -> tuple[Job, ...]:
    """The files of a request; its events are shared among the processes by their `share`."""
    total = sum(process.share for process in request.processes)
    jobs = []
    edge = 0.0
    for process in request.processes:
        before, edge = edge, edge + process.share / total
        events = round(request.events * edge) - round(request.events * before)
        for number, start in enumerate(range(0, events, CHUNK)):
            jobs.append(Job(request=request, process=process, number=number, events=min(CHUNK, events - start)))
    return tuple(jobs)
