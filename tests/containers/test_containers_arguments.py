"""Command lines of the runtimes: golden, and whatever a path is called, it arrives as it was written."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import names
from golden import compare_files
from hypothesis import given
from hypothesis import strategies as st

from gridloom.containers import RUNTIMES, Enclosure
from gridloom.containers.enclosure import mounts

GOLDEN = Path(__file__).parent / "golden"


def enclosure(**changes: Any) -> Enclosure:
    least: dict[str, Any] = {
        "image": "/images/gridloom.sif",
        "command": ("/opt/gridloom/bin/python", "-m", "gridloom.worker"),
        "folder": "/work/runs",
        "writes": ("/work/runs",),
    }
    return Enclosure(**least | changes)


CASES = {
    "least": enclosure(),
    "all": enclosure(
        image="gridloom:0.1-cpu",
        reads=("/work", '/data/a, "b"'),
        temporary="/scratch/tmp",
        variables=("OMP_NUM_THREADS", "GRIDLOOM_IMAGE"),
        network=True,
        gpu=True,
        user="1001",
        group="1002",
        groups=("1002", "2000"),
        name="gridloom-1",
        options=("--userns",),
    ),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_command_lines_are_the_golden_ones(runtime: str) -> None:
    files = {
        f"{name}.txt": "".join(f"{word}\n" for word in RUNTIMES[runtime].arguments(case)).encode()
        for name, case in CASES.items()
    }
    compare_files(GOLDEN / runtime, files)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_network_and_gpu_only_where_asked_for(runtime: str) -> None:
    closed = " ".join(RUNTIMES[runtime].arguments(enclosure()))
    assert "--network none" in closed
    assert "nvidia" not in closed
    assert "--nv" not in closed
    assert "--gpus" not in closed
    opened = " ".join(RUNTIMES[runtime].arguments(enclosure(network=True, gpu=True)))
    assert "none" not in opened.replace("--log-driver none", "")
    assert any(word in opened for word in ("--nv", "--gpus all", "nvidia.com/gpu=all"))


paths = st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts))


@given(paths, st.booleans())
def test_any_path_is_mounted_as_it_is_written(path: str, writable: bool) -> None:
    place: dict[str, Any] = {"writes": (path,)} if writable else {"writes": (), "reads": (path,)}
    option, value = mounts(enclosure(**place), "ro")
    (fields,) = csv.reader(io.StringIO(value, newline=""))
    assert option == "--mount"
    # Go's reader, which the runtimes use, takes these fields as Python's does; but for a return before a line's end.
    assert fields == ["type=bind", f"source={path}", f"destination={path}", *([] if writable else ["ro"])]


def test_outer_folders_are_mounted_before_those_inside_and_writing_wins() -> None:
    case = enclosure(reads=("/a/b", "/z", "/a/c"), writes=("/a", "/a/c"), temporary="/t")
    values = [word for word in mounts(case, "ro") if word != "--mount"]
    places = [value.split('"destination=')[1].split('"')[0] for value in values]
    assert places == ["/a", "/a/b", "/a/c", "/tmp", "/z"]
    assert [value.endswith(",ro") for value in values] == [False, True, False, False, True]


def test_which_images_a_runtime_takes() -> None:
    taken = {
        image: [name for name, kind in RUNTIMES.items() if kind.takes(image)]
        for image in ("/x.sif", "/cvmfs/dir", "oras://host/x:1", "gridloom:0.1", "host/x/gridloom:0.1")
    }
    assert taken == {
        "/x.sif": ["apptainer"],
        "/cvmfs/dir": ["apptainer"],
        "oras://host/x:1": ["apptainer"],
        "gridloom:0.1": ["podman", "docker"],
        "host/x/gridloom:0.1": ["podman", "docker"],
    }
