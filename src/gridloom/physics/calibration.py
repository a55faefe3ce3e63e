"""Reliability of the scores as probabilities, for the class composition that the training weights make.

A network trained with balanced classes gives probabilities for balanced classes: with physics weights, where signal is
rare, a score of 0.7 is not 70 % signal and is not meant to be. So training weights are used here, and only events of
the training selection.
"""

from __future__ import annotations

import numpy as np

from gridloom.physics.bootstrap import (
    Binned,
    BoolArray,
    Bootstrap,
    FloatArray,
    IntArray,
    add_up,
    around,
    deviation,
    finite,
    ratio,
)
from gridloom.physics.histograms import bin_index, quantile_edges
from gridloom.physics.results import Calibration, CalibrationBin, Measured

BINS = 15
MINIMUM_EFFECTIVE = 10.0


def _columns(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weight, observed fraction and mean score of each bin, from the sums of three parts stacked on the last axis."""
    bins = sums.shape[-1] // 3
    weight, positive, score = (sums[..., i * bins : (i + 1) * bins] for i in range(3))
    return weight, ratio(positive, weight), ratio(score, weight)


def _expected_error(weight: FloatArray, observed: FloatArray, predicted: FloatArray, use: BoolArray) -> FloatArray:
    """Mean |observed - predicted| over bins, weighted with their events (Guo et al., arXiv:1706.04599)."""
    share = np.where(use & np.isfinite(observed), weight, 0.0)
    distance = np.nan_to_num(np.abs(observed - predicted), nan=0.0)
    return ratio((share * distance).sum(axis=-1), share.sum(axis=-1))


def calibration(
    bootstrap: Bootstrap, name: str, scores: FloatArray, positive: BoolArray, training_weight: FloatArray
) -> Calibration:
    """Reliability curve of scores (N,) in bins of equal weight; events that do not count have training weight 0."""
    counts = training_weight != 0
    if not counts.any():
        return Calibration(discriminant=name, bins=(), expected_error=None)
    edges = quantile_edges(scores[counts], training_weight[counts], BINS)
    size = len(edges) - 1
    index = bin_index(scores, edges)
    parts = (training_weight, training_weight * positive, training_weight * scores)
    nominal = np.concatenate([add_up(index, part, size) for part in parts])
    drawn = np.concatenate(
        bootstrap.sums(*(Binned(index=index, weight=part, size=size) for part in parts)),
        axis=1,
    )
    weight, observed, predicted = _columns(nominal)
    spread = deviation(_columns(drawn)[1])
    effective = ratio(weight**2, add_up(index, training_weight**2, size))
    use = np.isfinite(observed) & (np.nan_to_num(effective, nan=0.0) >= MINIMUM_EFFECTIVE) & (weight > 0)
    error = float(_expected_error(weight, observed, predicted, use))
    chi2, degrees = _chi2(observed, predicted, spread, use)
    return Calibration(
        discriminant=name,
        bins=_bins(edges, observed, predicted, spread, effective, np.flatnonzero(use)),
        expected_error=around(error, _expected_error(*_columns(drawn), use)),
        chi2=chi2,
        degrees=degrees,
    )


def _chi2(observed: FloatArray, predicted: FloatArray, spread: FloatArray, use: BoolArray) -> tuple[float | None, int]:
    counted = use & (np.nan_to_num(spread, nan=0.0) > 0)
    pulls = (observed[counted] - predicted[counted]) / spread[counted]
    return (float(pulls @ pulls) if counted.any() else None), int(counted.sum())


def _bins(
    edges: FloatArray,
    observed: FloatArray,
    predicted: FloatArray,
    spread: FloatArray,
    effective: FloatArray,
    use: IntArray,
) -> tuple[CalibrationBin, ...]:
    return tuple(
        CalibrationBin(
            low=edges[i],
            high=edges[i + 1],
            predicted=predicted[i],
            observed=Measured(value=observed[i], uncertainty=finite(spread[i])),
            effective=effective[i],
        )
        for i in use.tolist()
    )
