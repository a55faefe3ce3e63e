"""What Gridloom adds to a batch system's own work, on the testbed: rates of tiny tasks, and a plan of 10,000 tasks.

    testbed/up && python benchmarks/submission.py

Rates: the same rendered jobs are handed over by the scheduler's own command (`sbatch`, `condor_submit`) and by
Gridloom's driver, in turn, in the same pool; each is timed from the first call to the end of the last job (Gridloom: to
the last result verified and the journal closed). Beside them: as many jobs of /bin/true. Plan: an analysis of 10,000
samples is planned and submitted to HTCondor, with the memory that the process took.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gridloom.analysis.models import Analysis
from gridloom.assignment import Assignment
from gridloom.catalogue import Catalogue
from gridloom.driver.loop import Driver
from gridloom.driver.workplace import Pace, StopRequest, Terms, Workplace
from gridloom.engines import make_engine
from gridloom.engines.base import Engine
from gridloom.engines.folders import write_files
from gridloom.environment import DISTRIBUTIONS
from gridloom.journal import lease
from gridloom.plan import Plan, make_plan
from gridloom.results import Store
from gridloom.sites.models import Site
from gridloom.task import Kind, Task
from gridloom.testing.engine import KINDS

SITES: dict[str, dict[str, Any]] = {
    "htcondor": {"engine": "htcondor"},
    "htcondor shared": {"engine": "htcondor", "shared_folder": True},
    "slurm": {"engine": "slurm"},
}
SAMPLES = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--sites", nargs="*", default=["slurm", "htcondor"], choices=SITES)
    parser.add_argument("--plan-only", action="store_true")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    use_testbed(Path(os.environ.get("GRIDLOOM_TESTBED", "/var/tmp/gridloom-testbed")))
    if given.in_this_process:
        print(json.dumps(large_plan()))
        return
    if not given.plan_only:
        for name in given.sites:
            show_rates(name, given.tasks, given.rounds)
    done = subprocess.run([sys.executable, __file__, "--in-this-process"], check=True, capture_output=True, text=True)
    for key, value in json.loads(done.stdout).items():
        print(f"plan of {SAMPLES} samples  {key:<28} {value}")


def use_testbed(folder: Path) -> None:
    for line in (folder / "env").read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            os.environ[name] = value.replace("$PATH", os.environ["PATH"])


# --- rates of tiny tasks ----------------------------------------------------------------------------------------------
def show_rates(name: str, tasks: int, rounds: int) -> None:
    """One line per round, then the medians of the ratios."""
    ways: dict[str, Callable[[str, int], float]] = {"true": bare_true, "bare": bare, "gridloom": by_gridloom}
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds):
        for way, run in ways.items():
            rates[way].append(tasks / run(name, tasks))
        told = "  ".join(f"{way} {values[-1]:6.2f}/s" for way, values in rates.items())
        print(f"{name:<16} round {number + 1}: {told}", flush=True)
    for other in ("bare", "true"):
        ratio = statistics.median(a / b for a, b in zip(rates["gridloom"], rates[other], strict=True))
        print(f"{name:<16} gridloom / {other}: {ratio:.2f} (median of {rounds})", flush=True)


def site_of(name: str, **changes: Any) -> Site:
    needs = {"default": {"memory": 200, "wall": 3600}}
    return Site.model_validate({"grace": 10, "poll": 2, "resources": needs, **SITES[name], **changes})


def plan_of(count: int) -> Plan:
    tasks = tuple(Task(kind="train", label=f"task {n}", parameters={"do": "write", "n": n}) for n in range(count))
    return Plan(tasks=tasks)


def by_gridloom(name: str, count: int) -> float:
    """Seconds from the driver's start to the last result."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        site = site_of(name)
        started = time.monotonic()
        drive(plan_of(count), make_engine(site, folder=run / "logs", kinds=KINDS), site, run)
        return time.monotonic() - started


def drive(plan: Plan, engine: Engine, site: Site, run: Path) -> None:
    with lease(run) as journal:
        place = Workplace(
            store=Store(run / ".store"),
            engine=engine,
            journal=journal,
            listener=lambda _: None,
            stop=StopRequest(),
            pace=Pace.of(site),
            terms=Terms.of(site, {}),
        )
        driver = Driver(plan, place)
        driver.look()
        driver.run()


def bare(name: str, count: int) -> float:
    """Seconds that the scheduler takes for the very same jobs, submitted by its own command."""
    with tempfile.TemporaryDirectory() as folder:
        site = site_of(name)
        engine = make_engine(site, folder=Path(folder) / "logs", kinds=KINDS)
        jobs = [
            Assignment(task=task, token=f"{n:08x}", store=f"{folder}/.store")
            for n, task in enumerate(plan_of(count).tasks)
        ]
        files = engine.render(jobs)
        write_files(Path(folder) / "logs", files)
        batch = next(Path(folder, "logs").glob("batch-*"))
        if site.engine == "slurm":
            return timed_slurm(batch / "array.sh")
        return timed_condor(batch / "submit.sub", batch / "events.log", count)


def bare_true(name: str, count: int) -> float:
    """Seconds for as many jobs that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        if SITES[name]["engine"] == "slurm":
            script = Path(folder) / "true.sh"
            head = f"#!/bin/bash\n#SBATCH --array=0-{count - 1}\n#SBATCH --mem=200M\n#SBATCH --output=/dev/null\n"
            script.write_text(head + "exec /bin/true\n")
            return timed_slurm(script)
        transfer = "NO" if SITES[name].get("shared_folder") else "YES"
        submit = Path(folder) / "true.sub"
        submit.write_text(
            "executable = /bin/true\ntransfer_executable = false\nrequest_memory = 200\nrequest_cpus = 1\n"
            f"should_transfer_files = {transfer}\nlog = {folder}/events.log\nqueue {count}\n"
        )
        return timed_condor(submit, Path(folder) / "events.log", count)


def timed_slurm(script: Path) -> float:
    started = time.monotonic()
    job = said("sbatch", "--parsable", str(script)).strip()
    while said("squeue", "--noheader", "--jobs", job):
        time.sleep(0.5)
    return time.monotonic() - started


def timed_condor(submit: Path, log: Path, count: int) -> float:
    started = time.monotonic()
    said("condor_submit", "-terse", str(submit))
    while (
        log.read_text(errors="replace").count("\n005 (") + log.read_text(errors="replace").startswith("005 (") < count
    ):
        time.sleep(0.5)
    return time.monotonic() - started


def said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout


# --- a large plan -----------------------------------------------------------------------------------------------------
def large_plan() -> dict[str, str]:
    """Plan and submit an analysis of many samples; nothing of it runs, since no node fulfils its requirements."""
    analysis, catalogue = many_samples(SAMPLES)
    started = time.monotonic()
    kinds: list[Kind] = list(DISTRIBUTIONS)
    plan = make_plan(analysis, catalogue, code="", environment=dict.fromkeys(kinds, "e"), folder="/")
    planned = time.monotonic()
    site = site_of("htcondor", options={"requirements": "false"})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        engine = make_engine(site, folder=run / "logs", kinds=KINDS)
        submitted = 0.0

        class Enough(Exception):
            """All are submitted."""

        def poll(ids: Any) -> Any:
            nonlocal submitted
            submitted = time.monotonic()
            engine.cancel(ids)
            raise Enough

        engine.poll = poll  # type: ignore[method-assign]
        with suppress(Enough):
            drive(plan, engine, site, run)
        jobs = len(list((run / "logs").glob("prepare*")))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "tasks": f"{len(plan.tasks)}, of which {jobs} submitted",
        "planned in": f"{planned - started:.1f} s",
        "submitted in": f"{submitted - planned:.1f} s",
        "both": f"{submitted - started:.1f} s",
        "memory of the driver": f"{memory:.0f} MB",
    }


def many_samples(count: int) -> tuple[Analysis, Catalogue]:
    names = [f"sample{number:05d}" for number in range(count)]
    analysis = Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "large",
            "samples": {
                name: {"files": f"{name}.root", "class": "s" if n % 2 else "b", "weight": 1}
                for n, name in enumerate(names)
            },
            "features": ["x", "y"],
            "target": {"signal": "s"},
        }
    )
    samples = {
        name: {"files": [{"path": f"/data/{name}.root", "uuid": name, "size": 60_000_000, "entries": 1000}]}
        for name in names
    }
    return analysis, Catalogue.model_validate({"samples": samples})


if __name__ == "__main__":
    main()
