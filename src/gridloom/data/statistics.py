"""Statistics that merge: the same numbers whether the events are seen whole or in any parts.

Means and sums of squared deviations are merged with the pairwise update of Chan, Golub and LeVeque (1983), "Algorithms
for computing the sample variance", The American Statistician 37.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gridloom.catalogue import LostFile

_STRIP = 4096


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Moments(_Data):
    """Count, mean, sum of squared deviations and range of the values that are there; `missing` counts the others."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    missing: int = 0

    @property
    def standard_deviation(self) -> float:
        """Of the population: sqrt(m2 / count); zero without values."""
        return float(np.sqrt(self.m2 / self.count)) if self.count else 0.0

    def merge(self, other: Moments) -> Moments:
        """The moments of both together."""
        count = self.count + other.count
        missing = self.missing + other.missing
        if not self.count or not other.count:
            known = self if self.count else other
            return known.model_copy(update={"missing": missing})
        delta = other.mean - self.mean
        return Moments(
            count=count,
            mean=self.mean + delta * other.count / count,
            m2=self.m2 + other.m2 + delta * delta * self.count * other.count / count,
            minimum=min(_known(self.minimum), _known(other.minimum)),
            maximum=max(_known(self.maximum), _known(other.maximum)),
            missing=missing,
        )


def _known(value: float | None) -> float:
    if value is None:
        raise ValueError("moments with a count need a range")
    return value


def moments_of(values: NDArray[np.float32], there: NDArray[np.bool_]) -> tuple[Moments, ...]:
    """Moments of the columns of `values` (N, F), over the rows where `there` (N, F) is true; computed in float64."""
    return moments_by_group(values, there, np.zeros(len(values), dtype=np.int64), 1)[0]


def moments_by_group(
    values: NDArray[np.float32], there: NDArray[np.bool_], group: NDArray[np.int64], groups: int
) -> tuple[tuple[Moments, ...], ...]:
    """For each of the groups what `moments_of` says of its rows; `group` (N,) is negative for rows of none.

    Strips of rows are sorted by group and summed while they stay in the processor's cache; sums of squares are taken
    about the mean of the first strip, so that little is lost in the difference.
    """
    shape = (groups, values.shape[1])
    rows, counts = np.zeros(groups, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    sums, squares = np.zeros(shape), np.zeros(shape)
    lowest, highest = np.full(shape, np.inf, dtype=np.float32), np.full(shape, -np.inf, dtype=np.float32)
    first = there[:_STRIP]
    about = np.where(first, values[:_STRIP], 0).sum(axis=0, dtype=np.float64) / np.maximum(first.sum(axis=0), 1)
    for begin in range(0, len(values), _STRIP):
        numbers = group[begin : begin + _STRIP].astype(np.int16)
        order = np.argsort(numbers, kind="stable")  # a radix sort
        order = order[np.count_nonzero(numbers < 0) :]
        if not len(order):
            continue
        found, starts = np.unique(numbers[order], return_index=True)
        strip, known = values[begin : begin + _STRIP][order], there[begin : begin + _STRIP][order]
        rows[found] += np.diff(np.append(starts, len(order)))
        counts[found] += np.add.reduceat(known, starts, axis=0, dtype=np.int64)
        whole = bool(known.all())
        deviations = strip - about if whole else np.where(known, strip - about, 0.0)
        sums[found] += np.add.reduceat(deviations, starts, axis=0)
        np.square(deviations, out=deviations)
        squares[found] += np.add.reduceat(deviations, starts, axis=0)
        low, high = (strip, strip) if whole else (np.where(known, strip, np.inf), np.where(known, strip, -np.inf))
        lowest[found] = np.minimum(lowest[found], np.minimum.reduceat(low, starts, axis=0))
        highest[found] = np.maximum(highest[found], np.maximum.reduceat(high, starts, axis=0))
    safe = np.maximum(counts, 1)
    means, m2 = about + sums / safe, np.maximum(squares - sums**2 / safe, 0.0)
    return tuple(
        tuple(
            Moments(
                count=int(counts[i, j]),
                mean=float(means[i, j]) if counts[i, j] else 0.0,
                m2=float(m2[i, j]),
                minimum=float(lowest[i, j]) if counts[i, j] else None,
                maximum=float(highest[i, j]) if counts[i, j] else None,
                missing=int(rows[i] - counts[i, j]),
            )
            for j in range(shape[1])
        )
        for i in range(groups)
    )


def merge_columns(left: Sequence[Moments], right: Sequence[Moments]) -> tuple[Moments, ...]:
    """Merge column by column; an empty side counts as no events."""
    if not left or not right:
        return tuple(left or right)
    return tuple(a.merge(b) for a, b in zip(left, right, strict=True))


class Yield(_Data):
    """Events with the sums of their weights, of the squares, and the number of negative ones."""

    events: int = 0
    sum_weights: float = 0.0
    sum_weights_squared: float = 0.0
    negative_events: int = 0

    @classmethod
    def of(cls, weights: NDArray[np.float64]) -> Yield:
        return cls(
            events=len(weights),
            sum_weights=float(weights.sum()),
            sum_weights_squared=float(np.square(weights).sum()),
            negative_events=int(np.count_nonzero(weights < 0)),
        )

    def merge(self, other: Yield) -> Yield:
        return Yield(
            events=self.events + other.events,
            sum_weights=self.sum_weights + other.sum_weights,
            sum_weights_squared=self.sum_weights_squared + other.sum_weights_squared,
            negative_events=self.negative_events + other.negative_events,
        )

    def scaled(self, scale: float) -> Yield:
        """The same events with all weights multiplied."""
        return self.model_copy(
            update={
                "sum_weights": self.sum_weights * scale,
                "sum_weights_squared": self.sum_weights_squared * scale * scale,
            }
        )

    @property
    def effective_events(self) -> float:
        """(sum w)^2 / sum w^2: unweighted events of the same relative uncertainty."""
        return self.sum_weights**2 / self.sum_weights_squared if self.sum_weights_squared else 0.0


class CutflowRow(_Data):
    """What is left after one part of the selection; weights before the sample's scale."""

    name: str
    events: int
    sum_weights: float
    sum_weights_squared: float

    @classmethod
    def of(cls, name: str, content: Yield) -> CutflowRow:
        return cls(
            name=name,
            events=content.events,
            sum_weights=content.sum_weights,
            sum_weights_squared=content.sum_weights_squared,
        )

    def merge(self, other: CutflowRow) -> CutflowRow:
        if self.name != other.name:
            raise ValueError(f"cutflow rows {self.name!r} and {other.name!r} do not belong together")
        return CutflowRow(
            name=self.name,
            events=self.events + other.events,
            sum_weights=self.sum_weights + other.sum_weights,
            sum_weights_squared=self.sum_weights_squared + other.sum_weights_squared,
        )


class FoldStatistics(_Data):
    """Moments of one fold's training events, unweighted; collections over the objects that are kept."""

    fold: int
    features: tuple[Moments, ...]
    collections: dict[str, tuple[Moments, ...]] = {}

    def merge(self, other: FoldStatistics) -> FoldStatistics:
        return FoldStatistics(
            fold=self.fold,
            features=merge_columns(self.features, other.features),
            collections={
                name: merge_columns(moments, other.collections[name]) for name, moments in self.collections.items()
            },
        )


class ReadFile(_Data):
    """A file that was read completely: its entries and how many of them passed the selection."""

    path: str
    uuid: str
    entries: int
    selected: int


class ShardStatistics(_Data):
    """All that is known of a shard, or of a sample after merging, besides its events.

    Weights are physics weights before the sample's scale. `sum_generator_weights` is None without `normalisation`.
    """

    sample: str
    features: tuple[str, ...] = ()
    files: tuple[ReadFile, ...] = ()
    lost: tuple[LostFile, ...] = ()
    events: int = 0
    sum_generator_weights: float | None = None
    cutflow: tuple[CutflowRow, ...] = ()
    classes: dict[str, Yield] = {}
    folds: tuple[FoldStatistics, ...] = ()

    def merge(self, other: ShardStatistics) -> ShardStatistics:
        """The statistics of both parts of one sample."""
        if self.sample != other.sample:
            raise ValueError(f"statistics of {self.sample!r} and {other.sample!r} do not merge")
        lost = {file.path: file for file in (*self.lost, *other.lost)}
        return ShardStatistics(
            sample=self.sample,
            features=self.features or other.features,
            files=self.files + other.files,
            lost=tuple(lost.values()),
            events=self.events + other.events,
            sum_generator_weights=_sum(self.sum_generator_weights, other.sum_generator_weights),
            cutflow=_merge_rows(self.cutflow, other.cutflow),
            classes={
                name: self.classes.get(name, Yield()).merge(other.classes.get(name, Yield()))
                for name in {**self.classes, **other.classes}
            },
            folds=_merge_folds(self.folds, other.folds),
        )


def _sum(left: float | None, right: float | None) -> float | None:
    if left is None or right is None:
        return right if left is None else left
    return left + right


def _merge_rows(left: tuple[CutflowRow, ...], right: tuple[CutflowRow, ...]) -> tuple[CutflowRow, ...]:
    if not left or not right:
        return left or right
    return tuple(a.merge(b) for a, b in zip(left, right, strict=True))


def _merge_folds(left: tuple[FoldStatistics, ...], right: tuple[FoldStatistics, ...]) -> tuple[FoldStatistics, ...]:
    if not left or not right:
        return left or right
    return tuple(a.merge(b) for a, b in zip(left, right, strict=True))


def merge_samples(parts: Iterable[ShardStatistics]) -> dict[str, ShardStatistics]:
    """One record per sample, in order of appearance."""
    merged: dict[str, ShardStatistics] = {}
    for part in parts:
        known = merged.get(part.sample)
        merged[part.sample] = part if known is None else known.merge(part)
    return merged
