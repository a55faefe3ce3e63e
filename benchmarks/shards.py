"""Prepared events: reading all, one new feature, or none; float32 and float16; the price of the checksums.

    python benchmarks/shards.py [--events 1000000] [--rounds 3]

prints seconds of CPU time of this process, best of the rounds. The file lies in the system's cache.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import uproot

from gridloom.analysis.models import Analysis
from gridloom.data import prepare
from gridloom.data.dataset import open_dataset
from gridloom.data.scan import scan
from gridloom.results import folder_size
from gridloom.task import Context, Task

BRANCHES = 30
HALF = {"storage": {"features": "float16"}}
GATHERED = 200_000


@dataclass(frozen=True, kw_only=True)
class Made:
    """A prepared shard, and how long it took."""

    folder: Path
    seconds: float


def write_events(path: Path, events: int) -> None:
    """A TTree of float32 branches, ids and a weight."""
    generator = np.random.default_rng(1)
    columns: dict[str, Any] = {
        f"x{number}": generator.normal(0, 10, events).astype(np.float32) for number in range(BRANCHES)
    }
    columns |= {"run": np.ones(events, np.uint32), "luminosityBlock": np.ones(events, np.uint32)}
    columns |= {"event": np.arange(events, dtype=np.uint64), "w": np.ones(events, np.float32)}
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        for begin in range(0, events, 100_000):
            file["Events"].extend({name: values[begin : begin + 100_000] for name, values in columns.items()})


def analysis_of(features: int, **changes: Any) -> Analysis:
    content: dict[str, Any] = {
        "gridloom": 1,
        "name": "shards",
        "samples": {
            "a": {"files": "a.root", "class": "s", "weight": "w"},
            "b": {"files": "a.root", "class": "b", "weight": "w"},
        },
        "features": [f"x{number}" for number in range(features)],
        "target": {"signal": "s"},
    }
    return Analysis.model_validate({**content, **changes})


def prepared(analysis: Analysis, root: Path, donor: Path | None = None) -> Made:
    """Do one `prepare` task."""
    folder = Path(tempfile.mkdtemp(dir=root))
    told: dict[str, Any] = {"analysis": analysis.model_dump(mode="json", by_alias=True), "sample": "a"}
    files = scan(analysis, root).samples["a"].files
    context = Context(
        task=Task(kind="prepare", label="prepare", parameters=told, files=files),
        inputs={},
        output=folder,
        scratch=folder,
        stop=lambda: False,
        progress=lambda _: None,
        donor=donor,
    )
    return Made(folder=folder, seconds=seconds(lambda: prepare.run(context)))


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def opening(analysis: Analysis, folder: Path, rounds: int) -> float:
    return min(seconds(lambda: open_dataset(analysis, [folder])) for _ in range(rounds))


def gathering(analysis: Analysis, folder: Path, rounds: int) -> float:
    dataset = open_dataset(analysis, [folder])
    rows = np.random.default_rng(2).permutation(len(dataset))[:GATHERED]
    out = np.empty((len(rows), len(analysis.features)), np.float32)
    return min(seconds(lambda: dataset.gather_features(rows, out)) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    whole, half = analysis_of(21), analysis_of(21, **HALF)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_events(root / "a.root", options.events)
        donor = prepared(analysis_of(20), root).folder
        times: dict[str, list[Made]] = {}
        for _ in range(options.rounds):
            times.setdefault("all 21 features read", []).append(prepared(whole, root))
            times.setdefault("one read, 20 taken", []).append(prepared(whole, root, donor))
            times.setdefault("none read, 15 taken", []).append(prepared(analysis_of(15), root, donor))
            times.setdefault("all read, float16", []).append(prepared(half, root))
        for what, made in times.items():
            size = folder_size(made[0].folder) / 1e6
            sys.stdout.write(f"{what:24} {min(one.seconds for one in made):6.2f} s {size:8.0f} MB\n")
        folders = {"float32": (whole, times["all 21 features read"][0].folder)}
        folders["float16"] = (half, times["all read, float16"][0].folder)
        for what, (analysis, folder) in folders.items():
            opened = opening(analysis, folder, options.rounds)
            with mock.patch("gridloom.data.shard.verify"):
                bare = opening(analysis, folder, options.rounds)
            gathered = gathering(analysis, folder, options.rounds)
            sys.stdout.write(
                f"{what}: opened in {opened:.3f} s, without checksums {bare:.3f} s; "
                f"{GATHERED:,} rows gathered in {gathered * 1e3:.1f} ms\n"
            )


if __name__ == "__main__":
    main()
