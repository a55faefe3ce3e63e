"""Boosted trees on the same folds and weights: what the network has to beat.

Histogram-based gradient boosting of scikit-learn. Flat features enter as they are, with declared missing values as NaN
(the trees have a branch for them); collections enter as `at_most` times their features, padding as NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset, Inputs, open_dataset
from gridloom.data.weights import training_weights
from gridloom.errors import EmptyFold, Interrupted
from gridloom.files import write_json
from gridloom.physics.bootstrap import FloatArray, IntArray
from gridloom.physics.missing import missing_as_nan
from gridloom.task import Context, Progress

ITERATIONS = 150
PATIENCE = 10
LEAVES = 31
BINS = 255
LEARNING_RATE = 0.1
NUMBERS = 50_000_000
"""At most so many numbers (events x columns) train the trees: scikit-learn keeps them all in memory as float64."""
_CHUNK = 65_536


class ReferenceNotes(BaseModel):
    """reference.json: how the trees were trained, for the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: int
    available: int
    dropped: int
    columns: int
    iterations: int
    negative_weights: int


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns that the trees see, each cut into at most 255 bins of equally many training events.

    scikit-learn bins weighted columns itself with one sort per bin edge, which takes longer than all the trees; bin
    numbers it takes as they are. `fill` stands for NaN in a column with a single known value, which it cannot bin.
    """

    keep: IntArray
    edges: tuple[FloatArray, ...]
    fill: FloatArray

    @classmethod
    def of(cls, table: FloatArray) -> Columns:
        """Columns with something to split on: at least two different values, one of which may be `missing`."""
        keep, edges, fill = [], [], []
        for column, values in enumerate(table.T):
            known = values[np.isfinite(values)]
            constant = len(known) > 0 and bool(known.min() == known.max())
            if len(known) == 0 or (constant and len(known) == len(values)):
                continue
            keep.append(column)
            edges.append(np.unique(np.quantile(known, np.arange(1, BINS) / BINS)))
            fill.append(-1.0 if constant else np.nan)
        return cls(keep=np.array(keep, dtype=np.int64), edges=tuple(edges), fill=np.array(fill, dtype=np.float64))

    def apply(self, table: FloatArray) -> FloatArray:
        """Bin numbers (n, columns kept)."""
        result = np.empty((len(table), len(self.keep)))
        for number, (column, edges) in enumerate(zip(self.keep, self.edges, strict=True)):
            values = table[:, column]
            missing = np.isnan(values)
            result[:, number] = np.where(missing, self.fill[number], np.searchsorted(edges, values, side="right"))
        return result


def flat_table(analysis: Analysis, inputs: Inputs) -> FloatArray:
    """All inputs as one table (n, columns) with NaN for what is not there."""
    parts = [missing_as_nan(inputs.features, analysis.features)]
    for name, objects in inputs.collections.items():
        there = inputs.masks[name][:, :, None] > 0
        values = np.where(there, objects, np.nan).astype(np.float64)
        parts.append(values.reshape(len(objects), -1))
        parts.append(inputs.masks[name].sum(axis=1, dtype=np.float64)[:, None])
    return np.concatenate(parts, axis=1)


def run(context: Context) -> None:
    """Do a `reference` task: scores.npy (N, C) float32 for all events, fold.json, reference.json in the output.

    Trained on the folds other than i and i+1, stopped early on fold i+1. Raises EmptyFold without training events.
    """
    analysis = Analysis.model_validate(context.task.parameters["analysis"])
    number = int(str(context.task.parameters["fold"]))
    dataset = open_dataset(analysis, [path for name, path in context.inputs.items() if name.startswith("prepare-")])
    context.progress(Progress(done=0, total=2, text="boosted trees"))
    with threadpool_limits(limits=1):
        columns, model, notes = _train(analysis, dataset, number)
        context.progress(Progress(done=1, total=2, text="scores"))
        scores = _scores(analysis, dataset, columns, model, context.stop)
    np.save(context.output / "scores.npy", scores)
    write_json(context.output / "reference.json", notes.model_dump(mode="json"))
    write_json(context.output / "fold.json", {"fold": number})
    context.progress(Progress(done=2, total=2, text="done"))


def _usable(analysis: Analysis, dataset: Dataset, number: int) -> tuple[IntArray, IntArray]:
    """Rows that train and rows that stop the training."""
    validation = (number + 1) % analysis.folds
    train = dataset.trains & (dataset.fold != number) & (dataset.fold != validation)
    chosen = (np.flatnonzero(train), np.flatnonzero(dataset.trains & (dataset.fold == validation)))
    for rows in chosen:
        if len(rows) == 0:
            raise EmptyFold(
                f"no events to train the boosted trees of fold {number}",
                fix="Use fewer folds or more events, or loosen `training_selection`.",
                key=("folds",),
            )
    return chosen


def _limited(rows: IntArray, analysis: Analysis, seed: tuple[int, ...]) -> IntArray:
    columns = len(analysis.features) + sum(
        1 + part.at_most * len(part.features) for part in analysis.collections.values()
    )
    most = max(1, NUMBERS // max(1, columns))
    if len(rows) <= most:
        return rows
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    return np.sort(generator.choice(rows, size=most, replace=False))


def _train(analysis: Analysis, dataset: Dataset, number: int) -> tuple[Columns, Any, ReferenceNotes]:
    seed = analysis.training.seed
    available, stopping = _usable(analysis, dataset, number)
    rows = _limited(available, analysis, (seed, number, 0))
    stopping = _limited(stopping, analysis, (seed, number, 1))
    weight, validation_weight = (training_weights(analysis, dataset, part) for part in (rows, stopping))
    used = weight != 0
    rows, weight = rows[used], weight[used]
    table = flat_table(analysis, dataset.inputs(rows))
    columns = Columns.of(table)
    regression = analysis.target.regression is not None
    target = dataset.target if regression else dataset.label
    assert target is not None, "a regression's dataset has a target"
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    model = kind(
        max_iter=ITERATIONS,
        learning_rate=LEARNING_RATE,
        max_leaf_nodes=LEAVES,
        early_stopping=True,
        n_iter_no_change=PATIENCE,
        random_state=seed * 1000 + number,
    )
    # Trees need positive sums of weights in every leaf: with signed weights they fall apart, so |w| trains them.
    model.fit(
        columns.apply(table),
        target[rows],
        sample_weight=np.abs(weight),
        X_val=columns.apply(flat_table(analysis, dataset.inputs(stopping))),
        y_val=target[stopping],
        sample_weight_val=np.abs(validation_weight),
    )
    notes = ReferenceNotes(
        events=len(rows),
        available=len(available),
        dropped=int((~used).sum()),
        columns=len(columns.keep),
        iterations=int(model.n_iter_),
        negative_weights=int((weight < 0).sum()),
    )
    return columns, model, notes


def _scores(
    analysis: Analysis, dataset: Dataset, columns: Columns, model: Any, stop: Callable[[], bool]
) -> NDArray[np.float32]:
    """Scores of all events (N, C): probabilities in the order of the classes, or (N, 1) predictions."""
    regression = analysis.target.regression is not None
    scores = np.zeros((len(dataset), 1 if regression else len(dataset.classes)), dtype=np.float32)
    for start in range(0, len(dataset), _CHUNK):
        if stop():
            raise Interrupted("stopped on request", where="boosted trees", fix="Run again to go on.")
        rows = np.arange(start, min(start + _CHUNK, len(dataset)))
        table = columns.apply(flat_table(analysis, dataset.inputs(rows)))
        if regression:
            scores[rows, 0] = model.predict(table)
        else:
            # A class without training events has no column of its own and keeps probability zero.
            scores[np.ix_(rows, model.classes_)] = model.predict_proba(table)
    return scores
