"""Training weights from physics weights, and the checks that events can give an honest result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis, Sample
from gridloom.data.dataset import Dataset
from gridloom.data.duplicates import find_duplicates
from gridloom.errors import (
    BadWeights,
    DamagedFile,
    EmptyClass,
    EmptyFold,
    GridloomError,
    KeyPath,
    Problems,
)


def effective_sample_size(weights: NDArray[np.float64]) -> float:
    """(sum w)^2 / sum w^2: unweighted events of the same relative uncertainty; zero without events."""
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def training_weights(analysis: Analysis, dataset: Dataset, rows: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Training weights (n,) of these rows: policy of the physics weight x factor, classes balanced, mean size one.

    Balanced classes have equal sums over `rows`, so the weights of a row depend on the other rows. Raises BadWeights
    if the weights of a class sum to zero or less, since no density ratio is defined then.
    """
    weights: NDArray[np.float64] = by_policy(analysis, dataset.weight[rows]) * dataset.factor[rows]
    labels = dataset.label[rows]
    if analysis.target.regression is None and analysis.training_weights.balance == "classes":
        weights = _balanced(analysis, dataset.classes, weights, labels)
    size = float(np.abs(weights).mean()) if len(weights) else 1.0
    if size == 0:
        raise BadWeights(
            "all training weights are zero",
            fix="Look at the samples' weights and `training_weights`.",
            key=("training_weights",),
        )
    return weights / size


def by_policy(analysis: Analysis, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Physics weights with their sign, without it, or none where negative, as `training_weights.negative` says."""
    policy = analysis.training_weights.negative
    if policy == "absolute":
        return np.asarray(np.abs(weights))
    if policy == "drop":
        return np.maximum(weights, 0.0)
    return weights.copy()


def _balanced(
    analysis: Analysis, classes: tuple[str, ...], weights: NDArray[np.float64], labels: NDArray[np.int16]
) -> NDArray[np.float64]:
    """Every class that is there gets the same sum."""
    if len(labels) and int(labels.min()) < 0:
        raise ValueError("collision data has no training weights")
    sums = np.bincount(labels, weights=weights, minlength=len(classes))
    present = np.bincount(labels, minlength=len(classes)) > 0
    for index in np.flatnonzero(present & (sums <= 0)):
        raise bad_sum(analysis, classes[index], float(sums[index]), int(np.count_nonzero(labels == index)), "")
    factors = np.where(present, 1.0 / np.where(sums > 0, sums, 1.0), 0.0)
    balanced: NDArray[np.float64] = weights * factors[labels]
    return balanced


def bad_sum(analysis: Analysis, name: str, total: float, events: int, where: str) -> BadWeights:
    """The error for a class whose weights sum to zero or less, over all folds or in the one that `where` names."""
    policy = analysis.training_weights.negative
    fix = "Look at the weights of its samples: a class needs a positive sum."
    if policy == "keep" and where:
        fix = (
            "Use fewer `folds` or more events; or `training_weights: {negative: absolute}`, which learns another "
            "density than the physics weights have."
        )
    return BadWeights(
        f"the weights of class `{name}` sum to {total:g} over {events:,} training events",
        where=where,
        fix=fix,
        key=class_key(analysis, name),
    )


def class_key(analysis: Analysis, name: str) -> KeyPath:
    """Where the analysis file first says this class."""
    for sample_name, sample in analysis.samples.items():
        if isinstance(sample.class_, dict) and name in sample.class_:
            return ("samples", sample_name, "class", name)
        if sample.class_ == name:
            return ("samples", sample_name, "class")
    return ("target", "classes")


def check_dataset(analysis: Analysis, dataset: Dataset) -> None:
    """Refuse events that cannot give an honest result; raises Problems with all that is wrong.

    EmptyClass, EmptyFold, BadWeights (over all training events, then fold by fold), DuplicateEvents (within a
    simulated sample; within all collision data together), DamagedFile (more files lost than the analysis allows).
    """
    problems = list(_lost_files(analysis, dataset))
    if analysis.target.regression is None:
        problems += _classes(analysis, dataset)
    else:
        problems += _regression(analysis, dataset)
    problems += find_duplicates(analysis, dataset)
    if problems:
        raise Problems(problems)


def _lost_files(analysis: Analysis, dataset: Dataset) -> Iterator[GridloomError]:
    for name, statistics in dataset.statistics.items():
        error = too_many_lost(
            analysis,
            name,
            total=len(statistics.files) + len(statistics.lost),
            lost=[f"{file.path} ({file.reason})" for file in statistics.lost],
        )
        if error is not None:
            yield error


def too_many_lost(analysis: Analysis, name: str, *, total: int, lost: Sequence[str]) -> DamagedFile | None:
    """The error if a sample lost more of its `total` files than the analysis allows."""
    sample: Sample = analysis.samples[name]
    allowed = 0.0 if sample.data else analysis.damaged_files.skip_at_most
    if not lost or (len(lost) / total <= allowed and len(lost) < total):
        return None
    shown = "; ".join(lost[:5]) + (f"; and {len(lost) - 5} more" if len(lost) > 5 else "")
    fix = (
        "Collision data must be complete: copy the files again."
        if sample.data
        else f"Copy them again, or raise `damaged_files: {{skip_at_most: ...}}` (now {allowed:g}): "
        "the normalisation is then corrected."
    )
    return DamagedFile(
        f"{len(lost)} of {total} files of sample `{name}` cannot be read: {shown}",
        fix=fix,
        key=("samples", name, "files"),
    )


def _classes(analysis: Analysis, dataset: Dataset) -> Iterator[GridloomError]:
    for index, name in enumerate(dataset.classes):
        rows = np.flatnonzero((dataset.label == index) & dataset.trains)
        if not len(rows):
            yield _empty_class(analysis, dataset, index)
            continue
        physics = float(dataset.weight[rows].sum())
        if physics <= 0:
            yield bad_sum(analysis, name, physics, len(rows), "")
            continue
        yield from _class_in_folds(analysis, dataset, name, rows)


def _empty_class(analysis: Analysis, dataset: Dataset, index: int) -> EmptyClass:
    name = dataset.classes[index]
    selected = int(np.count_nonzero(dataset.label == index))
    cuts = "`selection` and `training_selection`" if analysis.training_selection else "`selection`"
    text = f"; {selected:,} pass `selection` alone" if analysis.training_selection else ""
    return EmptyClass(
        f"no event of class `{name}` passes {cuts}{text}",
        fix="Look at the cutflow of its samples, at the cuts and at the class's conditions.",
        key=class_key(analysis, name),
    )


def _class_in_folds(analysis: Analysis, dataset: Dataset, name: str, rows: NDArray[np.intp]) -> Iterator[GridloomError]:
    counts = np.bincount(dataset.fold[rows], minlength=analysis.folds)
    if np.any(counts == 0):
        yield empty_fold(analysis, f"class `{name}`", counts)
        return
    weights = by_policy(analysis, dataset.weight[rows]) * dataset.factor[rows]
    sums = np.bincount(dataset.fold[rows], weights=weights, minlength=analysis.folds)
    for fold in np.flatnonzero(sums <= 0):
        yield bad_sum(analysis, name, float(sums[fold]), int(counts[fold]), f"fold {fold}")


def empty_fold(analysis: Analysis, what: str, counts: NDArray[np.intp]) -> EmptyFold:
    """The error for training events (`what`) that are missing in some folds; `counts` per fold."""
    empty = ", ".join(str(fold) for fold in np.flatnonzero(counts == 0))
    return EmptyFold(
        f"no training event of {what} in fold {empty} ({int(counts.sum()):,} events in {analysis.folds} folds)",
        fix="Use fewer `folds` (at least 3), loosen the selection or add events.",
        key=("folds",),
    )


def _regression(analysis: Analysis, dataset: Dataset) -> Iterator[GridloomError]:
    rows = np.flatnonzero(dataset.trains)
    if not len(rows):
        yield EmptyClass(
            "no event of simulation passes the selection",
            fix="Look at the cutflow and loosen `selection` or `training_selection`.",
            key=("selection",),
        )
        return
    counts = np.bincount(dataset.fold[rows], minlength=analysis.folds)
    if np.any(counts == 0):
        yield empty_fold(analysis, "simulation", counts)
        return
    weights = by_policy(analysis, dataset.weight[rows]) * dataset.factor[rows]
    sums = np.bincount(dataset.fold[rows], weights=weights, minlength=analysis.folds)
    for fold in np.flatnonzero(sums <= 0):
        yield BadWeights(
            f"the weights of {int(counts[fold]):,} training events sum to {float(sums[fold]):g}",
            where=f"fold {fold}",
            fix="Look at the weights of the samples, or use fewer `folds`.",
            key=("training_weights",),
        )
