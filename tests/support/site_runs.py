"""Runs on the batch systems of the testbed: drivers here or in a process of their own, and what goes wrong there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from whole_runs import command, environment

from gridloom.driver.events import EngineSilent, Event, ResultDamaged, TaskChanged
from gridloom.driver.loop import Driver
from gridloom.driver.workplace import Pace, StopRequest, Terms, Workplace
from gridloom.engines import make_engine
from gridloom.engines.base import Engine
from gridloom.journal import JOURNAL, History, Record, history, lease, read_journal
from gridloom.plan import Plan
from gridloom.results import Store
from gridloom.sites.models import Site
from gridloom.task import Kind, Task
from gridloom.testing.engine import KINDS

SITES: dict[str, dict[str, Any]] = {
    "htcondor": {"engine": "htcondor", "shared_folder": False},
    "htcondor shared": {"engine": "htcondor", "shared_folder": True},
    "slurm": {"engine": "slurm"},
}
ROOT = Path(__file__).parents[2]


def site_settings(name: str, **changes: Any) -> dict[str, Any]:
    """A site of the testbed as `sites.yaml` has it: quick and small."""
    needs = {"default": {"memory": 1000, "wall": 3600}}
    return {"grace": 10, "poll": 1, "network": "127.0.0.1:1", "resources": needs, **SITES[name], **changes}


def make_site(name: str, **changes: Any) -> Site:
    return Site.model_validate(site_settings(name, **changes))


def task(do: str, label: str, *, kind: Kind = "train", steps: int = 10, inputs: Iterable[Task] = ()) -> Task:
    parameters = {"do": do, "steps": steps, "name": label}
    return Task(kind=kind, label=label, parameters={**parameters}, inputs=tuple(one.id for one in inputs))


def independent(do: str, count: int, *, steps: int = 10) -> Plan:
    return Plan(tasks=tuple(task(do, f"task {number}", steps=steps) for number in range(count)))


@dataclass
class SiteRun:
    """A run's folder, driven with tiny kinds of tasks."""

    folder: Path
    site: Site
    kinds: str = KINDS
    heard: list[Event] = field(default_factory=list)
    on_event: Callable[[Event], None] = field(default=lambda event: None)
    stop: StopRequest = field(default_factory=StopRequest)
    pace: Pace | None = None

    @property
    def store(self) -> Store:
        return Store(self.folder / ".store")

    def listen(self, event: Event) -> None:
        self.heard.append(event)
        self.on_event(event)

    def engine(self) -> Engine:
        return make_engine(self.site, folder=self.folder / "logs", kinds=self.kinds)

    def drive(self, plan: Plan, engine: Engine | None = None) -> None:
        with lease(self.folder) as journal:
            place = Workplace(
                store=self.store,
                engine=engine or self.engine(),
                journal=journal,
                listener=self.listen,
                stop=self.stop,
                pace=self.pace or Pace.of(self.site),
                terms=Terms.of(self.site, {}),
            )
            driver = Driver(plan, place)
            driver.look()
            driver.run()

    def records(self) -> tuple[Record, ...]:
        return read_journal(self.folder / JOURNAL)

    def history(self) -> History:
        return history(self.records())

    def reasons(self, *states: str) -> list[str]:
        """What the driver said of tasks that came into one of these states."""
        return [event.reason for event in self.heard if isinstance(event, TaskChanged) and event.state in states]

    def silences(self) -> list[bool]:
        return [event.back for event in self.heard if isinstance(event, EngineSilent)]

    def damages(self) -> list[str]:
        return [event.error.what for event in self.heard if isinstance(event, ResultDamaged)]

    def check_all_done(self, plan: Plan) -> None:
        for task_id in plan.ids:
            assert self.store.verify(task_id, fully=True) is not None
        assert self.history().state == "finished"


# --- the schedulers ---------------------------------------------------------------------------------------------------
def service(name: str, what: str) -> None:
    """Stop, start, kill, pause or continue a daemon of the testbed."""
    done = subprocess.run(
        [str(ROOT / "testbed" / "service"), name, what], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def say(*words: str) -> str:
    """What a scheduler's command prints."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def evict(job: str) -> None:
    """Take a running job's slot, softly, as the scheduler does for a better job."""
    if "_" in job:
        say("scontrol", "requeue", job)
    else:
        say("condor_vacate_job", job)


def queued(run: Path) -> int:
    """Jobs that both schedulers ever had of a run's batches."""
    batches = {path.name.removeprefix("batch-") for path in (run / "logs").glob("batch-*")}
    names = say("squeue", "--noheader", "--array", "--states=all", "--format=%j").split()
    found = sum(name.removeprefix("gridloom-") in batches for name in names)
    for command_ in (["condor_q", "-nobatch"], ["condor_history"]):
        tokens = say(
            *command_,
            "-allusers" if command_[0] == "condor_q" else "-limit",
            *([] if command_[0] == "condor_q" else ["5000"]),
            "-af",
            "GridloomBatch",
        ).split()
        found += sum(token in batches for token in tokens)
    return found


# --- whole analyses -------------------------------------------------------------------------------------------------
def write_sites(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A `sites.yaml` (JSON is YAML) with the sites of the testbed."""
    sites = {name.replace(" ", "-"): site_settings(name, **(changes or {})) for name in SITES}
    path = folder / "sites.yaml"
    path.write_text(json.dumps({"gridloom": 1, "sites": sites}))
    return path


def start(analysis: Path, runs: Path, *options: str) -> subprocess.Popen[str]:
    """`gridloom run` in a process of its own."""
    return subprocess.Popen(
        command("run", analysis, "--runs", runs, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )


def finish(process: subprocess.Popen[str], seconds: float = 600) -> str:
    """Wait for its end; what it said."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def journal_of(runs: Path) -> tuple[Record, ...]:
    for path in runs.glob(f"*/{JOURNAL}"):
        return read_journal(path)
    return ()


def trained_bits(runs: Path) -> dict[str, Any]:
    """Task id -> weights (bytes of every array of the model) and scores, or the evaluation, of all runs in a folder."""
    found: dict[str, Any] = {}
    for path in sorted((runs / ".store").glob("*/result.json")):
        folder = path.parent
        if folder.name.startswith("train-"):
            found[folder.name] = (_weights(folder / "model.keras"), (folder / "scores.npy").read_bytes())
        if folder.name.startswith("evaluate-"):
            found[folder.name] = (folder / "evaluation.json").read_bytes()
    return found


def _weights(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        arrays: dict[str, bytes] = {}

        def keep(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                arrays[name] = np.asarray(item[()]).tobytes()

        file.visititems(keep)
    assert arrays
    return arrays


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def driver_script(folder: Path, site: str, count: int, steps: int, *, die: str = "") -> list[str]:
    """A driver in a process of its own, on a plan of independent tasks; it may kill itself at a point of `die`."""
    return [
        sys.executable,
        str(Path(__file__).with_name("site_driver.py")),
        str(folder),
        site,
        str(count),
        str(steps),
        die,
    ]


def python_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
