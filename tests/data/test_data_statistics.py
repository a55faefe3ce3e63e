"""Statistics merge: any split gives what the whole gives."""

from __future__ import annotations

import itertools
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gridloom.catalogue import LostFile
from gridloom.data.statistics import (
    CutflowRow,
    FoldStatistics,
    Moments,
    ReadFile,
    ShardStatistics,
    Yield,
    merge_samples,
    moments_of,
)

FINITE = st.floats(min_value=-(2.0**20), max_value=2.0**20, width=32)
MATRICES = arrays(np.float32, st.tuples(st.integers(0, 40), st.integers(1, 3)), elements=FINITE | st.just(np.nan))


def everything(values: NDArray[np.float32]) -> tuple[Moments, ...]:
    return moments_of(values, np.isfinite(values))


@given(MATRICES, st.lists(st.integers(0, 40), max_size=5))
def test_any_split_merges_to_the_whole(values: NDArray[np.float32], cuts: list[int]) -> None:
    borders = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    pieces = [everything(values[begin:end]) for begin, end in itertools.pairwise(borders)]
    merged = reduce(lambda left, right: tuple(a.merge(b) for a, b in zip(left, right, strict=True)), pieces)
    for part, whole in zip(merged, everything(values), strict=True):
        assert (part.count, part.missing, part.minimum, part.maximum) == (
            whole.count,
            whole.missing,
            whole.minimum,
            whole.maximum,
        )
        size = max(abs(whole.minimum or 0.0), abs(whole.maximum or 0.0), 1.0)
        assert part.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-12 * size)
        assert part.m2 == pytest.approx(whole.m2, rel=1e-10, abs=1e-10 * size * size)


@given(MATRICES)
def test_moments_are_those_of_numpy(values: NDArray[np.float32]) -> None:
    for column, moments in zip(values.T, everything(values), strict=True):
        known = column[np.isfinite(column)].astype(np.float64)
        assert moments.count == len(known)
        assert moments.count + moments.missing == len(column)
        if len(known):
            assert moments.mean == pytest.approx(known.mean(), abs=1e-9 * max(np.abs(known).max(), 1))
            assert moments.standard_deviation == pytest.approx(
                known.std(), rel=1e-6, abs=1e-7 * max(np.abs(known).max(), 1)
            )


def test_large_offset_keeps_its_spread() -> None:
    values = (1e6 + np.arange(8, dtype=np.float32)).reshape(-1, 1)
    assert everything(values)[0].standard_deviation == pytest.approx(np.arange(8).std())


def test_without_values_there_is_no_range() -> None:
    assert Moments(missing=3) == everything(np.full((3, 1), np.nan, dtype=np.float32))[0]
    assert Moments().standard_deviation == 0.0
    with pytest.raises(ValueError, match="range"):
        Moments(count=1).merge(Moments(count=1))


def test_yield_adds_and_scales() -> None:
    weights = np.array([1.0, -2.0, 3.0])
    whole = Yield.of(weights)
    assert whole == Yield(events=3, sum_weights=2.0, sum_weights_squared=14.0, negative_events=1)
    assert Yield.of(weights[:1]).merge(Yield.of(weights[1:])) == whole
    assert whole.scaled(2.0) == Yield.of(2 * weights)
    assert whole.effective_events == pytest.approx(4 / 14)
    assert Yield().effective_events == 0.0


def part(number: int, *, sample: str = "a") -> ShardStatistics:
    moments = Moments(count=1, mean=float(number), minimum=float(number), maximum=float(number))
    return ShardStatistics(
        sample=sample,
        features=("x",),
        files=(ReadFile(path=f"{number}.root", uuid=str(number), entries=3, selected=1),),
        lost=(LostFile(path="lost.root", reason="gone"),),
        events=1,
        sum_generator_weights=float(number),
        cutflow=(CutflowRow(name="all", events=3, sum_weights=3.0, sum_weights_squared=3.0),),
        classes={"s": Yield(events=1, sum_weights=1.0, sum_weights_squared=1.0)},
        folds=(FoldStatistics(fold=0, features=(moments,), collections={"jets": (moments,)}),),
    )


def test_shards_of_a_sample_merge() -> None:
    merged = merge_samples([part(1), part(2), part(3, sample="b"), ShardStatistics(sample="a")])
    assert list(merged) == ["a", "b"]
    whole = merged["a"]
    assert [file.path for file in whole.files] == ["1.root", "2.root"]
    assert len(whole.lost) == 1
    assert (whole.events, whole.sum_generator_weights) == (2, 3.0)
    assert whole.cutflow[0].events == 6
    assert whole.classes["s"].events == 2
    assert whole.folds[0].features[0].mean == 1.5
    assert whole.folds[0].collections["jets"][0].count == 2
    assert ShardStatistics.model_validate_json(whole.model_dump_json()) == whole


def test_what_does_not_belong_together_does_not_merge() -> None:
    with pytest.raises(ValueError, match="do not merge"):
        part(1).merge(part(1, sample="b"))
    row = CutflowRow(name="all", events=1, sum_weights=1.0, sum_weights_squared=1.0)
    with pytest.raises(ValueError, match="do not belong together"):
        row.merge(row.model_copy(update={"name": "other"}))
