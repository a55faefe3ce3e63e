"""Shards: written piece by piece, mapped, cut back, refused when broken."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridloom.data.shard import Layout, Shard, ShardWriter, _ArrayFile
from gridloom.data.statistics import ShardStatistics
from gridloom.errors import DamagedResult, DiskFull

LAYOUT = Layout.of(features=2, collections={"jets": (3, 2)}, regression=True)


def rows(count: int, first: int = 0) -> dict[str, NDArray[Any]]:
    number = np.arange(first, first + count)
    return {
        "features": np.stack([number, -number], axis=1).astype(np.float32),
        "collection.jets": np.ones((count, 3, 2), dtype=np.float32) * number[:, None, None],
        "count.jets": (number % 4).astype(np.uint16),
        "target": number / 2,
        "label": (number % 2).astype(np.int16),
        "weight": number.astype(np.float64),
        "factor": np.ones(count),
        "id": np.stack([number] * 3, axis=1).astype(np.uint64),
        "fold": (number % 3).astype(np.int16),
        "trains": number % 2 == 0,
    }


def statistics(events: int) -> ShardStatistics:
    return ShardStatistics(sample="a", events=events)


def write(folder: Path, pieces: list[int]) -> Shard:
    with ShardWriter(folder, LAYOUT) as writer:
        for piece in pieces:
            writer.append(rows(piece, writer.rows))
        writer.finish(statistics(writer.rows))
    return Shard.open(folder)


@given(pieces=st.lists(st.integers(0, 30), max_size=4))
def test_pieces_make_a_whole(tmp_path_factory: pytest.TempPathFactory, pieces: list[int]) -> None:
    shard = write(tmp_path_factory.mktemp("shard"), pieces)
    whole = rows(sum(pieces))
    assert len(shard) == sum(pieces)
    assert shard.target is not None
    arrays: dict[str, NDArray[Any]] = {
        "features": shard.features,
        "collection.jets": shard.collections["jets"],
        "count.jets": shard.counts["jets"],
        "target": shard.target,
        "label": shard.label,
        "weight": shard.weight,
        "factor": shard.factor,
        "id": shard.id,
        "fold": shard.fold,
        "trains": shard.trains,
    }
    for name, found in arrays.items():
        np.testing.assert_array_equal(found, whole[name])
        assert found.dtype == LAYOUT.arrays[name][0]


def test_files_are_plain_npy(tmp_path: Path) -> None:
    write(tmp_path, [5, 100_000])
    features = np.load(tmp_path / "features.npy")
    assert features.shape == (100_005, 2)
    assert features.flags.c_contiguous


def test_cut_goes_back(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, LAYOUT) as writer:
        writer.append(rows(10))
        writer.append(rows(7, 10))
        writer.cut(10)
        writer.append(rows(3, 10))
        writer.finish(statistics(13))
    np.testing.assert_array_equal(Shard.open(tmp_path).features, rows(13)["features"])


def test_wrong_arrays_are_refused(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, LAYOUT) as writer:
        with pytest.raises(ValueError, match="needs the arrays"):
            writer.append({"features": np.zeros((1, 2), dtype=np.float32)})
        with pytest.raises(ValueError, match="different lengths"):
            writer.append(rows(2) | {"weight": np.ones(3)})
        with pytest.raises(ValueError, match="instead of"):
            writer.append(rows(2) | {"features": np.zeros((2, 3), dtype=np.float32)})


def test_unfinished_shard_is_damaged(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, LAYOUT) as writer:
        writer.append(rows(2))
    with pytest.raises(DamagedResult, match="cannot be read"):
        Shard.open(tmp_path)


@pytest.mark.parametrize("name", ["features.npy", "label.npy", "collection.jets.npy"])
def test_truncated_array_is_damaged(tmp_path: Path, name: str) -> None:
    write(tmp_path, [50])
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:-60])
    with pytest.raises(DamagedResult):
        Shard.open(tmp_path)


def test_lengths_must_agree_with_the_statistics(tmp_path: Path) -> None:
    write(tmp_path, [5])
    (tmp_path / "statistics.json").write_text(statistics(6).model_dump_json())
    with pytest.raises(DamagedResult, match="disagree"):
        Shard.open(tmp_path)


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, content: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full:
        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    def append() -> None:
        with ShardWriter(tmp_path, LAYOUT) as writer:
            for file in writer._files.values():
                file._stream.close()
                file._stream = Full()  # type: ignore[assignment]
            writer.append(rows(2))

    with pytest.raises(DiskFull) as caught:
        append()
    assert "features.npy" in caught.value.where
    monkeypatch.setattr(_ArrayFile, "_header", full)
    with pytest.raises(DiskFull):
        ShardWriter(tmp_path / "other", LAYOUT)
