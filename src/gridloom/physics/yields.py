"""Yields of samples and classes, and the cutflow, in events."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gridloom.data.statistics import ShardStatistics
from gridloom.physics.bootstrap import FloatArray
from gridloom.physics.events import ScoredEvents
from gridloom.physics.histograms import effective_events
from gridloom.physics.results import ClassYield, Cutflow, CutflowRow, Measured, SampleYield


def class_yield(name: str, weight: FloatArray) -> ClassYield:
    """Yield of events with signed weights; its uncertainty is sqrt(sum w^2)."""
    size = float(np.abs(weight).sum())
    return ClassYield(
        name=name,
        raw=len(weight),
        weighted=Measured(value=float(weight.sum()), uncertainty=float(np.sqrt(weight @ weight))),
        effective=effective_events(weight),
        negative_fraction=float(np.abs(weight[weight < 0]).sum()) / size if size > 0 else 0.0,
        zero_weights=int(np.count_nonzero(weight == 0)),
    )


def class_yields(events: ScoredEvents, classes: tuple[str, ...]) -> tuple[ClassYield, ...]:
    """Every class over all samples; for a regression one row for all events."""
    if not classes:
        return (class_yield("all", events.weight),)
    return tuple(class_yield(name, events.weight[events.label == number]) for number, name in enumerate(classes))


def sample_yield(
    events: ScoredEvents, number: int, statistics: ShardStatistics, classes: tuple[str, ...], scale: float
) -> SampleYield:
    """A simulated sample: all its events and, where it has several classes, each of them."""
    rows = events.sample == number
    weight, label = events.weight[rows], events.label[rows]
    present = [index for index in range(len(classes)) if np.any(label == index)]
    return SampleYield(
        sample=statistics.sample,
        data=False,
        files_read=len(statistics.files),
        files_lost=len(statistics.lost),
        scale=scale,
        total=class_yield("all", weight),
        classes=tuple(class_yield(classes[index], weight[label == index]) for index in present),
    )


def data_yield(statistics: ShardStatistics, *, unblind: bool) -> SampleYield:
    """A data sample: its files, and its events only when unblinded."""
    total = class_yield("data", np.ones(statistics.events)) if unblind else None
    return SampleYield(
        sample=statistics.sample,
        data=True,
        files_read=len(statistics.files),
        files_lost=len(statistics.lost),
        total=total,
    )


def cutflow(statistics: ShardStatistics, scale: float) -> Cutflow:
    """Raw and weighted yields after each part of the selection, with the sample's scale applied."""
    rows: list[CutflowRow] = []
    first = before = None
    for row in statistics.cutflow:
        value = row.sum_weights * scale
        rows.append(
            CutflowRow(
                name=row.name,
                raw=row.events,
                weighted=Measured(value=value, uncertainty=float(np.sqrt(row.sum_weights_squared)) * abs(scale)),
                efficiency=_efficiency(value, value if first is None else first),
                step_efficiency=_efficiency(value, value if before is None else before),
            )
        )
        first = value if first is None else first
        before = value
    return Cutflow(sample=statistics.sample, rows=tuple(rows))


def _efficiency(value: float, whole: float) -> float | None:
    return value / whole if whole != 0 else None


def cutflows(
    statistics: Mapping[str, ShardStatistics], scales: Mapping[str, float], hidden: frozenset[str]
) -> tuple[Cutflow, ...]:
    """All samples but the hidden (blinded) ones."""
    return tuple(cutflow(item, scales[name]) for name, item in statistics.items() if name not in hidden)
