"""`python score_again.py RUNS`: score every event by every trained fold again; the largest difference from its scores.

Run inside an image for another processor than the one that the run was trained on.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import numpy as np

from gridloom.analysis.models import Analysis
from gridloom.assignment import read_assignment
from gridloom.data.dataset import open_dataset
from gridloom.training.predict import load_predictor


def main(runs: Path) -> None:
    largest, events = 0.0, 0
    for path in sorted(runs.glob("*/logs/train-*/task.json")):
        task = read_assignment(path).task
        store = runs / ".store"
        analysis = Analysis.model_validate(task.parameters["analysis"])
        dataset = open_dataset(analysis, [store / name for name in task.inputs if name.startswith("prepare-")])
        predict = load_predictor(store / task.id, user_folder=runs)
        again = predict(dataset.inputs(np.arange(len(dataset))))
        before = np.load(store / task.id / "scores.npy", allow_pickle=False)
        largest = max(largest, float(np.abs(again - before).max()))
        events += len(dataset)
    print(json.dumps({"largest": largest, "events": events, "architecture": platform.machine()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
