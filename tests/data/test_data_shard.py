"""Shards: written piece by piece, mapped, cut back, refused when one byte is another."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gridloom.data.arrays import ArrayFile
from gridloom.data.shard import Layout, Shard, ShardWriter
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
        "entry": number,
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
        "entry": shard.entry,
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


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole"), [50]).folder


def refused(folder: Path, name: str) -> None:
    """The shard is not opened, and the error names the file and what helps."""
    with pytest.raises(DamagedResult) as caught:
        Shard.open(folder)
    assert name in str(caught.value)
    assert "gridloom run" in caught.value.fix


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def flip(path: Path, position: int, bits: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bits
    path.write_bytes(content)


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_any_file_is_damage(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    path = data.draw(st.sampled_from(sorted(folder.iterdir())), label="file")
    position = data.draw(st.integers(0, path.stat().st_size - 1), label="position")
    flip(path, position, data.draw(st.integers(1, 255), label="bits"))
    refused(folder, path.name)


@pytest.mark.parametrize("name", [*LAYOUT.arrays, "shard.json", "statistics.json"])
def test_missing_or_truncated_is_damage(copied: Path, name: str) -> None:
    path = copied / (name if name.endswith(".json") else f"{name}.npy")
    content = path.read_bytes()
    for rest in (content[:-1], content[: len(content) // 2], b"", content + b"\0"):
        path.write_bytes(rest)
        refused(copied, path.name)
    path.unlink()
    refused(copied, path.name)


def test_swapped_arrays_are_damage(copied: Path) -> None:
    (copied / "weight.npy").rename(copied / "other.npy")
    (copied / "factor.npy").rename(copied / "weight.npy")
    (copied / "other.npy").rename(copied / "factor.npy")
    refused(copied, "factor.npy")


def test_another_shards_array_is_damage(copied: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", [20, 30]).folder
    assert (other / "features.npy").read_bytes() == (copied / "features.npy").read_bytes()
    with ShardWriter(tmp_path / "changed", LAYOUT) as writer:
        writer.append(rows(50, 1))
        writer.finish(statistics(50))
    shutil.copy(tmp_path / "changed" / "features.npy", copied)
    refused(copied, "features.npy")


@pytest.mark.parametrize(("name", "dtype"), [("features", "<f2"), ("weight", ">f8"), ("id", "<i8"), ("fold", "<u2")])
def test_another_dtype_is_damage(copied: Path, name: str, dtype: str) -> None:
    values = np.load(copied / f"{name}.npy")
    np.save(copied / f"{name}.npy", values.astype(dtype))
    refused(copied, f"{name}.npy")


@pytest.mark.parametrize(
    "layout",
    [
        Layout(arrays={**LAYOUT.arrays, "weight": (np.dtype(np.float32), ())}),
        Layout(arrays={name: kind for name, kind in LAYOUT.arrays.items() if name != "fold"}),
        Layout(arrays={**LAYOUT.arrays, "collection.jets": (np.dtype(np.float16), (3, 2))}),
    ],
    ids=["another type", "no fold", "two storages"],
)
def test_whole_files_of_another_layout_are_refused(tmp_path: Path, layout: Layout) -> None:
    with ShardWriter(tmp_path, layout) as writer:
        writer.append({name: values for name, values in rows(3).items() if name in layout.arrays})
        writer.finish(statistics(3))
    refused(tmp_path, "not those of a shard")


def test_lengths_must_agree_with_the_statistics(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, LAYOUT) as writer:
        writer.append(rows(5))
        writer.finish(statistics(6))
    refused(tmp_path, "disagree")


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, rows: int) -> None:
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
    monkeypatch.setattr(ArrayFile, "_write_header", full)
    with pytest.raises(DiskFull):
        ShardWriter(tmp_path / "other", LAYOUT)
