"""What is judged: scored events with all that the figures of merit need besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gridloom.analysis.models import Analysis
from gridloom.data.statistics import ShardStatistics
from gridloom.physics.bootstrap import Bootstrap, IntArray
from gridloom.physics.events import ScoredEvents
from gridloom.physics.importance import Gather, Predict
from gridloom.physics.results import LearningCurve


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that is judged. `predictors[i]` is the model of fold i; without predictors there is no importance.

    `classes` is empty for a regression. `gather` reads the inputs of dataset rows; `tick` is called all along and may
    raise Interrupted. `notes` go into the report as they are.
    """

    analysis: Analysis
    classes: tuple[str, ...]
    events: ScoredEvents
    statistics: Mapping[str, ShardStatistics]
    scales: Mapping[str, float]
    gather: Gather
    predictors: Sequence[Predict] = ()
    learning: tuple[LearningCurve, ...] = ()
    notes: tuple[str, ...] = ()
    tick: Callable[[], None]

    @property
    def bootstrap(self) -> Bootstrap:
        return Bootstrap(
            events=len(self.events),
            replicas=self.analysis.evaluation.bootstrap,
            seed=self.analysis.training.seed,
            tick=self.tick,
        )

    @property
    def data_samples(self) -> tuple[str, ...]:
        return tuple(name for name, sample in self.analysis.samples.items() if sample.data)

    def chosen(self, at_most: int, purpose: int) -> IntArray:
        """A random choice of the events, in their order: the same for the same seed and purpose."""
        count = len(self.events)
        if count <= at_most:
            return np.arange(count)
        sequence = np.random.SeedSequence([self.analysis.training.seed, purpose])
        generator = np.random.Generator(np.random.Philox(sequence))
        return np.sort(generator.choice(count, size=at_most, replace=False))
