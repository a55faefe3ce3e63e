"""Steady training from ROOT, beside the in-memory limit of the same run and beside what users write by hand.

    python benchmarks/throughput.py [--events N] [--rounds R] [--out FILE]

Every round measures each way for a moment, one after the other, so that a noisy machine disturbs all alike; the
ratios are medians over rounds. Rates are thousand events per second of CPU time of this process, one compute thread.

* `bound`: the compiled loop in plain TensorFlow (hand-written Adam, no Keras) over and over on the same few batches:
  arithmetic alone, nothing read, nothing shuffled. No training can reach it.
* `limit`: the same loop training for real on data that lie in memory, a new full permutation every epoch. Two ways to
  gather, inside the compiled loop or before it; the better one of each round counts.
* `gridloom`: the loop and the feed of `gridloom run` on shards prepared from a ROOT file: every epoch a new full
  permutation.
* `pandas.fit`: uproot -> pandas -> Keras' `fit` on arrays.
* `generator.fit`: uproot.iterate -> tf.data.from_generator -> `fit`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import uproot

from gridloom.analysis.models import Analysis
from gridloom.data import prepare
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.stream import Stream
from gridloom.models.network import build_network
from gridloom.task import Context, InputFile, Task
from gridloom.training.feed import feed, training_material
from gridloom.training.fold import fit_transforms, split_fold
from gridloom.training.loop import compile_loop, steps_per_call
from gridloom.training.losses import LOSSES
from gridloom.training.optimizers import build_optimizer

BATCH = 1024
NETWORKS: dict[str, tuple[int, tuple[int, ...]]] = {
    "30-64-64-1": (30, (64, 64)),
    "28-5x300-1": (28, (300,) * 5),
}
SECONDS = 1.5


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to train: a call trains for a while and returns the number of events."""

    name: str
    run: Callable[[float], int]


def write_root(path: Path, events: int, features: int) -> None:
    """One zlib TTree with a label, as most ntuples are."""
    random = np.random.default_rng(1)
    label = random.integers(0, 2, events).astype(np.int8)
    columns: dict[str, Any] = {
        f"x{i}": (random.normal(size=events) + 0.1 * label).astype(np.float32) for i in range(features)
    }
    columns["label"] = label
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        step = 100_000
        for start in range(0, events, step):
            file["Events"].extend({name: values[start : start + step] for name, values in columns.items()})


def analysis_of(features: int, hidden: tuple[int, ...], path: Path) -> Analysis:
    return Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "throughput",
            "samples": {"all": {"files": str(path), "class": {"s": "label == 1", "b": "otherwise"}, "weight": 1}},
            "features": [f"x{i}" for i in range(features)],
            "event_id": "entry",
            "target": {"signal": "s"},
            "model": {"name": "mlp", "parameters": {"hidden": list(hidden), "bins": 0, "dropout": 0}},
            "training": {"batch": BATCH},
        }
    )


def prepared(analysis: Analysis, path: Path, folder: Path) -> Dataset:
    """The shards that `gridloom run` would make."""
    with uproot.open(path) as file:
        entries, uuid = file["Events"].num_entries, str(file.file.uuid)
    task = Task(
        kind="prepare",
        label="prepare",
        parameters={"analysis": analysis.model_dump(mode="json", by_alias=True), "sample": "all"},
        files=(InputFile(path=str(path), uuid=uuid, size=path.stat().st_size, entries=entries),),
    )
    folder.mkdir()
    prepare.run(
        Context(task=task, inputs={}, output=folder, scratch=folder, stop=lambda: False, progress=lambda _: None)
    )
    return open_dataset(analysis, [folder])


def gridloom_way(analysis: Analysis, dataset: Dataset) -> Way:
    fold = split_fold(analysis, dataset, 0)
    network = build_network(analysis, fit_transforms(analysis, dataset, fold), 1, Path())
    optimizer = build_optimizer(
        analysis.training.optimizer, analysis.training.schedule, steps_per_epoch=1000, epochs=1000
    )
    loop = compile_loop(network.body, optimizer, LOSSES["binary_cross_entropy"], xla=True)
    steps = steps_per_call(network.body, analysis, BATCH)
    material = training_material(dataset, fold)
    stream = Stream(rows=material.rows, batch=BATCH, steps_per_call=steps, seed=(1,))

    def endless() -> Iterator[int]:
        epoch = 0
        while True:
            for fed in feed(material, stream, epoch, 0):
                loss = float(loop.train(fed.inputs, fed.targets, fed.weights, fed.valid, fed.steps))
                assert np.isfinite(loss)
                yield fed.events
            epoch += 1

    calls = endless()
    return Way(name="gridloom", run=lambda seconds: spend(calls, seconds))


def spend(calls: Iterator[int], seconds: float) -> int:
    end, events = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        events += next(calls)
    return events


def plain_step(features: int, hidden: tuple[int, ...]) -> Callable[[Any, Any, Any], Any]:
    """One step of Adam on one batch, without Keras: (x, y, weights) -> loss."""
    sizes = [features, *hidden, 1]
    random = tf.random.Generator.from_seed(1)
    variables = []
    for fan_in, fan_out in pairwise(sizes):
        start = random.normal((fan_in, fan_out)) * (2 / fan_in) ** 0.5
        variables += [tf.Variable(start), tf.Variable(tf.zeros(fan_out))]
    first = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    second = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
    time_step = tf.Variable(0.0)

    def step(x: Any, y: Any, weights: Any) -> Any:
        with tf.GradientTape() as tape:
            for layer in range(0, len(variables), 2):
                x = x @ variables[layer] + variables[layer + 1]
                if layer < len(variables) - 2:
                    x = tf.nn.relu(x)
            losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=x[:, 0])
            loss = tf.reduce_mean(weights * losses)
        gradients = tape.gradient(loss, variables)
        time_step.assign_add(1.0)
        rate = 1e-3 * tf.sqrt(1 - 0.999**time_step) / (1 - 0.9**time_step)
        for variable, mean, square, gradient in zip(variables, first, second, gradients, strict=True):
            mean.assign_add((gradient - mean) * 0.1)
            square.assign_add((gradient * gradient - square) * 0.001)
            variable.assign_sub(rate * mean / (tf.sqrt(square) + 1e-7))
        return loss

    return step


def plain_loop(features: int, hidden: tuple[int, ...], steps: int, *, xla: bool) -> Callable[..., Any]:
    """`train(x, y, weights)` over the leading axis of the arrays."""
    step = plain_step(features, hidden)

    @tf.function(jit_compile=xla, autograph=False)  # type: ignore[untyped-decorator]
    def train(x: Any, y: Any, weights: Any) -> Any:
        def body(index: Any, total: Any) -> tuple[Any, Any]:
            return index + 1, total + step(x[index], y[index], weights[index])

        return tf.while_loop(lambda index, _: index < steps, body, (0, 0.0))[1]

    return train  # type: ignore[no-any-return]


def steps_of(hidden: tuple[int, ...]) -> int:
    return 64 if len(hidden) < 4 else 8


def bound_way(features: int, hidden: tuple[int, ...], *, xla: bool) -> Way:
    """The same batches again and again."""
    steps = steps_of(hidden)
    train = plain_loop(features, hidden, steps, xla=xla)
    random = tf.random.Generator.from_seed(2)
    x = random.normal((steps, BATCH, features))
    y = tf.cast(random.uniform((steps, BATCH)) > 0.5, tf.float32)
    weights = tf.ones((steps, BATCH))

    def endless() -> Iterator[int]:
        while True:
            float(train(x, y, weights))
            yield steps * BATCH

    calls = endless()
    return Way(name="bound, XLA" if xla else "bound", run=lambda seconds: spend(calls, seconds))


def orders(count: int, size: int) -> Iterator[Any]:
    """Row numbers of one call after the other, a new permutation each epoch."""
    random = np.random.default_rng(3)
    while True:
        order = random.permutation(count).astype(np.int32)
        for start in range(0, count - size + 1, size):
            yield order[start : start + size]


def limit_way(dataset: Dataset, hidden: tuple[int, ...], *, inside: bool) -> Way:
    """Real epochs over arrays in memory; rows gathered inside the compiled loop, or by NumPy before each call."""
    x = np.concatenate([shard.features for shard in dataset.shards])
    y = dataset.label.astype(np.float32)
    weights = np.ones(len(y), np.float32)
    steps = steps_of(hidden)
    features = x.shape[1]
    if inside:
        train = gathering_loop(features, hidden, steps)
        data = tuple(tf.constant(values) for values in (x, y, weights))
    else:
        train = plain_loop(features, hidden, steps, xla=True)
        room = np.empty((steps * BATCH, features), np.float32)

    def endless() -> Iterator[int]:
        for rows in orders(len(y), steps * BATCH):
            if inside:
                float(train(*data, tf.constant(rows.reshape(steps, BATCH))))
            else:
                np.take(x, rows, axis=0, out=room, mode="clip")
                batch = tf.constant(room.reshape(steps, BATCH, features))
                labels = tf.constant(np.take(y, rows).reshape(steps, BATCH))
                float(train(batch, labels, tf.constant(np.take(weights, rows).reshape(steps, BATCH))))
            yield steps * BATCH

    calls = endless()
    return Way(name="limit, inside" if inside else "limit, before", run=lambda seconds: spend(calls, seconds))


def gathering_loop(features: int, hidden: tuple[int, ...], steps: int) -> Callable[..., Any]:
    """`train(x, y, weights, rows)`: each step gathers its batch from the whole arrays."""
    step = plain_step(features, hidden)

    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def train(x: Any, y: Any, weights: Any, rows: Any) -> Any:
        def body(index: Any, total: Any) -> tuple[Any, Any]:
            batch = (tf.gather(values, rows[index]) for values in (x, y, weights))
            return index + 1, total + step(*batch)

        return tf.while_loop(lambda index, _: index < steps, body, (0, 0.0))[1]

    return train  # type: ignore[no-any-return]


def fit_model(features: int, hidden: tuple[int, ...]) -> Any:
    model = keras.Sequential([keras.Input((features,)), *(keras.layers.Dense(width, "relu") for width in hidden)])
    model.add(keras.layers.Dense(1, "sigmoid"))
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


def fit_for(model: Any, data: tuple[Any, ...], seconds: float, **options: Any) -> int:
    clock = Clock(seconds)
    with suppress(StopIteration), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns that it is stopped, which is what we want
        model.fit(*data, epochs=10_000, verbose=0, callbacks=[clock], **options)
    return clock.batches * BATCH


def pandas_way(path: Path, features: int, hidden: tuple[int, ...]) -> Way:
    with uproot.open(path) as file:
        frame = file["Events"].arrays(library="pd")
    label = frame.pop("label").to_numpy(np.float32)
    x = frame.to_numpy(np.float32)
    model = fit_model(features, hidden)
    return Way(name="pandas.fit", run=lambda seconds: fit_for(model, (x, label), seconds, batch_size=BATCH))


def generator_way(path: Path, features: int, hidden: tuple[int, ...]) -> Way:
    names = [f"x{i}" for i in range(features)]

    def events() -> Iterator[tuple[Any, Any]]:
        for arrays in uproot.iterate(f"{path}:Events", step_size=50_000, library="np"):
            x = np.stack([arrays[name] for name in names], axis=1)
            y = arrays["label"].astype(np.float32)
            order = np.random.default_rng(1).permutation(len(y))
            for start in range(0, len(y) - BATCH + 1, BATCH):
                rows = order[start : start + BATCH]
                yield x[rows], y[rows]

    signature = (tf.TensorSpec((BATCH, features), tf.float32), tf.TensorSpec((BATCH,), tf.float32))
    data = tf.data.Dataset.from_generator(events, output_signature=signature).repeat().prefetch(2)
    model = fit_model(features, hidden)
    return Way(name="generator.fit", run=lambda seconds: fit_for(model, (data,), seconds, steps_per_epoch=10_000))


def measure(ways: list[Way], rounds: int) -> dict[str, list[float]]:
    """Thousand events per CPU second of each way in each round, after one round to warm up."""
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    for way in ways:
        way.run(0.3)
    for _ in range(rounds):
        for way in ways:
            start = time.process_time()
            events = way.run(SECONDS)
            rates[way.name].append(events / (time.process_time() - start) / 1e3)
    return rates


def bench(name: str, events: int, rounds: int, folder: Path) -> dict[str, Any]:
    features, hidden = NETWORKS[name]
    path = folder / f"{name}.root"
    write_root(path, events, features)
    analysis = analysis_of(features, hidden, path)
    dataset = prepared(analysis, path, folder / name)
    ways = [
        bound_way(features, hidden, xla=True),
        bound_way(features, hidden, xla=False),
        limit_way(dataset, hidden, inside=True),
        limit_way(dataset, hidden, inside=False),
        gridloom_way(analysis, dataset),
        pandas_way(path, features, hidden),
        generator_way(path, features, hidden),
    ]
    rates = measure(ways, rounds)
    limits = [max(pair) for pair in zip(rates["limit, inside"], rates["limit, before"], strict=True)]
    print(f"\n{name}, batch {BATCH}, {events} events, {rounds} rounds")
    print(f"{'':16}{'kev/CPU-s':>12}{'of the limit':>14}")
    result: dict[str, Any] = {}
    for way, values in rates.items():
        ratio = statistics.median(value / limit for value, limit in zip(values, limits, strict=True))
        result[way] = {"kev_per_cpu_s": statistics.median(values), "of_limit": ratio}
        print(f"{way:16}{statistics.median(values):12.1f}{ratio:14.3f}")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = {name: bench(name, options.events, options.rounds, Path(folder)) for name in NETWORKS}
    if options.out is not None:
        about = {"machine": platform.machine(), "tensorflow": tf.__version__, "keras": keras.__version__}
        options.out.write_text(json.dumps({"about": about, "results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
