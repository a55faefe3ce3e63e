"""Training on a data set several times larger than the memory it may use (as root, on Linux).

    python benchmarks/memory.py [--limit GIB] [--times N] [--small EVENTS] [--folder FOLDER] [--out FILE]

Prepares a ROOT file with 400 features that is `--times` as large as the limit, and a small one, and trains one epoch on
each in a process of its own, in a control group with the limit. Memory that counts is anonymous memory; the mapped
shards are the system's cache, which is warm before, so that the disk is not measured. Told are the peak of anonymous
memory, what importing the framework alone takes, and the steady rate, per CPU second and per second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import uproot

from gridloom.analysis.models import Analysis
from gridloom.task import Context, Progress, Task
from gridloom.testing.preparing import prepare_files

FEATURES = 400
HIDDEN = [64, 64]
FILE_EVENTS = 500_000
GIB = 2**30


def write_events(path: Path, events: int, seed: int) -> None:
    """Events of which every feature is a shifted piece of one long row of normal numbers."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, events).astype(np.int8)
    noise = random.normal(size=events + FEATURES).astype(np.float32)
    with uproot.recreate(path, compression=None) as file:
        columns = {f"x{index}": noise[index : index + events] + np.float32(0.1) * label for index in range(FEATURES)}
        file["Events"] = {**columns, "label": label}


def analysis_of(files: list[Path]) -> Analysis:
    return Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "memory",
            "samples": {
                "all": {
                    "files": [str(path) for path in files],
                    "class": {"s": "label == 1", "b": "otherwise"},
                    "weight": 1,
                }
            },
            "features": [f"x{index}" for index in range(FEATURES)],
            "event_id": "entry",
            "folds": 3,
            "target": {"signal": "s"},
            "model": {"name": "mlp", "parameters": {"hidden": HIDDEN, "bins": 0, "dropout": 0}},
            "training": {"batch": 1024, "epochs": 1},
        }
    )


def prepare_events(folder: Path, events: int, seed: int) -> Analysis:
    """Write files, a shard of each in `folder`, and remove the files again, which are as large."""
    folder.mkdir()
    files = [folder / f"{number}.root" for number in range(-(-events // FILE_EVENTS))]
    analysis = analysis_of(files)
    for number, path in enumerate(files):
        write_events(path, min(FILE_EVENTS, events - number * FILE_EVENTS), seed + number)
        prepare_files(analysis, "all", [path], folder / f"shard-{number}")
        path.unlink()
    return analysis


def train_here(folder: Path) -> None:
    """In the process that is measured: what the import takes, and the rate between the first call and the last."""
    from gridloom.training import train

    imported = anonymous(os.getpid())
    shards = sorted(folder.glob("shard-*[0-9]"))
    analysis = analysis_of([folder / f"{number}.root" for number in range(len(shards))])
    seen: list[tuple[float, float, float]] = []

    def progress(at: Progress) -> None:
        seen.append((at.done, time.perf_counter(), time.process_time()))

    task = Task(
        kind="train",
        label="train",
        parameters={"analysis": analysis.model_dump(mode="json", by_alias=True), "fold": 0},
        folder=str(folder),
    )
    output, scratch = folder / "trained", folder / "scratch"
    output.mkdir()
    scratch.mkdir()
    inputs = {f"prepare-{number}": path for number, path in enumerate(shards)}
    train.run(Context(task=task, inputs=inputs, output=output, scratch=scratch, stop=lambda: False, progress=progress))
    calls = [point for point in seen if point[0] < 1]
    print(json.dumps({"imported": imported, "first": calls[0], "last": calls[-1]}))


def anonymous(pid: int) -> int:
    """Anonymous memory of a process in bytes."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return 1024 * int(lines["RssAnon"].split()[0])


class Limit:
    """A control group with so many bytes of memory, of either version."""

    def __init__(self, limit: int) -> None:
        root = Path("/sys/fs/cgroup")
        first = (root / "memory").is_dir()
        self.folder = (root / "memory" if first else root) / f"gridloom-memory-{os.getpid()}"
        self.folder.mkdir()
        (self.folder / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit))

    def enter(self) -> None:
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        self.folder.rmdir()


def warm(folder: Path) -> None:
    """Read the shards once outside of the control group: what the system caches for others does not count in it."""
    for path in sorted(folder.glob("shard-*/*.npy")):
        with path.open("rb", buffering=0) as stream:
            while stream.read(16 * 2**20):
                pass


def measured(folder: Path, events: int, limit: int) -> dict[str, float]:
    group = Limit(limit)
    try:
        process = subprocess.Popen(
            [sys.executable, __file__, "--train", str(folder)],
            stdout=subprocess.PIPE,
            preexec_fn=group.enter,  # noqa: PLW1509 - one thread, and nothing but a write to a file
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"},
        )
        peak = 0
        while process.poll() is None:
            try:
                peak = max(peak, anonymous(process.pid))
            except (OSError, KeyError):  # it has just ended
                break
            time.sleep(0.02)
        told, _ = process.communicate()
    finally:
        group.remove()
    if process.returncode:
        raise SystemExit(f"the training ended with {process.returncode}")
    found = json.loads(told.splitlines()[-1])
    part = (found["last"][0] - found["first"][0]) * events / 3
    return {
        "events": events,
        "imported_mib": found["imported"] / 2**20,
        "peak_mib": peak / 2**20,
        "kev_per_cpu_s": part / (found["last"][2] - found["first"][2]) / 1e3,
        "kev_per_s": part / (found["last"][1] - found["first"][1]) / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=2.0, help="GiB")
    parser.add_argument("--times", type=float, default=5.0)
    parser.add_argument("--small", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, default=None, help="where there is room for the data")
    parser.add_argument("--cold", action="store_true", help="leave it to the group's own memory to cache the shards")
    parser.add_argument("--train", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    options = parser.parse_args()
    if options.train is not None:
        train_here(options.train)
        return
    limit = int(options.limit * GIB)
    large = int(options.times * limit / (4 * FEATURES))
    result = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        print(f"{'':8}{'events':>12}{'GiB':>8}{'import':>10}{'peak':>10}{'more':>10}{'kev/CPU-s':>12}{'kev/s':>10}")
        for name, events in (("small", options.small), ("large", large)):
            prepare_events(Path(folder) / name, events, seed=events)
            if not options.cold:
                warm(Path(folder) / name)
            found = measured(Path(folder) / name, events, limit)
            result[name] = found
            print(
                f"{name:8}{events:12,}{events * 4 * FEATURES / GIB:8.1f}{found['imported_mib']:10.0f}"
                f"{found['peak_mib']:10.0f}{found['peak_mib'] - found['imported_mib']:10.0f}"
                f"{found['kev_per_cpu_s']:12.1f}{found['kev_per_s']:10.1f}",
                flush=True,
            )
    ratio = result["large"]["kev_per_s"] / result["small"]["kev_per_s"]
    print(f"large / small: {ratio:.2f} per second, memory in MiB")
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
