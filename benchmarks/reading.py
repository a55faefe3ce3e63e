"""Reading: flat branches to a row-major matrix, and lists to padded arrays, beside uproot and awkward.

    python benchmarks/reading.py [--events N] [--rounds N] [--out FILE]

Files of 32 float32 branches, in baskets of 1 MB and of 32 kB, by zlib, lz4 and zstd, and an RNTuple. Each round reads
every file in every way, one after the other; ratios are medians over rounds of CPU time, with one thread.

* `uproot`: `iterate`, columns copied into row-major blocks
* `gridloom`: columns by the direct reader (`gridloom.data.baskets`), made row-major strip by strip
* `columns`: the columns alone

Padding is of lists of about 38 objects with 4 features to (N, 40, 4): `ak.pad_none` against `gridloom.data.kernels`,
both from the same arrays in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import uproot

from gridloom.data import kernels
from gridloom.data.events import as_rows
from gridloom.data.rootfile import open_file, open_tree
from gridloom.data.trees import Columns

BRANCHES = 32
NAMES = [f"x{index}" for index in range(BRANCHES)]
STEP = 100_000
CODECS: Mapping[str, Any] = {"zlib": uproot.ZLIB(1), "lz4": uproot.LZ4(4), "zstd": uproot.ZSTD(5)}
BASKETS: Mapping[str, int] = {"1 MB": 250_000, "32 kB": 8_000}
OBJECTS, FEATURES = 40, 4

Matrix = npt.NDArray[np.float32]


def columns_of(events: int) -> dict[str, Matrix]:
    random = np.random.default_rng(1)
    return {f"x{index}": random.normal(size=events).astype(np.float32) for index in range(BRANCHES)}


def write_tree(path: Path, columns: Mapping[str, Matrix], codec: str, basket: int) -> None:
    with uproot.recreate(path, compression=CODECS[codec]) as file:
        tree = file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        for start in range(0, len(columns["x0"]), basket):
            tree.extend({name: values[start : start + basket] for name, values in columns.items()})


def write_ntuple(path: Path, columns: Mapping[str, Matrix], codec: str) -> None:
    with uproot.recreate(path, compression=CODECS[codec]) as file:
        file.mkrntuple("Events", dict(columns))


def by_uproot(path: Path) -> Iterator[Matrix]:
    """Row-major blocks, as one would make them by hand."""
    with uproot.open({path: None}) as file:
        for arrays in file["Events"].iterate(NAMES, step_size=STEP, library="np"):
            block = np.empty((len(arrays["x0"]), BRANCHES), dtype=np.float32)
            for index, name in enumerate(NAMES):
                block[:, index] = arrays[name]
            yield block


def by_gridloom(path: Path) -> Iterator[Matrix]:
    """Row-major blocks, as `gridloom run` makes them of features that are branches."""
    for columns in columns_in(path):
        yield as_rows([columns[name] for name in NAMES], len(columns["x0"]))


def columns_in(path: Path) -> Iterator[Columns]:
    with open_file(str(path)) as file:
        for chunk in open_tree(file, "Events", str(path)).chunks(NAMES, STEP):
            yield chunk.columns


def used_up(parts: Iterable[object]) -> None:
    """Read all, and keep one part at a time."""
    deque(parts, maxlen=0)


def seconds(way: Callable[[], object]) -> float:
    start = time.process_time()
    way()
    return time.process_time() - start


def rounds_of(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    for way in ways.values():
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(seconds(way))
    return found


def told(title: str, events: int, found: Mapping[str, list[float]], beside: str) -> dict[str, Any]:
    """Print a line per way, and give it as numbers: million events per CPU second, times `beside`."""
    result: dict[str, Any] = {}
    for name, taken in found.items():
        ratios = [base / own for base, own in zip(found[beside], taken, strict=True)]
        rate, ratio = events / statistics.median(taken) / 1e6, statistics.median(ratios)
        print(f"{title:16}{name:14}{rate:10.2f}{ratio:8.2f}  {min(ratios):.2f} to {max(ratios):.2f}")
        result[name] = {"mev_per_cpu_s": rate, "ratio": ratio, "range": [min(ratios), max(ratios)]}
    return result


def flat(events: int, rounds: int, folder: Path) -> dict[str, Any]:
    columns = columns_of(events)
    result: dict[str, Any] = {}
    for codec in CODECS:
        for size, basket in BASKETS.items():
            path = folder / "flat.root"
            write_tree(path, columns, codec, basket)
            for theirs, ours in zip(by_uproot(path), by_gridloom(path), strict=True):
                assert np.array_equal(theirs, ours)
            ways: dict[str, Callable[[], object]] = {
                "uproot": lambda path=path: used_up(by_uproot(path)),  # type: ignore[misc]
                "gridloom": lambda path=path: used_up(by_gridloom(path)),  # type: ignore[misc]
                "columns": lambda path=path: used_up(columns_in(path)),  # type: ignore[misc]
            }
            result[f"{codec}, {size}"] = told(f"{codec}, {size}", events, rounds_of(ways, rounds), "uproot")
        path = folder / "ntuple.root"
        write_ntuple(path, columns, codec)
        both: dict[str, Callable[[], object]] = {
            "uproot": lambda path=path: used_up(by_uproot(path)),  # type: ignore[misc]
            "gridloom": lambda path=path: used_up(by_gridloom(path)),  # type: ignore[misc]
            "columns": lambda path=path: used_up(columns_in(path)),  # type: ignore[misc]
        }
        result[f"{codec}, RNTuple"] = told(f"{codec}, RNTuple", events, rounds_of(both, rounds), "uproot")
    return result


def padding(events: int, rounds: int) -> dict[str, Any]:
    random = np.random.default_rng(2)
    counts = random.poisson(38, events)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    values = [random.normal(size=offsets[-1]).astype(np.float32) for _ in range(FEATURES)]
    lists = [ak.unflatten(content, counts) for content in values]
    nothing, everything = np.empty(0), np.empty(0, dtype=np.bool_)

    def by_awkward() -> Matrix:
        padded = [ak.fill_none(ak.pad_none(column, OBJECTS, clip=True), np.float32(0)) for column in lists]
        return np.stack([ak.to_numpy(column) for column in padded], axis=2)

    def by_kernels() -> Matrix:
        return kernels.pad(offsets, values, use=everything, keys=nothing, at_most=OBJECTS).objects

    assert np.array_equal(by_awkward(), by_kernels())
    return told(
        "padding", events, rounds_of({"ak.pad_none": by_awkward, "gridloom": by_kernels}, rounds), "ak.pad_none"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=None, help="write the figures as JSON")
    options = parser.parse_args()
    print(f"{'':16}{'':14}{'Mev/CPU-s':>10}{'ratio':>8}  range")
    with tempfile.TemporaryDirectory() as folder:
        found = flat(options.events, options.rounds, Path(folder))
    found["padding"] = padding(100_000, options.rounds)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
