"""The Poisson bootstrap: distribution, repeatability, intervals, coverage."""

from __future__ import annotations

import numpy as np
import pytest

from gridloom.physics import bootstrap as module
from gridloom.physics.bootstrap import Binned, Bootstrap, around, deviation, finite, interval, ratio


def test_counts_are_poisson_with_mean_one() -> None:
    counts = np.concatenate([Bootstrap(events=50_001, replicas=4, seed=3).counts(r) for r in range(4)])
    assert abs(counts.mean() - 1) < 0.01
    assert abs(counts.var() - 1) < 0.02
    assert abs((counts == 0).mean() - np.exp(-1)) < 0.005


def test_table_has_the_moments_of_a_poisson_distribution() -> None:
    assert abs(module._POISSON.mean() - 1) < 1e-4
    assert abs(module._POISSON.astype(float).var() - 1) < 1e-3


def test_counts_depend_on_seed_and_replica_only() -> None:
    first = Bootstrap(events=100, replicas=2, seed=1)
    assert np.array_equal(first.counts(1), Bootstrap(events=100, replicas=9, seed=1).counts(1))
    assert not np.array_equal(first.counts(0), first.counts(1))
    assert not np.array_equal(first.counts(0), Bootstrap(events=100, replicas=2, seed=2).counts(0))


def test_sums_and_dots_use_the_same_counts_and_tick() -> None:
    ticks = []
    rng = np.random.default_rng(0)
    weight, index = rng.normal(size=500), rng.integers(0, 3, 500)
    bootstrap = Bootstrap(events=500, replicas=5, seed=1, tick=lambda: ticks.append(1))
    sums, total = bootstrap.sums(
        Binned(index=index, weight=weight, size=3), Binned(index=np.zeros(500, np.int64), weight=weight, size=1)
    )
    columns = np.stack([np.where(index == i, weight, 0.0) for i in range(3)], axis=1)
    assert np.allclose(sums, bootstrap.dots(columns))
    assert np.allclose(sums.sum(axis=1), total[:, 0])
    assert len(ticks) == 10


def test_deviation_of_a_sum_is_the_root_of_squared_weights() -> None:
    weight = np.random.default_rng(1).uniform(-1, 2, 2000)
    bootstrap = Bootstrap(events=2000, replicas=2000, seed=5)
    (sums,) = bootstrap.sums(Binned(index=np.zeros(2000, np.int64), weight=weight, size=1))
    assert deviation(sums)[0] == pytest.approx(np.sqrt(weight @ weight), rel=0.06)


def test_interval_needs_defined_replicas_and_holds_the_value() -> None:
    assert interval(1.0, np.full(50, np.nan)) is None
    assert interval(float("nan"), np.ones(50)) is None
    found = interval(0.0, np.linspace(1, 2, 100))
    assert found is not None
    assert found.low == 0.0
    assert found.high == pytest.approx(1.84)


def test_deviation_is_undefined_with_few_replicas() -> None:
    values = np.full((20, 2), np.nan)
    values[:, 0] = np.arange(20)
    values[:5, 1] = 1.0
    assert deviation(values)[0] == pytest.approx(np.std(np.arange(20), ddof=1))
    assert np.isnan(deviation(values)[1])


def test_ratio_and_finite() -> None:
    assert np.isnan(ratio(np.ones(2), np.array([0.0, -1.0]))).all()
    assert finite(float("inf")) is None
    assert finite(2.0) == 2.0


def test_around_is_symmetric_down_to_zero() -> None:
    found = around(0.5, np.arange(100.0))
    assert found is not None
    assert found.low == 0
    assert found.high == pytest.approx(0.5 + np.std(np.arange(100), ddof=1))
    assert around(0.5, np.full(100, np.nan)) is None
