"""The layers every model carries: what they compute, and that saving keeps it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.models.blocks import quantile_edges
from gridloom.models.layers import FeatureTransform, MaskedPooling, ObjectTransform, PiecewiseLinear


def transform() -> FeatureTransform:
    return FeatureTransform(
        mean=[1.0, 10.0, 0.0],
        scale=[2.0, 5.0, 1.0],
        impute=[1.0, 20.0, 0.5],
        sentinels=[[], [-999.0, -99.0], []],
        nonfinite=[False, False, True],
        indicators=[1, 2],
    )


def test_feature_transform_imputes_standardises_and_flags() -> None:
    raw = np.array([[3.0, -999.0, np.nan], [1.0, -99.0, 2.0], [-1.0, 15.0, -np.inf]], np.float32)
    out = np.asarray(transform()(raw))
    expected = [[1.0, 2.0, 0.5, 1.0, 1.0], [0.0, 2.0, 2.0, 1.0, 0.0], [-1.0, 1.0, 0.5, 0.0, 1.0]]
    np.testing.assert_allclose(out, expected)


def test_feature_transform_lets_undeclared_nan_through() -> None:
    raw = np.array([[np.nan, 10.0, 0.0]], np.float32)
    assert np.isnan(np.asarray(transform()(raw))[0, 0])


def test_object_transform_keeps_padding_at_zero() -> None:
    objects = np.array([[[5.0], [0.0]]], np.float32)
    mask = np.array([[1.0, 0.0]], np.float32)
    out = np.asarray(ObjectTransform(mean=[1.0], scale=[2.0])(objects, mask))
    np.testing.assert_allclose(out, [[[2.0], [0.0]]])


def test_masked_pooling_ignores_padding() -> None:
    objects = np.array([[[1.0, -3.0], [3.0, -1.0], [9.0, 9.0]], [[7.0, 7.0]] * 3], np.float32)
    mask = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
    out = np.asarray(MaskedPooling()(objects, mask))
    np.testing.assert_allclose(out, [[4.0, -4.0, 2.0, -2.0, 3.0, -1.0], [0.0] * 6])


def test_piecewise_linear_is_the_position_in_each_bin() -> None:
    layer = PiecewiseLinear(edges=[[0.0, 1.0, 3.0], [-1.0, 1.0]])
    out = np.asarray(layer(np.array([[2.0, 0.0], [-5.0, 9.0]], np.float32)))
    np.testing.assert_allclose(out, [[1.0, 0.5, 0.5], [0.0, 0.0, 1.0]])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=65), st.integers(1, 64))
def test_quantile_edges_rise_and_span_the_column(values: list[float], bins: int) -> None:
    quantiles = sorted(values)
    edges = quantile_edges(quantiles, bins)
    assert 2 <= len(edges) <= bins + 1
    assert all(low < high for low, high in pairwise(edges))
    assert edges[0] == pytest.approx(quantiles[0], abs=1e-3)


def test_saved_model_gives_the_same_numbers(tmp_path: Path) -> None:
    inputs = keras.Input((3,), name="features")
    model = keras.Model(inputs, PiecewiseLinear(edges=[[0.0, 1.0]] * 5)(transform()(inputs)))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    raw = np.array([[3.0, -999.0, np.nan], [1.0, 12.0, 2.0]], np.float32)
    np.testing.assert_array_equal(np.asarray(model(raw)), np.asarray(loaded(raw)))
