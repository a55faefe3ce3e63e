"""TensorBoard event files without the tensorboard package: scalars by epoch."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf


class EventFile:
    """An event file for one training, rewritten from the history when a training is resumed."""

    def __init__(self, folder: Path, history: Sequence[Mapping[str, float]]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(folder))
        for record in history:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> None:
        """Write one epoch's numbers."""
        metadata = _scalar_metadata()
        with self._writer.as_default():
            for name, value in record.items():
                if name != "epoch":
                    tf.summary.write(name, tf.constant(value, tf.float32), step=int(record["epoch"]), metadata=metadata)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


def _scalar_metadata() -> Any:
    metadata = tf.compat.v1.SummaryMetadata()
    metadata.plugin_data.plugin_name = "scalars"
    return metadata
