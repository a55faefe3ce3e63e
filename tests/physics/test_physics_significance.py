"""Significance: known numbers and limits, valid bins only, no optimisation bias in what is quoted."""

from __future__ import annotations

from math import log, sqrt
from typing import Any

import numpy as np
import pytest

from gridloom.physics.bootstrap import Bootstrap
from gridloom.physics.counting import Counting, ams, asimov
from gridloom.physics.significance import binned_significance, scan, significance, working_point


def one(s: float, b: float, u: float = 0.0) -> float:
    return float(asimov(np.array(s), np.array(b), np.array(u)))


def test_asimov_known_values() -> None:
    assert one(10, 100) == pytest.approx(sqrt(2 * (110 * log(1.1) - 10)), rel=1e-12)
    assert one(5, 1) == pytest.approx(3.39133, abs=1e-5)
    s, b, v = 50.0, 100.0, 100.0
    first = (s + b) * log((s + b) * (b + v) / (b**2 + (s + b) * v))
    second = b**2 / v * log(1 + v * s / (b * (b + v)))
    assert one(s, b, 10.0) == pytest.approx(sqrt(2 * (first - second)), rel=1e-10)


def test_asimov_limits() -> None:
    assert one(50, 100, 1e-4) == pytest.approx(one(50, 100), rel=1e-6)
    assert one(1e-3, 1e4) == pytest.approx(1e-3 / 100, rel=1e-3)
    assert one(10, 1e6, 1e3) == pytest.approx(10 / sqrt(1e6 + 1e6), rel=1e-3)
    assert one(50, 100, 20) < one(50, 100, 10) < one(50, 100)


def test_undefined_without_positive_yields() -> None:
    assert np.isnan([one(0, 1), one(1, 0), one(-1, 5), one(1, -5, 0.1)]).all()
    assert np.isnan(ams(np.array([-1.0, 1.0]), np.array([1.0, 0.0]))).all()


def test_ams_known_values() -> None:
    assert float(ams(np.array(10.0), np.array(90.0))) == pytest.approx(sqrt(2 * (110 * log(1.1) - 10)), rel=1e-12)


def counting(seed: int, events: int = 3000, separation: float = 1.5, **more: Any) -> Counting:
    rng = np.random.default_rng(seed)
    positive = rng.random(events) < 0.3
    common = separation * positive + rng.normal(size=events)
    settings: dict[str, Any] = {
        "scores": common + 0.1 * rng.normal(size=events),
        "validation_scores": common + 0.1 * rng.normal(size=events),
        "positive": positive,
        "weight": np.where(positive, 0.05, 1.0),
        "fold": rng.integers(0, 3, events),
        "folds": 3,
        "relative_uncertainty": 0.1,
        "minimum_effective": 10.0,
        "bins": 6,
    }
    return Counting(**(settings | more))


def bootstrap(data: Counting) -> Bootstrap:
    return Bootstrap(events=len(data.scores), replicas=40, seed=1)


def test_scan_counts_what_is_above_each_cut() -> None:
    data = counting(1)
    found = scan(bootstrap(data), data)
    for i in (0, 30, 70):
        above = data.scores >= found.cuts[i]
        assert found.signal[i] == pytest.approx(data.weight[above & data.positive].sum())
        assert found.background[i] == pytest.approx(data.weight[above & ~data.positive].sum())
        assert found.background_uncertainty[i] == pytest.approx(sqrt(found.background[i]), rel=0.5)
        assert found.valid[i]
        assert found.asimov[i] == pytest.approx(one(found.signal[i], found.background[i], 0.1 * found.background[i]))
        assert found.asimov_uncertainty[i] is not None


def test_cuts_with_few_effective_background_events_do_not_count() -> None:
    data = counting(2)
    found = scan(bootstrap(data), data)
    assert not found.valid[-1]
    for background, valid, value in zip(found.background, found.valid, found.asimov, strict=True):
        assert valid == (background >= 10 - 1e-9)  # unit weights: effective events = events
        assert (value is not None) == valid


def test_working_point_applies_one_cut_per_fold() -> None:
    data = counting(3)
    found = working_point(bootstrap(data), data)
    assert found is not None
    assert found.valid
    passes = data.scores >= np.array(found.cuts)[data.fold]
    assert found.signal.value == pytest.approx(data.weight[passes & data.positive].sum())
    assert found.background_effective == pytest.approx((passes & ~data.positive).sum())
    assert 0 < found.background_efficiency < found.signal_efficiency < 1
    assert found.asimov is not None
    assert found.ams is not None
    assert found.asimov.low < found.asimov.value < found.asimov.high


def test_test_events_do_not_choose_the_cut() -> None:
    """Model i's cut comes from fold i+1 as model i sees it: other test scores leave it where it is."""
    data = counting(4)
    changed = counting(4, scores=np.random.default_rng(9).normal(size=3000))
    first, second = working_point(bootstrap(data), data), working_point(bootstrap(data), changed)
    assert first is not None
    assert second is not None
    assert first.cuts == second.cuts


def test_quoted_significance_has_no_optimisation_bias_where_the_scan_has() -> None:
    """Without separation the best is to keep (nearly) all; fluctuations tempt the scan, not the quoted cut."""
    gains, quoted = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        data = counting(
            100 + seed,
            events=900,
            separation=0.0,
            scores=rng.normal(size=900),
            validation_scores=rng.normal(size=900),
            relative_uncertainty=0.5,
        )
        point = working_point(bootstrap(data), data)
        assert point is not None
        assert point.asimov is not None
        share = (data.weight * data.positive).sum() / data.weight.sum()
        total = point.signal.value + point.background.value
        truth = one(share * total, (1 - share) * total, 0.5 * (1 - share) * total)
        best = max(value for value in scan(bootstrap(data), data).asimov if value is not None)
        quoted.append(point.asimov.value / truth - 1)
        gains.append(best / truth - 1)
    assert abs(np.mean(quoted)) < 3 * np.std(quoted) / sqrt(15) + 0.01
    assert np.mean(gains) > np.mean(quoted) + 0.05


def test_bins_add_up_and_count_in_quadrature() -> None:
    data = counting(5)
    found = binned_significance(bootstrap(data), data)
    assert found is not None
    assert len(found.bins) == 6
    assert found.excluded == sum(not part.valid for part in found.bins)
    assert sum(part.signal.value for part in found.bins) == pytest.approx(data.weight[data.positive].sum())
    assert sum(part.background.value for part in found.bins) == pytest.approx(data.weight[~data.positive].sum())
    expected = sqrt(sum(part.asimov**2 for part in found.bins if part.asimov is not None))
    assert found.asimov is not None
    assert found.asimov.value == pytest.approx(expected)
    point = working_point(bootstrap(data), data)
    assert point is not None
    assert point.asimov is not None
    assert found.asimov.value > point.asimov.value


def test_fewer_bins_when_background_is_scarce() -> None:
    data = counting(6, events=400, bins=20)
    found = binned_significance(bootstrap(data), data)
    assert found is not None
    assert 1 <= len(found.bins) < 20


def test_nothing_is_quoted_without_enough_background() -> None:
    data = counting(7, minimum_effective=1e6)
    found = significance(bootstrap(data), data)
    assert found.best is None
    assert found.binned is None
    assert not any(found.scan.valid)


def test_an_empty_fold_gives_no_working_point() -> None:
    data = counting(8, fold=np.zeros(3000, dtype=np.int64))
    assert working_point(bootstrap(data), data) is None
    assert binned_significance(bootstrap(data), data) is None


def test_equal_scores_leave_one_bin() -> None:
    data = counting(9, scores=np.ones(3000), validation_scores=np.ones(3000))
    found = binned_significance(bootstrap(data), data)
    assert found is not None
    assert len(found.bins) == 1
