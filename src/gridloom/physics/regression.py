"""How well a number is predicted: bias, resolution, errors, residuals and the profile against the true value."""

from __future__ import annotations

import numpy as np

from gridloom.errors import BadWeights
from gridloom.physics.bootstrap import Bootstrap, FloatArray, add_up, finite, floats, interval, ratio
from gridloom.physics.histograms import bin_index, histogram, quantile_edges, sums_and_squares, weighted_quantiles
from gridloom.physics.results import Interval, Measured, ProfileBin, Regression, RegressionScores

RESIDUAL_BINS = 60
PROFILE_BINS = 15


def _figures(sums: FloatArray) -> tuple[FloatArray, ...]:
    """Bias, resolution, RMSE, MAE and R2 from sums (..., 6) of w, wr, wr^2, w|r|, wt, wt^2."""
    total = sums[..., 0]
    bias, square, absolute, mean, mean_square = (ratio(sums[..., i], total) for i in range(1, 6))
    variance = square - bias**2
    target_variance = mean_square - mean**2
    # A variance that negative weights made negative is not a resolution of zero: it is undefined.
    resolution, rmse = (np.sqrt(np.where(value >= 0, value, np.nan)) for value in (variance, square))
    return bias, resolution, rmse, absolute, 1.0 - ratio(square, target_variance)


def regression_scores(
    bootstrap: Bootstrap, target: FloatArray, predicted: FloatArray, weight: FloatArray
) -> RegressionScores:
    """Figures of merit of predictions (N,) with bootstrap intervals."""
    residual = predicted - target
    # Shifted target: its variance is a difference of squares.
    centred = target - target.mean()
    parts = (np.ones_like(residual), residual, residual**2, np.abs(residual), centred, centred**2)
    columns = np.stack(parts, axis=1) * weight[:, None]
    nominal, drawn = _figures(columns.sum(axis=0)), _figures(bootstrap.dots(columns))
    found = [interval(float(value), replicas) for value, replicas in zip(nominal, drawn, strict=True)]
    bias, resolution, rmse, mae, r2 = found
    return RegressionScores(
        bias=_defined(bias), resolution=_defined(resolution), rmse=_defined(rmse), mae=_defined(mae), r2=r2
    )


def _defined(value: Interval | None) -> Interval:
    if value is None:
        raise BadWeights(
            "the weights of the events sum to zero or less, or make a variance negative",
            fix="Look at the yields: too few events, or too many negative weights.",
        )
    return value


def _range(values: FloatArray, weight: FloatArray, bins: int) -> FloatArray:
    """Even edges over the central 98 % of the values, a little wider; tails go to the outermost bins."""
    low, high = weighted_quantiles(values, weight, np.array([0.01, 0.99]))
    margin = 0.1 * (high - low) or max(abs(low), 1.0) * 1e-3
    return np.linspace(low - margin, high + margin, bins + 1)


def profile(target: FloatArray, predicted: FloatArray, weight: FloatArray) -> tuple[ProfileBin, ...]:
    """Mean prediction in bins of the true value, with the uncertainty of the mean."""
    edges = quantile_edges(target, weight, PROFILE_BINS)
    size = len(edges) - 1
    index = bin_index(target, edges)
    total, squares = sums_and_squares(index, weight, size)
    true = ratio(add_up(index, weight * target, size), total)
    mean = ratio(add_up(index, weight * predicted, size), total)
    variance = ratio(add_up(index, weight * (predicted - mean[index]) ** 2, size), total)
    effective = ratio(total**2, squares)
    spread = np.sqrt(np.maximum(np.nan_to_num(variance, nan=0.0), 0.0))
    return tuple(
        ProfileBin(
            low=edges[i],
            high=edges[i + 1],
            true=true[i],
            predicted=Measured(value=mean[i], uncertainty=finite(spread[i] / np.sqrt(effective[i]))),
            spread=spread[i],
            effective=effective[i],
        )
        for i in range(size)
        if total[i] > 0 and effective[i] > 0
    )


def regression(
    bootstrap: Bootstrap,
    *,
    target: FloatArray,
    predicted: FloatArray,
    trained: FloatArray,
    reference: FloatArray | None,
    weight: FloatArray,
    bins: int,
) -> Regression:
    """All of a regression: predictions (N,) by the unseen model, by a model that trained on the event, by the trees."""
    edges = _range(predicted - target, weight, RESIDUAL_BINS)
    target_edges = _range(target, weight, bins)
    other = None if reference is None else regression_scores(bootstrap, target, reference, weight)
    return Regression(
        network=regression_scores(bootstrap, target, predicted, weight),
        train=regression_scores(bootstrap, target, trained, weight),
        reference=other,
        residual_edges=floats(edges),
        residuals=histogram(predicted - target, weight, edges),
        reference_residuals=None if reference is None else histogram(reference - target, weight, edges),
        profile=profile(target, predicted, weight),
        target_edges=floats(target_edges),
        target=histogram(target, weight, target_edges),
        predicted=histogram(predicted, weight, target_edges),
    )
