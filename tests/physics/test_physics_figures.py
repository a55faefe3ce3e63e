"""Calibration, over-training, correlations, histograms, yields, learning curves, missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ks_2samp

from gridloom.analysis.models import Feature
from gridloom.catalogue import LostFile
from gridloom.data.statistics import CutflowRow, ReadFile, ShardStatistics
from gridloom.files import write_json
from gridloom.physics.bootstrap import Bootstrap, FloatArray
from gridloom.physics.calibration import calibration
from gridloom.physics.correlations import correlation_matrix, correlations
from gridloom.physics.histograms import effective_events, histogram, quantile_edges, weighted_quantiles
from gridloom.physics.learning import learning_curve, read_history
from gridloom.physics.missing import missing_as_nan
from gridloom.physics.overtraining import chi2_test, overtraining_test, random_half, weighted_ks
from gridloom.physics.yields import class_yield, cutflow, cutflows, data_yield


# --- calibration ------------------------------------------------------------------------------------------------
def probabilities(seed: int, events: int = 20_000) -> tuple[FloatArray, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.02, 0.98, events)
    return truth, rng.random(events) < truth


def test_true_probabilities_are_calibrated() -> None:
    scores, positive = probabilities(1)
    found = calibration(Bootstrap(events=20_000, replicas=50, seed=1), "signal", scores, positive, np.ones(20_000))
    assert found.expected_error is not None
    assert found.expected_error.value < 0.02
    assert found.degrees == len(found.bins) == 15
    assert found.chi2 is not None
    assert 2 < found.chi2 < 40
    errors = [part.observed.uncertainty or 0.0 for part in found.bins]
    expected = np.sqrt([part.predicted * (1 - part.predicted) / part.effective for part in found.bins])
    assert errors == pytest.approx(expected, rel=0.4)


def test_weights_change_the_composition_that_counts() -> None:
    scores, positive = probabilities(2)
    weight = np.where(positive, 3.0, 1.0)
    bootstrap = Bootstrap(events=20_000, replicas=30, seed=1)
    wrong = calibration(bootstrap, "signal", scores, positive, weight)
    right = calibration(bootstrap, "signal", 3 * scores / (3 * scores + 1 - scores), positive, weight)
    assert wrong.expected_error is not None
    assert right.expected_error is not None
    assert wrong.expected_error.value > 0.1
    assert right.expected_error.value < 0.02


def test_no_training_events_no_curve() -> None:
    found = calibration(Bootstrap(events=3, replicas=20, seed=1), "signal", np.ones(3), np.ones(3, bool), np.zeros(3))
    assert found.bins == ()
    assert found.expected_error is None


def test_too_few_events_no_error() -> None:
    found = calibration(Bootstrap(events=3, replicas=20, seed=1), "signal", np.ones(3), np.ones(3, bool), np.ones(3))
    assert found.bins == ()
    assert found.expected_error is None
    assert found.chi2 is None


# --- over-training ----------------------------------------------------------------------------------------------
def test_ks_distance_is_the_classic_one_for_equal_weights() -> None:
    rng = np.random.default_rng(3)
    a, b = np.round(rng.normal(size=300), 1), np.round(rng.normal(size=500) + 0.1, 1)
    distance, p = weighted_ks(a, np.ones(300), b, np.full(500, 2.5))
    expected = ks_2samp(a, b, method="asymp")
    assert distance == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue, abs=0.05)


def test_p_values_are_uniform_when_nothing_is_overtrained() -> None:
    ks, chi2 = [], []
    for toy in range(150):
        rng = np.random.default_rng(toy)
        scores, weight = rng.random(800), rng.uniform(0.5, 1.5, 800)
        # The training scores of the same events differ only a little: as a naive comparison would wrongly like.
        found = overtraining_test(
            scores, np.clip(scores + 1e-3, 0, 1), weight, random_half(800, toy), np.linspace(0, 1, 11)
        )
        assert found is not None
        ks.append(found.ks_p)
        chi2.append(found.chi2_p)
    for values in (ks, chi2):
        assert np.mean(values) == pytest.approx(0.5, abs=0.08)
        assert 0.02 < np.mean(np.array(values) < 0.1) < 0.2


def test_overtraining_is_found() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(4000)
    found = overtraining_test(scores, scores**0.8, np.ones(4000), random_half(4000, 1), np.linspace(0, 1, 11))
    assert found is not None
    assert found.ks_p < 1e-4
    assert found.chi2_p < 1e-4
    assert found.test_effective + found.train_effective == pytest.approx(4000)


def test_no_yield_no_test() -> None:
    assert overtraining_test(np.ones(2), np.ones(2), -np.ones(2), np.array([True, False]), np.array([0.0, 1])) is None


def test_chi2_without_usable_bins() -> None:
    few = np.array([0.1, 0.9])
    assert chi2_test(few, np.ones(2), few, np.ones(2), np.linspace(0, 1, 3)) == (0.0, 0, 1.0)


def test_a_huge_weight_in_a_bin_left_out_scales_no_other_bin() -> None:
    """One event of the weight of all others falls into different bins on both sides: no over-training by itself."""
    rng = np.random.default_rng(4)
    first, second = rng.random(2000) * 0.8, rng.random(2000) * 0.8
    edges = np.linspace(0, 1, 11)
    weight = np.append(np.ones(2000), 2000.0)
    value, degrees, p = chi2_test(np.append(first, 0.85), weight, second, np.ones(2000), edges)
    assert degrees == 7
    assert (value, degrees, p) == pytest.approx(chi2_test(first, np.ones(2000), second, np.ones(2000), edges))
    assert p > 0.01


# --- correlations -----------------------------------------------------------------------------------------------
def test_correlations_agree_with_numpy() -> None:
    columns = np.random.default_rng(0).normal(size=(500, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 1e6]])
    weight = np.random.default_rng(1).integers(1, 4, 500)
    expected = np.corrcoef(np.repeat(columns, weight, axis=0), rowvar=False)
    assert correlation_matrix(columns, weight.astype(float)) == pytest.approx(expected)


def test_missing_values_are_left_out_in_pairs() -> None:
    columns = np.random.default_rng(0).normal(size=(200, 2))
    columns[:, 1] += columns[:, 0]
    expected = np.atleast_2d(np.corrcoef(columns[50:], rowvar=False))[0, 1]
    columns[:50, 1] = np.nan
    found = correlation_matrix(columns, np.ones(200))
    assert found[0, 1] == pytest.approx(expected)
    assert found[0, 0] == pytest.approx(1)


def test_undefined_correlations_are_none() -> None:
    columns = np.stack([np.arange(4.0), np.ones(4), np.full(4, np.nan)], axis=1)
    found = correlations("all", ("a", "b", "c"), columns, np.ones(4))
    assert found.values == ((1.0, None, None), (None, None, None), (None, None, None))
    bent = correlation_matrix(np.array([[0.0, 0], [1, 1], [2, 2.5]]), np.array([1.0, -3, 1]))
    assert np.isnan(bent).all()


# --- histograms and yields --------------------------------------------------------------------------------------
def test_histogram_keeps_everything_and_its_sign() -> None:
    found = histogram(np.array([-1.0, 0.2, 0.7, 1.0]), np.array([1.0, 2, -1, 4]), np.array([0.0, 0.5, 1]))
    assert found.contents == (3.0, 3.0)
    assert found.uncertainties == pytest.approx((np.sqrt(5), np.sqrt(17)))
    unit = histogram(np.array([0.2, 0.7]), np.array([1.0, 3]), np.array([0.0, 0.5, 1]), unit_sum=True)
    assert unit.contents == (0.25, 0.75)


def test_quantiles() -> None:
    values = np.array([4.0, 1, 3, 2])
    assert weighted_quantiles(values, np.ones(4), np.array([0.25, 0.5, 1.0])).tolist() == [1, 2, 4]
    assert weighted_quantiles(values, np.array([1.0, 0, 0, 0]), np.array([0.5])).tolist() == [4]
    assert weighted_quantiles(values, np.zeros(4), np.array([0.5]))[0] in values
    edges = quantile_edges(np.array([1.0, 1, 1, 1]), np.ones(4), 3)
    assert len(edges) == 2
    assert edges[0] == 1 < edges[1]


def test_effective_events() -> None:
    assert effective_events(np.array([1.0, 1, 2])) == pytest.approx(16 / 6)
    assert effective_events(np.zeros(3)) is None


def test_class_yield() -> None:
    found = class_yield("a", np.array([3.0, -1, 0]))
    assert (found.raw, found.weighted.value, found.negative_fraction, found.zero_weights) == (3, 2.0, 0.25, 1)
    assert found.weighted.uncertainty == pytest.approx(np.sqrt(10))
    empty = class_yield("b", np.array([]))
    assert empty.effective is None
    assert empty.negative_fraction == 0


def some_statistics(first: float) -> ShardStatistics:
    rows = (("all", 100, first), ("cut", 40, 30.0), ("tight", 10, -5.0))
    return ShardStatistics(
        sample="a",
        files=(ReadFile(path="a.root", uuid="u", entries=100, selected=10),),
        lost=(LostFile(path="b.root", reason="truncated"),),
        events=10,
        cutflow=tuple(
            CutflowRow(name=name, events=events, sum_weights=total, sum_weights_squared=4.0 * events)
            for name, events, total in rows
        ),
    )


def test_cutflow_is_scaled_and_has_efficiencies() -> None:
    found = cutflow(some_statistics(60.0), 0.5).rows
    assert [row.weighted.value for row in found] == [30, 15, -2.5]
    assert found[0].weighted.uncertainty == pytest.approx(10)
    assert [row.efficiency for row in found] == pytest.approx([1, 0.5, -5 / 60])
    assert found[2].step_efficiency == pytest.approx(-1 / 6)
    assert cutflow(some_statistics(0.0), 1.0).rows[1].efficiency is None


def test_data_is_hidden_until_unblinded() -> None:
    hidden, shown = (data_yield(some_statistics(1.0), unblind=unblind) for unblind in (False, True))
    assert hidden.total is None
    assert (hidden.files_read, hidden.files_lost) == (1, 1)
    assert shown.total is not None
    assert shown.total.raw == 10
    assert cutflows({"a": some_statistics(1.0)}, {"a": 1.0}, frozenset(["a"])) == ()


# --- learning curves and missing values -------------------------------------------------------------------------
def test_learning_curve(tmp_path: Path) -> None:
    history = [
        {"epoch": 0, "loss": 1.0, "validation_loss": 0.9, "learning_rate": 0.1, "more": 1},
        {"epoch": 1, "loss": 0.8, "validation_loss": 0.7, "learning_rate": 0.1, "validation_auc": 0.6},
        {"epoch": 2, "loss": 0.7, "validation_loss": 0.8, "learning_rate": 0.1, "seconds": 2.0},
    ]
    write_json(tmp_path / "history.json", history)
    found = learning_curve(1, read_history(tmp_path / "history.json"))
    assert found.best_epoch == 1
    assert found.validation_auc == (None, 0.6, None)
    assert found.seconds == (None, None, 2.0)
    empty = learning_curve(0, [])
    assert empty.best_epoch is None
    assert empty.validation_auc == ()


def test_declared_missing_values_become_nan() -> None:
    declared = [
        Feature(name="a", expression="a", missing=(-999.9,)),
        Feature(name="b", expression="b", missing=("inf", "nan")),
    ]
    values = np.array([[-999.9, 1], [2, np.inf], [3, np.nan]], dtype=np.float32)
    found = missing_as_nan(values, declared)
    assert np.isnan(found).tolist() == [[True, False], [False, True], [False, True]]
