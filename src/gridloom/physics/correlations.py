"""Weighted linear correlations of the inputs with each other and with the score."""

from __future__ import annotations

import numpy as np

from gridloom.physics.bootstrap import FloatArray, finites
from gridloom.physics.results import CorrelationMatrix


def correlation_matrix(columns: FloatArray, weight: FloatArray) -> FloatArray:
    """Weighted Pearson correlations of columns (n, m), each pair over events where both are known: (m, m).

    NaN in `columns` means not known. With signed weights a variance can come out negative or a correlation above one:
    such entries, and those of constant columns, are NaN.
    """
    known = np.isfinite(columns)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, columns, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, columns - mean, 0.0) ** 2).sum(axis=0) / count)
    # Standardised first: sums of squares of columns in MeV would lose the digits that matter.
    x = np.where(known, columns - mean, 0.0) / np.where(spread > 0, spread, 1.0)
    k = known.astype(np.float64)
    w = weight[:, None]
    total = (w * k).T @ k
    usable = total > 0
    norm = np.where(usable, total, 1.0)
    first = ((w * x).T @ k) / norm
    second = ((w * x**2).T @ k) / norm
    covariance = ((w * x).T @ x) / norm - first * first.T
    variance = second - first**2
    positive = variance > 1e-12
    defined = usable & positive & positive.T
    result = covariance / np.sqrt(np.where(defined, variance * variance.T, 1.0))
    inside = np.abs(result) <= 1 + 1e-9
    return np.where(defined & inside, np.clip(result, -1.0, 1.0), np.nan)


def correlations(name: str, labels: tuple[str, ...], columns: FloatArray, weight: FloatArray) -> CorrelationMatrix:
    """The matrix of `correlation_matrix` with its labels, one per column."""
    matrix = correlation_matrix(columns, weight)
    return CorrelationMatrix(name=name, labels=labels, values=tuple(finites(row) for row in matrix))
