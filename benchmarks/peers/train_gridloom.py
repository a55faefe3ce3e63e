"""What `gridloom run` does with one training: shards prepared once, then the compiled loop over its feed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.stream import Stream
from gridloom.data.weights import training_weights
from gridloom.models.network import build_network
from gridloom.testing.preparing import prepare_files
from gridloom.training.backends import back_end
from gridloom.training.backends.base import LoopSettings
from gridloom.training.choice import by_rule
from gridloom.training.feed import feed, settled, training_material
from gridloom.training.fold import Fold, fit_transforms, targets_of
from gridloom.training.loop import steps_per_call
from gridloom.training.losses import LOSSES
from gridloom.training.optimizers import build_optimization
from reporting import Job, Reporter, about, read_job


def analysis_of(job: Job) -> Analysis:
    return Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "peers",
            "samples": {"all": {"files": str(job.train), "class": {"s": "label == 1", "b": "otherwise"}, "weight": 1}},
            "features": list(job.features),
            "event_id": "entry",
            "target": {"signal": "s"},
            "model": {"name": "mlp", "parameters": {"hidden": list(job.hidden), "bins": 0, "dropout": 0}},
            "training": {
                "batch": job.batch,
                "optimizer": {"name": "adam", "learning_rate": job.learning_rate},
                "schedule": {"name": "constant"},
            },
        }
    )


def prepared(job: Job, analysis: Analysis) -> Dataset:
    folder = job.scratch / "shards"
    prepare_files(analysis, "all", [job.train], folder)
    return open_dataset(analysis, [folder])


def everything(analysis: Analysis, dataset: Dataset) -> Fold:
    """All events train, as in the other ways; `gridloom run` keeps two folds of them back."""
    rows = np.flatnonzero(dataset.trains)
    weights = np.zeros(len(dataset.label), dtype=np.float32)
    weights[rows] = training_weights(analysis, dataset, rows)
    return Fold(
        number=0,
        train_rows=rows,
        validation_rows=rows[:0],
        targets=targets_of(analysis, dataset),
        weights=weights,
    )


def main() -> None:
    job = read_job(best={}, defaults={})
    about(job, ["gridloom", "keras", "tensorflow-cpu", "uproot", "numpy"])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)
    analysis = analysis_of(job)
    dataset = prepared(job, analysis)
    train(job, analysis, dataset, everything(analysis, dataset))


def train(job: Job, analysis: Analysis, dataset: Dataset, fold: Fold) -> None:
    network = build_network(analysis, fit_transforms(analysis, dataset, fold), 1, Path())
    material = settled(training_material(dataset, fold), network)
    steps = steps_per_call(network.body, analysis, job.batch)
    stream = Stream(rows=material.rows, batch=job.batch, steps_per_call=steps, seed=(1, 0))
    optimization = build_optimization(
        analysis.training.optimizer,
        analysis.training.schedule,
        network.body.trainable_variables,
        steps_per_epoch=stream.steps_per_epoch,
        epochs=1,
    )
    chosen = LoopSettings(
        loss=LOSSES["binary_cross_entropy"],
        xla=by_rule(network.body, analysis).xla,
        transformed=material.transformed,
    )
    loop = back_end().compile_loop(network, optimization, chosen)

    def scores(x: Any) -> Any:
        return np.asarray(loop.score({"features": x}))

    reporter = Reporter(job=job, scores=scores)
    more, epoch = True, 0
    while more:
        events = 0
        for fed in feed(material, stream, epoch, 0):
            assert np.isfinite(loop.train(fed))
            events += fed.events
        epoch += 1
        more = reporter.epoch(events)


if __name__ == "__main__":
    main()
