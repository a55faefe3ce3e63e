"""The direct reader: uproot's values bit for bit, and no wrong number from a damaged basket."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.data.baskets import BasketReader, Decompressor, LocalBytes, baskets_of
from gridloom.data.rootfile import open_file, open_tree
from gridloom.errors import DamagedFile, GridloomError

CODECS: dict[str, Any] = {
    "none": None,
    "zlib": uproot.ZLIB(1),
    "lz4": uproot.LZ4(1),
    "zstd": uproot.ZSTD(1),
    "lzma": uproot.LZMA(1),
}
TYPES = ("f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")
# Those whose blocks carry a checksum; ROOT writes neither zstd's nor any for what is not compressed.
CHECKED = ("zlib", "lz4", "lzma")
ENTRIES = 1000


def columns_of(entries: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(7)
    # Few different bytes, so that every codec really compresses.
    return {
        f"b_{name.replace('?', 'bool')}": random.integers(0, 5, entries).astype(name)
        * (random.random(entries).astype(name) if name.startswith("f") else np.ones((), name))
        for name in TYPES
    }


def write(path: Path, codec: str, basket: int, entries: int = ENTRIES) -> None:
    columns = columns_of(entries)
    with uproot.recreate(path, compression=CODECS[codec]) as file:
        tree = file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        for start in range(0, entries, basket):
            tree.extend({name: values[start : start + basket] for name, values in columns.items()})


@pytest.fixture(scope="module", params=list(CODECS))
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("baskets") / f"{request.param}.root"
    write(path, request.param, 170)
    return path


@settings(max_examples=40, deadline=None)
@given(ranges=st.lists(st.integers(0, ENTRIES), min_size=2, max_size=8).map(sorted))
def test_any_ranges_are_those_of_uproot(written: Path, ranges: list[int]) -> None:
    """One reader for all of them, as baskets are kept from one range to the next."""
    with uproot.open(written) as file, LocalBytes(written) as source:
        tree = file["Events"]
        plans = {branch.name: baskets_of(branch) for branch in tree.branches}
        assert None not in plans.values()
        reader = BasketReader(source, {name: plan for name, plan in plans.items() if plan is not None})
        for start, stop in itertools.pairwise(ranges):
            expected = tree.arrays(entry_start=start, entry_stop=stop, library="np")
            for name, values in expected.items():
                found = reader.column(name, start, stop)
                assert found.dtype == values.dtype
                assert found.tobytes() == values.tobytes()


def test_baskets_of_any_size(tmp_path: Path) -> None:
    """One event per basket, one basket for all, and baskets that straddle chunks."""
    for basket, entries in ((1, 20), (10_000, 10_000), (3000, 10_000)):
        write(tmp_path / "x.root", "zlib", basket, entries)
        expected = columns_of(entries)
        with open_file(str(tmp_path / "x.root")) as file:
            tree = open_tree(file, "Events", "x.root")
            for chunk in tree.chunks(expected, step=4097):
                for name, values in expected.items():
                    np.testing.assert_array_equal(chunk.columns[name], values[chunk.start : chunk.stop])


def test_what_is_not_one_number_per_entry_is_uproots_to_read(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "x.root") as file:
        file.mktree("t", {"x": "float32", "vector": ("float32", (3,)), "list": "var * float32"})
        file["t"].extend({"x": np.ones(4, "f4"), "vector": np.ones((4, 3), "f4"), "list": [[1.0], [], [2.0, 3.0], []]})
    with uproot.open(tmp_path / "x.root") as file:
        assert [baskets_of(file["t"][name]) is None for name in ("x", "vector", "list")] == [False, True, True]


def test_a_range_outside_of_the_tree(written: Path) -> None:
    with uproot.open(written) as file, LocalBytes(written) as source:
        plan = baskets_of(file["Events"]["b_f4"])
        assert plan is not None
        with pytest.raises(ValueError, match="of 1000"):
            BasketReader(source, {"b_f4": plan}).column("b_f4", 0, ENTRIES + 1)


@pytest.mark.data
def test_every_flat_branch_of_real_files() -> None:
    """Bit for bit, in ranges that end within baskets."""
    compared = 0
    for path in sorted(Path(os.environ["GRIDLOOM_TEST_DATA"]).rglob("*.root")):
        if "damaged" in path.parts:
            continue
        with uproot.open(path) as file, LocalBytes(path) as source:
            names = [name for name, kind in file.classnames().items() if kind == "TTree"]
            for tree in (file[name] for name in names):
                plans = {key: baskets_of(branch) for key, branch in tree.items(recursive=True, full_paths=True)}
                flat = {key: plan for key, plan in plans.items() if plan is not None and plan.entries}
                reader = BasketReader(source, flat)
                for key, plan in flat.items():
                    expected = tree[key].array(library="np")
                    step = max(1, plan.entries // 3 + 1)
                    parts = [
                        reader.column(key, at, min(at + step, plan.entries)) for at in range(0, plan.entries, step)
                    ]
                    found = np.concatenate(parts)
                    assert found.dtype == expected.dtype, (path, key)
                    assert found.tobytes() == expected.tobytes(), (path, key)
                    compared += 1
    assert compared > 2000


def read_through(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with open_file(str(path)) as file:
        tree = open_tree(file, "Events", str(path))
        chunks = list(tree.chunks(tree.names))
    return {
        name: ak.to_numpy(ak.flatten(ak.concatenate([chunk.columns[name] for chunk in chunks]), axis=None))
        for name in chunks[0].columns
    }


@pytest.mark.parametrize("codec", list(CODECS))
def test_damage_in_the_baskets(codec: str, tmp_path: Path) -> None:
    """Flipped bits anywhere between the first basket and the last: an error or the same numbers."""
    path = tmp_path / "x.root"
    write(path, codec, 170)
    with uproot.open(path) as file:
        plans = [plan for branch in file["Events"].branches if (plan := baskets_of(branch)) is not None]
    good, content = read_through(path), path.read_bytes()
    places = [(int(at), int(size)) for plan in plans for at, size in zip(plan.seek, plan.size, strict=True)]
    # What does not shrink is stored as it is.
    places = [place for place in places if is_compressed(content, *place)] or places
    random = np.random.default_rng(1)
    errors = wrong = 0
    for _ in range(120):
        at, size = places[random.integers(len(places))]
        position, bit = at + int(random.integers(size)), int(random.integers(8))
        damaged = bytearray(content)
        damaged[position] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            found = read_through(path)
        except DamagedFile:
            errors += 1
            continue
        wrong += any(found[name].tobytes() != values.tobytes() for name, values in good.items())
    assert errors > 5
    assert codec not in CHECKED or wrong == 0


def is_compressed(content: bytes, at: int, size: int) -> bool:
    _, _, unpacked, _, header = struct.unpack_from(">ihiIh", content, at)
    return bool(unpacked != size - header)


def test_damage_anywhere(tmp_path: Path) -> None:
    """Flipped bits, overwritten runs and cuts in the whole file, its tables included."""
    path = tmp_path / "x.root"
    write(path, "zlib", 170)
    good, content = read_through(path), path.read_bytes()
    random = np.random.default_rng(2)
    outcomes = {"error": 0, "same": 0}
    for number in range(200):
        damaged = bytearray(content)
        position = int(random.integers(len(content)))
        if number % 3 == 0:
            damaged[position] ^= 1 << int(random.integers(8))
        elif number % 3 == 1:
            damaged[position : position + 16] = random.bytes(min(16, len(content) - position))
        else:
            del damaged[position:]
        path.write_bytes(damaged)
        outcomes[outcome(path, good)] += 1
    assert outcomes["error"] > 50


def outcome(path: Path, good: dict[str, np.ndarray[Any, Any]]) -> str:
    try:
        found = read_through(path)
    except GridloomError:
        return "error"
    same = set(found) == set(good) and all(found[name].tobytes() == values.tobytes() for name, values in good.items())
    return "same" if same else "wrong"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"XX\x08" + b"\x01\x00\x00" * 2 + b"x",
        b"ZL\x08" + b"\xff\x00\x00" * 2,
        b"L4\x01" + b"\x0c\x00\x00\x04\x00\x00" + bytes(12),
    ],
)
def test_blocks_that_are_no_blocks(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"method|bytes|checksum"):
        Decompressor()(memoryview(block), 4)


@pytest.mark.data
def test_damage_in_the_pages_of_an_rntuple(tmp_path: Path) -> None:
    """ROOT writes a checksum after each page, whatever it is compressed with: nothing wrong comes through."""
    (original,) = (Path(os.environ["GRIDLOOM_TEST_DATA"]) / "rntuple").glob("Run2012BC_*.root")
    path = tmp_path / "x.root"
    with uproot.open(original) as file:
        pages = [page for column in file["Events"].page_link_list[0] for page in column.pages]
    assert all(page.has_checksum for page in pages)
    content = original.read_bytes()
    path.write_bytes(content)
    assert read_through(path)
    random = np.random.default_rng(3)
    for page in pages * 8:
        damaged = bytearray(content)
        damaged[int(page.locator.offset) + int(random.integers(page.locator.num_bytes))] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            read_through(path)
