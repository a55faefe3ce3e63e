"""Deep Sets over collections, beside the flat features: sum_i phi(object_i) into a common head.

Zaheer et al., arXiv 1703.06114; for particles Komiske et al., arXiv 1810.05165 (energy and particle flow networks).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gridloom.models.base import ModelInputs, Tensor
from gridloom.models.base import Parameters as BaseParameters
from gridloom.models.blocks import Activation, dense_block, encoded_features


class Parameters(BaseParameters):
    """Parameters of `deepsets`."""

    objects: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(64, 64), description="Widths of the layers applied to each object."
    )
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(128, 64), description="Widths of the layers after pooling, with the flat features."
    )
    activation: Activation = Field(default="relu", description="Activation of the hidden layers.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout in the layers after pooling.")
    bins: int = Field(
        default=16,
        ge=0,
        le=64,
        description="Quantile bins in which each flat feature is encoded beside its standardised value; 0: no bins.",
    )


def build(inputs: ModelInputs, outputs: int, parameters: Parameters) -> Tensor:
    """Each collection through its own phi, pooled under the mask; then a dense head: (batch, outputs)."""
    import keras

    from gridloom.models.layers import MaskedPooling, MergeObjects, SplitObjects

    parts = []
    if inputs.features is not None:
        parts.append(encoded_features(inputs, parameters.bins))
    for name, objects in inputs.collections.items():
        hidden = dense_block(MergeObjects()(objects), parameters.objects, activation=parameters.activation)
        parts.append(MaskedPooling()(SplitObjects(at_most=objects.shape[1])(hidden), inputs.masks[name]))
    x = parts[0] if len(parts) == 1 else keras.layers.Concatenate()(parts)
    x = dense_block(x, parameters.hidden, activation=parameters.activation, dropout=parameters.dropout)
    return keras.layers.Dense(outputs)(x)
