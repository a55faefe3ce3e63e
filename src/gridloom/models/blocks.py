"""Layers that several models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from gridloom.models.base import ModelInputs, Tensor

_BIN_SCALE = 0.1

Activation = Literal["relu", "gelu", "silu", "selu", "tanh"]


def dense_block(
    x: Tensor,
    widths: Sequence[int],
    *,
    activation: Activation,
    dropout: float = 0.0,
    normalization: Literal["none", "batch", "layer"] = "none",
) -> Tensor:
    """Dense layers of the given widths, each: linear, normalisation, activation, dropout."""
    import keras

    for width in widths:
        x = keras.layers.Dense(width, kernel_initializer="he_normal")(x)
        if normalization == "batch":
            x = keras.layers.BatchNormalization()(x)
        elif normalization == "layer":
            x = keras.layers.LayerNormalization()(x)
        x = keras.layers.Activation(activation)(x)
        if dropout > 0:
            x = keras.layers.Dropout(dropout)(x)
    return x


def encoded_features(inputs: ModelInputs, bins: int) -> Tensor:
    """The flat features, standardised, and beside them their positions in `bins` quantile bins (none if `bins` is 0).

    The bins make skewed and peaked columns easy; the plain columns make sums and differences of columns easy. The bins
    enter small, so that they are used where they help and do not drown the plain columns: on normal toys the network
    then reaches the best AUC, and on small samples it comes near to boosted trees (docs/performance.md).
    """
    import keras

    from gridloom.models.layers import PiecewiseLinear

    if not bins:
        return inputs.features
    edges = [quantile_edges(column, bins) for column in inputs.quantiles]
    binned = keras.layers.Rescaling(_BIN_SCALE)(PiecewiseLinear(edges=edges)(inputs.features))
    return keras.layers.Concatenate()([inputs.features, binned])


def quantile_edges(quantiles: Sequence[float], bins: int) -> list[float]:
    """Edges of at most `bins` bins of equal content; equal edges are merged, and a constant column gets one bin."""
    levels = np.linspace(0.0, 1.0, len(quantiles))
    edges = np.interp(np.linspace(0.0, 1.0, bins + 1), levels, quantiles).astype(np.float32)
    span = max(float(edges[-1] - edges[0]), 1e-6)
    kept = [float(edges[0])]
    for edge in edges[1:]:
        # Bins far narrower than the column would only amplify rounding.
        if float(edge) - kept[-1] > 1e-5 * span:
            kept.append(float(edge))
    return kept if len(kept) > 1 else [kept[0], kept[0] + 1.0]
