"""The stream: every event once per epoch, and any position can be gone on from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.data.stream import STRATA, Call, Rows, Stream


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 300),
    batch=st.integers(1, 40),
    steps=st.integers(1, 7),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 5),
)
def test_every_event_counts_once_per_epoch(count: int, batch: int, steps: int, epoch: int, seed: int) -> None:
    rows = np.arange(count, dtype=np.int64) * 3 + 1
    stream = Stream(rows=rows, batch=min(batch, count), steps_per_call=steps, seed=(seed, 0))
    loaded = [(call, load.rows) for load in stream.loads(epoch, events=50) for call in load.calls]
    _require_each_once(stream, rows, [(call, call.rows) for call in stream.calls(epoch)], steps)
    _require_each_once(stream, rows, [(call, read[call.rows]) for call, read in loaded], steps)


def _require_each_once(stream: Stream, rows: Rows, calls: list[tuple[Call, Rows]], steps: int) -> None:
    seen = []
    assert [call.number for call, _ in calls] == list(range(stream.calls_per_epoch))
    for call, found in calls:
        assert call.rows.shape == (steps, stream.batch)
        assert np.isin(found, rows).all()
        counted = np.arange(stream.batch)[None, :] < call.valid[:, None]
        assert (call.valid[: call.steps] > 0).all()
        assert (call.valid[call.steps :] == 0).all()
        seen.append(found[counted])
    assert sorted(np.concatenate(seen).tolist()) == rows.tolist()
    assert sum(call.steps for call, _ in calls) == stream.steps_per_epoch


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 5))
def test_going_on_from_a_position_gives_the_same_calls(first: int) -> None:
    stream = Stream(rows=np.arange(101, dtype=np.int64), batch=7, steps_per_call=2, seed=(1, 2))
    whole = list(stream.calls(3))[first:]
    rest = list(stream.calls(3, first))
    assert len(whole) == len(rest)
    for mine, theirs in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(mine.rows, theirs.rows)
    in_loads = [load.rows[call.rows] for load in stream.loads(3, 0, events=40) for call in load.calls][first:]
    gone_on = [load.rows[call.rows] for load in stream.loads(3, first, events=40) for call in load.calls]
    np.testing.assert_array_equal(in_loads, gone_on)


def test_epochs_and_seeds_differ() -> None:
    stream = Stream(rows=np.arange(100, dtype=np.int64), batch=10, steps_per_call=1, seed=(1,))
    other = Stream(rows=np.arange(100, dtype=np.int64), batch=10, steps_per_call=1, seed=(2,))
    assert (stream.order(0) != stream.order(1)).any()
    assert (stream.order(0) != other.order(0)).any()
    np.testing.assert_array_equal(stream.order(0), stream.order(0))


def test_loads_are_read_in_long_pieces_and_differ_from_epoch_to_epoch() -> None:
    stream = Stream(rows=np.arange(1_000_000, dtype=np.int64), batch=1024, steps_per_call=8, seed=(1,))
    first, second = (next(stream.loads(epoch, events=65_536)).rows for epoch in (0, 1))
    assert np.count_nonzero(np.diff(first) != 1) <= 2 * STRATA
    assert len(np.intersect1d(first, second)) < 0.2 * len(first)


@pytest.mark.parametrize("batch", [256, 1024])
def test_batches_of_a_sorted_file_are_mixed_as_by_chance(batch: int) -> None:
    """Root mean square deviation of the label's fraction in a batch, over that of independent draws."""
    label = np.repeat([0, 1, 0, 1], [200_000, 60_000, 100_000, 140_000])
    stream = Stream(rows=np.arange(len(label), dtype=np.int64), batch=batch, steps_per_call=16, seed=(1,))
    by_loads = [load.rows[call.rows] for load in stream.loads(0, events=65_536) for call in load.calls]
    for batches in (by_loads, [call.rows for call in stream.calls(0)]):
        fractions = label[np.concatenate(batches)[: len(label) // batch]].mean(axis=1)
        expected = np.sqrt(label.mean() * (1 - label.mean()) / batch)
        found = np.sqrt(np.mean((fractions - label.mean()) ** 2)) / expected
        # With so many batches chance alone moves it by so much.
        assert found < 1.05 + 2 / np.sqrt(2 * len(fractions))


@settings(max_examples=30, deadline=None)
@given(frequency=st.lists(st.floats(0.0, 10.0), min_size=2, max_size=60).filter(lambda found: sum(found) > 0))
def test_events_are_drawn_as_often_as_they_shall_be(frequency: list[float]) -> None:
    """Each as often as expected, rounded up or down."""
    wanted = np.array(frequency)
    stream = Stream(rows=np.arange(len(wanted), dtype=np.int64), batch=3, steps_per_call=2, seed=(5,), frequency=wanted)
    expected = wanted / wanted.sum() * len(wanted)
    for epoch in range(3):
        in_loads = [
            (load.rows[call.rows], call.valid) for load in stream.loads(epoch, events=12) for call in load.calls
        ]
        for calls in (in_loads, [(call.rows, call.valid) for call in stream.calls(epoch)]):
            seen = np.concatenate([rows[np.arange(3)[None, :] < valid[:, None]] for rows, valid in calls])
            counts = np.bincount(seen, minlength=len(wanted))
            assert counts.sum() == len(wanted)
            assert (np.abs(counts - expected) < 1 + 1e-9).all()
