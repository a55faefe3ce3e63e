"""How good the default `mlp` is on two public data sets, beside boosted trees on the same folds.

    GRIDLOOM_TEST_DATA=... python benchmarks/accuracy.py [--seeds S] [--jobs J] [--work DIR] [--out FILE]

Every seed is one `gridloom run` of an analysis file that sets nothing but the seed: five folds, out-of-fold scores,
physics weights in every AUC. For each set the mean over the seeds, their spread (standard deviation of one seed's AUC,
which is the training's own randomness) and the median 68 % bootstrap interval of one seed (which is the randomness of
the events) stand beside the same figures of the trees, in whose training nothing is random at these sizes: their spread
is zero. The exit status is 1 where a mean misses its bar.

* Higgs_data: the UCI HIGGS subset of Baldi, Sadowski and Whiteson (2014), two trees of one file, 28 features.
* tH: tH against top pairs, 9 features, every event with its `Weight`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import uproot

from gridloom.driver.runs import Runs
from gridloom.physics.results import Interval, read_evaluation

DATA = "GRIDLOOM_TEST_DATA"


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A signal and a background tree: (file below the data folder, tree)."""

    name: str
    signal: tuple[str, str]
    background: tuple[str, str]
    weight: str | None
    bar: float

    def features(self, data: Path) -> list[str]:
        """All branches but the weight."""
        path, tree = self.signal
        with uproot.open(data / path) as file:
            return [branch.name for branch in file[tree].branches if branch.name != self.weight]

    def analysis(self, data: Path, seed: int) -> dict[str, Any]:
        """The analysis: defaults in everything but the seed."""
        parts = {"signal": self.signal, "background": self.background}
        return {
            "gridloom": 1,
            "name": f"{self.name}-seed{seed}",
            "samples": {
                name: {"files": str(data / path), "tree": tree, "class": name, "weight": self.weight or 1}
                for name, (path, tree) in parts.items()
            },
            "features": self.features(data),
            "target": {"signal": "signal"},
            "event_id": "entry",
            "model": {"name": "mlp"},
            "training": {"seed": seed},
        }


DATA_SETS = (
    DataSet(
        name="Higgs_data",
        signal=("flat/Higgs_data.root", "sig_tree"),
        background=("flat/Higgs_data.root", "bkg_tree"),
        weight=None,
        bar=0.77,
    ),
    DataSet(
        name="tH",
        signal=("weights/tH_10k.root", "Vars"),
        background=("weights/ttbar_10k.root", "Vars"),
        weight="Weight",
        bar=0.79,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Area:
    """An out-of-fold AUC with its 68 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, interval: Interval | None) -> Area:
        if interval is None:
            raise ValueError("the evaluation has no such figure: were the trees trained?")
        return cls(value=interval.value, low=interval.low, high=interval.high)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One seed's figures; `difference` is network minus trees with the same replicas for both."""

    seed: int
    network: Area
    trees: Area
    difference: Area
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method over all seeds."""

    mean: float
    spread: float
    below: float
    above: float

    @classmethod
    def of(cls, areas: Sequence[Area]) -> Summary:
        values = [area.value for area in areas]
        return cls(
            mean=statistics.mean(values),
            spread=statistics.stdev(values) if len(values) > 1 else 0.0,
            below=statistics.median(area.value - area.low for area in areas),
            above=statistics.median(area.high - area.value for area in areas),
        )


def judge(data_set: DataSet, seed: int, data: Path, work: Path, jobs: int) -> Judged:
    """Run one seed as a user would and read its evaluation."""
    content = data_set.analysis(data, seed)
    path = work / f"{content['name']}.yaml"
    path.write_text(json.dumps(content, indent=1))
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "gridloom", "run", str(path), "--runs", str(work / "runs"), "--jobs", str(jobs)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    seconds = time.monotonic() - start
    runs = Runs(work / "runs")
    tasks = runs.find(f"{content['name']}-").manifest.tasks
    evaluate = next(task.id for task in tasks if task.kind == "evaluate")
    main = read_evaluation(runs.store.folder(evaluate) / "evaluation.json").discriminations[0]
    trees = None if main.reference is None else main.reference.area
    return Judged(
        seed=seed,
        network=Area.of(main.network.area),
        trees=Area.of(trees),
        difference=Area.of(main.difference),
        seconds=seconds,
    )


def table(data_set: DataSet, judged: Sequence[Judged]) -> list[str]:
    """The seeds and their summaries as aligned lines."""
    lines = [
        f"{data_set.name}: out-of-fold AUC, 68 % bootstrap intervals (bar {data_set.bar})",
        f"{'seed':>8}{'network':>10}{'interval':>18}{'trees':>10}{'interval':>18}{'network - trees':>28}{'s':>6}",
    ]
    for one in judged:
        apart = f"{one.difference.value:+.4f} [{one.difference.low:+.4f}, {one.difference.high:+.4f}]"
        lines.append(f"{one.seed:>8}{_area(one.network)}{_area(one.trees)}{apart:>28}{one.seconds:>6.0f}")
    network, trees = Summary.of([one.network for one in judged]), Summary.of([one.trees for one in judged])
    lines.append(f"{'mean':>8}{_mean(network)}{_mean(trees)}{network.mean - trees.mean:>+10.4f}")
    lines.append(f"{'spread':>8}{network.spread:>10.4f}{'':18}{trees.spread:>10.4f}")
    return lines


def _area(area: Area) -> str:
    return f"{area.value:>10.4f}{f'[{area.low:.4f}, {area.high:.4f}]':>18}"


def _mean(summary: Summary) -> str:
    return f"{summary.mean:>10.4f}{f'+{summary.above:.4f} -{summary.below:.4f}':>18}"


def result(data_set: DataSet, judged: Sequence[Judged]) -> dict[str, Any]:
    network = Summary.of([one.network for one in judged])
    return {
        "bar": data_set.bar,
        "reached": network.mean >= data_set.bar,
        "network": asdict(network),
        "trees": asdict(Summary.of([one.trees for one in judged])),
        "seeds": [asdict(one) for one in judged],
    }


def bench(seeds: int, jobs: int, data: Path, work: Path) -> dict[str, Any]:
    """All data sets and seeds; prints the table of a set when it is finished."""
    found: dict[str, Any] = {}
    for data_set in DATA_SETS:
        judged = []
        for seed in range(1, seeds + 1):
            judged.append(judge(data_set, seed, data, work, jobs))
            print(f"{data_set.name} seed {seed}: {judged[-1].network.value:.4f}", file=sys.stderr, flush=True)
        print("\n".join(table(data_set, judged)) + "\n", flush=True)
        found[data_set.name] = result(data_set, judged)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=0, help="tasks at a time; 0: as many as there are cores")
    parser.add_argument("--work", type=Path, default=None, help="keep the runs here; default: a folder that goes")
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    options = parser.parse_args()
    if DATA not in os.environ:
        parser.error(f"set {DATA} to the folder of the test data")
    data = Path(os.environ[DATA]).resolve()
    with tempfile.TemporaryDirectory() as passing:
        work = options.work or Path(passing)
        work.mkdir(parents=True, exist_ok=True)
        found = bench(options.seeds, options.jobs, data, work)
    if options.out is not None:
        about = {"machine": platform.machine(), **{name: version(name) for name in ("keras", "numpy", "scikit-learn")}}
        options.out.write_text(json.dumps({"about": about, "results": found}, indent=1) + "\n")
    missed = [name for name, one in found.items() if not one["reached"]]
    print(f"Below the bar: {', '.join(missed)}" if missed else "Every bar is reached.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
