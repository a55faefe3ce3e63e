"""ROC curves: exact areas, ties, signed weights, invariances, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from gridloom.errors import BadWeights
from gridloom.physics.bootstrap import BoolArray, Bootstrap, FloatArray
from gridloom.physics.results import RocCurve
from gridloom.physics.roc import SCORE_BINS, Separated, area, roc_curve, score_bins

GAUSSIAN_AREA = 0.7602499389  # Phi(1 / sqrt 2): two unit Gaussians one apart


def gaussians(events: int, seed: int) -> tuple[FloatArray, BoolArray]:
    rng = np.random.default_rng(seed)
    positive = rng.random(events) < 0.5
    return rng.normal(size=events) + positive, positive


def curve(scores: FloatArray, positive: BoolArray, weight: FloatArray, replicas: int = 60) -> RocCurve:
    data = Separated(
        scores=scores, positive=positive, weight=weight, fold=(np.arange(len(scores)) % 2).astype(np.int64), folds=2
    )
    (sums,) = Bootstrap(events=len(scores), replicas=replicas, seed=2).sums(data.binned)
    return roc_curve(data, sums)


EVENTS = st.lists(
    st.tuples(st.integers(0, 4), st.booleans(), st.floats(-0.5, 3, allow_subnormal=False)), min_size=2, max_size=25
)


@given(EVENTS)
def test_area_is_the_weighted_fraction_of_ordered_pairs(events: list[tuple[int, bool, float]]) -> None:
    scores = np.array([float(score) for score, _, _ in events])
    positive = np.array([is_positive for _, is_positive, _ in events])
    weight = np.array([value for _, _, value in events])
    s, b = weight[positive], weight[~positive]
    found = area(scores, positive, weight)
    if s.sum() <= 0 or b.sum() <= 0:
        assert np.isnan(found)
        return
    won = np.sign(scores[positive][:, None] - scores[~positive][None, :]) / 2 + 0.5
    assert found * s.sum() * b.sum() == pytest.approx(float(s @ won @ b), abs=1e-9)


@given(EVENTS, st.randoms(use_true_random=False))
def test_area_does_not_depend_on_the_order(events: list[tuple[int, bool, float]], random: object) -> None:
    order = np.random.default_rng(1).permutation(len(events))
    scores = np.array([float(score) for score, _, _ in events])
    positive = np.array([is_positive for _, is_positive, _ in events])
    weight = np.abs([value for _, _, value in events]) + 0.1
    assert area(scores[order], positive[order], weight[order]) == pytest.approx(
        area(scores, positive, weight), nan_ok=True
    )


def test_weight_two_is_two_events() -> None:
    scores, positive = gaussians(300, 4)
    twice = np.concatenate([np.arange(300), np.arange(100)])
    weight = np.where(np.arange(300) < 100, 2.0, 1.0)
    assert area(scores, positive, weight) == pytest.approx(area(scores[twice], positive[twice], np.ones(400)))


def test_area_agrees_with_scikit_learn() -> None:
    scores, positive = gaussians(1000, 7)
    weight = np.random.default_rng(1).uniform(0.1, 2, 1000)
    rounded = np.round(scores, 1)
    expected = roc_auc_score(positive, rounded, sample_weight=weight)
    assert area(rounded, positive, weight) == pytest.approx(expected)


def test_area_of_two_gaussians() -> None:
    scores, positive = gaussians(200_000, 1)
    assert area(scores, positive, np.ones(200_000)) == pytest.approx(GAUSSIAN_AREA, abs=0.004)


def test_a_pair_of_opposite_weights_changes_nothing() -> None:
    scores, positive = gaussians(500, 3)
    doubled = np.concatenate([scores, [9.0, 9.0]]), np.concatenate([positive, [False, False]])
    weight = np.concatenate([np.ones(500), [5.0, -5.0]])
    assert area(*doubled, weight) == pytest.approx(area(scores, positive, np.ones(500)))


def test_empty_and_one_sided() -> None:
    assert np.isnan(area(np.array([]), np.array([], dtype=bool), np.array([])))
    assert np.isnan(area(np.ones(3), np.ones(3, dtype=bool), np.ones(3)))


def test_score_bins_keep_order_and_few_values_apart() -> None:
    index, size = score_bins(np.array([3.0, 1.0, 3.0, 2.0]))
    assert index.tolist() == [2, 0, 2, 1]
    assert size == 3
    many = np.random.default_rng(0).normal(size=3 * SCORE_BINS)
    index, size = score_bins(many)
    assert size == SCORE_BINS
    assert np.all(np.diff(index[np.argsort(many)]) >= 0)
    assert np.bincount(index).max() == 3


def test_curve_follows_the_gaussians() -> None:
    scores, positive = gaussians(40_000, 8)
    found = curve(scores, positive, np.ones(40_000))
    background, signal = np.array(found.background_efficiency), np.array(found.signal_efficiency)
    assert (background[0], signal[0], background[-1], signal[-1]) == (0, 0, 1, 1)
    assert 150 < len(background) <= 302
    at = np.interp([0.1586553], background, signal)[0]  # a cut at +1 sigma of background keeps half of the signal
    assert at == pytest.approx(0.5, abs=0.015)
    assert found.monotonic
    low, high = np.array(found.signal_low), np.array(found.signal_high)
    assert np.all(low <= high + 1e-12)
    assert np.mean((low <= signal) & (signal <= high)) > 0.9
    half = next(point for point in found.rejections if point.signal_efficiency == 0.5)
    assert half.rejection is not None
    assert half.rejection.value == pytest.approx(1 / 0.1586553, rel=0.1)
    assert [area is not None for area in found.fold_areas] == [True, True]


def test_negative_weights_are_said_to_bend_the_curve() -> None:
    scores, positive = gaussians(400, 9)
    weight = np.where(np.arange(400) % 4 == 0, -0.5, 1.0)
    found = curve(scores, positive, weight)
    assert not found.monotonic
    assert found.area.low < found.area.value < found.area.high


def test_negative_total_is_an_error() -> None:
    scores, positive = gaussians(100, 9)
    with pytest.raises(BadWeights):
        curve(scores, positive, np.where(positive, 1.0, -1.0))


def test_intervals_cover_and_have_the_right_size() -> None:
    inside, widths, values = 0, [], []
    for toy in range(120):
        scores, positive = gaussians(400, 1000 + toy)
        found = curve(scores, positive, np.ones(400), replicas=80).area
        inside += found.low <= GAUSSIAN_AREA <= found.high
        widths.append((found.high - found.low) / 2)
        values.append(found.value)
    assert 0.55 < inside / 120 < 0.81  # 0.68 +- three standard errors
    assert np.mean(widths) == pytest.approx(np.std(values), rel=0.25)


def test_many_scores_in_one_bin_leave_the_value_exact() -> None:
    scores, positive = gaussians(3 * SCORE_BINS, 2)
    weight = np.ones(len(scores))
    assert curve(scores, positive, weight, replicas=20).area.value == area(scores, positive, weight)
