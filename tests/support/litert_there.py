"""`python litert_there.py FOLDER`: run FOLDER/model.tflite on FOLDER/inputs.npz; differences and time of one event.

Only NumPy and LiteRT are imported: it runs on any processor, in an environment that has nothing else.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def main(folder: Path) -> None:
    runner = Interpreter(str(folder / "model.tflite"), num_threads=1).get_signature_runner()
    with np.load(folder / "inputs.npz", allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    expected = arrays.pop("scores")
    largest = {}
    for batch in (1, 7, 1024):
        parts = [
            runner(**{name: values[begin : begin + batch] for name, values in arrays.items()})["scores"]
            for begin in range(0, len(expected), batch)
        ]
        largest[batch] = float(np.abs(np.concatenate(parts) - expected).max())
    one = {name: values[:1] for name, values in arrays.items()}
    times = []
    for _ in range(200):
        clock = time.perf_counter()
        runner(**one)
        times.append(time.perf_counter() - clock)
    told = {"largest": largest, "events": len(expected), "milliseconds": 1000 * sorted(times)[100]}
    print(json.dumps({**told, "architecture": platform.machine()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
