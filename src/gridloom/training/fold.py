"""One fold of one analysis as the training sees it: which rows train, which validate, their targets and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import signal_indices
from gridloom.data import statistics
from gridloom.data.dataset import Dataset
from gridloom.data.weights import training_weights
from gridloom.models.network import Moments, Transforms, sentinels_of

_CHUNK = 65_536
# Quantiles need no more events than this; the rows are spread evenly over the training rows.
_QUANTILE_EVENTS = 100_000
_QUANTILE_LEVELS = 65


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Fold i: tested on fold i, validated on fold i+1 mod k, trained on the rest.

    `train_rows`, `validation_rows`: rows of the dataset; `targets`, `weights`: (N,) float32 for all rows, the weights
    zero outside the two.
    """

    number: int
    train_rows: npt.NDArray[np.int64]
    validation_rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def split_fold(analysis: Analysis, dataset: Dataset, number: int) -> Fold:
    """Rows, targets and training weights of fold `number`; no event of the test fold is among them."""
    validation = (number + 1) % analysis.folds
    usable = dataset.trains & (np.ones(len(dataset.label), bool) if _is_regression(analysis) else dataset.label >= 0)
    train_rows = np.flatnonzero(usable & (dataset.fold != number) & (dataset.fold != validation))
    validation_rows = np.flatnonzero(usable & (dataset.fold == validation))
    weights = np.zeros(len(dataset.label), dtype=np.float32)
    for rows in (train_rows, validation_rows):
        weights[rows] = training_weights(analysis, dataset, rows)
    return Fold(
        number=number,
        train_rows=train_rows,
        validation_rows=validation_rows,
        targets=targets_of(analysis, dataset),
        weights=weights,
    )


def _is_regression(analysis: Analysis) -> bool:
    return analysis.target.regression is not None


def targets_of(analysis: Analysis, dataset: Dataset) -> npt.NDArray[np.float32]:
    """(N,) float32: 1 for the signal of two classes, the class number of several, or the regression target."""
    if _is_regression(analysis):
        if dataset.target is None:
            raise ValueError("a regression needs a target column")
        return np.asarray(dataset.target, dtype=np.float32)
    if len(dataset.classes) == 2:
        return np.asarray(dataset.label == signal_indices(analysis)[0], dtype=np.float32)
    return np.asarray(dataset.label, dtype=np.float32)


def chunks(rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in pieces small enough to hold in memory."""
    for start in range(0, len(rows), _CHUNK):
        yield rows[start : start + _CHUNK]


def fit_transforms(analysis: Analysis, dataset: Dataset, fold: Fold) -> Transforms:
    """Mean and spread of every column over the training rows alone; missing values and padding do not count.

    They are those of the shards' statistics, which were made while the events were read, fold by fold.
    """
    trained = [
        part
        for sample in dataset.statistics.values()
        for part in sample.folds
        if part.fold not in (fold.number, (fold.number + 1) % analysis.folds)
    ]
    features = _scales([part.features for part in trained]) if analysis.features else None
    return Transforms(
        features=features,
        quantiles=() if features is None else _quantiles(analysis, dataset, fold, features),
        collections={name: _scales([part.collections[name] for part in trained]) for name in analysis.collections},
        target=_target_scale(fold) if _is_regression(analysis) else None,
    )


def _scales(parts: list[tuple[statistics.Moments, ...]]) -> Moments:
    """Mean and standard deviation of all parts together; a constant column keeps its size (spread 1)."""
    nothing: tuple[statistics.Moments, ...] = ()
    columns = reduce(statistics.merge_columns, parts, nothing)
    means = tuple(column.mean for column in columns)
    return Moments(mean=means, scale=tuple(_scale(column.mean, column.standard_deviation) for column in columns))


def _target_scale(fold: Fold) -> Moments:
    targets = fold.targets[fold.train_rows].astype(np.float64)
    mean = float(targets.mean()) if len(targets) else 0.0
    spread = float(targets.std()) if len(targets) else 0.0
    return Moments(mean=(mean,), scale=(_scale(mean, spread),))


def _scale(mean: float, spread: float) -> float:
    negligible = spread <= 1e-7 * max(abs(mean), 1e-30)
    return 1.0 if negligible or not np.isfinite(spread) else spread


def _without_missing(analysis: Analysis, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    values = features.astype(np.float64)
    for column, feature in enumerate(analysis.features):
        for sentinel in sentinels_of(feature):
            values[features[:, column] == np.float32(sentinel), column] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values


def _quantiles(analysis: Analysis, dataset: Dataset, fold: Fold, moments: Moments) -> tuple[tuple[float, ...], ...]:
    step = max(1, len(fold.train_rows) // _QUANTILE_EVENTS)
    features = dataset.inputs(fold.train_rows[::step]).features
    columns = ((_without_missing(analysis, features) - moments.mean) / moments.scale).T
    levels = np.linspace(0.0, 1.0, _QUANTILE_LEVELS)
    there = (column[np.isfinite(column)] for column in columns)
    # A column that is always missing is imputed: it sits at zero.
    return tuple(tuple(np.quantile(column if len(column) else np.zeros(1), levels).tolist()) for column in there)
