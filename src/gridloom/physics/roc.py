"""Weighted ROC curves and their areas, with ties, signed weights and paired bootstrap intervals.

The area is P(score of a positive > score of a negative) + P(equal) / 2 with signed weights (the Mann-Whitney form, ties
count half). Negative weights can make the curve go backwards and an efficiency leave [0, 1]; nothing is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gridloom.errors import BadWeights
from gridloom.physics.bootstrap import (
    Binned,
    BoolArray,
    FloatArray,
    IntArray,
    add_up,
    finites,
    floats,
    interval,
    ratio,
)
from gridloom.physics.results import RejectionPoint, RocCurve

SCORE_BINS = 4096
CURVE_POINTS = 300
REJECTION_AT = (0.3, 0.5, 0.7, 0.9)


def area_of_sums(positive: FloatArray, negative: FloatArray) -> FloatArray:
    """AUC from sums of weights at rising scores, shapes (..., bins) -> (...); NaN if a sum is not positive."""
    below = np.cumsum(negative, axis=-1) - negative / 2
    total = positive.sum(axis=-1) * negative.sum(axis=-1)
    usable = np.where((positive.sum(axis=-1) > 0) & (negative.sum(axis=-1) > 0), total, 0.0)
    return ratio((positive * below).sum(axis=-1), usable)


def area(scores: FloatArray, positive: BoolArray, weight: FloatArray) -> float:
    """AUC with exact ties; NaN if the weights of either side do not sum to more than zero."""
    if len(scores) == 0:
        return float("nan")
    _, rank = np.unique(scores, return_inverse=True)
    size = int(rank.max()) + 1
    gains = add_up(rank, np.where(positive, weight, 0.0), size)
    losses = add_up(rank, np.where(positive, 0.0, weight), size)
    return float(area_of_sums(gains, losses))


def score_bins(scores: FloatArray, at_most: int = SCORE_BINS) -> tuple[IntArray, int]:
    """Bins of equally many distinct scores, in rising order; every distinct score its own bin if they are few."""
    distinct, rank = np.unique(scores, return_inverse=True)
    size = min(at_most, len(distinct))
    return (rank.astype(np.int64) * size) // len(distinct), size


@dataclass(frozen=True, kw_only=True)
class Separated:
    """Scores of positive and negative events, ready for the bootstrap."""

    scores: FloatArray
    positive: BoolArray
    weight: FloatArray
    fold: IntArray
    folds: int

    @cached_property
    def binned(self) -> Binned:
        """Bin 2 j + p: score bin j, p = 1 for positives."""
        index, size = score_bins(self.scores)
        return Binned(index=2 * index + self.positive, weight=self.weight, size=2 * size)

    @cached_property
    def exact_area(self) -> float:
        return area(self.scores, self.positive, self.weight)

    def areas(self, sums: FloatArray) -> FloatArray:
        """AUC of the replicas, corrected for the width of the score bins."""
        nominal = self.binned.nominal()
        shift = self.exact_area - float(area_of_sums(nominal[1::2], nominal[0::2]))
        return area_of_sums(sums[:, 1::2], sums[:, 0::2]) + shift

    def fold_areas(self) -> tuple[float | None, ...]:
        chosen = [self.fold == fold for fold in range(self.folds)]
        areas = [area(self.scores[rows], self.positive[rows], self.weight[rows]) for rows in chosen]
        return finites(np.array(areas))


def _efficiencies(sums: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Negative and positive efficiencies of falling cuts, each (..., bins + 1), starting at zero."""
    falling = [np.cumsum(sums[..., start::2][..., ::-1], axis=-1) for start in (0, 1)]
    zero = np.zeros((*sums.shape[:-1], 1))
    parts = [np.concatenate([zero, ratio(part, part[..., -1:])], axis=-1) for part in falling]
    return parts[0], parts[1]


def _thinned(background: FloatArray, signal: FloatArray) -> IntArray:
    """Points that draw the curve well, on a linear and on a logarithmic background axis."""
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(background)) + np.abs(np.diff(signal)))])
    half = CURVE_POINTS // 2
    along = np.searchsorted(length, np.linspace(0, length[-1], half))
    rising = np.maximum.accumulate(background)
    low = rising[rising > 0].min(initial=1.0)
    decades = np.searchsorted(rising, np.geomspace(low, max(1.0, low), half))
    last = len(background) - 1
    return np.unique(np.clip(np.concatenate([[0], along, decades, [last]]), 0, last)).astype(np.int64)


def _band(at: FloatArray, background: FloatArray, signal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """68 % band of the signal efficiency at given background efficiencies.

    Interpolation needs a rising axis: where negative weights let a replica go backwards its running maximum is used.
    """
    rows = np.isfinite(background[:, -1]) & np.isfinite(signal[:, -1])
    rising = np.maximum.accumulate(background[rows], axis=1)
    values = np.array([np.interp(at, x, y) for x, y in zip(rising, signal[rows], strict=True)])
    low, high = np.quantile(values, [0.16, 0.84], axis=0)
    return low, high


def _rejections(
    nominal: tuple[FloatArray, FloatArray], replicas: tuple[FloatArray, FloatArray]
) -> tuple[RejectionPoint, ...]:
    """1 / background efficiency at the first cut that keeps so much signal."""

    def inverse(background: FloatArray, signal: FloatArray, level: float) -> FloatArray:
        first = np.argmax(signal >= level, axis=-1)
        kept = np.take_along_axis(background, first[..., None], axis=-1)[..., 0]
        return ratio(np.ones_like(kept), kept)

    return tuple(
        RejectionPoint(
            signal_efficiency=level,
            rejection=interval(float(inverse(*nominal, level)), inverse(*replicas, level)),
        )
        for level in REJECTION_AT
    )


def roc_curve(data: Separated, sums: FloatArray) -> RocCurve:
    """The curve of `data`, with the sums of its `binned` in every replica, shape (replicas, 2 bins)."""
    whole = interval(data.exact_area, data.areas(sums))
    if whole is None:
        raise BadWeights(
            "the weights of signal or background sum to zero or less, so no ROC curve exists",
            fix="Look at the yields of each class: too few events, or too many negative weights.",
        )
    nominal = data.binned.nominal()
    background, signal = _efficiencies(nominal)
    replica_background, replica_signal = _efficiencies(sums)
    keep = _thinned(background, signal)
    low, high = _band(background[keep], replica_background, replica_signal)
    return RocCurve(
        background_efficiency=floats(background[keep]),
        signal_efficiency=floats(signal[keep]),
        signal_low=floats(low),
        signal_high=floats(high),
        area=whole,
        fold_areas=data.fold_areas(),
        rejections=_rejections((background, signal), (replica_background, replica_signal)),
        monotonic=bool(np.all(nominal >= 0)),
    )
