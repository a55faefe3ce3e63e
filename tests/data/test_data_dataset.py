"""Datasets: shards of several samples as one, gathered in any order."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom.analysis.models import Analysis
from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.shard import Layout, ShardWriter
from gridloom.data.statistics import ReadFile, ShardStatistics
from gridloom.errors import DamagedResult
from gridloom.testing.ntuples import make_events, write_tree

Tiny = Callable[..., Analysis]
COLLECTIONS = {"jets": {"at_most": 3, "features": ["Jet_pt", "Jet_eta"]}}
SIZES = {"signal1": 60, "signal2": 0, "background1": 90, "background2": 40}


@pytest.fixture
def dataset(place: Any, tiny: Tiny) -> Dataset:
    first = 1
    for number, (name, events) in enumerate(SIZES.items()):
        write_tree(place.folder / f"{name}.root", make_events(events, seed=number, first_event=first))
        first += events
    found = place.dataset(tiny(collections=COLLECTIONS), one_by_one=True)
    assert isinstance(found, Dataset)
    return found


def test_columns_are_those_of_the_shards(dataset: Dataset) -> None:
    assert dataset.starts.tolist() == [0, 60, 60, 150, 190]
    assert dataset.sample_names == ("signal", "background")
    assert dataset.classes == ("s", "b")
    assert dataset.feature_names == ("MET_pt", "Lepton_pt")
    assert np.bincount(dataset.sample).tolist() == [60, 130]
    assert np.array_equal(dataset.sample, dataset.label)
    assert len(dataset) == 190
    assert dataset.target is None
    assert dataset.statistics["signal"].events == 60
    assert len(dataset.statistics["signal"].files) == 2
    assert sorted(dataset.ids(np.arange(len(dataset)))[:, 2].tolist()) == list(range(1, 191))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(rows=st.lists(st.integers(0, 189), max_size=60))
def test_rows_are_gathered_in_any_order(dataset: Dataset, rows: list[int]) -> None:
    wanted = np.array(rows, dtype=np.int64)
    inputs = dataset.inputs(wanted)
    assert len(inputs) == len(rows)
    features = np.concatenate([shard.features for shard in dataset.shards])
    objects = np.concatenate([shard.collections["jets"] for shard in dataset.shards])
    counts = np.concatenate([shard.counts["jets"] for shard in dataset.shards])
    np.testing.assert_array_equal(inputs.features, features[wanted])
    np.testing.assert_array_equal(inputs.collections["jets"], objects[wanted])
    assert inputs.masks["jets"].dtype == np.float32
    np.testing.assert_array_equal(inputs.masks["jets"].sum(axis=1), counts[wanted])
    ordered = np.sort(wanted)
    np.testing.assert_array_equal(dataset.inputs(ordered).features, features[ordered])


@pytest.mark.parametrize("row", [-1, 190])
def test_rows_outside_are_refused(dataset: Dataset, row: int) -> None:
    with pytest.raises(IndexError, match="0 to 189"):
        dataset.inputs(np.array([0, row]))


def test_shards_of_another_analysis_are_refused(dataset: Dataset, tiny: Tiny) -> None:
    folders = [shard.folder for shard in dataset.shards]
    for other in (tiny(), tiny(collections=COLLECTIONS, features=["MET_pt"])):
        with pytest.raises(DamagedResult, match="do not belong"):
            open_dataset(other, folders)


def test_targets_are_joined(place: Any, tiny: Tiny) -> None:
    write_tree(place.folder / "signal.root", make_events(20, seed=1))
    write_tree(place.folder / "data.root", make_events(5, seed=2))
    samples = {
        "signal": {"files": "signal.root", "weight": 1},
        "data": {"files": "data.root", "data": True},
    }
    found = place.dataset(tiny(samples=samples, target={"regression": "MET_pt"}))
    assert found.target is not None
    assert np.isfinite(found.target[:20]).all()
    assert np.isnan(found.target[20:]).all()
    assert found.trains.sum() == 20


def test_gathering_takes_milliseconds(tmp_path: Path, tiny: Tiny) -> None:
    events = 100_000
    names = [f"x{number}" for number in range(30)]
    folders = []
    for sample in ("signal", "background"):
        folder = tmp_path / sample
        arrays: dict[str, Any] = {
            "features": np.random.default_rng(1).normal(size=(events, 30)).astype(np.float32),
            "label": np.zeros(events, dtype=np.int16),
            "weight": np.ones(events),
            "factor": np.ones(events),
            "id": np.zeros((events, 3), dtype=np.uint64),
            "entry": np.arange(events),
            "fold": np.zeros(events, dtype=np.int16),
            "trains": np.ones(events, dtype=np.bool_),
        }
        with ShardWriter(folder, Layout.of(features=30, collections={}, regression=False)) as writer:
            writer.append(arrays)
            read = ReadFile(path="x", uuid="x", entries=events, selected=events)
            writer.finish(ShardStatistics(sample=sample, events=events, files=(read,)))
        folders.append(folder)
    dataset = open_dataset(tiny(features=names), folders)
    rows = np.random.default_rng(2).permutation(2 * events)[:65_536]
    out = np.empty((len(rows), 30), dtype=np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        dataset.gather_features(rows, out)
        times.append(time.perf_counter() - start)
    # Some 8 ms alone; the limit leaves room for a busy machine.
    assert min(times) < 0.1
