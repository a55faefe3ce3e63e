"""The trained networks of a run, which score each event by the model of its own fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridloom.data.dataset import Inputs
from gridloom.training.ensemble import Scores, by_fold, combined
from gridloom.training.predict import Predictor, load_predictor


@dataclass(frozen=True, kw_only=True)
class FoldModels:
    """`members[i]` are the networks that never saw fold i: one, or one for each seed."""

    members: tuple[tuple[Predictor, ...], ...]

    @property
    def columns(self) -> int:
        return self.members[0][0].columns

    @property
    def spread(self) -> bool:
        """Whether there are several seeds."""
        return len(self.members[0]) > 1

    def __call__(self, inputs: Inputs, fold: NDArray[np.integer]) -> Scores:
        """Scores (n, C) of events in the folds (n,)."""
        mean = np.empty((len(fold), self.columns), dtype=np.float32)
        spread = np.empty_like(mean) if self.spread else None
        for number, members in enumerate(self.members):
            rows = np.flatnonzero(fold == number)
            if not len(rows):
                continue
            found = combined([member(_taken(inputs, rows)) for member in members])
            mean[rows] = found.mean
            if spread is not None and found.spread is not None:
                spread[rows] = found.spread
        return Scores(mean=mean, spread=spread)


def _taken(inputs: Inputs, rows: NDArray[np.intp]) -> Inputs:
    return Inputs(
        features=inputs.features[rows],
        collections={name: values[rows] for name, values in inputs.collections.items()},
        masks={name: values[rows] for name, values in inputs.masks.items()},
    )


def load_fold_models(folders: Mapping[str, Path], k: int, *, user_folder: Path) -> FoldModels:
    """The networks of `train` tasks by the tasks' ids. Raises DamagedResult unless every fold is there alike."""
    return FoldModels(
        members=tuple(
            tuple(load_predictor(folder, user_folder=user_folder) for folder in group) for group in by_fold(folders, k)
        )
    )
