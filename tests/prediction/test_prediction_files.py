"""`gridloom predict` from the outside: exact scores, entry for entry; variations; what is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pytest
import uproot
from small_disk import small_disk
from whole_runs import Run, command, environment

from gridloom.data.folds import fold_of
from gridloom.data.shard import Shard
from gridloom.testing.ntuples import Columns, damage_basket, make_events, write_sample, write_tree

Arrays = dict[str, npt.NDArray[Any]]


def predict(run: Run, *arguments: str | Path, code: int = 0) -> str:
    """Run the command; its output, errors included."""
    done = subprocess.run(
        command("predict", run.folder, *arguments, "--jobs", "1"),
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(),
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def scores(path: Path, tree: str = "gridloom") -> Arrays:
    with uproot.open(path) as file:
        found: Arrays = file[tree].arrays(library="np")
        return found


def ids(path: Path) -> npt.NDArray[np.uint64]:
    with uproot.open(path) as file:
        columns = file["Events"].arrays(["run", "luminosityBlock", "event"], library="np")
    return np.stack([columns[name].astype(np.uint64) for name in ("run", "luminosityBlock", "event")], axis=1)


def sample(seed: int) -> Columns:
    """The events of the run's file that was made with this seed."""
    return make_events(500 * seed, seed=seed, signal=seed == 1, first_event=seed * 10_000)


def without(columns: Columns, name: str) -> Columns:
    return {key: values for key, values in columns.items() if key != name}


@pytest.fixture(scope="session")
def friends(run: Run, folder: Path) -> Path:
    """The friend trees of the run's own files."""
    out = folder / "friends"
    predict(run, folder / "signal.root", folder / "background.root", folder / "data.root", "--out", out)
    return out


def test_training_files_get_exactly_the_scores_of_the_report(run: Run, friends: Path) -> None:
    """Entry for entry, collision data included; events outside the selection get -1 and their fold all the same."""
    own = np.load(run.results("evaluate")[0] / "scores.npy")
    row = 0
    for result in run.results("prepare"):
        shard = Shard.open(result)
        found = scores(friends / f"{shard.statistics.sample}.scores.root")
        selected = found["score_tt_b"] >= 0
        expected = own[row : row + len(shard)]
        row += len(shard)
        assert 0 < selected.sum() == len(shard) < len(selected)
        np.testing.assert_array_equal(np.stack([found["score_tt_b"], found["score_tt"]], axis=1)[selected], expected)
        np.testing.assert_array_equal(found["fold"][selected], shard.fold)
        assert (found["score_tt"][~selected] == -1).all()
    assert row == len(own)


def test_every_entry_has_its_fold(friends: Path, folder: Path) -> None:
    for name in ("signal", "background", "data"):
        found = scores(friends / f"{name}.scores.root")
        np.testing.assert_array_equal(found["fold"], fold_of(ids(folder / f"{name}.root"), 3))


def test_events_of_a_new_file_are_scored_alike_in_any_batch(run: Run, friends: Path, folder: Path) -> None:
    """The same events one by one, in another order: the same scores to the last bit, though batches differ."""
    columns = sample(3)
    order = np.random.default_rng(1).permutation(1500)[:40]
    write_tree(folder / "few.root", {name: values[order] for name, values in columns.items()})
    predict(run, folder / "few.root", "--out", folder / "few")
    found, whole = scores(folder / "few/few.scores.root"), scores(friends / "data.scores.root")
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name][order])


def test_a_friend_opens_beside_its_events(friends: Path, folder: Path) -> None:
    with uproot.open(folder / "signal.root") as events, uproot.open(friends / "signal.scores.root") as friend:
        assert friend["gridloom"].num_entries == events["Events"].num_entries
        told = json.loads(str(friend["gridloom_provenance"]))
    assert told["file"]["entries"] == 500
    assert len(told["models"]) == 3
    assert isinstance(ak.Array(scores(friends / "signal.scores.root")), ak.Array)


def test_the_same_command_again_has_nothing_to_do(run: Run, friends: Path, folder: Path) -> None:
    path = friends / "signal.scores.root"
    before = path.stat()
    said = predict(run, folder / "signal.root", folder / "background.root", folder / "data.root", "--out", friends)
    assert "3 of them as they were" in said
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_that_exists_is_not_overwritten(run: Run, folder: Path) -> None:
    out = folder / "taken"
    out.mkdir()
    (out / "signal.scores.root").write_text("precious")
    said = predict(run, folder / "signal.root", "--out", out, code=56)
    assert "error[NotWritable]" in said
    assert "--replace" in said
    assert (out / "signal.scores.root").read_text() == "precious"
    predict(run, folder / "signal.root", "--out", out, "--replace")
    assert len(scores(out / "signal.scores.root")["fold"]) == 500


def test_rntuple_holds_the_same(run: Run, friends: Path, folder: Path) -> None:
    predict(run, folder / "signal.root", "--out", folder / "rntuple", "--format", "rntuple", "--name", "nn")
    with uproot.open(folder / "rntuple/signal.scores.root") as file:
        assert file.classnames()["nn;1"] == "ROOT::RNTuple"
    found, expected = scores(folder / "rntuple/signal.scores.root", "nn"), scores(friends / "signal.scores.root")
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_variation_by_branches_keeps_the_fold(run: Run, friends: Path, folder: Path) -> None:
    """Selection and features change, ids do not; what the variation gives is what a file with these values gives."""
    columns = sample(1)
    varied = {**columns, "MET_pt_up": columns["MET_pt"] * 1.3, "event_up": columns["event"] + 1}
    write_tree(folder / "varied.root", varied)
    write_tree(folder / "only.root", {**columns, "MET_pt": varied["MET_pt_up"]})
    predict(run, folder / "varied.root", "--out", folder / "vary", "--vary", "up:MET_pt=MET_pt_up")
    predict(run, folder / "only.root", "--out", folder / "vary")
    found, expected = scores(folder / "vary/varied.scores.root"), scores(folder / "vary/only.scores.root")
    nominal = scores(friends / "signal.scores.root")
    np.testing.assert_array_equal(found["score_tt_b_up"], expected["score_tt_b"])
    np.testing.assert_array_equal(found["score_tt_b"], nominal["score_tt_b"])
    np.testing.assert_array_equal(found["fold"], nominal["fold"])
    assert ((found["score_tt_b_up"] >= 0) != (found["score_tt_b"] >= 0)).any()
    said = predict(run, folder / "varied.root", "--out", folder / "vary", "--vary", "id:event=event_up", code=12)
    assert "no selection and no feature reads" in said


def test_a_variation_by_files_has_the_folds_of_the_nominal_ones(run: Run, folder: Path) -> None:
    """A file of varied events without ids: they are those of the nominal file, entry by entry."""
    write_tree(folder / "no ids.root", without(sample(1), "event"))
    said = predict(run, folder / "no ids.root", "--out", folder / "by files", code=24)
    assert "`event`" in said
    predict(run, folder / "no ids.root", "--out", folder / "by files", "--nominal", folder / "signal.root")
    found = scores(folder / "by files/no ids.scores.root")
    np.testing.assert_array_equal(found["fold"], fold_of(ids(folder / "signal.root"), 3))
    said = predict(run, folder / "no ids.root", "--out", folder / "x", "--nominal", folder / "data.root", code=12)
    assert "1,500 entries" in said


def test_what_is_wrong_with_files_is_told_at_once(run: Run, folder: Path) -> None:
    """Missing branches, other types, a damaged file: all before anything is scored, and nothing is written."""
    columns = sample(1)
    write_tree(folder / "lacks.root", without(columns, "MET_pt"))
    write_tree(folder / "text.root", {**columns, "Lepton_pt": ak.Array(["high"] * 500)})
    (folder / "cut.root").write_bytes((folder / "signal.root").read_bytes()[:5000])
    files = [folder / f"{name}.root" for name in ("lacks", "text", "cut")]
    said = predict(run, *files, "--out", folder / "nothing", code=21)
    for words in ("`MET_pt`", "`Lepton_pt` holds text", "cut.root: the file is truncated"):
        assert words in said
    assert not (folder / "nothing").exists()


def test_a_file_that_changed_since_the_run_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    """An entry count that differs from the run's."""
    kept = tmp_path / "data.root"
    shutil.copy2(folder / "data.root", kept)
    write_sample(folder / "data.root", events=700, seed=9, first_event=90_000)
    try:
        said = predict(run, folder / "data.root", "--out", tmp_path / "out", code=21)
        assert "700 entries; the run has read 1,500" in said
        predict(run, folder / "data.root", "--out", tmp_path / "out", "--fresh")
        assert len(scores(tmp_path / "out/data.scores.root")["fold"]) == 700
    finally:
        shutil.copy2(kept, folder / "data.root")


def test_damage_in_the_middle_leaves_nothing_behind(run: Run, folder: Path) -> None:
    path = damage_basket(write_sample(folder / "damaged.root", events=500, seed=4), "MET_pt")
    said = predict(run, path, "--out", folder / "damaged", code=21)
    assert "damaged.root" in said
    assert not list((folder / "damaged").iterdir())


def test_unknown_runs_and_wrong_options_are_told(run: Run, folder: Path) -> None:
    assert "no file" in predict(run, folder / "nowhere.root", code=20)
    assert "Did you mean `signal`" in predict(run, folder / "signal.root", "--like", "signa", code=54)
    assert "is no variation" in predict(run, folder / "signal.root", "--vary", "up", code=12)
    assert "`Events`" in predict(run, folder / "signal.root", "--tree", "Event", code=22)


@pytest.fixture(scope="session")
def big(folder: Path) -> Path:
    """A file whose scoring lasts a while."""
    return write_sample(folder / "big.root", events=300_000, seed=7, first_event=1_000_000)


def test_a_full_disk_leaves_nothing_half_written(run: Run, big: Path) -> None:
    """No room where the friend trees are put: told, nothing there, and the scores are kept for the next try."""
    with small_disk() as disk:
        disk.leave(400_000)
        done = subprocess.run(
            disk.inside(command("predict", run.folder, big, "--out", disk.folder, "--jobs", "1")),
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert done.returncode == 50, done.stdout + done.stderr
        assert "error[DiskFull]" in done.stderr
        assert not list(disk.seen.glob("*.root"))
        assert not list(disk.seen.glob(".*.part"))
        disk.leave(None)
        said = predict(run, big, "--out", disk.seen)
        assert "[1/1]" not in said
        assert len(scores(disk.seen / "big.scores.root")["fold"]) == 300_000


def test_killed_and_resumed_there_is_every_entry_once(run: Run, big: Path, tmp_path: Path) -> None:
    """SIGKILL of the command and its workers at several moments; the result is that of an unbroken command."""
    predict(run, big, "--out", tmp_path / "whole")
    for delay in (3.0, 4.5, 6.0):
        process = subprocess.Popen(
            command("predict", run.folder, big, "--out", tmp_path / "broken"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
            start_new_session=True,
        )
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    predict(run, big, "--out", tmp_path / "broken")
    found, expected = scores(tmp_path / "broken/big.scores.root"), scores(tmp_path / "whole/big.scores.root")
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
