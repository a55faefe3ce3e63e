"""Declared missing values as NaN, for everything that looks at feature values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Feature
from gridloom.physics.bootstrap import FloatArray


def missing_as_nan(features: NDArray[np.float32], declared: Sequence[Feature]) -> FloatArray:
    """Raw features (n, F) as float64 with declared missing values, NaN and infinity as NaN."""
    values = features.astype(np.float64)
    for column, feature in enumerate(declared):
        for sentinel in feature.missing:
            if not isinstance(sentinel, str):
                # Compared as float32: -999.9 in the file is not the float64 of that name.
                values[features[:, column] == np.float32(sentinel), column] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values
