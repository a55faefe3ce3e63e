"""What a container costs: a training of a minute bare and in each form of the image, in turn; starts, cold and warm.

    python benchmarks/containers.py --images docker=gridloom:0.1.0-cpu sif=images/x.sif directory=images/x [--rounds 6]

Each round trains once bare and once in each form, in another order every time, on one core with one thread; ratios are
taken within a round. Wall and CPU time are those of the training itself, measured inside; the start comes before.
The networks' digests must agree. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridloom.environment import worker_variables

_BARE = "bare"
_EVENTS = 60_000
_TRIALS = 10_000  # bootstrap
_CORE = "1" if (os.cpu_count() or 1) > 1 else "0"


# --- inside ---------------------------------------------------------------------------------------------------------
def train(folder: Path) -> None:
    """The training of fold 0, done anew; one line of JSON says what it took."""
    from gridloom.assignment import read_assignment
    from gridloom.worker.tasks import Hooks, perform

    begun = time.time()
    import gridloom.training.train  # noqa: F401 - the imports are the start, not the training

    (path,) = folder.glob("runs/*/logs/train-fold-0-*/task.json")
    assignment = read_assignment(path)
    store = Path(assignment.store)
    for name in (assignment.task.id, f"{assignment.task.id}.scratch"):
        shutil.rmtree(store / name, ignore_errors=True)
    before, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    perform(assignment, Hooks(stop=lambda: False, progress=lambda _: None))
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_SELF)
    digest = hashlib.sha256((store / assignment.task.id / "scores.npy").read_bytes()).hexdigest()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(json.dumps({"begun": begun, "wall": wall, "cpu": cpu, "digest": digest}) + "\n")


# --- outside --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Place:
    """Bare, or a form of the image: how a command is started there, and the files that its start reads."""

    name: str
    image: str = ""

    def run(self, work: Path, *arguments: str) -> str:
        """Run Python there; what it prints."""
        argv, environment = self._start(work, arguments)
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{self.name}: {done.stderr[-2000:]}")
        return done.stdout

    def _start(self, work: Path, arguments: Sequence[str]) -> tuple[Sequence[str], Mapping[str, str]]:
        variables = {**os.environ, **worker_variables(1)}
        if not self.image:
            return ["taskset", "-c", _CORE, sys.executable, *arguments], variables
        from gridloom.containers.enclosure import Enclosure
        from gridloom.containers.here import find, start
        from gridloom.driver.settings import image_named

        found = find((image_named(self.image),))
        (work / "tmp").mkdir(exist_ok=True)
        here = str(Path(__file__).resolve().parent)
        command = ("taskset", "-c", _CORE, "/opt/gridloom/bin/python", *arguments)
        enclosure = Enclosure(
            image=self.image,
            command=("/usr/bin/env", *command),
            folder=str(work),
            writes=(str(work),),
            reads=(here,),
            temporary=str(work / "tmp"),
        )
        begun = start(found, enclosure, variables, {})
        return begun.argv, begun.environment

    def forget(self, docker_root: str) -> None:
        """Drop what is read at a start from the memory of the system, as far as that goes without its rights."""
        root = {True: docker_root, False: self.image}[":" in self.image] if self.image else sys.prefix
        os.sync()
        for path in _files(Path(root)):
            with suppress(OSError):
                handle = os.open(path, os.O_RDONLY)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(handle)


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for folder, _, names in os.walk(root):
        yield from (path for name in names if (path := Path(folder, name)).is_file() and not path.is_symlink())


ANALYSIS = """\
gridloom: 1
name: overhead
samples:
  signal: {files: signal.root, class: signal, weight: 1}
  background: {files: background.root, class: background, weight: 1}
features: [MET_pt, Lepton_pt, Lepton_eta, nJet, "Sum$(Jet_pt)", "Max$(Jet_pt)"]
target: {signal: signal}
event_id: [run, luminosityBlock, event]
folds: 3
model: {name: mlp}
training: {epochs: EPOCHS, early_stopping: null, batch: 256}
evaluation: {bootstrap: 20, reference: false}
"""


def prepare(folder: Path, epochs: int) -> None:
    """A run, so that the training has its inputs and its task.json."""
    from gridloom.testing.ntuples import write_sample

    for seed, (name, signal) in enumerate((("signal", True), ("background", False)), start=1):
        write_sample(folder / f"{name}.root", events=_EVENTS, seed=seed, signal=signal, first_event=seed * _EVENTS)
    (folder / "analysis.yaml").write_text(ANALYSIS.replace("EPOCHS", str(epochs)))
    command = [sys.executable, "-m", "gridloom", "run", str(folder / "analysis.yaml"), "--runs", str(folder / "runs")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def interval(ratios: Sequence[float], rng: random.Random) -> tuple[float, float, float]:
    """Median of ratios and the 95 % interval of it, by bootstrap over the rounds."""
    medians = sorted(statistics.median(rng.choices(ratios, k=len(ratios))) for _ in range(_TRIALS))
    return statistics.median(ratios), medians[int(0.025 * _TRIALS)], medians[int(0.975 * _TRIALS)]


def overhead(places: Sequence[Place], rounds: int, work: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    rng = random.Random(1)
    for number in range(rounds):
        order = list(places)
        rng.shuffle(order)
        for place in order:
            clock = time.time()
            told = json.loads(place.run(work, str(Path(__file__).resolve()), "--train", str(work)).splitlines()[-1])
            row = {"round": number, "place": place.name, "start": told["begun"] - clock, **told}
            found.append(row)
            print(f"{number} {place.name:10} wall {told['wall']:6.1f} s  cpu {told['cpu']:6.1f} s", flush=True)
    digests = {row["digest"] for row in found}
    print(f"networks: {len(digests)} kind(s)")
    for place in places[1:]:
        for what in ("cpu", "wall"):
            ratios = [_of(found, n, place.name, what) / _of(found, n, _BARE, what) for n in range(rounds)]
            middle, low, high = interval(ratios, rng)
            words = f"{100 * (middle - 1):+.1f} % [{100 * (low - 1):+.1f}, {100 * (high - 1):+.1f}]"
            print(f"{place.name:10} {what:4} {words}")
    return found


def _of(rows: Sequence[Mapping[str, Any]], number: int, name: str, what: str) -> float:
    return next(float(row[what]) for row in rows if row["round"] == number and row["place"] == name)


def starts(places: Sequence[Place], rounds: int, work: Path, docker_root: str) -> None:
    """Seconds until Python runs, and until TensorFlow is imported: cold and warm."""
    rows: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(rounds):
        for place in places:
            for kind in ("cold", "warm"):
                for what, code in (("TensorFlow", "import tensorflow"), ("Python", "pass")):
                    if kind == "cold":
                        place.forget(docker_root)
                    clock = time.perf_counter()
                    place.run(work, "-c", code)
                    rows.setdefault((place.name, what, kind), []).append(time.perf_counter() - clock)
    for place in places:
        cells = [
            f"{what} {kind} {statistics.median(rows[place.name, what, kind]):.2f} s"
            for what in ("Python", "TensorFlow")
            for kind in ("cold", "warm")
        ]
        print(f"{place.name:10} {'  '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", nargs="+", default=[], metavar="NAME=IMAGE")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--docker-root", default="/var/lib/docker", help="where the daemon keeps its files")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--train", type=Path, default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        train(given.train)
        return
    named = [text.partition("=") for text in given.images]
    places = [Place(name=_BARE), *(Place(name=name, image=image) for name, _, image in named)]
    with tempfile.TemporaryDirectory(prefix="gridloom-bench-", dir="/var/tmp") as name:
        work = Path(name)
        starts(places, max(2, given.rounds // 2), work, given.docker_root)
        prepare(work, given.epochs)
        rows = overhead(places, given.rounds, work)
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
