"""Weighted histograms with uncertainties, effective numbers of events, quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gridloom.physics.bootstrap import FloatArray, IntArray, add_up, floats
from gridloom.physics.results import Histogram


def effective_events(weight: FloatArray) -> float | None:
    """(sum w)^2 / sum w^2 (Kish); None without any weight."""
    squares = float(weight @ weight)
    return float(weight.sum()) ** 2 / squares if squares > 0 else None


def bin_index(values: FloatArray, edges: FloatArray) -> IntArray:
    """Bin of each value in [edge i, edge i+1); below the first or above the last edge: the nearest bin."""
    index = np.searchsorted(edges, values, side="right") - 1
    return np.clip(index, 0, len(edges) - 2).astype(np.int64)


def sums_and_squares(index: IntArray, weight: FloatArray, size: int) -> tuple[FloatArray, FloatArray]:
    """Sum of weights and sum of squared weights per bin."""
    return add_up(index, weight, size), add_up(index, weight**2, size)


def histogram(values: FloatArray, weight: FloatArray, edges: FloatArray, *, unit_sum: bool = False) -> Histogram:
    """Weighted histogram; uncertainty sqrt(sum w^2). Values outside the edges go to the outermost bins."""
    contents, squares = sums_and_squares(bin_index(values, edges), weight, len(edges) - 1)
    total = float(contents.sum())
    scale = 1.0 / total if unit_sum and total > 0 else 1.0
    return Histogram(contents=floats(contents * scale), uncertainties=floats(np.sqrt(squares) * scale))


def weighted_quantiles(values: FloatArray, weight: FloatArray, levels: FloatArray) -> FloatArray:
    """Quantiles of the distribution with weights |w|: where to put edges, never a result in itself."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(np.abs(weight[order]))
    total = cumulative[-1] if len(cumulative) and cumulative[-1] > 0 else 1.0
    position = np.searchsorted(cumulative / total, levels, side="left")
    return values[order][np.clip(position, 0, len(values) - 1)]


def quantile_edges(values: FloatArray, weight: FloatArray, bins: int) -> FloatArray:
    """Distinct edges of at most `bins` bins of equal |weight|, the outermost at minimum and maximum."""
    inner = weighted_quantiles(values, weight, np.linspace(0, 1, bins + 1)[1:-1])
    edges = np.unique(np.concatenate([[values.min()], inner, [values.max()]]))
    if len(edges) < 2:
        return np.array([edges[0], np.nextafter(edges[0], np.inf)])
    return edges


def balanced_weights(weight: FloatArray, positive: NDArray[np.bool_]) -> FloatArray:
    """|w| scaled so that both groups have sum one half: for binnings that see signal and background alike."""
    size = np.abs(weight)
    result = np.zeros_like(size)
    for group in (positive, ~positive):
        total = float(size[group].sum())
        if total > 0:
            result[group] = size[group] * (0.5 / total)
    return result
