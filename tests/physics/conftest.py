"""A toy with known answers: features are unit Gaussians, shifted in the first feature for signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Inputs
from gridloom.data.statistics import CutflowRow, ReadFile, ShardStatistics
from gridloom.physics.events import ScoredEvents
from gridloom.physics.material import Material

FOLDS = 3
SAMPLES: dict[str, Any] = {
    "sig": {"files": "sig.root", "class": "signal", "weight": "w"},
    "bkg": {"files": "bkg.root", "class": "background", "weight": "w"},
    "data": {"files": "data.root", "data": True},
}


def toy_analysis(features: int, **changes: Any) -> Analysis:
    return Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "toy",
            "samples": SAMPLES,
            "features": [f"x{i}" for i in range(features)],
            "target": {"signal": "signal"},
            "folds": FOLDS,
            "evaluation": {"bootstrap": 40, "importance_events": 1000},
        }
        | changes
    )


def statistics(sample: str, events: int) -> ShardStatistics:
    file = ReadFile(path=f"{sample}.root", uuid=sample, entries=2 * events, selected=events)
    rows = [
        CutflowRow(name="all", events=2 * events, sum_weights=2.0 * events, sum_weights_squared=2.0 * events),
        CutflowRow(name="cut", events=events, sum_weights=1.0 * events, sum_weights_squared=1.0 * events),
    ]
    return ShardStatistics(sample=sample, files=(file,), events=events, cutflow=tuple(rows))


def toy_inputs(label: NDArray[np.int16], features: int, seed: int) -> Inputs:
    """Feature 0 separates; a collection of up to three objects whose first feature separates a little."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(len(label), features)).astype(np.float32)
    table[:, 0] += label
    counts = rng.integers(0, 4, len(label))
    mask = (np.arange(3) < counts[:, None]).astype(np.float32)
    objects = rng.normal(size=(len(label), 3, 2)).astype(np.float32) * mask[:, :, None]
    return Inputs(features=table, collections={"jets": objects}, masks={"jets": mask})


def taken(inputs: Inputs, rows: NDArray[np.int64]) -> Inputs:
    return Inputs(
        features=inputs.features[rows],
        collections={name: part[rows] for name, part in inputs.collections.items()},
        masks={name: part[rows] for name, part in inputs.masks.items()},
    )


def best_model(inputs: Inputs) -> NDArray[np.float32]:
    """The likelihood ratio of the toy: log(p1 / p0) = x0 - 1/2."""
    signal = 1 / (1 + np.exp(0.5 - inputs.features[:, 0].astype(np.float64)))
    return np.stack([1 - signal, signal], axis=1).astype(np.float32)


def toy_events(inputs: Inputs, label: NDArray[np.int16], weight: NDArray[np.float64]) -> ScoredEvents:
    scores = best_model(inputs)
    fold = (np.arange(len(label)) % FOLDS).astype(np.int16)
    balance = np.bincount(label, weight)
    return ScoredEvents(
        row=np.arange(len(label)),
        sample=(1 - label).astype(np.int16),
        label=label,
        weight=weight,
        training_weight=weight / balance[label],
        fold=fold,
        trains=np.ones(len(label), dtype=np.bool_),
        scores=scores,
        validation_scores=scores,
        train_scores=scores,
        folds=FOLDS,
        reference=scores,
    )


Toy = Callable[..., Material]


@pytest.fixture
def toy() -> Toy:
    def make(events: int = 3000, features: int = 3, analysis: Analysis | None = None, **more: Any) -> Material:
        rng = np.random.default_rng(5)
        classes = ("background", "signal")
        label = rng.integers(0, 2, events).astype(np.int16)
        inputs = toy_inputs(label, features, 6)
        names = ("sig", "bkg", "data")
        return Material(
            analysis=toy_analysis(features, target={"signal": "signal", "classes": classes})
            if analysis is None
            else analysis,
            classes=classes,
            events=replace(toy_events(inputs, label, rng.uniform(0.5, 1.5, events)), **more),
            statistics={name: statistics(name, events) for name in names},
            scales=dict.fromkeys(names, 0.5),
            gather=lambda rows: taken(inputs, rows),
            predictors=[best_model] * FOLDS,
            tick=lambda: None,
        )

    return make
