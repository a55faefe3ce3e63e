"""Models by name, one file each; the user's own by `module:function`."""

from __future__ import annotations

from gridloom.models import deepsets, mlp
from gridloom.models.base import ModelInputs, Parameters, ShippedModel

MODELS: dict[str, ShippedModel] = {
    "mlp": ShippedModel(parameters=mlp.Parameters, build=mlp.build),
    "deepsets": ShippedModel(parameters=deepsets.Parameters, build=deepsets.build),
}

__all__ = ["MODELS", "ModelInputs", "Parameters", "ShippedModel"]
