"""Scores by LiteRT alone, on a small board or any other machine: `python litert.py network.tflite events.npz`.

`events.npz` holds the inputs by name (`features`, ...) and `event_id` (n, 3): run, luminosity block, event.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

FOLDS = 3  # as in the description beside the network


def fold_of(ids: NDArray[np.uint64], k: int) -> NDArray[np.int32]:
    """The fold of events; the published hash of Gridloom (docs/reference/folds.md)."""

    def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))

    state = np.zeros(len(ids), np.uint64)
    for word in range(3):
        state = mix((state ^ ids[:, word]) + np.uint64(0x9E3779B97F4A7C15))
    return (state % np.uint64(k)).astype(np.int32)


network = Interpreter(sys.argv[1], num_threads=1).get_signature_runner()
events = dict(np.load(sys.argv[2]))
fold = fold_of(events.pop("event_id"), FOLDS)
scores = network(**events, fold=fold)["scores"]
for number, row in zip(fold, scores, strict=True):
    print(number, *(f"{score:.9g}" for score in row))
