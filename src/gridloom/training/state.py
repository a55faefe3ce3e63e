"""A training: what stays the same, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset
from gridloom.data.stream import Stream
from gridloom.models.network import Network
from gridloom.task import Context
from gridloom.training.backends import Loop
from gridloom.training.choice import Choice
from gridloom.training.feed import Material
from gridloom.training.fold import Fold
from gridloom.training.optimizers import Optimization


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a training stands: all of its state that is not an array."""

    epoch: int = 0
    call: int = 0
    loss_sum: float = 0.0
    events: int = 0
    history: tuple[dict[str, float], ...] = ()
    best_epoch: int = -1
    best_loss: float = float("inf")
    seconds: float = 0.0

    def as_state(self) -> dict[str, Any]:
        """For a checkpoint's manifest, which takes no infinity."""
        best = self.best_loss if np.isfinite(self.best_loss) else None
        return {**vars(self), "history": list(self.history), "best_loss": best}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Position:
        best = state["best_loss"]
        known = {**state, "history": tuple(state["history"]), "best_loss": float("inf") if best is None else best}
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class Training:
    """Everything that stays the same during one training."""

    context: Context
    analysis: Analysis
    dataset: Dataset
    fold: Fold
    material: Material
    stream: Stream
    network: Network
    optimization: Optimization
    loop: Loop
    choice: Choice
    loss: str
