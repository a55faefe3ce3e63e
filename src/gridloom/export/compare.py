"""An artefact beside the trained model on real events: batches of 1, 7 and 1024, every fold, the figures of merit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset
from gridloom.errors import ExportMismatch
from gridloom.export.base import Arrays, Runner, Written, in_batches
from gridloom.export.graph import EVENT_ID, FOLD, port_name
from gridloom.exporting import Comparison, Shift
from gridloom.physics.bootstrap import Bootstrap
from gridloom.physics.counting import Counting
from gridloom.physics.events import Discriminant, discriminants
from gridloom.physics.results import Interval
from gridloom.physics.roc import Separated, area
from gridloom.physics.significance import binned_significance
from gridloom.prediction.models import FoldModels
from gridloom.training.feed import as_inputs

# Batch -> events: one by one is slow, and enough of them show it.
BATCHES: Mapping[int, int] = {1: 256, 7: 1792, 1024: 50_000}
# Scores are numbers from 0 to 1; predictions of a regression are compared in units of their spread.
LIMIT = 1e-5
# A figure of merit may move by this part of its own statistical error.
_SHIFT = 0.01
_REPLICAS = 50


@dataclass(frozen=True, kw_only=True)
class Trained:
    """Real events with what the trained networks say of them: `scores[i]` (n, C) by those of fold i.

    `fold` (n,) is each event's own; `unit` what one of the scores' differences is measured in.
    """

    analysis: Analysis
    inputs: Arrays
    ids: NDArray[np.uint64]
    fold: NDArray[np.int32]
    label: NDArray[np.int16]
    weight: NDArray[np.float64]
    scores: tuple[NDArray[np.float32], ...]
    unit: float

    def __len__(self) -> int:
        return len(self.fold)

    def by(self, shift: int) -> NDArray[np.float32]:
        """Each event's scores by the model (its fold + shift) mod k."""
        result = np.empty_like(self.scores[0])
        for number, scores in enumerate(self.scores):
            rows = (self.fold + shift) % len(self.scores) == number
            result[rows] = scores[rows]
        return result


def trained_events(analysis: Analysis, dataset: Dataset, models: FoldModels) -> Trained:
    """Events spread evenly over the simulated ones, scored by all networks."""
    data = np.array([analysis.samples[name].data for name in dataset.sample_names], dtype=np.bool_)
    rows = np.flatnonzero(~data[dataset.sample])
    step = max(1, -(-len(rows) // BATCHES[1024]))
    rows = rows[::step]
    found = dataset.inputs(rows)
    scores = tuple(models(found, np.full(len(rows), number)).mean for number in range(len(models.members)))
    regression = analysis.target.regression is not None
    return Trained(
        analysis=analysis,
        inputs={port_name(name): values for name, values in as_inputs(found).items()},
        ids=dataset.ids(rows),
        fold=dataset.fold[rows].astype(np.int32),
        label=dataset.label[rows],
        weight=dataset.weight[rows],
        scores=scores,
        unit=max(float(np.std(scores[0])), 1e-30) if regression else 1.0,
    )


def compare(written: Written, run: Runner, trained: Trained) -> Comparison:
    """Run an artefact on the events. Raises ExportMismatch if it is not the trained model."""
    graph = written.graph
    inputs = dict(trained.inputs)
    names = {port.name for port in graph.inputs}
    if EVENT_ID in names:
        inputs[EVENT_ID] = trained.ids
    if FOLD in names:
        inputs[FOLD] = trained.fold
    expected = trained.by(0) if graph.fold is None else trained.scores[graph.fold]
    where = f"{written.path.name} {written.signature}".strip()
    largest = 0.0
    for batch, count in BATCHES.items():
        some = {name: values[:count] for name, values in inputs.items()}
        found = in_batches(run, some, batch)
        largest = max(largest, _difference(found, expected[:count], trained.unit, where, batch))
    _check_folds(run, inputs, trained, where, computed=EVENT_ID in names)
    return Comparison(
        file=written.path.name,
        signature=written.signature,
        events=len(trained),
        batches=tuple(BATCHES),
        largest=largest,
        limit=LIMIT,
        shifts=_shifts(found, trained, where) if graph.fold is None else (),
    )


def _difference(
    found: NDArray[np.float32], expected: NDArray[np.float32], unit: float, where: str, batch: int
) -> float:
    if found.shape != expected.shape:
        raise _mismatch(f"scores of shape {found.shape} instead of {expected.shape}", where)
    difference = np.abs(found.astype(np.float64) - expected) / unit
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference).max(axis=1)))
    largest = float(difference[worst].max())
    if not largest <= LIMIT:
        raise _mismatch(
            f"at batch {batch} it says {found[worst].tolist()} of event {worst}, the trained model "
            f"{expected[worst].tolist()}",
            where,
        )
    return largest


def _check_folds(run: Runner, inputs: Arrays, trained: Trained, where: str, *, computed: bool) -> None:
    """The fold that an artefact computes from the event id must be the event's."""
    if not computed:
        return
    found = np.asarray(run(inputs)[FOLD])
    wrong = np.flatnonzero(found != trained.fold)
    if len(wrong):
        raise _mismatch(
            f"it takes event {wrong[0]} for one of fold {found[wrong[0]]}, not {trained.fold[wrong[0]]}", where
        )


def _mismatch(what: str, where: str) -> ExportMismatch:
    return ExportMismatch(
        what,
        where=where,
        fix="It was not written. Another format may do; please report it with the model's layers.",
    )


def _shifts(found: NDArray[np.float32], trained: Trained, where: str) -> tuple[Shift, ...]:
    """AUC and significance by the artefact's scores beside those by the trained model's. Raises ExportMismatch."""
    analysis = trained.analysis
    if analysis.target.regression is not None:
        return ()
    main = discriminants(analysis.target.classes, analysis.target.signal)[0]
    shifts = (_auc(main, found, trained), *_significance(main, found, trained))
    for shift in shifts:
        limit = _SHIFT * (shift.uncertainty or 0.0)
        if abs(shift.shift) > max(limit, 1e-9):
            raise _mismatch(
                f"its {shift.figure} differs by {shift.shift:.2g}; the statistical error is {shift.uncertainty}", where
            )
    return shifts


def _bootstrap(trained: Trained) -> Bootstrap:
    return Bootstrap(events=len(trained), replicas=_REPLICAS, seed=trained.analysis.training.seed)


def _auc(main: Discriminant, found: NDArray[np.float32], trained: Trained) -> Shift:
    positive = main.is_positive(trained.label)
    own = main.of(trained.by(0))
    value = area(own, positive, trained.weight)
    parts = Separated(
        scores=own,
        positive=positive,
        weight=trained.weight,
        fold=trained.fold.astype(np.int64),
        folds=len(trained.scores),
    )
    (sums,) = _bootstrap(trained).sums(parts.binned)
    replicas = parts.areas(sums)
    other = area(main.of(found), positive, trained.weight)
    return Shift(figure="AUC", value=value, uncertainty=float(np.nanstd(replicas)), shift=other - value)


def _significance(main: Discriminant, found: NDArray[np.float32], trained: Trained) -> tuple[Shift, ...]:
    one, other = (_binned(main, scores, trained) for scores in (trained.by(0), found))
    if one is None or other is None:
        return ()
    error = (one.high - one.low) / 2
    return (Shift(figure="significance", value=one.value, uncertainty=error, shift=other.value - one.value),)


def _binned(main: Discriminant, scores: NDArray[np.float32], trained: Trained) -> Interval | None:
    settings = trained.analysis.evaluation
    counting = Counting(
        scores=main.of(scores),
        validation_scores=main.of(trained.by(-1)),
        positive=main.is_positive(trained.label),
        weight=trained.weight,
        fold=trained.fold.astype(np.int64),
        folds=len(trained.scores),
        relative_uncertainty=settings.background_uncertainty,
        minimum_effective=settings.minimum_effective_events,
        bins=settings.bins,
    )
    found = binned_significance(_bootstrap(trained), counting)
    return None if found is None else found.asimov
