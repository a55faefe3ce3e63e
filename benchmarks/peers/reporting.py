"""What every way to train shares: its command line, its clock, and what it says, one JSON object a line on stdout.

Each way runs in the interpreter of its own environment, so that this module needs NumPy and nothing else.

    {"line": "epoch", "number": 1, "events": 1000000, "cpu": 9.1, "wall": 12.3}
    {"line": "scores", "file": "scores.npy"}
    {"line": "about", "versions": {...}, "settings": {...}}

`events`, `cpu` and `wall` count from the start of the process; `cpu` has all threads and all child processes. Scoring
is left out of both times. The ways get the held-out events without their labels: who compares them judges them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked of a way: to be judged after `epochs`, and to train steadily for so many CPU seconds at least.

    `started` is the time when the process was asked for.
    """

    train: Path
    held_out: Path
    scratch: Path
    started: float
    epochs: int
    seconds: float
    features: tuple[str, ...]
    hidden: tuple[int, ...]
    batch: int
    learning_rate: float
    settings: dict[str, Any]


def read_job(*, best: Mapping[str, Any], defaults: Mapping[str, Any]) -> Job:
    """The job from the command line; its settings are `best`, `defaults` or changes of `best`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", help="JSON")
    given = json.loads(parser.parse_args().job)
    settings = {"best": {}, "defaults": defaults}.get(given["settings"])
    if settings is None:
        settings = json.loads(given["settings"])
    if set(settings) - set(best):
        raise SystemExit(f"unknown settings {sorted(set(settings) - set(best))}; there are {sorted(best)}")
    return Job(
        train=Path(given["train"]),
        held_out=Path(given["held_out"]),
        scratch=Path(given["scratch"]),
        started=given["started"],
        epochs=given["epochs"],
        seconds=given["seconds"],
        features=tuple(given["features"]),
        hidden=tuple(given["hidden"]),
        batch=given["batch"],
        learning_rate=given["learning_rate"],
        settings=dict(best) | dict(settings),
    )


def say(**content: Any) -> None:
    print(json.dumps(content), flush=True)


def cpu_seconds() -> float:
    """Of this process with its threads and all its children, those that still run too."""
    waited = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + waited.ru_utime + waited.ru_stime + _running_children(os.getpid())


def _running_children(process: int) -> float:
    total = 0.0
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        for child in listed.read_text().split():
            fields = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()
            # utime, stime, cutime, cstime: fields 14 to 17 of proc(5).
            total += sum(int(number) for number in fields[11:15]) / _TICKS + _running_children(int(child))
    return total


@dataclass(kw_only=True)
class Reporter:
    """Told of every epoch, it says what was used and whether to go on; the scoring's time is no one's."""

    job: Job
    scores: Scores
    number: int = 0
    events: int = 0
    first: float = 0.0
    scoring_cpu: float = 0.0
    scoring_wall: float = 0.0

    def epoch(self, events: int) -> bool:
        """An epoch of so many events is over: whether there shall be another."""
        self.number += 1
        self.events += events
        cpu, now = cpu_seconds(), time.time()
        used = cpu - self.scoring_cpu
        wall = now - self.job.started - self.scoring_wall
        say(line="epoch", number=self.number, events=self.events, cpu=used, wall=wall)
        if self.number == 1:
            self.first = used
        if self.number == self.job.epochs:
            self._score()
            self.scoring_cpu += cpu_seconds() - cpu
            self.scoring_wall += time.time() - now
        return self.number < self.job.epochs or used - self.first < self.job.seconds

    def _score(self) -> None:
        x = np.load(self.job.held_out)
        found = [np.asarray(self.scores(part)).reshape(-1) for part in np.array_split(x, max(1, len(x) // 50_000))]
        file = self.job.scratch / "scores.npy"
        np.save(file, np.concatenate(found))
        say(line="scores", file=str(file))


def about(job: Job, packages: Iterable[str]) -> None:
    versions = {"python": sys.version.split()[0]} | {name: version(name) for name in packages}
    say(line="about", versions=versions, settings=job.settings)
