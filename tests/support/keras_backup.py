"""Keras' `fit` with its `BackupAndRestore`, as one would write it: `python keras_backup.py FOLDER EPOCHS`.

Ends with the digest of the weights on its output. Killed and started again it goes on from FOLDER.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf


def main(folder: Path, epochs: int) -> None:
    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    random = np.random.default_rng(1)
    x = random.normal(size=(4000, 8)).astype(np.float32)
    y = (x.sum(axis=1) + random.normal(size=4000) > 0).astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    backup = keras.callbacks.BackupAndRestore(str(folder / "backup"), save_freq=20)
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[backup])
    digest = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights()))
    print(digest.hexdigest())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
