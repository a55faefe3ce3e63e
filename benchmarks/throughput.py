"""Steady training from ROOT, beside the in-memory limit of the same run and beside what users write by hand.

    python benchmarks/throughput.py [--events N] [--rounds R] [--cases small-1024 ...] [--jax] [--out FILE]

Every round measures each way for a moment, one after the other, so that a noisy machine disturbs all alike; the
ratios are medians over rounds. Rates are thousand events per second of CPU time of the process, one compute thread.

* `bound`: the compiled loop in plain TensorFlow (Adam as one operation per variable, no Keras) over and over on the
  same few batches: arithmetic alone, nothing read, nothing shuffled. No training can reach it.
* `limit`: the same loop training for real on data that lie in memory, a new full permutation every epoch. Rows are
  gathered inside the compiled loop, or before it and copied or lent to TensorFlow; with XLA or without. The three
  fastest of a first look are measured, and the best of each round counts.
* `gridloom`: the loop and the feed of `gridloom run` on shards prepared from a ROOT file: every epoch a new full
  permutation. With XLA or without, as its rule chooses; the other choice stands beside it.
* `gridloom, jax`: the same on JAX, in a process of its own (with `--jax`).
* `pandas.fit`: uproot -> pandas -> Keras' `fit` on arrays.
* `generator.fit`: uproot.iterate -> tf.data.from_generator -> `fit`.
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
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import awkward as ak
import keras
import numpy as np
import uproot

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.stream import Stream
from gridloom.models.check import untrained
from gridloom.models.network import build_network
from gridloom.testing.preparing import prepare_files
from gridloom.training.backends import back_end
from gridloom.training.backends.base import LoopSettings
from gridloom.training.choice import Choice, by_rule
from gridloom.training.feed import feed, settled, training_material
from gridloom.training.fold import fit_transforms, split_fold
from gridloom.training.loop import steps_per_call
from gridloom.training.losses import LOSSES
from gridloom.training.optimizers import build_optimization
from gridloom.training.room import aligned_empty

SECONDS = 1.0
PEERS_AT = 1024
OBJECTS = 40


@dataclass(frozen=True, kw_only=True)
class Net:
    """`phi` are the layers applied to each of the objects, if the inputs are objects; then sum, mean and maximum."""

    columns: int
    hidden: tuple[int, ...]
    phi: tuple[int, ...] = ()
    events: float = 1.0  # of those asked for: objects take more memory


NETS = {
    "small": Net(columns=30, hidden=(64, 64)),
    "wide": Net(columns=28, hidden=(300,) * 5),
    "sets": Net(columns=4, phi=(100, 100, 64), hidden=(64, 64), events=0.2),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    batch: int
    precision: str = "float32"

    @property
    def net(self) -> Net:
        return NETS[self.name]

    @property
    def title(self) -> str:
        return f"{self.name}-{self.batch}" + ("" if self.precision == "float32" else f"-{self.precision}")


CASES = {
    case.title: case for case in (Case(name=name, batch=batch) for name in NETS for batch in (256, 1024, 8192))
} | {case.title: case for case in (Case(name=name, batch=1024, precision="mixed_bfloat16") for name in NETS)}


@dataclass(frozen=True, kw_only=True)
class Spent:
    events: int
    cpu: float


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train: a call trains for so many seconds."""

    name: str
    run: Callable[[float], Spent]


def timed(run: Callable[[float], int]) -> Callable[[float], Spent]:
    def spend(seconds: float) -> Spent:
        begun = time.process_time()
        events = run(seconds)
        return Spent(events=events, cpu=time.process_time() - begun)

    return spend


def repeated(name: str, calls: Iterator[int]) -> Way:
    """A way whose steps are calls that give their numbers of events."""

    def run(seconds: float) -> int:
        end, events = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            events += next(calls)
        return events

    return Way(name=name, run=timed(run))


# --- the data ---------------------------------------------------------------------------------------------------------
def write_root(path: Path, events: int, net: Net) -> None:
    """One zlib TTree with a label, as most ntuples are."""
    random = np.random.default_rng(1)
    label = random.integers(0, 2, events).astype(np.int8)
    counts = random.integers(OBJECTS // 2, OBJECTS + 1, events)
    columns: dict[str, Any] = {}
    for index in range(net.columns):
        if net.phi:
            columns[f"x{index}"] = ak.unflatten(random.normal(size=counts.sum()).astype(np.float32), counts)
        else:
            columns[f"x{index}"] = (random.normal(size=events) + 0.1 * label).astype(np.float32)
    kind = "var * float32" if net.phi else "float32"
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree("Events", {**dict.fromkeys(columns, kind), "label": "int8"})
        step = 100_000
        for start in range(0, events, step):
            part = {name: values[start : start + step] for name, values in {**columns, "label": label}.items()}
            file["Events"].extend(part)


def analysis_of(case: Case, path: Path) -> Analysis:
    names = [f"x{i}" for i in range(case.net.columns)]
    objects = {"collections": {"objects": {"at_most": OBJECTS, "features": names}}}
    parameters: dict[str, Any] = {"hidden": list(case.net.hidden), "bins": 0, "dropout": 0}
    if case.net.phi:
        parameters["objects"] = list(case.net.phi)
    return Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "throughput",
            "samples": {"all": {"files": str(path), "class": {"s": "label == 1", "b": "otherwise"}, "weight": 1}},
            **(objects if case.net.phi else {"features": names}),
            "event_id": "entry",
            "target": {"signal": "s"},
            "model": {"name": "deepsets" if case.net.phi else "mlp", "parameters": parameters},
            "training": {"batch": case.batch, "precision": case.precision},
        }
    )


def prepared(analysis: Analysis, path: Path, folder: Path) -> Dataset:
    """The shards that `gridloom run` would make."""
    if not folder.exists():
        prepare_files(analysis, "all", [path], folder)
    return open_dataset(analysis, [folder])


# --- gridloom ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Ours:
    """What `gridloom run` trains with."""

    analysis: Analysis
    dataset: Dataset

    def way(self, name: str, *, xla: bool) -> Way:
        fold = split_fold(self.analysis, self.dataset, 0)
        settings = self.analysis.training
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(settings.precision)
        network = build_network(self.analysis, fit_transforms(self.analysis, self.dataset, fold), 1, Path())
        keras.config.set_dtype_policy(policy)
        optimization = build_optimization(
            settings.optimizer,
            settings.schedule,
            network.body.trainable_variables,
            steps_per_epoch=1000,
            epochs=1000,
        )
        material = training_material(self.dataset, fold)
        if settings.precision == "float32":
            material = settled(material, network)
        compiled = LoopSettings(loss=LOSSES["binary_cross_entropy"], xla=xla, transformed=material.transformed)
        loop = back_end().compile_loop(network, optimization, compiled)
        batch = min(settings.batch, len(fold.train_rows))
        steps = min(steps_per_call(network.body, self.analysis, batch), -(-len(fold.train_rows) // batch))
        stream = Stream(rows=material.rows, batch=batch, steps_per_call=steps, seed=(1,))

        def endless() -> Iterator[int]:
            epoch = 0
            while True:
                for fed in feed(material, stream, epoch, 0):
                    assert np.isfinite(loop.train(fed))
                    yield fed.events
                epoch += 1

        return repeated(name, endless())


def rule(analysis: Analysis) -> Choice:
    """What Gridloom chooses without a probe."""
    return by_rule(untrained(analysis, Path()).body, analysis)


# --- the limit --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, kw_only=True)
class Arrays:
    """All events: inputs (n, columns), or (n, objects, columns) with the mask (n, objects); labels and weights (n,)."""

    inputs: tuple[Any, ...]
    labels: Any
    weights: Any

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def every(self) -> tuple[Any, ...]:
        return (*self.inputs, self.labels, self.weights)


def arrays_of(case: Case, dataset: Dataset) -> Arrays:
    rows = np.arange(len(dataset))
    found = dataset.inputs(rows)
    flat = (found.features,) if not case.net.phi else (found.collections["objects"], found.masks["objects"])
    return Arrays(inputs=flat, labels=dataset.label.astype(np.float32), weights=np.ones(len(rows), dtype=np.float32))


def plain_step(net: Net) -> Callable[..., Any]:
    """One step of Adam on one batch, without Keras: (*inputs, y, weights) -> loss."""
    import tensorflow as tf

    random = tf.random.Generator.from_seed(1)
    pooled = 3 * net.phi[-1] if net.phi else net.columns
    sizes = [*pairwise((net.columns, *net.phi)), *pairwise((pooled, *net.hidden, 1))]
    variables = []
    for fan_in, fan_out in sizes:
        start = random.normal((fan_in, fan_out)) * (2 / fan_in) ** 0.5
        variables += [tf.Variable(start), tf.Variable(tf.zeros(fan_out))]
    first = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    second = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    time_step = tf.Variable(0.0)

    def network(x: Any, mask: Any = None) -> Any:
        for layer in range(len(sizes)):
            if layer == len(net.phi) and mask is not None:
                there = mask[:, :, None]
                total = tf.reduce_sum(x * there, axis=1)
                largest = tf.reduce_max(tf.where(there > 0, x, -1e4), axis=1)
                x = tf.concat([total, total / tf.maximum(tf.reduce_sum(there, axis=1), 1.0), largest], axis=-1)
            shape = tf.shape(x)
            flat = tf.reshape(x, (-1, x.shape[-1])) @ variables[2 * layer] + variables[2 * layer + 1]
            flat = tf.nn.relu(flat) if layer < len(sizes) - 1 else flat
            x = tf.reshape(flat, tf.concat([shape[:-1], [flat.shape[-1]]], axis=0)) if x.shape.rank > 2 else flat
        return x[:, 0]

    def step(*batch: Any) -> Any:
        *inputs, y, weights = batch
        with tf.GradientTape() as tape:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=network(*inputs))
            loss = tf.reduce_mean(weights * losses)
        gradients = tape.gradient(loss, variables)
        time_step.assign_add(1.0)
        for variable, mean, square, gradient in zip(variables, first, second, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=0.9**time_step,
                beta2_power=0.999**time_step,
                lr=1e-3,
                beta1=0.9,
                beta2=0.999,
                epsilon=1e-7,
                grad=gradient,
            )
        return loss

    return step


def plain_loop(net: Net, steps: int, *, xla: bool) -> Callable[..., Any]:
    """`train(*arrays)` over the leading axis of the arrays."""
    import tensorflow as tf

    step = plain_step(net)

    @tf.function(jit_compile=xla, autograph=False)  # type: ignore[untyped-decorator]
    def train(*arrays: Any) -> Any:
        def body(index: Any, total: Any) -> tuple[Any, Any]:
            return index + 1, total + step(*(values[index] for values in arrays))

        return tf.while_loop(lambda index, _: index < steps, body, (0, 0.0), parallel_iterations=1)[1]

    return train  # type: ignore[no-any-return]


def gathering_loop(net: Net, steps: int, *, xla: bool) -> Callable[..., Any]:
    """`train(rows, *arrays)`: each step gathers its batch from the whole arrays."""
    import tensorflow as tf

    step = plain_step(net)

    @tf.function(jit_compile=xla, autograph=False)  # type: ignore[untyped-decorator]
    def train(rows: Any, *arrays: Any) -> Any:
        def body(index: Any, total: Any) -> tuple[Any, Any]:
            return index + 1, total + step(*(tf.gather(values, rows[index]) for values in arrays))

        return tf.while_loop(lambda index, _: index < steps, body, (0, 0.0), parallel_iterations=1)[1]

    return train  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Plain TensorFlow on arrays in memory."""

    case: Case
    arrays: Arrays
    steps: int

    def bound(self, *, xla: bool) -> Way:
        """The same batches again and again."""
        import tensorflow as tf

        train = plain_loop(self.case.net, self.steps, xla=xla)
        held = [tf.constant(self._cut(values[: self._size])) for values in self.arrays.every]
        return repeated("bound, XLA" if xla else "bound", self._endless(lambda _: float(train(*held))))

    def copied(self, *, xla: bool) -> Way:
        """Rows gathered by NumPy before each call."""
        import tensorflow as tf

        train = plain_loop(self.case.net, self.steps, xla=xla)
        room = [np.empty((self._size, *values.shape[1:]), np.float32) for values in self.arrays.every]

        def call(rows: Any) -> float:
            self._gather(rows, room)
            return float(train(*(tf.constant(self._cut(values)) for values in room)))

        return repeated(f"limit, copied{', XLA' * xla}", self._endless(call))

    def lent(self, *, xla: bool) -> Way:
        """The same, and the gathered arrays are not copied."""
        import tensorflow as tf

        train = plain_loop(self.case.net, self.steps, xla=xla)
        room = [aligned_empty((self._size, *values.shape[1:])) for values in self.arrays.every]
        tensors = [tf.experimental.dlpack.from_dlpack(self._cut(values).__dlpack__()) for values in room]

        def call(rows: Any) -> float:
            self._gather(rows, room)
            return float(train(*tensors))

        return repeated(f"limit, lent{', XLA' * xla}", self._endless(call))

    def inside(self, *, xla: bool) -> Way:
        """Rows gathered inside the compiled loop."""
        import tensorflow as tf

        train = gathering_loop(self.case.net, self.steps, xla=xla)
        data = [tf.constant(values) for values in self.arrays.every]

        def call(rows: Any) -> float:
            return float(train(tf.constant(self._cut(rows.astype(np.int32))), *data))

        return repeated(f"limit, inside{', XLA' * xla}", self._endless(call))

    @property
    def _size(self) -> int:
        return self.steps * self.case.batch

    def _cut(self, values: Any) -> Any:
        return values.reshape(self.steps, self.case.batch, *values.shape[1:])

    def _gather(self, rows: Any, room: list[Any]) -> None:
        for values, out in zip(self.arrays.every, room, strict=True):
            np.take(values, rows, axis=0, out=out, mode="clip")

    def _endless(self, call: Callable[[Any], float]) -> Iterator[int]:
        """A new permutation each epoch, call by call."""
        random = np.random.default_rng(3)
        while True:
            order = random.permutation(len(self.arrays))
            for start in range(0, len(order) - self._size + 1, self._size):
                assert np.isfinite(call(order[start : start + self._size]))
                yield self._size


def limit_of(case: Case, arrays: Arrays) -> Limit:
    at_most = max(1, {"small": 65_536, "wide": 4096, "sets": 4096}[case.name] // case.batch)
    return Limit(case=case, arrays=arrays, steps=min(at_most, len(arrays) // case.batch))


def best_limits(limit: Limit) -> list[Way]:
    """The three fastest ways in a short look at all."""
    kinds = (limit.inside, limit.copied, limit.lent)
    ways = [kind(xla=xla) for kind in kinds for xla in (True, False)]
    rates = measure(ways, 2, 0.4)
    return sorted(ways, key=lambda way: -max(rates[way.name]))[:3]


# --- by hand ----------------------------------------------------------------------------------------------------------
def fit_model(net: Net) -> Any:
    layers = [keras.layers.Dense(width, "relu") for width in net.hidden]
    model = keras.Sequential([keras.Input((net.columns,)), *layers, keras.layers.Dense(1, "sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy")
    return model


class Clock(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops `fit` after some seconds and counts its batches."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.end = time.perf_counter() + seconds
        self.batches = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.batches += 1
        if time.perf_counter() > self.end:
            self.model.stop_training = True
            raise StopIteration


def fit_for(model: Any, data: tuple[Any, ...], batch: int, seconds: float, **options: Any) -> int:
    clock = Clock(seconds)
    with suppress(StopIteration), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns that it is stopped, which is what we want
        model.fit(*data, epochs=10_000, verbose=0, callbacks=[clock], **options)
    return clock.batches * batch


def pandas_way(path: Path, case: Case) -> Way:
    with uproot.open(path) as file:
        frame = file["Events"].arrays(library="pd")
    label = frame.pop("label").to_numpy(np.float32)
    x = frame.to_numpy(np.float32)
    model = fit_model(case.net)
    run = timed(lambda seconds: fit_for(model, (x, label), case.batch, seconds, batch_size=case.batch))
    return Way(name="pandas.fit", run=run)


def generator_way(path: Path, case: Case) -> Way:
    import tensorflow as tf

    names = [f"x{i}" for i in range(case.net.columns)]
    batch = case.batch

    def events() -> Iterator[tuple[Any, Any]]:
        for arrays in uproot.iterate(f"{path}:Events", step_size=50_000, library="np"):
            x = np.stack([arrays[name] for name in names], axis=1)
            y = arrays["label"].astype(np.float32)
            order = np.random.default_rng(1).permutation(len(y))
            for start in range(0, len(y) - batch + 1, batch):
                rows = order[start : start + batch]
                yield x[rows], y[rows]

    signature = (tf.TensorSpec((batch, case.net.columns), tf.float32), tf.TensorSpec((batch,), tf.float32))
    data = tf.data.Dataset.from_generator(events, output_signature=signature).repeat().prefetch(2)
    model = fit_model(case.net)
    run = timed(lambda seconds: fit_for(model, (data,), batch, seconds, steps_per_epoch=10_000))
    return Way(name="generator.fit", run=run)


# --- JAX in a process of its own --------------------------------------------------------------------------------------
def jax_way(case: Case, folder: Path) -> Way:
    """Asks a process on JAX to train on the same shards."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve", case.title, "--folder", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "jax", "NPROC": "1"},
    )
    requests, answers = process.stdin, process.stdout
    assert requests is not None
    assert answers is not None

    def run(seconds: float) -> Spent:
        requests.write(f"{seconds}\n")
        requests.flush()
        return Spent(**json.loads(answers.readline()))

    return Way(name="gridloom, jax", run=run)


def serve(case: Case, folder: Path) -> None:
    analysis = analysis_of(case, folder / f"{case.name}.root")
    way = Ours(analysis=analysis, dataset=prepared(analysis, Path(), folder / case.name)).way("jax", xla=True)
    for line in sys.stdin:
        print(json.dumps(vars(way.run(float(line)))), flush=True)


# --- measuring --------------------------------------------------------------------------------------------------------
def measure(ways: list[Way], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Thousand events per CPU second of each way in each round, after one round to warm up."""
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for way in ways:
        way.run(0.1)
    for _ in range(rounds):
        for way in ways:
            spent = way.run(seconds)
            rates[way.name].append(spent.events / spent.cpu / 1e3)
    return rates


def bench(case: Case, options: argparse.Namespace, folder: Path) -> Mapping[str, Any]:
    path = folder / f"{case.name}.root"
    events = int(options.events * case.net.events)
    if not path.exists():
        write_root(path, events, case.net)
    analysis = analysis_of(case, path)
    dataset = prepared(analysis, path, folder / case.name)
    limit = limit_of(case, arrays_of(case, dataset))
    limits = best_limits(limit)
    ours = Ours(analysis=analysis, dataset=dataset)
    chosen = rule(analysis).xla
    ways = [*limits, limit.bound(xla="XLA" in limits[0].name)]
    ways += [ours.way("gridloom", xla=chosen), ours.way(f"gridloom, {'no ' * chosen}XLA", xla=not chosen)]
    if case.precision != "float32":
        single = replace(ours, analysis=analysis_of(replace(case, precision="float32"), path))
        ways += [single.way("gridloom, float32", xla=chosen)]
    if options.jax:
        ways += [jax_way(case, folder)]
    if case.batch == PEERS_AT and not case.net.phi and case.precision == "float32":
        ways += [pandas_way(path, case), generator_way(path, case)]
    rates = measure(ways, options.rounds, SECONDS)
    best = [max(values) for values in zip(*(rates[way.name] for way in limits), strict=True)]
    print(f"\n{case.title}, {events} events, {options.rounds} rounds; XLA by the rule: {chosen}", flush=True)
    print(f"{'':22}{'kev/CPU-s':>12}{'of the limit':>14}")
    result: dict[str, Any] = {}
    for way, values in rates.items():
        ratio = statistics.median(value / top for value, top in zip(values, best, strict=True))
        result[way] = {"kev_per_cpu_s": statistics.median(values), "of_limit": ratio}
        print(f"{way:22}{statistics.median(values):12.1f}{ratio:14.3f}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--jax", action="store_true", help="measure JAX too")
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=Path(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    back_end().configure(1)
    keras.utils.set_random_seed(1)  # which random numbers need where everything is deterministic
    if options.serve:
        serve(CASES[options.serve], options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for title in options.cases:
            keras.backend.clear_session()
            found[title] = bench(CASES[title], options, Path(folder))
    if options.out is not None:
        about = {"machine": platform.machine(), "keras": keras.__version__}
        options.out.write_text(json.dumps({"about": about, "results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
