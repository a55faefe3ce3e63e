"""What the loop is fed with: from memory and from the disk, by any number of readers, drawn in any way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tasks import Bench, Prepared

from gridloom.data.dataset import Dataset, open_dataset
from gridloom.data.sampling import draw
from gridloom.data.stream import Stream
from gridloom.errors import Interrupted
from gridloom.training import feed as feeding
from gridloom.training import loop, train
from gridloom.training.feed import feed, training_material
from gridloom.training.fold import Fold, split_fold

Copy = dict[str, Any]


def opened(prepared: Prepared) -> tuple[Dataset, Fold]:
    dataset = open_dataset(prepared.analysis, list(prepared.inputs.values()))
    return dataset, split_fold(prepared.analysis, dataset, 0)


def calls_of(dataset: Dataset, fold: Fold, first: int = 0, *, readers: int = 2) -> list[Copy]:
    """All that an epoch feeds, copied, as its rooms are used again."""
    material = training_material(dataset, fold)
    stream = Stream(rows=material.rows, batch=32, steps_per_call=2, seed=(1, 0))
    return [
        {
            "number": fed.number,
            "steps": fed.steps,
            **{name: values.copy() for name, values in fed.inputs.items()},
            **{name: getattr(fed, name).copy() for name in ("targets", "weights", "valid")},
        }
        for fed in feed(material, stream, 1, first, readers=readers)
    ]


@pytest.mark.parametrize("variant", ["flat", "objects"])
def test_any_number_of_readers_and_any_start_give_the_same_calls(
    variant: str, prepared: Mapping[str, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(feeding, "_LOAD_BYTES", 2000)
    dataset, fold = opened(prepared[variant])
    whole = calls_of(dataset, fold, readers=0)
    assert len(whole) > 4
    for readers in (1, 2, 5):
        np.testing.assert_equal(calls_of(dataset, fold, readers=readers), whole)
        np.testing.assert_equal(calls_of(dataset, fold, 3, readers=readers), whole[3:])


def test_the_disk_gives_each_event_with_its_own_target_and_weight(
    prepared: Mapping[str, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same events as from memory, in another order."""
    dataset, fold = opened(prepared["flat"])
    from_memory = events_of(calls_of(dataset, fold))
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1000)
    from_disk = events_of(calls_of(dataset, fold))
    np.testing.assert_array_equal(from_memory, from_disk)


def events_of(calls: list[Copy]) -> np.ndarray[Any, Any]:
    """Features, target and weight of the events that count, sorted."""
    found = []
    for call in calls:
        counted = np.arange(32)[None, :] < call["valid"][:, None]
        columns = [call["features"][counted], call["targets"][counted][:, None], call["weights"][counted][:, None]]
        found.append(np.concatenate(columns, axis=1))
    rows = np.concatenate(found)
    return rows[np.lexsort(rows.T)]


def test_an_error_of_a_reader_is_an_error_of_the_training(
    prepared: Mapping[str, Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1000)
    dataset, fold = opened(prepared["flat"])

    def broken(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(feeding, "read_block", broken)
    with pytest.raises(OSError, match="Input/output"):
        calls_of(dataset, fold)


@given(weights=st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=50), seed=st.integers(0, 99))
def test_what_is_drawn_counts_as_before_on_average(weights: list[float], seed: int) -> None:
    given = np.array(weights, dtype=np.float32)
    targets = np.random.default_rng(seed).integers(0, 3, len(weights)).astype(np.float32)
    assert draw("every", given, targets).frequency is None
    for sampling in ("weight", "class"):
        if sampling == "weight" and not np.abs(given).sum() > 1e-3:
            continue
        drawn = draw(sampling, given, targets)
        assert drawn.frequency is not None
        seen = drawn.frequency / drawn.frequency.mean()
        np.testing.assert_allclose(seen * drawn.weights, given, rtol=1e-5, atol=1e-6)
        if sampling == "weight":
            sizes = np.abs(drawn.weights[given != 0])
            np.testing.assert_allclose(sizes, sizes[0], rtol=1e-4)
        else:
            shares = [seen[targets == target].sum() for target in np.unique(targets)]
            np.testing.assert_allclose(shares, shares[0], rtol=1e-9)


@pytest.mark.parametrize("sampling", ["every", "weight", "class"])
def test_from_the_disk_a_training_that_is_stopped_again_and_again_gives_the_same_bits(
    sampling: str, prepared: Mapping[str, Prepared], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(feeding, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(feeding, "_LOAD_BYTES", 2000)
    monkeypatch.setattr(loop, "_MOST_STEPS", 2)
    case = prepared["flat"]
    analysis = case.changed(training={"sampling": sampling, "batch": 16})
    bench = Bench(folder=tmp_path)
    task = bench.fold_task(analysis, "train", 0)
    unbroken = bench.context(task, case.inputs, name="unbroken")
    train.run(unbroken)
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked % 3 == 0

    for _ in range(100):
        shutil.rmtree(tmp_path / "broken", ignore_errors=True)
        broken = bench.context(task, case.inputs, name="broken", stop=stop)
        try:
            train.run(broken)
        except Interrupted:
            continue
        break
    assert asked > 6
    for name in ("scores.npy", "history.json"):
        assert (broken.output / name).read_bytes() == (unbroken.output / name).read_bytes()
    losses = [record["loss"] for record in json.loads((unbroken.output / "history.json").read_text())]
    assert losses[-1] < losses[0]
