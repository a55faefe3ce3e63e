"""The trained networks of a run, which score each event by the model of its own fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gridloom.data.dataset import Inputs
from gridloom.errors import DamagedResult
from gridloom.training.ensemble import Scores, combined
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


def by_fold(folders: Mapping[str, Path], k: int) -> tuple[tuple[Path, ...], ...]:
    """The folders of `train` tasks, fold by fold; of one fold in the order of their seeds, which is the tasks'."""
    found: list[list[Path]] = [[] for _ in range(k)]
    for folder in folders.values():
        number = int(json.loads((folder / "fold.json").read_text(encoding="utf-8"))["fold"])
        if number < k:
            found[number].append(folder)
    _check_complete(found)
    return tuple(tuple(group) for group in found)


def _check_complete(found: Sequence[Sequence[Path]]) -> None:
    numbers = [len(group) for group in found]
    if min(numbers) == 0 or min(numbers) != max(numbers):
        raise DamagedResult(
            f"networks of the folds 0 to {len(found) - 1}: {', '.join(map(str, numbers))} instead of the same number",
            fix="Run again: what is missing is done anew.",
        )
