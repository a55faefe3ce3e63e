"""The stream: every event once per epoch, and any position can be gone on from."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.data.stream import Stream


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
    seen = []
    calls = list(stream.calls(epoch))
    assert len(calls) == stream.calls_per_epoch
    for call in calls:
        assert call.rows.shape == (steps, stream.batch)
        assert np.isin(call.rows, rows).all()
        counted = np.arange(stream.batch)[None, :] < call.valid[:, None]
        assert (call.valid[: call.steps] > 0).all()
        assert (call.valid[call.steps :] == 0).all()
        seen.append(call.rows[counted])
    assert sorted(np.concatenate(seen).tolist()) == rows.tolist()
    assert sum(call.steps for call in calls) == stream.steps_per_epoch


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 5))
def test_going_on_from_a_position_gives_the_same_calls(first: int) -> None:
    stream = Stream(rows=np.arange(101, dtype=np.int64), batch=7, steps_per_call=2, seed=(1, 2))
    whole = list(stream.calls(3))[first:]
    rest = list(stream.calls(3, first))
    assert len(whole) == len(rest)
    for mine, theirs in zip(whole, rest, strict=True):
        np.testing.assert_array_equal(mine.rows, theirs.rows)


def test_epochs_and_seeds_differ() -> None:
    stream = Stream(rows=np.arange(100, dtype=np.int64), batch=10, steps_per_call=1, seed=(1,))
    other = Stream(rows=np.arange(100, dtype=np.int64), batch=10, steps_per_call=1, seed=(2,))
    assert (stream.order(0) != stream.order(1)).any()
    assert (stream.order(0) != other.order(0)).any()
    np.testing.assert_array_equal(stream.order(0), stream.order(0))
