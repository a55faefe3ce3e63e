"""A multilayer perceptron over the flat features (collections, if any, enter flattened)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gridloom.models.base import ModelInputs, Tensor
from gridloom.models.base import Parameters as BaseParameters
from gridloom.models.blocks import Activation, dense_block, encoded_features


class Parameters(BaseParameters):
    """Parameters of `mlp`."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(128, 128), description="Widths of the hidden layers."
    )
    activation: Activation = Field(default="relu", description="Activation of the hidden layers.")
    dropout: float = Field(default=0.3, ge=0, lt=1, description="Dropout after each hidden layer.")
    bins: int = Field(
        default=16,
        ge=0,
        le=64,
        description="Quantile bins in which each flat feature is encoded beside its standardised value; 0: no bins.",
    )
    normalization: Literal["none", "batch", "layer"] = Field(default="none", description="Normalisation per layer.")


def build(inputs: ModelInputs, outputs: int, parameters: Parameters) -> Tensor:
    """Hidden layers and one linear layer: (batch, outputs)."""
    import keras

    parts = []
    if inputs.features is not None:
        parts.append(encoded_features(inputs, parameters.bins))
    parts += [keras.layers.Flatten()(objects) for objects in inputs.collections.values()]
    parts += list(inputs.masks.values())
    x = parts[0] if len(parts) == 1 else keras.layers.Concatenate()(parts)
    x = dense_block(
        x,
        parameters.hidden,
        activation=parameters.activation,
        dropout=parameters.dropout,
        normalization=parameters.normalization,
    )
    return keras.layers.Dense(outputs)(x)
