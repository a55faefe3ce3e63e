"""What a container costs: a training of a minute bare and in each form of the image; starts, cold and warm.

    python benchmarks/containers.py --images docker=gridloom:0.1.0-cpu sif=images/x.sif directory=images/x [--rounds 6]

Each round trains bare and in each form side by side, on one core, with one thread each, in turns of half a second:
a machine's speed changes by several per cent within minutes, and so it is the same for all. Wall and CPU time are those
of the training itself, without the turns of the others, measured inside; the start comes before. Ratios are taken
within a round. The networks' digests must agree. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import mmap
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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gridloom.environment import worker_variables

_BARE = "bare"
_EVENTS = 60_000
_TRIALS = 10_000  # bootstrap
_SLICE = 0.5  # seconds
_CORE = "1" if (os.cpu_count() or 1) > 1 else "0"


# --- inside ---------------------------------------------------------------------------------------------------------
class Turns:
    """Trainings side by side, one of them computing at a time: whatever the machine does meanwhile meets them all.

    The file has a byte for whose turn it is and one for the state of each.
    """

    WAITING, READY, FINISHED = 0, 1, 2

    def __init__(self, path: Path, mine: int, all_: int) -> None:
        self._bytes = mmap.mmap(os.open(path, os.O_RDWR), 1 + all_)
        self._mine, self._all = mine, all_
        self._begun = 0.0
        self.waited = 0.0

    def begin(self) -> None:
        """Wait until all are there."""
        self._bytes[1 + self._mine] = self.READY
        while self.WAITING in self._bytes[1:]:
            time.sleep(0.01)
        self._wait()
        self.waited = 0.0

    def __call__(self) -> bool:
        """Let the next one compute, after a while; a training asks at every call of its loop whether to stop."""
        if time.perf_counter() - self._begun > _SLICE:
            self._pass_on()
            self._wait()
        return False

    def finish(self) -> None:
        self._bytes[1 + self._mine] = self.FINISHED
        self._pass_on()

    def _pass_on(self) -> None:
        others = [(self._mine + step) % self._all for step in range(1, self._all + 1)]
        self._bytes[0] = next((n for n in others if self._bytes[1 + n] != self.FINISHED), self._mine)

    def _wait(self) -> None:
        clock = time.perf_counter()
        while self._bytes[0] != self._mine:
            time.sleep(0.002)
        self._begun = time.perf_counter()
        self.waited += self._begun - clock


def train(folder: Path, turns: Turns) -> None:
    """The training of fold 0, done anew; one line of JSON says what it took."""
    from gridloom.assignment import read_assignment
    from gridloom.worker.tasks import Hooks, perform

    begun = time.time()
    import gridloom.training.train  # noqa: F401 - the imports are the start, not the training

    assignment = read_assignment(folder / "task.json")
    store = Path(assignment.store)
    turns.begin()
    before, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    perform(assignment, Hooks(stop=turns, progress=lambda _: None))
    wall, after = time.perf_counter() - clock - turns.waited, resource.getrusage(resource.RUSAGE_SELF)
    turns.finish()
    digest = hashlib.sha256((store / assignment.task.id / "scores.npy").read_bytes()).hexdigest()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    sys.stdout.write(json.dumps({"begun": begun, "wall": wall, "cpu": cpu, "digest": digest}) + "\n")


# --- outside --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Place:
    """Bare, or a form of the image: how a command is started there, and the files that its start reads."""

    name: str
    image: str = ""
    python: str = sys.executable

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
            return ["taskset", "-c", _CORE, self.python, *arguments], variables
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
        """Drop what is read at a start from the memory of the system: all of it as root, else these files."""
        root = {True: docker_root, False: self.image}[":" in self.image] if self.image else sys.prefix
        os.sync()
        with suppress(OSError):
            Path("/proc/sys/vm/drop_caches").write_text("3")
            return
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
features: [MET_pt, Lepton_pt, Lepton_eta, nJet, "Sum$(Jet_pt)", {name: "Max$(Jet_pt)", missing: nan}]
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
    """Trainings in all places side by side, in turns; what each took, and how the forms compare with the bare one."""
    found: list[dict[str, Any]] = []
    rng = random.Random(1)
    for number in range(rounds):
        order = list(places)
        rng.shuffle(order)
        for row in _round(order, work / f"round-{number}", work):
            found.append({"round": number, **row})
            print(f"{number} {row['place']:10} wall {row['wall']:6.2f} s  cpu {row['cpu']:6.2f} s", flush=True)
    print(f"networks: {len({row['digest'] for row in found})} kind(s)")
    for place in places[1:]:
        for what in ("cpu", "wall"):
            ratios = [_of(found, n, place.name, what) / _of(found, n, _BARE, what) for n in range(rounds)]
            middle, low, high = interval(ratios, rng)
            words = f"{100 * (middle - 1):+.2f} % [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}]"
            print(f"{place.name:10} {what:4} {words}")
    return found


def _round(places: Sequence[Place], folder: Path, work: Path) -> list[dict[str, Any]]:
    (planned,) = work.glob("runs/*/logs/train-fold-0-*/task.json")
    task = json.loads(planned.read_text())
    folder.mkdir()
    turns = folder / "turns"
    turns.write_bytes(bytes(1 + len(places)))
    with ThreadPoolExecutor(len(places)) as pool:
        running = []
        for number, place in enumerate(places):
            own = folder / place.name
            store = own / "store"
            store.mkdir(parents=True)
            for name in task["task"]["inputs"]:
                shutil.copytree(Path(task["store"], name), store / name)
            (own / "task.json").write_text(json.dumps({**task, "store": str(store)}))
            arguments = ("--train", str(own), "--turn", str(number), str(len(places)))
            running.append(pool.submit(place.run, work, str(Path(__file__).resolve()), *arguments))
        told = [json.loads(done.result().splitlines()[-1]) for done in running]
    shutil.rmtree(folder)
    return [{"place": place.name, **row} for place, row in zip(places, told, strict=True)]


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
    parser.add_argument("--python", default=sys.executable, help="the bare one; of the image's version, best")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=110)
    parser.add_argument("--docker-root", default="/var/lib/docker", help="where the daemon keeps its files")
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--train", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, nargs=2, default=(0, 1), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        train(given.train, Turns(given.train.parent / "turns", *given.turn))
        return
    named = [text.partition("=") for text in given.images]
    places = [Place(name=_BARE, python=given.python), *(Place(name=name, image=image) for name, _, image in named)]
    with tempfile.TemporaryDirectory(prefix="gridloom-bench-", dir="/var/tmp") as name:
        work = Path(name)
        starts(places, max(2, given.rounds // 2), work, given.docker_root)
        prepare(work, given.epochs)
        rows = overhead(places, given.rounds, work)
    if given.out is not None:
        given.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
