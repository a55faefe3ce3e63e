"""TensorBoard's files are read back by TensorFlow."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from gridloom.training.tensorboard import EventFile


def test_tensorflow_reads_what_was_written(tmp_path: Path) -> None:
    import tensorflow as tf

    records = [{"epoch": 0, "loss": 0.5, "validation_loss": 0.25}, {"epoch": 300, "loss": -1.5}]
    file = EventFile(tmp_path / "events", records[:1])
    file.add(records[1])
    (path,) = (tmp_path / "events").iterdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = list(tf.compat.v1.train.summary_iterator(str(path)))
    assert events[0].file_version == "brain.Event:2"
    found = [
        {"epoch": event.step} | {value.tag: float(tf.make_ndarray(value.tensor)) for value in event.summary.value}
        for event in events[1:]
    ]
    assert found == records
    assert events[1].summary.value[0].metadata.plugin_data.plugin_name == "scalars"
    assert events[1].wall_time == pytest.approx(path.stat().st_mtime, abs=60)
