"""Checkpoints: whole or not there, two kept, any array comes back bit by bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from gridloom.training import checkpoint
from gridloom.training.checkpoint import Checkpoint


def example(number: int) -> Checkpoint:
    arrays = (
        np.arange(6, dtype=np.float32).reshape(2, 3) * number,
        np.array(number, dtype=np.int64),
        np.array([1, 2], dtype=np.uint32),
    )
    return Checkpoint(arrays={"weights": arrays, "best": ()}, state={"epoch": number, "history": [{"loss": 0.1}]})


def test_round_trip_and_two_are_kept(tmp_path: Path) -> None:
    for number in range(1, 5):
        checkpoint.save(tmp_path, example(number))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000003", "checkpoint-000004"]
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found.state == example(4).state
    assert found.arrays["best"] == ()
    for mine, theirs in zip(example(4).arrays["weights"], found.arrays["weights"], strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("damage", ["no manifest", "half a file", "missing file", "half a manifest"])
def test_a_damaged_checkpoint_does_not_exist(tmp_path: Path, damage: str) -> None:
    checkpoint.save(tmp_path, example(1))
    newest = checkpoint.save(tmp_path, example(2))
    if damage == "no manifest":
        (newest / "manifest.json").unlink()
    elif damage == "half a file":
        content = (newest / "weights.npy").read_bytes()
        (newest / "weights.npy").write_bytes(content[: len(content) // 2])
    elif damage == "missing file":
        (newest / "weights.npy").unlink()
    else:
        (newest / "manifest.json").write_text('{"groups"')
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found.state["epoch"] == 1
    # The next save replaces what a kill left behind.
    checkpoint.save(tmp_path, example(3))
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found.state["epoch"] == 3


def test_nothing_to_load(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "none") is None
    saved = checkpoint.save(tmp_path, example(1))
    shutil.rmtree(saved)
    assert checkpoint.load(tmp_path) is None
