"""What a model builder is given and gives back; `gridloom.models.MODELS` lists the builders that ship."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

# A symbolic Keras tensor; Keras is imported inside the builders, so that naming a model costs no import of it.
Tensor = Any


class Parameters(BaseModel):
    """Parameters of a model as they stand in the analysis file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class ModelInputs:
    """Symbolic inputs of a network, already imputed and standardised on the training folds.

    `features`: (batch, F) or None; `collections[name]`: (batch, at_most, C), zero where padded;
    `masks[name]`: (batch, at_most), 1 for an object and 0 for padding.
    `quantiles`: per column of `features` its quantiles over the training events at evenly spaced levels from 0 to 1.
    """

    features: Tensor | None
    collections: Mapping[str, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    quantiles: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """A shipped model: the type of its parameters and `build(inputs, outputs, parameters)`, which returns the network's
    last layer without activation, (batch, outputs).
    """

    parameters: type[Parameters]
    build: Callable[..., Tensor]
