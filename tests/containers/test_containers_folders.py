"""What a container is shown: the folders of files and of what links lead to, and never a system's own."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gridloom.analysis.load import load_analysis
from gridloom.containers.folders import of_analysis, of_files, of_task, without_inner
from gridloom.task import InputFile, Task

ANALYSIS = """\
gridloom: 1
name: toy
samples:
  s: {files: [DATA/*.root, "root://host//f.root", missing/deep/x.root], class: s, weight: 1}
  b: {files: DATA/b.root, class: b, weight: 1}
features: [x]
target: {signal: s}
event_id: [event]
"""


def test_links_are_shown_with_what_they_lead_to(tmp_path: Path) -> None:
    real, named = tmp_path / "real", tmp_path / "named"
    real.mkdir()
    named.mkdir()
    (real / "a.root").touch()
    (named / "a.root").symlink_to(real / "a.root")
    assert of_files([str(named / "a.root")]) == (str(named), str(real))
    assert of_files(["root://host//a.root"]) == ()


def test_a_file_right_below_a_system_folder_is_shown_alone() -> None:
    assert of_files(["/tmp/a.root", "/b.root", "/opt/data/c.root"]) == ("/b.root", "/opt/data", "/tmp/a.root")


def test_an_analysis_shows_its_folder_and_its_files_also_those_that_are_missing(tmp_path: Path) -> None:
    data, project = tmp_path / "data", tmp_path / "project"
    for folder in (data, project):
        folder.mkdir()
    (data / "b.root").touch()
    file = project / "a.yaml"
    file.write_text(ANALYSIS.replace("DATA", str(data)))
    assert of_analysis(load_analysis(file).analysis, project) == (str(data), str(project))


def test_a_task_shows_files_friends_and_code(tmp_path: Path) -> None:
    file = InputFile(path="/data/a/x.root", uuid="u", size=1, entries=1, friends=("/data/b/f.root",))
    task = Task(kind="train", label="t", files=(file,), folder=str(tmp_path))
    assert of_task(task, code="") == ("/data/a", "/data/b")
    mine = task.model_copy(update={"code": "digest"})
    assert of_task(mine, code="") == ("/data/a", "/data/b", str(tmp_path))
    assert of_task(mine, code="/snap") == ("/data/a", "/data/b", "/snap")


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))))
def test_nothing_inside_another_and_nothing_lost(folders: list[str]) -> None:
    kept = without_inner(folders)
    assert set(kept) <= set(folders)
    for folder in folders:
        assert sum(Path(folder).is_relative_to(outer) for outer in kept) == 1
