"""The networks of a fold that differ in their seed, as one: the mean of their scores, and how far they spread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gridloom.errors import DamagedResult

ScoreArray = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Mean scores (n, C), and their standard deviation over the seeds, if there are several."""

    mean: ScoreArray
    spread: ScoreArray | None


def combined(scores: Sequence[ScoreArray]) -> Scores:
    """The scores of the members, as one; with one member exactly its own.

    The spread is the standard deviation of one member (divided by n - 1), not the error of the mean.
    """
    if len(scores) == 1:
        return Scores(mean=scores[0], spread=None)
    stacked = np.stack(scores).astype(np.float64)
    return Scores(mean=stacked.mean(axis=0).astype(np.float32), spread=stacked.std(axis=0, ddof=1).astype(np.float32))


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
