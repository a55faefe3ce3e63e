"""The columns of a friend tree: the fold, and for the nominal events and each variation the scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import class_names
from gridloom.scoring import Request, branch_names

FOLD = "fold"
# Scores of classes are never below zero; a regression can have any value.
OUTSIDE_CLASSIFICATION = -1.0
OUTSIDE_REGRESSION = float("nan")

Records = NDArray[np.void]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`scores` are the names without variation; `variations` begins with "" for the nominal events.

    `outside` is the value of all scores of events outside the selection. With `spread` each score has the standard
    deviation over the seeds beside it.
    """

    scores: tuple[str, ...]
    variations: tuple[str, ...]
    spread: bool
    outside: float

    @classmethod
    def of(cls, analysis: Analysis, request: Request, *, spread: bool) -> Layout:
        return cls(
            scores=branch_names(class_names(analysis)),
            variations=("", *(variation.name for variation in request.variations)),
            spread=spread,
            outside=OUTSIDE_CLASSIFICATION if analysis.target.regression is None else OUTSIDE_REGRESSION,
        )

    def names(self, variation: str) -> tuple[str, ...]:
        """Branches of the scores, in the order of the classes."""
        return tuple(f"{name}_{variation}" if variation else name for name in self.scores)

    def spreads(self, variation: str) -> tuple[str, ...]:
        """Branches of the scores' spreads."""
        return tuple(f"{name}_spread" for name in self.names(variation)) if self.spread else ()

    @property
    def dtype(self) -> np.dtype[np.void]:
        names = [name for kind in self.variations for name in (*self.names(kind), *self.spreads(kind))]
        return np.dtype([(FOLD, np.int32), *((name, np.float32) for name in names)])

    def empty(self, fold: NDArray[Any]) -> Records:
        """Records of events, none of which has passed any selection yet."""
        records = np.full(len(fold), self.outside, dtype=self.dtype)
        records[FOLD] = fold
        return records
