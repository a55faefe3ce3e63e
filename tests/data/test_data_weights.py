"""Scales, training weights, and datasets that are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridloom.analysis.models import Analysis
from gridloom.catalogue import LostFile
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.duplicates import duplicate_rows
from gridloom.data.folds import fold_of
from gridloom.data.scales import sample_scales
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.data.weights import check_dataset, effective_sample_size, training_weights
from gridloom.errors import (
    BadWeights,
    DamagedFile,
    DuplicateEvents,
    EmptyClass,
    EmptyFold,
    GridloomError,
    InvalidValue,
    Problems,
)

Tiny = Callable[..., Analysis]


def shard(
    folder: Path,
    sample: str,
    weight: list[float],
    *,
    label: int | list[int] = 0,
    event: list[int] | None = None,
    factor: float = 1.0,
    trains: bool = True,
    lost: int = 0,
    target: bool = False,
) -> Path:
    count = len(weight)
    ids = np.zeros((count, 3), dtype=np.uint64)
    ids[:, 2] = event if event is not None else np.arange(count)
    arrays: dict[str, Any] = {
        "features": np.zeros((count, 2), dtype=np.float32),
        "label": np.broadcast_to(np.asarray(label, dtype=np.int16), count),
        "weight": np.array(weight, dtype=np.float64),
        "factor": np.full(count, factor),
        "id": ids,
        "entry": np.arange(count),
        "fold": fold_of(ids, 3),
        "trains": np.full(count, trains),
    }
    if target:
        arrays["target"] = np.zeros(count)
    number = len(list(folder.glob("*")))
    path = folder / f"{sample}-{number}"
    statistics = ShardStatistics(
        sample=sample,
        events=count,
        files=(ReadFile(path=f"{sample}-{number}.root", uuid=str(number), entries=count, selected=count),),
        lost=tuple(LostFile(path=f"lost{index}.root", reason="gone") for index in range(lost)),
        sum_generator_weights=float(sum(weight)),
    )
    with ShardWriter(path, Layout.of(features=2, collections={}, regression=target)) as writer:
        writer.append(arrays)
        writer.finish(statistics)
    return path


def refused(analysis: Analysis, dataset: Dataset) -> tuple[GridloomError, ...]:
    with pytest.raises(Problems) as caught:
        check_dataset(analysis, dataset)
    return caught.value.errors


def normalised(tiny: Tiny, **more: Any) -> Analysis:
    known = {"cross_section": 3.0, "k_factor": 1.5, "filter_efficiency": 0.5}
    samples = {
        "signal": {"files": "s", "class": "s", "normalisation": known},
        "background": {"files": "b", "class": "b", "weight": 1},
    }
    return tiny(samples=samples, **more)


def test_scale_is_the_definition(tmp_path: Path, tiny: Tiny) -> None:
    analysis = normalised(tiny)
    folders = [shard(tmp_path, "signal", [1.0, 2.0, -0.5]), shard(tmp_path, "background", [2.0] * 3, label=1, lost=1)]
    dataset = open_dataset(analysis, folders)
    assert dataset.scales["signal"] == pytest.approx(1000 * 3.0 * 1.5 * 0.5 / 2.5)
    assert dataset.weight[:3].sum() == pytest.approx(1000 * 3.0 * 1.5 * 0.5)
    assert dataset.scales["background"] == pytest.approx(2.0)
    assert dataset.weight[3:].tolist() == [4.0] * 3


def test_scales_that_do_not_exist(tmp_path: Path, tiny: Tiny) -> None:
    statistics = ShardStatistics(sample="signal", sum_generator_weights=-1.0)
    with pytest.raises(BadWeights, match="sum to -1") as caught:
        sample_scales(normalised(tiny), [statistics])
    assert caught.value.key == ("samples", "signal", "normalisation")
    with pytest.raises(InvalidValue, match="luminosity"):
        sample_scales(normalised(tiny, luminosity=None), [statistics])
    assert sample_scales(tiny(), [ShardStatistics(sample="signal")]) == {"signal": 1.0}


def test_effective_sample_size() -> None:
    assert effective_sample_size(np.full(7, 3.0)) == pytest.approx(7)
    assert effective_sample_size(np.array([1.0, -1.0])) == 0
    assert effective_sample_size(np.empty(0)) == 0


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("keep", [2, -1, 3, 1, 1]),
        ("absolute", [2, 1, 3, 1, 1]),
        ("drop", [2, 0, 3, 1, 1]),
    ],
)
@pytest.mark.parametrize("balance", ["classes", "none"])
def test_training_weights(tmp_path: Path, tiny: Tiny, policy: str, expected: list[float], balance: str) -> None:
    analysis = tiny(training_weights={"negative": policy, "balance": balance})
    folders = [
        shard(tmp_path, "signal", [1.0, -0.5, 1.5], factor=2.0),
        shard(tmp_path, "background", [1.0, 1.0], label=1),
    ]
    weights = training_weights(analysis, open_dataset(analysis, folders), np.arange(5))
    assert np.abs(weights).mean() == pytest.approx(1)
    if balance == "classes":
        assert weights[:3].sum() == pytest.approx(weights[3:].sum())
        expected = [value / sum(expected[:3]) for value in expected[:3]] + [0.5, 0.5]
    np.testing.assert_allclose(weights / weights[4], np.array(expected) / expected[4])


def test_training_weights_of_a_hopeless_class(tmp_path: Path, tiny: Tiny) -> None:
    analysis = tiny()
    folders = [shard(tmp_path, "signal", [1.0, -2.0]), shard(tmp_path, "background", [1.0, 1.0], label=1)]
    dataset = open_dataset(analysis, folders)
    with pytest.raises(BadWeights, match="class `s` sum to -1"):
        training_weights(analysis, dataset, np.arange(4))
    # Rows of one class alone: nothing to balance against.
    assert training_weights(analysis, dataset, np.array([2, 3])).tolist() == [1.0, 1.0]
    none = tiny(training_weights={"balance": "none", "negative": "drop"})
    with pytest.raises(BadWeights, match="all training weights are zero"):
        training_weights(none, dataset, np.array([1]))
    assert len(training_weights(none, dataset, np.empty(0, dtype=np.int64))) == 0


def test_collision_data_has_no_training_weight(tmp_path: Path, tiny: Tiny) -> None:
    samples = {**tiny().model_dump(by_alias=True)["samples"], "data": {"files": "d", "data": True}}
    analysis = tiny(samples=samples)
    dataset = open_dataset(analysis, [shard(tmp_path, "data", [1.0], label=-1, trains=False)])
    with pytest.raises(ValueError, match="collision data"):
        training_weights(analysis, dataset, np.array([0]))


def test_good_events_pass(tmp_path: Path, tiny: Tiny) -> None:
    folders = [shard(tmp_path, "signal", [1.0] * 30), shard(tmp_path, "background", [1.0] * 30, label=1)]
    check_dataset(tiny(), open_dataset(tiny(), folders))


def test_empty_class_and_fold(tmp_path: Path, tiny: Tiny) -> None:
    folders = [shard(tmp_path, "signal", []), shard(tmp_path, "background", [1.0, 1.0], label=1)]
    empty, fold = refused(tiny(), open_dataset(tiny(), folders))
    assert isinstance(empty, EmptyClass)
    assert empty.key == ("samples", "signal", "class")
    assert isinstance(fold, EmptyFold)
    assert "2 events in 3 folds" in fold.what
    analysis = tiny(training_selection=["x > 0"])
    folders = [shard(tmp_path, "signal", [1.0] * 5, trains=False), folders[1]]
    empty, _ = refused(analysis, open_dataset(analysis, folders))
    assert "5 pass `selection` alone" in empty.what


def test_classes_by_condition_are_found_in_the_file(tmp_path: Path, tiny: Tiny) -> None:
    analysis = tiny(samples={"signal": {"files": "s", "weight": 1, "class": {"s": "x > 0", "b": "otherwise"}}})
    dataset = open_dataset(analysis, [shard(tmp_path, "signal", [1.0] * 30)])
    (empty,) = refused(analysis, dataset)
    assert empty.key == ("samples", "signal", "class", "b")


def test_sums_of_classes_must_be_positive(tmp_path: Path, tiny: Tiny) -> None:
    background = shard(tmp_path, "background", [1.0] * 30, label=1)
    (error,) = refused(tiny(), open_dataset(tiny(), [shard(tmp_path, "signal", [-1.0] * 30), background]))
    assert isinstance(error, BadWeights)
    assert "sum to -30 over 30 training events" in error.what
    # Positive in all, negative in one fold.
    ids = np.zeros((60, 3), dtype=np.uint64)
    ids[:, 2] = np.arange(60)
    weights = np.where(fold_of(ids, 3) == 1, -0.5, 1.0).tolist()
    (error,) = refused(tiny(), open_dataset(tiny(), [shard(tmp_path, "signal", weights), background]))
    assert isinstance(error, BadWeights)
    assert error.where == "fold 1"
    assert "absolute" in error.fix
    absolute = tiny(training_weights={"negative": "absolute"})
    check_dataset(absolute, open_dataset(absolute, [shard(tmp_path, "signal", weights), background]))


def test_regression_is_checked_too(tmp_path: Path, tiny: Tiny) -> None:
    analysis = tiny(samples={"signal": {"files": "s", "weight": 1}}, target={"regression": "x"})

    def one(weight: list[float]) -> tuple[GridloomError, ...]:
        return refused(analysis, open_dataset(analysis, [shard(tmp_path, "signal", weight, label=-1, target=True)]))

    assert isinstance(one([])[0], EmptyClass)
    assert isinstance(one([1.0, 1.0])[0], EmptyFold)
    assert [type(error) for error in one([-1.0] * 30)] == [BadWeights] * 3
    good = open_dataset(analysis, [shard(tmp_path, "signal", [1.0] * 30, label=-1, target=True)])
    check_dataset(analysis, good)
    assert training_weights(analysis, good, np.arange(30)).tolist() == [1.0] * 30


def test_lost_files_are_judged_over_the_whole_sample(tmp_path: Path, tiny: Tiny) -> None:
    folders = [shard(tmp_path, "signal", [1.0] * 30, lost=1), shard(tmp_path, "background", [1.0] * 30, label=1)]
    (error,) = refused(tiny(), open_dataset(tiny(), folders))
    assert isinstance(error, DamagedFile)
    assert "1 of 2 files of sample `signal`" in error.what
    analysis = tiny(damaged_files={"skip_at_most": 0.5})
    check_dataset(analysis, open_dataset(analysis, folders))


def test_duplicates_within_a_simulated_sample(tmp_path: Path, tiny: Tiny) -> None:
    background = shard(tmp_path, "background", [1.0] * 30, label=1)
    folders = [
        shard(tmp_path, "signal", [1.0] * 30),
        shard(tmp_path, "signal", [1.0] * 3, event=[100, 7, 101]),
        background,
    ]
    (error,) = refused(tiny(), open_dataset(tiny(), folders))
    assert isinstance(error, DuplicateEvents)
    assert "1 events of sample `signal`" in error.what
    assert "(0, 0, 7) in signal-1.root and signal-2.root" in error.what
    assert error.key == ("samples", "signal", "files")


def test_duplicates_across_collision_data(tmp_path: Path, tiny: Tiny) -> None:
    samples = {
        **tiny().model_dump(by_alias=True)["samples"],
        "muons": {"files": "m", "data": True},
        "electrons": {"files": "e", "data": True},
    }
    analysis = tiny(samples=samples, event_id="entry")
    folders = [shard(tmp_path, "signal", [1.0] * 30), shard(tmp_path, "background", [1.0] * 30, label=1)]
    folders += [shard(tmp_path, name, [1.0] * 4, label=-1, trains=False) for name in ("muons", "electrons")]
    (error,) = refused(analysis, open_dataset(analysis, folders))
    assert isinstance(error, DuplicateEvents)
    assert "4 events of the data samples `muons`, `electrons`" in error.what
    assert error.key == ("event_id",)


def test_duplicate_rows_are_pairs_with_the_first() -> None:
    ids = np.array([[1, 1, 1], [1, 1, 2], [1, 1, 1], [1, 1, 3], [1, 1, 1]], dtype=np.uint64)
    assert duplicate_rows(ids).tolist() == [[0, 2], [0, 4]]
    assert duplicate_rows(ids[:0]).tolist() == []
