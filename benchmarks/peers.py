"""Training from one ROOT file to a network, by Gridloom and by other ways, each in its own environment.

    python benchmarks/peers.py [--settings defaults] [--only NAME ...] [--rounds R] [--out FILE]

The file: one TTree, zlib, 30 float32 features and a label. The network: 30-64-64-1, relu, Adam, binary cross entropy,
batch 1024. One compute thread each. In every round each way starts anew, one after the other, so that a busy machine
disturbs all alike; a ratio is of two ways in one round. `peers/` has a script and a list of pinned requirements for
each way; environments are built once, below --environments, with uv.

* steady: events per CPU second, of the process and its children, once the first epoch is over;
* whole: CPU and wall seconds from the start of the process, imports included, to a network after --epochs epochs.

Every way must reach the same area under the ROC curve on events that it has not seen, or the comparison fails.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

from gridloom.environment import worker_variables

_SCRIPTS = Path(__file__).resolve().parent / "peers"
_FEATURES = 30
_HIDDEN = (64, 64)
_BATCH = 1024
_LEARNING_RATE = 1e-3
_HELD_OUT = 200_000
_LONGEST = 3600.0  # seconds of wall time after which a way counts as hung


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train; `bar` is how many times slower than Gridloom it is expected to be, at least."""

    name: str
    bar: float

    @property
    def script(self) -> Path:
        return _SCRIPTS / f"train_{self.name}.py"

    @property
    def requirements(self) -> Path:
        return _SCRIPTS / f"{self.name}.txt"


_GRIDLOOM = Way(name="gridloom", bar=1)
_PEERS = (
    Way(name="weaver", bar=40),
    Way(name="root", bar=5),
    Way(name="generator", bar=6),
    Way(name="pandas", bar=2),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What every way is asked for."""

    folder: Path
    epochs: int
    seconds: float
    settings: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """One way in one round: thousand events per CPU second, CPU and wall seconds of the whole, events in these."""

    steady: float
    cpu: float
    wall: float
    events: int
    auc: float
    about: Mapping[str, Any]


class WayFailedError(Exception):
    """A way could not be installed, or did not train."""


# --- the data -------------------------------------------------------------------------------------------------------
def write_data(folder: Path, events: int) -> float:
    """Write the file and the held-out events; the best AUC that any network can have on these."""
    x, label = draw(events, seed=1)
    names = [f"x{i}" for i in range(_FEATURES)]
    with uproot.recreate(folder / "train.root", compression=uproot.ZLIB(1)) as file:
        tree = file.mktree("Events", {**dict.fromkeys(names, np.float32), "label": np.int8})
        for start in range(0, events, 100_000):
            rows = slice(start, start + 100_000)
            tree.extend({**{name: x[rows, i] for i, name in enumerate(names)}, "label": label[rows]})
    x, label = draw(_HELD_OUT, seed=2)
    np.save(folder / "held_out.npy", x)
    np.save(folder / "held_out_label.npy", label)
    return auc(log_ratio(x), label)


_SHIFTED, _SHIFT, _CORRELATION = 10, 0.1, 0.3


def draw(events: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Ten shifted normals, which a linear cut separates, and ten pairs whose correlation alone differs."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, events).astype(np.int8)
    sign = (2 * label - 1).astype(np.float32)[:, None]
    x = random.normal(size=(events, _FEATURES)).astype(np.float32)
    x[:, :_SHIFTED] += _SHIFT * sign
    first, second = x[:, _SHIFTED::2], x[:, _SHIFTED + 1 :: 2]
    second *= np.float32(np.sqrt(1 - _CORRELATION**2))
    second += _CORRELATION * sign * first
    return x, label


def log_ratio(x: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Logarithm of the ratio of the two classes' densities."""
    products = x[:, _SHIFTED::2] * x[:, _SHIFTED + 1 :: 2]
    pairs = 2 * _CORRELATION / (1 - _CORRELATION**2) * products.sum(axis=1, dtype=np.float64)
    shifted: npt.NDArray[Any] = 2 * _SHIFT * x[:, :_SHIFTED].sum(axis=1, dtype=np.float64) + pairs
    return shifted


def auc(scores: npt.NDArray[Any], label: npt.NDArray[Any]) -> float:
    signal = label[np.argsort(scores)] == 1
    # For every signal event, the background events below it.
    return float(np.cumsum(~signal)[signal].sum() / signal.sum() / (~signal).sum())


# --- environments ---------------------------------------------------------------------------------------------------
def interpreter(way: Way, environments: Path) -> Path:
    """The Python of a way's environment, which is built where it is not there or other requirements hold by now."""
    if way is _GRIDLOOM:
        return Path(sys.executable)
    folder = environments / way.name
    python, stamp = folder / "bin/python", folder / "requirements.digest"
    digest = hashlib.sha256(way.requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == digest):
        print(f"building the environment of {way.name}", flush=True)
        uv("venv", "--clear", "--python", sys.executable, str(folder))
        # Compiled as Gridloom's own environment is: else every start of a peer may pay for it.
        install = ("pip", "install", "--compile-bytecode", "--prerelease", "allow")
        uv(*install, "--python", str(python), "-r", str(way.requirements))
        stamp.write_text(digest)
    return python


def uv(*arguments: str) -> None:
    """Run the uv of this interpreter's environment, which looks for wheels where pip is told to."""
    links = os.environ.get("PIP_FIND_LINKS", "")
    environment = {"UV_FIND_LINKS": ",".join(links.split())} | os.environ if links else dict(os.environ)
    command = [str(Path(sys.executable).parent / "uv"), "--quiet", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WayFailedError(f"uv {' '.join(arguments)}: {done.stderr.strip()}")


# --- running --------------------------------------------------------------------------------------------------------
def run(way: Way, python: Path, plan: Plan) -> Run:
    """Start a way, let it train, read what it says."""
    with tempfile.TemporaryDirectory(dir=plan.folder) as scratch:
        job = {
            "train": str(plan.folder / "train.root"),
            "held_out": str(plan.folder / "held_out.npy"),
            "scratch": scratch,
            "epochs": plan.epochs,
            "seconds": plan.seconds,
            "features": [f"x{i}" for i in range(_FEATURES)],
            "hidden": _HIDDEN,
            "batch": _BATCH,
            "learning_rate": _LEARNING_RATE,
            "settings": "best" if way is _GRIDLOOM else plan.settings,
            "started": time.time(),
        }
        done = subprocess.run(
            [str(python), str(way.script), json.dumps(job)],
            cwd=scratch,
            env={**os.environ, **worker_variables(1)},
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST,
        )
        if done.returncode:
            raise WayFailedError(f"{way.script.name} ended with {done.returncode}: {done.stderr[-3000:]}")
        return read(done.stdout, plan)


def read(output: str, plan: Plan) -> Run:
    """The figures in the lines of a way; other lines are greetings of its libraries."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"line"')]
    by_kind = {kind: [line for line in lines if line["line"] == kind] for kind in ("about", "epoch", "scores")}
    every = by_kind["epoch"]
    first, judged, last = every[0], every[plan.epochs - 1], every[-1]
    scores = np.load(by_kind["scores"][0]["file"])
    return Run(
        steady=(last["events"] - first["events"]) / (last["cpu"] - first["cpu"]) / 1e3,
        cpu=judged["cpu"],
        wall=judged["wall"],
        events=judged["events"],
        auc=auc(scores, np.load(plan.folder / "held_out_label.npy")),
        about={key: value for key, value in by_kind["about"][0].items() if key != "line"},
    )


def measure(ways: Sequence[Way], pythons: Mapping[str, Path], plan: Plan, rounds: int) -> dict[str, list[Run]]:
    """Every way in turn in each round; one that fails is named and not tried again."""
    runs: dict[str, list[Run]] = {way.name: [] for way in ways}
    for number in range(rounds):
        for way in ways:
            if way.name not in runs:
                continue
            try:
                found = run(way, pythons[way.name], plan)
            except (WayFailedError, subprocess.TimeoutExpired) as error:
                print(f"ERROR: {way.name}: {error}", file=sys.stderr, flush=True)
                del runs[way.name]
                continue
            runs[way.name].append(found)
            print(
                f"round {number + 1} {way.name:10} {found.steady:8.1f} k events per CPU s, whole "
                f"{found.cpu:6.1f} s of CPU, {found.wall:6.1f} s; AUC {found.auc:.4f}",
                flush=True,
            )
    return runs


# --- figures --------------------------------------------------------------------------------------------------------
def summary(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def figures(way: Way, runs: Sequence[Run], ours: Sequence[Run]) -> dict[str, Any]:
    """Medians and ranges of a way; ratios are within a round."""
    return {
        "bar": way.bar,
        "steady_kev_per_cpu_s": summary([one.steady for one in runs]),
        "steady_ratio": summary([mine.steady / one.steady for mine, one in zip(ours, runs, strict=True)]),
        "whole_cpu_s": summary([one.cpu for one in runs]),
        "whole_cpu_ratio": summary([one.cpu / mine.cpu for mine, one in zip(ours, runs, strict=True)]),
        "whole_wall_s": summary([one.wall for one in runs]),
        "whole_events": runs[0].events,
        "auc": summary([one.auc for one in runs]),
        **runs[0].about,
    }


def print_table(found: Mapping[str, Mapping[str, Any]], epochs: int) -> None:
    print(f"\nmedians (least to most); whole: {epochs} epochs")
    print("            k events per CPU s    Gridloom is faster    bar    whole, CPU s    ratio          AUC")
    for name, row in found.items():
        ratio, met = row["steady_ratio"], row["steady_ratio"]["median"] >= row["bar"]
        print(
            f"{name:10} {row['steady_kev_per_cpu_s']['median']:18.1f} {ratio['median']:10.2f} "
            f"({ratio['least']:.2f}-{ratio['most']:.2f}) {row['bar']:6g} {'met' if met else 'MISSED':6}"
            f"{row['whole_cpu_s']['median']:8.1f} {row['whole_cpu_ratio']['median']:10.2f} {row['auc']['median']:16.4f}"
        )


def same_quality(runs: Mapping[str, Sequence[Run]], tolerance: float) -> bool:
    """Whether the medians of all ways' AUC are within the tolerance of Gridloom's, saying which are not."""
    ours = statistics.median(one.auc for one in runs[_GRIDLOOM.name])
    same = True
    for name, of_way in runs.items():
        difference = statistics.median(one.auc for one in of_way) - ours
        if abs(difference) > tolerance:
            print(f"ERROR: {name}: its AUC is {difference:+.4f} from Gridloom's", file=sys.stderr)
            same = False
    return same


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=5, help="of the whole; steady rates may need more (5)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of steady training, at least, in CPU time (5)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=[way.name for way in _PEERS], help="beside Gridloom")
    parser.add_argument(
        "--settings",
        default="best",
        help="of the peers: best (by trials), defaults (their own), or changes of the best as JSON",
    )
    parser.add_argument("--tolerance", type=float, default=0.003, help="of the AUC (0.003)")
    parser.add_argument("--environments", type=Path, default=Path("build/peers"), help="where they are built and kept")
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    given = parser.parse_args()
    if given.epochs < 2:
        parser.error("--epochs: at least two, for the first one is not steady")
    return given


def main() -> None:
    given = options()
    wanted = [way for way in _PEERS if given.only is None or way.name in given.only]
    pythons: dict[str, Path] = {}
    for way in (_GRIDLOOM, *wanted):
        try:
            pythons[way.name] = interpreter(way, given.environments.resolve())
        except WayFailedError as error:
            print(f"ERROR: {way.name} cannot be installed: {error}", file=sys.stderr, flush=True)
    ways = [way for way in (_GRIDLOOM, *wanted) if way.name in pythons]
    with tempfile.TemporaryDirectory(prefix="gridloom-peers-") as folder:
        best = write_data(Path(folder), given.events)
        plan = Plan(folder=Path(folder), epochs=given.epochs, seconds=given.seconds, settings=given.settings)
        runs = measure(ways, pythons, plan, given.rounds)
    if _GRIDLOOM.name not in runs:
        raise SystemExit("nothing to compare with: Gridloom itself did not train")
    found = {way.name: figures(way, runs[way.name], runs[_GRIDLOOM.name]) for way in ways if way.name in runs}
    print_table(found, given.epochs)
    print(f"best AUC possible: {best:.4f}")
    if given.out is not None:
        about = {"machine": platform.machine(), "events": given.events, "epochs": given.epochs, "rounds": given.rounds}
        content = {"about": {**about, "settings": given.settings, "best_auc": best}, "results": found}
        given.out.write_text(json.dumps(content, indent=1) + "\n")
    if not same_quality(runs, given.tolerance) or len(found) <= len(wanted):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
