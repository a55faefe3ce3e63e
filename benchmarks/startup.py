"""From `gridloom run` to the first training step, from an empty folder, on 100,000 events.

    python benchmarks/startup.py [--events N] [--repeats R]

Everything is counted: starting the command, scanning, preparing shards, importing TensorFlow, compiling the loop.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import uproot

FEATURES = 20
ANALYSIS = {
    "gridloom": 1,
    "name": "startup",
    "samples": {
        "signal": {"files": "signal.root", "class": "signal", "weight": 1},
        "background": {"files": "background.root", "class": "background", "weight": 1},
    },
    "features": [f"x{i}" for i in range(FEATURES)],
    "target": {"signal": "signal"},
    "training": {"epochs": 3},
    "evaluation": {"reference": False, "bootstrap": 20},
}


def write_events(path: Path, events: int, shift: float) -> None:
    """One zlib TTree with an event id."""
    random = np.random.default_rng(len(path.name))
    columns = {f"x{i}": random.normal(shift, 1, events).astype(np.float32) for i in range(FEATURES)}
    number = np.arange(events, dtype=np.uint64)
    one = np.ones(events, np.uint32)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file["Events"] = {"run": one, "luminosityBlock": one, "event": number, **columns}


def measure(folder: Path, number: int) -> tuple[float, float]:
    """Seconds to the first step of any fold, and to the end."""
    runs = folder / f"runs{number}"
    start = time.time()
    subprocess.run(
        [sys.executable, "-m", "gridloom", "run", str(folder / "analysis.yaml"), "--runs", str(runs)],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.time()
    steps = [json.loads(path.read_text())["first_step"] for path in runs.glob(".store/train-*/timing.json")]
    return min(steps) - start, end - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_events(folder / "signal.root", options.events // 2, 0.2)
        write_events(folder / "background.root", options.events // 2, 0.0)
        (folder / "analysis.yaml").write_text(json.dumps(ANALYSIS))
        found = [measure(folder, number) for number in range(options.repeats)]
    print(f"{options.events} events, {FEATURES} features, {options.repeats} repeats")
    print(f"first training step  {statistics.median(first for first, _ in found):6.1f} s (median)")
    print(f"whole run            {statistics.median(whole for _, whole in found):6.1f} s (median)")


if __name__ == "__main__":
    main()
