"""Poisson bootstrap over events: the same event counts for every figure of merit, so differences are paired.

In each replica every event counts Poisson(1) times. Replica r draws from Philox with key (seed, r), so replicas are
independent, repeatable and need no memory; figures of merit are computed from binned sums, not from events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gridloom.physics.results import Interval

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

LEVEL = 0.68
MINIMUM_REPLICAS = 10


def _poisson_table() -> NDArray[np.uint8]:
    """Poisson(1) by inverse transform of 16 random bits; mean and variance are right within 1e-4."""
    cumulative = np.cumsum([math.exp(-1.0) / math.factorial(k) for k in range(12)])
    return np.searchsorted(np.round(cumulative * 65536), np.arange(65536), side="right").astype(np.uint8)


_POISSON = _poisson_table()


def _nothing() -> None:
    """Called between replicas when nobody wants to know."""


def add_up(index: IntArray, weight: FloatArray, size: int) -> FloatArray:
    """Sum of weights per bin, shape (size,)."""
    # numpy's stubs say integer for every bincount.
    return np.asarray(np.bincount(index, weight, minlength=size), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Binned:
    """What to add up per replica: each event's bin (n,) in [0, size) and weight (n,)."""

    index: IntArray
    weight: FloatArray
    size: int

    def nominal(self) -> FloatArray:
        """Sums of the events as they are, shape (size,)."""
        return add_up(self.index, self.weight, self.size)


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Poisson bootstrap of `events` events; `tick` is called between replicas (progress, stop)."""

    events: int
    replicas: int
    seed: int
    tick: Callable[[], None] = _nothing

    def counts(self, replica: int) -> NDArray[np.uint8]:
        """How often each event counts in one replica, shape (events,)."""
        generator = np.random.Philox(key=np.array([self.seed, replica], dtype=np.uint64))
        bits = generator.random_raw(max(1, -(-self.events // 4))).astype("<u8", copy=False).view("<u2")
        return np.take(_POISSON, bits[: self.events])

    def sums(self, *parts: Binned) -> tuple[FloatArray, ...]:
        """Sums of weights per bin in every replica: one array (replicas, size) for each part."""
        results = tuple(np.zeros((self.replicas, part.size)) for part in parts)
        for replica in range(self.replicas):
            self.tick()
            counts = self.counts(replica)
            for part, result in zip(parts, results, strict=True):
                result[replica] = add_up(part.index, part.weight * counts, part.size)
        return results

    def dots(self, columns: FloatArray) -> FloatArray:
        """Sums of the columns (events, m) in every replica, shape (replicas, m)."""
        result = np.zeros((self.replicas, columns.shape[1]))
        for replica in range(self.replicas):
            self.tick()
            result[replica] = self.counts(replica).astype(np.float64) @ columns
        return result


def finite(value: float) -> float | None:
    """The number, or None for NaN and infinity."""
    return float(value) if math.isfinite(value) else None


def finites(values: FloatArray) -> tuple[float | None, ...]:
    return tuple(finite(float(value)) for value in values)


def floats(values: NDArray[np.generic]) -> tuple[float, ...]:
    return tuple(float(value) for value in values.tolist())


def interval(value: float, replicas: FloatArray) -> Interval | None:
    """Percentile interval at 68 %; None when the value or nearly all replicas are undefined."""
    known = replicas[np.isfinite(replicas)]
    if not math.isfinite(value) or len(known) < MINIMUM_REPLICAS:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A skewed statistic may leave its own percentiles: the interval always holds the value.
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value), level=LEVEL)


def deviation(replicas: FloatArray) -> FloatArray:
    """Standard deviation over the replicas (first axis), NaN where fewer than ten are defined."""
    known = np.isfinite(replicas)
    count = known.sum(axis=0)
    filled = np.where(known, replicas, 0.0)
    mean = filled.sum(axis=0) / np.maximum(count, 1)
    variance = (np.where(known, replicas - mean, 0.0) ** 2).sum(axis=0) / np.maximum(count - 1, 1)
    return np.where(count >= MINIMUM_REPLICAS, np.sqrt(variance), np.nan)


def ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient that is NaN where the denominator is not positive (negative weights can make it so)."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), np.nan)


def around(value: float, replicas: FloatArray) -> Interval | None:
    """Value +- standard deviation, for figures that are never negative: the interval ends at zero.

    For sums of squares or of absolute values, whose replicas carry the noise twice and lie too high for percentiles.
    """
    spread = float(deviation(replicas))
    if not math.isfinite(value) or not math.isfinite(spread):
        return None
    return Interval(value=value, low=max(0.0, value - spread), high=value + spread, level=LEVEL)
