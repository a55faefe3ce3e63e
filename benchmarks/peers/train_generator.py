"""`uproot.iterate` -> `tf.data.from_generator` -> Keras' `fit`: the file is read in every epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import uproot

import keras_fit
from reporting import Job, about, read_job

_BEST = {"steps_per_execution": 64, "jit_compile": False, "step_size": 100_000, "prefetch": 0}
_DEFAULTS = {"steps_per_execution": 1, "jit_compile": "auto", "step_size": "100 MB", "prefetch": 2}


def batches(job: Job) -> Iterator[tuple[Any, Any]]:
    """Endless: blocks of the file, each shuffled; what does not fill a batch goes into the next block."""
    random = np.random.default_rng(1)
    names = list(job.features)
    rest_x, rest_y = np.empty((0, len(names)), np.float32), np.empty(0, np.float32)
    while True:
        for arrays in uproot.iterate(f"{job.train}:Events", step_size=job.settings["step_size"], library="np"):
            x = np.empty((len(arrays["label"]), len(names)), np.float32)
            for column, name in enumerate(names):
                x[:, column] = arrays[name]
            order = random.permutation(len(x))
            x = np.concatenate([rest_x, x[order]])
            y = np.concatenate([rest_y, arrays["label"][order].astype(np.float32)])
            full = len(x) - len(x) % job.batch
            for start in range(0, full, job.batch):
                yield x[start : start + job.batch], y[start : start + job.batch]
            rest_x, rest_y = x[full:], y[full:]


def main() -> None:
    job = read_job(best=_BEST, defaults=_DEFAULTS)
    about(job, ["uproot", "keras", "tensorflow-cpu", "numpy"])
    keras_fit.one_thread()
    with uproot.open(job.train) as file:
        number = file["Events"].num_entries // job.batch
    signature = (
        tf.TensorSpec((job.batch, len(job.features)), tf.float32),
        tf.TensorSpec((job.batch,), tf.float32),
    )
    data = tf.data.Dataset.from_generator(lambda: batches(job), output_signature=signature)
    keras_fit.fit_batches(job, data, number)


if __name__ == "__main__":
    main()
