"""Expected significance of a counting experiment: Asimov with a background uncertainty, and AMS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.physics.bootstrap import BoolArray, FloatArray, IntArray, ratio

REGULARISATION = 10.0


def asimov(signal: FloatArray, background: FloatArray, uncertainty: FloatArray) -> FloatArray:
    """Median discovery significance with background known to +- `uncertainty` (absolute); NaN unless s, b > 0.

    Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727, eq. 97 without uncertainty, and Cowan's extension with it
    (G. Cowan, "Discovery sensitivity for a counting experiment with background uncertainty", 2012, eq. 20). Written
    with log1p, which stays exact for s much smaller than b.
    """
    usable = (signal > 0) & (background > 0)
    s, b = np.where(usable, signal, 1.0), np.where(usable, background, 1.0)
    variance = np.where(usable, uncertainty, 0.0) ** 2
    known = variance <= 0
    safe = np.where(known, 1.0, variance)
    without = (s + b) * np.log1p(s / b) - s
    with_ = (s + b) * np.log1p(s * b / (b**2 + (s + b) * safe)) - b**2 / safe * np.log1p(safe * s / (b * (b + safe)))
    # Rounding alone can make the square slightly negative.
    return np.where(usable, np.sqrt(2 * np.maximum(np.where(known, without, with_), 0.0)), np.nan)


def ams(signal: FloatArray, background: FloatArray) -> FloatArray:
    """Approximate median significance of the Higgs ML challenge, b_reg = 10; NaN unless s, b > 0."""
    usable = (signal > 0) & (background > 0)
    s, b = np.where(usable, signal, 1.0), np.where(usable, background, 1.0) + REGULARISATION
    return np.where(usable, np.sqrt(2 * np.maximum((s + b) * np.log1p(s / b) - s, 0.0)), np.nan)


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Events for the significance: scores (N,) of test and validation model, which are signal, signed weights."""

    scores: FloatArray
    validation_scores: FloatArray
    positive: BoolArray
    weight: FloatArray
    fold: IntArray
    folds: int
    relative_uncertainty: float
    minimum_effective: float
    bins: int

    def figures(self, signal: FloatArray, background: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Asimov significance and AMS, same shape as the yields."""
        return asimov(signal, background, self.relative_uncertainty * background), ams(signal, background)

    def valid(self, signal: FloatArray, background: FloatArray, squares: FloatArray) -> BoolArray:
        """Positive yields and enough effective background events."""
        effective = ratio(background**2, squares)
        enough = np.nan_to_num(effective, nan=0.0) >= self.minimum_effective
        return np.asarray((signal > 0) & (background > 0) & enough, dtype=np.bool_)
