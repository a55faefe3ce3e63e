"""Deep-learning models from ROOT ntuples, on a laptop or on the grid, from one analysis file."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gridloom.loading import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`gridloom.load` needs TensorFlow: it is imported when it is asked for."""
    if name != "load":
        raise AttributeError(f"module `gridloom` has no attribute `{name}`")
    return importlib.import_module("gridloom.loading").load
