"""The network in Keras and its `fit`, for the ways that differ in what they feed it with."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from reporting import Job, Reporter


def one_thread() -> None:
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def network(job: Job, steps_per_execution: int) -> Any:
    """The start of the weights is that of Gridloom's `mlp`, so that equal work gives an equal network."""
    model = keras.Sequential([keras.Input((len(job.features),))])
    for width in job.hidden:
        model.add(keras.layers.Dense(width, "relu", kernel_initializer="he_normal"))
    model.add(keras.layers.Dense(1, "sigmoid"))
    model.compile(
        optimizer=keras.optimizers.Adam(job.learning_rate),
        loss="binary_crossentropy",
        steps_per_execution=steps_per_execution,
        jit_compile=job.settings["jit_compile"],
    )
    return model


class Report(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells of every epoch and stops `fit` when there were enough."""

    def __init__(self, reporter: Reporter, events: int) -> None:
        super().__init__()
        self.reporter = reporter
        self.events = events

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
        if not self.reporter.epoch(self.events):
            self.model.stop_training = True


def fit_arrays(job: Job, x: Any, label: Any) -> None:
    model = network(job, job.settings["steps_per_execution"])
    _fit(job, model, len(x), x, label, batch_size=job.batch)


def fit_batches(job: Job, batches: Any, number: int) -> None:
    """Train on an endless data set of batches, so many an epoch.

    Calls of one size need compiling once: that size is taken, from half of what is set on, which leaves the fewest
    batches over.
    """
    most = min(job.settings["steps_per_execution"], number)
    size = max(range(-(-most // 2), most + 1), key=lambda size: (number - number % size, size))
    steps = number - number % size
    if job.settings["prefetch"]:
        batches = batches.prefetch(job.settings["prefetch"])
    _fit(job, network(job, size), steps * job.batch, batches, steps_per_epoch=steps)


def _fit(job: Job, model: Any, events: int, *data: Any, **options: Any) -> None:
    reporter = Reporter(job=job, scores=lambda x: np.asarray(model(x)))
    model.fit(*data, epochs=1_000_000, verbose=0, callbacks=[Report(reporter, events)], **options)
