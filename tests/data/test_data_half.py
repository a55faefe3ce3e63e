"""Features in float16: exactly the rounded values, and nothing is lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from gridloom.analysis.load import load_text
from gridloom.analysis.models import Analysis
from gridloom.data.check import check
from gridloom.data.dataset import open_dataset
from gridloom.data.half import SMALLEST, SmallValues, halved
from gridloom.data.shard import Shard
from gridloom.errors import DamagedResult, DoesNotFit
from gridloom.testing.ntuples import make_events, write_tree

Tiny = Callable[..., Analysis]
HALF = {"features": "float16"}
ONE: dict[str, Any] = {"a": {"files": "a.root", "class": {"s": "flavour == 0", "b": "otherwise"}, "weight": "1"}}


@pytest.fixture
def columns(tmp_path: Path) -> dict[str, Any]:
    found = make_events(700, seed=3, signal=True)
    write_tree(tmp_path / "a.root", found, basket_entries=150)
    return found


def prepared(place: Any, analysis: Analysis) -> Shard:
    (shard,) = place.shards(analysis)
    assert isinstance(shard, Shard)
    return shard


def refused(place: Any, analysis: Analysis) -> DoesNotFit:
    with pytest.raises(DoesNotFit) as caught:
        place.shards(analysis)
    return caught.value


def jets_of(tiny: Tiny, expression: str, **changes: Any) -> Analysis:
    return tiny(samples=ONE, collections={"jets": {"at_most": 3, "features": ["Jet_pt", expression]}}, **changes)


def test_values_are_the_rounded_ones(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    features = ["MET_pt", {"name": "mass", "missing": -999}, {"expression": "Jet_pt[0]", "missing": "nan"}]
    whole = prepared(place, jets_of(tiny, "Jet_eta", features=features))
    analysis = jets_of(tiny, "Jet_eta", features=features, storage=HALF)
    half = prepared(place, analysis)
    assert half.features.dtype == half.collections["jets"].dtype == np.float16
    np.testing.assert_array_equal(half.features, whole.features.astype(np.float16))
    np.testing.assert_array_equal(half.collections["jets"], whole.collections["jets"].astype(np.float16))
    np.testing.assert_array_equal(half.counts["jets"], whole.counts["jets"])
    np.testing.assert_array_equal(half.weight, whole.weight)
    assert [fold.features[1].missing for fold in half.statistics.folds] == [
        fold.features[1].missing for fold in whole.statistics.folds
    ]
    size = (whole.folder / "features.npy").stat().st_size, (half.folder / "features.npy").stat().st_size
    assert 2 * (size[1] - 128) == size[0] - 128


def test_gathering_gives_float32(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = jets_of(tiny, "Jet_eta", storage=HALF)
    dataset = place.dataset(analysis)
    rows = np.random.default_rng(1).integers(0, len(dataset), 10_000)
    inputs = dataset.inputs(rows)
    assert inputs.features.dtype == inputs.collections["jets"].dtype == np.float32
    np.testing.assert_array_equal(inputs.features, dataset.shards[0].features[rows].astype(np.float32))
    np.testing.assert_array_equal(inputs.collections["jets"], dataset.shards[0].collections["jets"][rows])


def test_a_shard_of_the_other_type_is_refused(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    half = prepared(place, tiny(samples=ONE, storage=HALF))
    with pytest.raises(DamagedResult, match="do not belong"):
        open_dataset(tiny(samples=ONE), [half.folder])


def test_a_value_too_large_is_named(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    analysis = tiny(samples=ONE, features=["nJet", {"name": "met2", "expression": "MET_pt * 1000"}], storage=HALF)
    error = refused(place, analysis)
    first = int(np.flatnonzero(np.float32(columns["MET_pt"]) * 1000 > 65504)[0])
    assert "`met2`" in error.what
    assert "65504" in error.what
    assert error.where.endswith(f"a.root, entry {first}")
    assert error.key == ("features", 1)
    assert "x / 1000" in error.fix
    (found,) = check(analysis, place.folder)
    assert (type(found), found.key) == (DoesNotFit, error.key)


def test_declared_infinity_stays(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    feature = {"name": "f", "expression": "MET_pt > 50 ? 1 / 0. : MET_pt", "missing": "inf"}
    shard = prepared(place, tiny(samples=ONE, features=[feature], storage=HALF))
    np.testing.assert_array_equal(np.isinf(shard.features[:, 0]), columns["MET_pt"] > 50)


def test_an_object_too_large_is_named(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    error = refused(place, jets_of(tiny, "Jet_pt * 10000", storage=HALF))
    assert "collection `jets`" in error.what
    assert error.key == ("collections", "jets", "features", 1)
    assert "a.root, entry " in error.where


def test_a_value_that_becomes_the_sentinel_is_named(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    feature = {"name": "f", "expression": "event == 5 ? -999.1 : MET_pt", "missing": -999}
    columns["event"][:] = np.arange(700)
    write_tree(place.folder / "a.root", columns)
    error = refused(place, tiny(samples=ONE, features=[feature], storage=HALF))
    assert "-999.1" in error.what
    assert "`missing`" in error.what
    assert error.where.endswith("entry 5")


@pytest.mark.parametrize("expression", ["MET_pt * 1e-7", "MET_pt * 1e-12"])
def test_a_feature_that_is_small_as_a_whole_is_named(
    place: Any, tiny: Tiny, columns: dict[str, Any], expression: str
) -> None:
    error = refused(place, tiny(samples=ONE, features=[{"name": "f", "expression": expression}], storage=HALF))
    assert "feature `f`" in error.what
    assert "a.root, entry 0" in error.where
    assert "log(x)" in error.fix
    error = refused(place, jets_of(tiny, "Jet_pt * 1e-7", storage=HALF))
    assert "collection `jets`" in error.what


def test_a_few_values_near_zero_are_no_problem(place: Any, tiny: Tiny, columns: dict[str, Any]) -> None:
    columns["MET_pt"][::200] = 1e-9
    write_tree(place.folder / "a.root", columns)
    shard = prepared(place, tiny(samples=ONE, storage=HALF))
    assert (shard.features[::200, 0] == 0).all()


@given(values=hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-65000, 65000, width=32)))
def test_what_is_accepted_keeps_its_digits(values: NDArray[np.float32]) -> None:
    rounded = halved(values)
    size = np.abs(values.astype(np.float64))
    assert (np.abs(rounded - values.astype(np.float64)) <= 2.0**-11 * np.maximum(size, SMALLEST)).all()
    small = SmallValues()
    small.look(("features", 0), "f", values, rounded, str)
    lost = (size < SMALLEST) & (rounded != values)
    if lost.sum() > 0.01 * (values != 0).sum():
        with pytest.raises(DoesNotFit):
            small.check()
    else:
        small.check()


@pytest.mark.parametrize(
    ("missing", "fits"), [("-999", True), ("-9999", False), ("0.1", False), ("-1e9", False), ("[-1, nan]", True)]
)
def test_sentinels_must_be_exact(missing: str, fits: bool) -> None:
    text = f"""
gridloom: 1
name: x
samples:
  a: {{files: a.root, class: a, weight: 1}}
  b: {{files: b.root, class: b, weight: 1}}
features: [{{name: f, missing: {missing}}}]
target: {{signal: a}}
storage: {{features: float16}}
"""
    if fits:
        load_text(text, Path("analysis.yaml"))
        return
    with pytest.raises(Exception, match="float16 does not have") as caught:
        load_text(text, Path("analysis.yaml"))
    assert "analysis.yaml:7:" in str(caught.value)
