"""Jobs evicted in the middle of their work: the same bits as a run that nothing disturbs, and little work lost."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from site_runs import evict, finish, journal_of, start, trained_bits, write_sites
from whole_runs import run_analysis, write_analysis

from gridloom.testing.ntuples import write_sample

pytestmark = pytest.mark.site
TIMES = 2
CHECKPOINT = 20  # seconds: of the site, without a shared folder
CONTENT: dict[str, Any] = {
    "gridloom": 1,
    "name": "evicted",
    "samples": {
        "signal": {"files": "signal.root", "class": "signal", "weight": "genWeight"},
        "background": {"files": "background.root", "class": "background", "weight": "genWeight"},
    },
    "features": ["MET_pt", "Lepton_pt", {"name": "mass", "missing": -999}],
    "collections": {"jets": {"at_most": 4, "features": ["Jet_pt", "Jet_eta"]}},
    "target": {"signal": "signal"},
    "folds": 3,
    "model": {"name": "deepsets", "parameters": {"dropout": 0.2}},
    # Without the probe for XLA, which is one short job more: three of ten jobs are trainings.
    "training": {"batch": 64, "early_stopping": None, "epochs": 150, "checkpoint_seconds": 2, "xla": "off"},
    "evaluation": {"bootstrap": 20, "importance_events": 200},
}


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evictions")
    write_sample(folder / "signal.root", events=3000, seed=1, signal=True)
    write_sample(folder / "background.root", events=3000, seed=2, first_event=100_000)
    write_sites(folder, {"checkpoint": CHECKPOINT})
    return write_analysis(folder / "evicted.yaml", CONTENT)


@pytest.fixture(scope="module")
def unbroken(analysis: Path) -> dict[str, Any]:
    run_analysis(analysis, analysis.parent / "unbroken")
    return trained_bits(analysis.parent / "unbroken")


class Evictor(threading.Thread):
    """Evicts every training of a run, each as often as asked, at random moments after it has begun (again)."""

    def __init__(self, runs: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.runs = runs
        self.moments = random.Random(seed)
        self.count: dict[str, int] = {}
        self.over = threading.Event()
        self._due: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        while not self.over.wait(0.2):
            starts: dict[str, int] = {}
            jobs: dict[str, str] = {}
            for record in journal_of(self.runs):
                if record.event in ("began", "resumed") and record.task.startswith("train-"):
                    starts[record.task] = starts.get(record.task, 0) + 1
                    jobs[record.task] = record.job
            for task, number in starts.items():
                if number > TIMES or self.count.get(task, 0) >= number:
                    continue
                before, due = self._due.get(task, (0, 0.0))
                if before != number:
                    # TensorFlow takes some seconds to come up: moments before, in and after that are among these.
                    due = time.monotonic() + self.moments.uniform(1, 10)
                    self._due[task] = (number, due)
                if time.monotonic() >= due:
                    self.count[task] = number
                    evict(jobs[task])


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_trainings_evicted_twice_each(
    site: str, analysis: Path, unbroken: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    runs = tmp_path / "runs"
    evictor = Evictor(runs, seed=7)
    evictor.start()
    said = finish(start(analysis, runs, "--site", site))
    evictor.over.set()
    assert trained_bits(runs) == unbroken
    records = journal_of(runs)
    trainings = {record.task for record in records if record.task.startswith("train-")}
    every = {record.task for record in records if record.task}
    assert len(trainings) / len(every) >= 0.3
    evictions = [record for record in records if record.event in ("resumed", "evicted")]
    assert evictor.count == dict.fromkeys(trainings, TIMES), said
    assert len(evictions) >= TIMES * len(trainings)
    lost = [record.lost for record in evictions if record.lost is not None]
    record_property("seconds of work lost per eviction", lost)
    print("seconds of work lost per eviction:", lost)
    assert len(lost) == len(evictions)
    # What a job loses that saves on the signal is the time to hear of it; a start cut short loses itself.
    assert max(lost) <= CHECKPOINT
