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

from gridloom.analysis.load import load_analysis
from gridloom.catalogue import Catalogue
from gridloom.cli.predict import variations
from gridloom.data.folds import fold_of
from gridloom.data.shard import Shard
from gridloom.errors import (
    DamagedFile,
    GridloomError,
    InvalidValue,
    MissingBranch,
    MissingTree,
    NoFiles,
    Problems,
)
from gridloom.plan import mask
from gridloom.prediction.files import look
from gridloom.prediction.task import run as score_files
from gridloom.scoring import Group, Wanted, output_name
from gridloom.task import Context, Task
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


def wanted(*files: Path, **changes: Any) -> Wanted:
    return Wanted.model_validate({"files": tuple(map(str, files)), **changes})


def look_into(run: Run, asked: Wanted) -> tuple[Group, ...]:
    """What the command does before anything is scored, in this process."""
    analysis = load_analysis(run.folder / "analysis.yaml").analysis
    catalogue = Catalogue.model_validate_json((run.folder / "catalogue.json").read_bytes())
    return look(analysis, catalogue, asked, run.folder)


def refused(run: Run, asked: Wanted) -> tuple[GridloomError, ...]:
    """The errors of a look into the files."""
    with pytest.raises(GridloomError) as caught:
        look_into(run, asked)
    return caught.value.errors if isinstance(caught.value, Problems) else (caught.value,)


def scored(run: Run, asked: Wanted, output: Path) -> Arrays:
    """Score one file as a task does, in this process: what its friend tree holds."""
    (group,) = look_into(run, asked)
    inputs = {path.name: path for path in run.results("train")}
    parameters = {"analysis": mask(group.analysis, "predict"), "request": asked.request.model_dump(mode="json")}
    task = Task(
        kind="predict",
        label="score",
        parameters=parameters,
        inputs=tuple(inputs),
        files=group.files,
        folder=str(run.folder),
    )
    (output / "scratch").mkdir(parents=True)
    context = Context(
        task=task,
        inputs=inputs,
        output=output,
        scratch=output / "scratch",
        stop=lambda: False,
        progress=lambda _: None,
    )
    score_files(context)
    return scores(output / output_name(0), asked.request.tree)


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


def test_shuffled_folds_would_be_seen(run: Run, friends: Path) -> None:
    """The scores by the next fold's networks, which trained on the events, are others for nearly every event."""
    (shard,) = (Shard.open(path) for path in run.results("prepare") if Shard.open(path).statistics.sample == "signal")
    every = np.stack([np.load(path / "scores.npy") for path in run.results("train")])
    first = every.shape[1] - len(shard)  # the last sample by name
    found = scores(friends / "signal.scores.root")
    own = found["score_tt_b"][found["score_tt_b"] >= 0]
    rows = np.arange(len(shard))
    np.testing.assert_array_equal(own, every[shard.fold, first + rows, 0])
    assert (own != every[(shard.fold + 1) % 3, first + rows, 0]).mean() > 0.9


def test_every_entry_has_its_fold(friends: Path, folder: Path) -> None:
    for name in ("signal", "background", "data"):
        found = scores(friends / f"{name}.scores.root")
        np.testing.assert_array_equal(found["fold"], fold_of(ids(folder / f"{name}.root"), 3))


def test_events_of_a_new_file_are_scored_alike_in_any_batch(run: Run, friends: Path, tmp_path: Path) -> None:
    """A few of the same events, in another order: the same scores to the last bit, though batches differ."""
    columns = sample(3)
    whole = scores(friends / "data.scores.root")
    for number in (1, 40):
        order = np.random.default_rng(number).permutation(1500)[:number]
        few = write_tree(tmp_path / f"few{number}.root", {name: values[order] for name, values in columns.items()})
        found = scored(run, wanted(few), tmp_path / f"out{number}")
        for name, values in whole.items():
            np.testing.assert_array_equal(found[name], values[order])


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
    assert "3 of them there already" in said
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_file_that_exists_is_not_overwritten(run: Run, folder: Path, tmp_path: Path) -> None:
    """Replaced only when asked; by an RNTuple of another name here, which holds the same."""
    path = tmp_path / "signal.scores.root"
    path.write_text("precious")
    options = ("--out", tmp_path, "--format", "rntuple", "--name", "nn")
    said = predict(run, folder / "signal.root", *options, code=56)
    assert "error[NotWritable]" in said
    assert "--replace" in said
    assert path.read_text() == "precious"
    predict(run, folder / "signal.root", *options, "--replace")
    with uproot.open(path) as file:
        assert file.classnames()["nn;1"] == "ROOT::RNTuple"
    assert len(scores(path, "nn")["fold"]) == 500


def test_rntuple_holds_the_same(run: Run, friends: Path, folder: Path, tmp_path: Path) -> None:
    asked = wanted(folder / "signal.root", request={"format": "rntuple"})
    found = scored(run, asked, tmp_path)
    for name, values in scores(friends / "signal.scores.root").items():
        np.testing.assert_array_equal(found[name], values)


def test_a_variation_by_branches_keeps_the_fold(run: Run, friends: Path, folder: Path, tmp_path: Path) -> None:
    """Selection and features change, ids do not; what the variation gives is what a file with these values gives."""
    columns = sample(1)
    varied = {**columns, "MET_pt_up": columns["MET_pt"] * 1.3, "event_up": columns["event"] + 1}
    both = write_tree(tmp_path / "varied.root", varied)
    only = write_tree(tmp_path / "only.root", {**columns, "MET_pt": varied["MET_pt_up"]})
    predict(run, both, "--out", tmp_path, "--vary", "up:MET_pt=MET_pt_up")
    found, expected = scores(tmp_path / "varied.scores.root"), scored(run, wanted(only), tmp_path / "only")
    nominal = scores(friends / "signal.scores.root")
    np.testing.assert_array_equal(found["score_tt_b_up"], expected["score_tt_b"])
    np.testing.assert_array_equal(found["score_tt_b"], nominal["score_tt_b"])
    np.testing.assert_array_equal(found["fold"], nominal["fold"])
    assert ((found["score_tt_b_up"] >= 0) != (found["score_tt_b"] >= 0)).any()
    idle = {"variations": [{"name": "id", "branches": {"event": "event_up"}}]}
    (error,) = refused(run, wanted(both, request=idle))
    assert isinstance(error, InvalidValue)
    assert "no selection and no feature reads" in error.what


def test_a_variation_by_files_has_the_folds_of_the_nominal_ones(run: Run, folder: Path, tmp_path: Path) -> None:
    """A file of varied events without ids: they are those of the nominal file, entry by entry."""
    bare = write_tree(tmp_path / "no ids.root", without(sample(1), "event"))
    (error,) = refused(run, wanted(bare))
    assert isinstance(error, MissingBranch)
    nominal = folder / "signal.root"
    asked = wanted(bare, nominal=[str(nominal)], request={"nominal": True})
    found = scored(run, asked, tmp_path / "out")
    np.testing.assert_array_equal(found["fold"], fold_of(ids(nominal), 3))
    (error,) = refused(run, wanted(bare, nominal=[str(folder / "data.root")], request={"nominal": True}))
    assert "1,500 entries" in error.what


def test_what_is_wrong_with_files_is_told_at_once(run: Run, folder: Path, tmp_path: Path) -> None:
    """Missing branches, other types, a damaged file: all before anything is scored, and nothing is written."""
    columns = sample(1)
    files = [
        write_tree(tmp_path / "lacks.root", without(columns, "MET_pt")),
        write_tree(tmp_path / "text.root", {**columns, "Lepton_pt": ak.Array(["high"] * 500)}),
        tmp_path / "cut.root",
    ]
    files[2].write_bytes((folder / "signal.root").read_bytes()[:5000])
    said = predict(run, *files, "--out", tmp_path / "nothing", code=21)
    for words in ("`MET_pt`", "`Lepton_pt` holds text", "cut.root: the file is truncated"):
        assert words in said
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_changed_since_the_run_is_told(run: Run, folder: Path, tmp_path: Path) -> None:
    """An entry count that differs from the run's."""
    kept = tmp_path / "data.root"
    shutil.copy2(folder / "data.root", kept)
    write_sample(folder / "data.root", events=700, seed=9, first_event=90_000)
    try:
        (error,) = refused(run, wanted(folder / "data.root"))
        assert isinstance(error, DamagedFile)
        assert "700 entries; the run has read 1,500" in error.what
        assert "--fresh" in error.fix
        (group,) = look_into(run, wanted(folder / "data.root", fresh=True))
        assert group.files[0].entries == 700
    finally:
        shutil.copy2(kept, folder / "data.root")


def test_damage_in_the_middle_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    path = damage_basket(write_sample(tmp_path / "damaged.root", events=500, seed=4), "MET_pt")
    said = predict(run, path, "--out", tmp_path / "out", code=21)
    assert "damaged.root" in said
    assert not list((tmp_path / "out").iterdir())


def test_unknown_names_and_wrong_options_are_told(run: Run, folder: Path, tmp_path: Path) -> None:
    (error,) = refused(run, wanted(folder / "nowhere.root"))
    assert (type(error), "the current folder" in error.fix) == (NoFiles, True)
    (error,) = refused(run, wanted(folder / "signal.root", like="signa"))
    assert "Did you mean `signal`" in error.fix
    (error,) = refused(run, wanted(folder / "signal.root", tree="Event"))
    assert isinstance(error, MissingTree)
    (error,) = refused(run, wanted(folder / "signal.root", friends=[[str(folder / "data.root")]]))
    assert "reads 0 friend trees" in error.what
    with pytest.raises(InvalidValue, match="is no variation"):
        variations(["up"])


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
