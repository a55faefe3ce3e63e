"""The examples of `examples/scores`, compiled and run: ROOT, RDataFrame, C++ with ONNX Runtime, LiteRT."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import uproot
from alone import ROOT as PROJECT
from alone import environment_with, headers_of_onnxruntime, lonely_python
from scored_run import analysis_of
from whole_runs import Run

from gridloom.data.dataset import open_dataset
from gridloom.prediction.friend import write_friend
from gridloom.training.feed import as_inputs

EXAMPLES = PROJECT / "examples" / "scores"
EVENTS = 300
Arrays = dict[str, npt.NDArray[Any]]


def call(*words: str | Path, stdin: str | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=600, check=False, input=stdin
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def friend(exported: Path, folder: Path) -> Arrays:
    assert exported.is_dir()
    with uproot.open(folder / "friends/signal.scores.root") as file:
        found: Arrays = file["gridloom"].arrays(library="np")
        return found


@pytest.fixture(scope="module")
def root() -> str:
    """A Python with ROOT, in an environment of its own: the wheel is a pre-release."""
    return environment_with("ROOT", prerelease=True)


@pytest.fixture(scope="module")
def events(run: Run) -> tuple[Arrays, npt.NDArray[np.float32]]:
    """Inputs and ids of some events, and their scores in the report."""
    dataset = open_dataset(analysis_of(run), run.results("prepare"))
    rows = np.linspace(0, len(dataset) - 1, EVENTS).astype(np.int64)
    scores = np.load(run.results("evaluate")[0] / "scores.npy")[rows]
    return {**as_inputs(dataset.inputs(rows)), "event_id": dataset.ids(rows)}, scores


def test_rdataframe_reads_a_friend(root: str, folder: Path, friend: Arrays) -> None:
    files = (folder / "signal.root", folder / "friends/signal.scores.root")
    said = call(root, EXAMPLES / "friend.py", *files, "score_tt_b")
    selected = friend["score_tt_b"] >= 0
    with uproot.open(folder / "signal.root") as file:
        met = file["Events"]["MET_pt"].array(library="np")
    found = [float(line.split()[-1]) for line in said.splitlines()]
    scores = friend["score_tt_b"].astype(np.float64)
    expected = [selected.sum(), scores[selected].mean(), met[scores > 0.5].mean(dtype=np.float64)]
    assert found == pytest.approx(expected, rel=1e-4)


def test_plain_root_reads_a_friend(root: str, folder: Path, friend: Arrays) -> None:
    """The macro, compiled by ROOT's own interpreter."""
    script = (
        "import sys, ROOT; ROOT.gROOT.LoadMacro(sys.argv[1]); ROOT.scores(sys.argv[2], sys.argv[3], sys.argv[4]); "
        "sys.stdout.flush()"
    )
    files = (folder / "signal.root", folder / "friends/signal.scores.root")
    said = call(root, "-c", script, EXAMPLES / "scores.C", *files, "score_tt_b")
    selected = friend["score_tt_b"] >= 0
    assert f"entries 500, selected {selected.sum()}, mean score" in said
    assert f"in fold 0 {(friend['fold'] == 0).sum()}" in said


def test_root_reads_an_rntuple_of_scores(root: str, tmp_path: Path, friend: Arrays) -> None:
    """What uproot wrote as an RNTuple, the friend's own records."""
    path = tmp_path / "rntuple.root"
    dtype = np.dtype([(name, values.dtype) for name, values in friend.items()])
    records = np.empty(len(friend["fold"]), dtype=dtype)
    for name, values in friend.items():
        records[name] = values
    write_friend(path, "gridloom", "rntuple", dtype, [records[:200], records[200:]], {})
    script = (
        "import sys, ROOT; frame = ROOT.RDataFrame('gridloom', sys.argv[1]); "
        "print(frame.Count().GetValue(), frame.Mean('score_tt_b').GetValue())"
    )
    count, mean = call(root, "-c", script, path).split()
    assert int(count) == 500
    assert float(mean) == pytest.approx(friend["score_tt_b"].mean(dtype=np.float64), abs=1e-6)


@pytest.mark.skipif(shutil.which("g++") is None or shutil.which("apt-get") is None, reason="needs g++ and apt-get")
def test_cpp_with_onnx_runtime(exported: Path, tmp_path: Path, events: tuple[Arrays, npt.NDArray[np.float32]]) -> None:
    python, _ = lonely_python("onnx")
    where = call(python, "-c", "import onnxruntime; print(onnxruntime.__path__[0])").strip()
    (library,) = (Path(where) / "capi").glob("libonnxruntime.so.1.*")
    include = headers_of_onnxruntime(tmp_path)
    program = tmp_path / "score"
    (tmp_path / "libonnxruntime.so.1").symlink_to(library)  # as an installation has it
    options = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-isystem{include}", f"-Wl,-rpath,{tmp_path}")
    call("g++", *options, EXAMPLES / "onnx.cpp", "-o", program, library)
    arrays, expected = events
    raw = [arrays[name].reshape(EVENTS, -1) for name in ("features", "jets", "jets_mask")]
    lines = [
        " ".join([*(str(word) for word in arrays["event_id"][row]), *(f"{x:.9g}" for part in raw for x in part[row])])
        for row in range(EVENTS)
    ]
    head, *said = call(program, exported / "scored.onnx", stdin="\n".join(lines) + "\n").splitlines()
    assert head == "# features 5 jets 6 jets_mask 3"
    found = np.array([[float(word) for word in line.split()] for line in said])
    assert np.isnan(arrays["features"]).any()
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)


def test_litert_alone(exported: Path, tmp_path: Path, events: tuple[Arrays, npt.NDArray[np.float32]]) -> None:
    python, _ = lonely_python("litert")
    arrays, expected = events
    np.savez(tmp_path / "events.npz", allow_pickle=False, **arrays)
    said = call(python, EXAMPLES / "litert.py", exported / "scored.tflite", tmp_path / "events.npz")
    found = np.array([[float(word) for word in line.split()] for line in said.splitlines()])
    np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)
