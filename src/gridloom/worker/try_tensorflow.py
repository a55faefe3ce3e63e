"""`python -m gridloom.worker.try_tensorflow`: import TensorFlow and let it multiply; one line of JSON says how it went.

A process of its own: with the wrong instructions TensorFlow ends the process that imports it.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Say what was found."""
    begun = time.monotonic()
    import keras  # noqa: F401
    import tensorflow as tf

    seconds = time.monotonic() - begun
    ones = tf.ones((256, 256), dtype="float32")
    right = float(tf.reduce_sum(ones @ ones)) == 256.0**3
    found = {
        "version": tf.__version__,
        "seconds": seconds,
        "devices": [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices()],
        "problem": "" if right else "a product of matrices comes out wrong",
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
