"""`gridloom predict` beside what one writes by hand: uproot and ONNX Runtime, fold by fold, scores into a ROOT file.

    python benchmarks/prediction.py [--events 2000000] [--rounds 3]

Both score the same files with the same networks (those that `gridloom export` wrote), on one core, in turns. Events per
CPU second come twice: of the whole command, imports included, and of further events, from two file sizes. The scores
must agree. Peak memory is that of the largest process.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import uproot

from gridloom.environment import worker_variables

_FEATURES = 28
_FOLDS = 5
_CORE = "1" if (os.cpu_count() or 1) > 1 else "0"


def write_events(path: Path, events: int, *, seed: int, signal: bool) -> None:
    random = np.random.default_rng(seed)
    names = [f"x{number}" for number in range(_FEATURES)]
    types: dict[str, Any] = {"event": np.uint64, **dict.fromkeys(names, np.float32)}
    with uproot.recreate(path, compression=uproot.LZ4(4)) as file:
        tree = file.mktree("Events", types)
        for begin in range(0, events, 100_000):
            count = min(100_000, events - begin)
            columns: dict[str, Any] = {name: random.normal(0.3 * signal, 1, count).astype(np.float32) for name in names}
            tree.extend({"event": np.arange(begin, begin + count, dtype=np.uint64) + 10**9 * seed, **columns})


def prepare(folder: Path, sizes: Sequence[int]) -> None:
    """A trained run with its ONNX files, and the files to score."""
    for seed, name in enumerate(("background", "signal")):
        write_events(folder / f"{name}.root", 40_000, seed=seed + 1, signal=bool(seed))
    for size in sizes:
        write_events(folder / f"{size}.root", size, seed=5, signal=False)
    content = {
        "gridloom": 1,
        "name": "bench",
        "samples": {name: {"files": f"{name}.root", "class": name, "weight": "1"} for name in ("signal", "background")},
        "features": [f"x{number}" for number in range(_FEATURES)],
        "target": {"signal": "signal"},
        "event_id": ["event"],
        "folds": _FOLDS,
        "training": {"epochs": 2},
        "evaluation": {"bootstrap": 20, "reference": False},
    }
    (folder / "bench.yaml").write_text(json.dumps(content))
    for command in (["run", "bench.yaml"], ["export", "bench", "--to", "onnx"]):
        subprocess.run([sys.executable, "-m", "gridloom", *command], cwd=folder, check=True, capture_output=True)


# --- by hand --------------------------------------------------------------------------------------------------------
def by_hand(source: Path, target: Path) -> None:
    """What a careful physicist writes: chunks of columns, the fold's own network for its events, a tree of scores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [
        onnxruntime.InferenceSession(f"exports/bench-fold-{n}.onnx", options, providers=["CPUExecutionProvider"])
        for n in range(_FOLDS)
    ]
    names = [f"x{number}" for number in range(_FEATURES)]
    with uproot.recreate(target, compression=uproot.ZSTD(1)) as file:
        tree = file.mktree("scores", {"signal": np.float32, "background": np.float32, "fold": np.int32})
        for chunk in uproot.iterate(f"{source}:Events", ["event", *names], step_size=100_000, library="np"):
            inputs = np.stack([chunk[name] for name in names], axis=1)
            fold = fold_of(chunk["event"])
            scores = np.empty((len(fold), 2), dtype=np.float32)
            for number, session in enumerate(sessions):
                rows = fold == number
                scores[rows] = session.run(["scores"], {"features": inputs[rows]})[0]
            tree.extend({"signal": scores[:, 0], "background": scores[:, 1], "fold": fold})


def fold_of(event: Any) -> Any:
    """The published hash of one word and two zeros."""

    def mix(x: Any) -> Any:
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = mix(event + np.uint64(0x9E3779B97F4A7C15))
    for _ in range(2):
        state = mix(state + np.uint64(0x9E3779B97F4A7C15))
    return (state % np.uint64(_FOLDS)).astype(np.int32)


# --- both -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU seconds of a command with all its processes, and the memory of the largest in MB."""

    cpu: float
    memory: float


def measure(command: Sequence[str], folder: Path) -> Cost:
    """Run a command under a process of its own, so that its children are all that is counted."""
    script = (
        "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=2).returncode; "
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code)"
    )
    done = subprocess.run(
        ["taskset", "-c", _CORE, sys.executable, "-c", script, *command],
        cwd=folder,
        env={**os.environ, **worker_variables(1)},
        capture_output=True,
        text=True,
        check=True,
    )
    cpu, memory, code = done.stdout.split()
    if code != "0":
        raise SystemExit(done.stderr)
    return Cost(cpu=float(cpu), memory=float(memory))


def compare(folder: Path, size: int) -> float:
    with uproot.open(folder / f"scores/{size}.scores.root") as file:
        ours = file["gridloom"].arrays(library="np")
    with uproot.open(folder / "hand.root") as file:
        hand = file["scores"].arrays(library="np")
    if not np.array_equal(ours["fold"], hand["fold"]):
        raise SystemExit("the folds differ")
    return float(max(np.abs(ours[f"score_{name}"] - hand[name]).max() for name in ("signal", "background")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--by-hand", type=Path, nargs=2, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.by_hand is not None:
        by_hand(*given.by_hand)
        return
    sizes = (given.events // 10, given.events)
    with tempfile.TemporaryDirectory(prefix="gridloom-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        prepare(folder, sizes)
        rounds(folder, sizes, given.rounds)


def rounds(folder: Path, sizes: Sequence[int], number: int) -> None:
    costs: dict[tuple[str, int], list[Cost]] = {}
    hand = [sys.executable, str(Path(__file__).resolve()), "--by-hand"]
    for _ in range(number):
        for size in sizes:
            ours = [sys.executable, "-m", "gridloom", "predict", "bench", f"{size}.root", "--replace", "-j", "1"]
            (folder / f"scores/{size}.scores.root").unlink(missing_ok=True)
            costs.setdefault(("gridloom predict", size), []).append(measure(ours, folder))
            costs.setdefault(("by hand", size), []).append(measure([*hand, f"{size}.root", "hand.root"], folder))
            print(f"{size:,} events: scores differ by at most {compare(folder, size):.1e}", flush=True)
    small, large = sizes
    steady: dict[str, list[float]] = {}
    for what in ("gridloom predict", "by hand"):
        whole = [large / cost.cpu for cost in costs[what, large]]
        pairs = zip(costs[what, large], costs[what, small], strict=True)
        steady[what] = [(large - small) / (big.cpu - little.cpu) for big, little in pairs]
        memory = ", ".join(f"{max(cost.memory for cost in costs[what, size]):.0f} MB" for size in sizes)
        print(
            f"{what:18} events per CPU second: whole {statistics.median(whole) / 1e3:7.1f} k, "
            f"further {statistics.median(steady[what]) / 1e3:7.1f} k; peak memory {memory}"
        )
    ratios = [one / other for one, other in zip(steady["gridloom predict"], steady["by hand"], strict=True)]
    print(f"ratio of further events, median: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
