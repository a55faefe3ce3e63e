"""The command line that the examples' `simulate.py` share."""

from __future__ import annotations

import argparse
import os
import signal
import time
from contextlib import closing
from pathlib import Path

from examples.simulation.detector import Detector
from examples.simulation.process import Process
from examples.simulation.production import Manifest, ProductionError, open_manifest, produce
from examples.simulation.progress import shown
from examples.simulation.request import Job, Request, jobs_of
from rich.console import Console

STOPPED = 130  # the exit code of a program stopped by Ctrl-C


def simulate(description: str, processes: tuple[Process, ...], *, events: int, signed: float, out: Path) -> int:
    """Read the arguments, produce the files and return the exit code."""
    arguments = _parser(description, processes, events=events, signed=signed, out=out).parse_args()
    request = Request(
        processes=tuple(process for process in processes if process.name in arguments.processes),
        events=arguments.events,
        seed=arguments.seed,
        signed=arguments.signed,
        interactions=arguments.mpi == "on",
        detector=Detector(),
    )
    # A batch system stops jobs with SIGTERM: as Ctrl-C, it must leave no broken files.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console(soft_wrap=True)
    jobs = jobs_of(request)
    try:
        manifest = open_manifest(arguments.out, request, overwrite=arguments.overwrite)
        _run(console, jobs, manifest, arguments.jobs)
    except (ProductionError, OSError) as error:
        console.print(f"error: {error}", highlight=False, markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. Finished files are kept; the same command goes on from here.", highlight=False)
        return STOPPED
    return 0


def _run(console: Console, jobs: tuple[Job, ...], manifest: Manifest, workers: int) -> None:
    missing = tuple(job for job in jobs if not manifest.has(job))
    started = time.monotonic()
    console.print(
        f"{len(jobs)} files in {manifest.folder}, {len(jobs) - len(missing)} of them already there", highlight=False
    )
    if not missing:
        return
    # Closed, however the loop ends: that stops the workers and removes what they have begun.
    with shown(console, missing) as progress, closing(produce(missing, manifest.folder, workers)) as messages:
        for message in messages:
            if message.kind == "events":
                progress.advance(message.job.process.name, message.number)
            else:
                manifest.add(message.job, message.number)
    events = sum(job.events for job in missing)
    console.print(f"{events:,} events simulated in {time.monotonic() - started:.0f} s", highlight=False)


def _parser(
    description: str, processes: tuple[Process, ...], *, events: int, signed: float, out: Path
) -> argparse.ArgumentParser:
    names = [process.name for process in processes]
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--events", type=_positive, default=events, help="events to generate, all processes together")
    add("--out", type=Path, default=out, help="folder for the files")
    add("--seed", type=_seed, default=1, help="same seed, same events, whatever the number of jobs")
    add("--jobs", type=_positive, default=os.cpu_count() or 1, help="processes at work in parallel")
    add("--signed", type=_fraction, default=signed, metavar="F", help="share of events with negated weight, below 0.5")
    add("--processes", nargs="+", choices=names, default=names, help="processes to simulate")
    add("--mpi", choices=("on", "off"), default="off", help="multiple parton interactions: five times slower")
    add("--overwrite", action="store_true", help="replace another production in the folder")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def _fraction(text: str) -> float:
    fraction = float(text)
    if not 0 <= fraction < 0.5:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 ... 0.5 (at 0.5 the weights would sum to zero)")
    return fraction
