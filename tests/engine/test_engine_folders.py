"""Paths that schedulers are told have plain names; files of jobs are written whole folders at a time."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from batch_jobs import HOSTILE_NAMES, job, names, site
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.engines.batches import bundled
from gridloom.engines.folders import is_plain, plain_path, write_files
from gridloom.engines.htcondor import render
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.htcondor.render import Places
from gridloom.errors import NotWritable


def places_of(folder: Path) -> Mapping[str, str]:
    return {"XDG_STATE_HOME": str(folder / "state")}


def test_a_plain_folder_is_told_as_it_is(tmp_path: Path) -> None:
    assert plain_path(tmp_path, places_of(tmp_path)) == tmp_path
    assert not (tmp_path / "state").exists()


def test_a_relative_folder_is_told_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert plain_path(Path("runs")) == tmp_path / "runs"


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if name not in ("plain", "-n")])
def test_a_hostile_folder_is_told_by_a_link(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    link = plain_path(folder, places_of(tmp_path))
    assert is_plain(link)
    assert link.parent == tmp_path / "state" / "gridloom" / "links"
    (link / "file").write_text("seen through the link")
    assert (folder / "file").read_text() == "seen through the link"


def test_a_link_is_used_again_and_each_folder_has_its_own(tmp_path: Path) -> None:
    first, second = tmp_path / "a, b", tmp_path / "a b"
    link = plain_path(first, places_of(tmp_path))
    before = link.lstat().st_mtime_ns
    assert plain_path(first, places_of(tmp_path)) == link
    assert link.lstat().st_mtime_ns == before
    assert plain_path(second, places_of(tmp_path)) != link
    assert len(list(link.parent.iterdir())) == 2


def test_a_link_that_leads_elsewhere_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the next place is taken; without one it is said what stood in the way."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    link = plain_path(tmp_path / "a b", places_of(tmp_path))
    link.unlink()
    link.symlink_to(tmp_path)
    other = plain_path(tmp_path / "a b", places_of(tmp_path))
    assert other == tmp_path / "tmp" / f"gridloom-links-{os.getuid()}" / link.name
    assert other.readlink() == tmp_path / "a b"
    other.unlink()
    other.write_text("in the way")
    with pytest.raises(NotWritable, match=r"leads elsewhere; .*Invalid argument") as caught:
        plain_path(tmp_path / "a b", places_of(tmp_path))
    assert "--runs" in caught.value.fix


def test_no_place_for_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of links have hostile names, or are relative, themselves."""
    monkeypatch.setattr(tempfile, "tempdir", "relative/tmp")
    with pytest.raises(NotWritable, match="no link to it can be made"):
        plain_path(tmp_path / "a b", {"XDG_STATE_HOME": str(tmp_path / "c d")})


def test_the_users_own_folder_of_state_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert plain_path(tmp_path / "a b", {}).parent == tmp_path / ".local" / "state" / "gridloom" / "links"


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(names, min_size=1, max_size=3))
def test_a_path_told_to_htcondor_never_splits(parts: list[str]) -> None:
    """Whatever a folder is called, the description has the lines and commas that it has with a plain one."""
    with tempfile.TemporaryDirectory() as temporary:
        told = [plain_path(Path(temporary, *parts, end), {"XDG_STATE_HOME": temporary}) for end in ("logs", ".store")]
        assert all(re.fullmatch(r"[A-Za-z0-9._/+=@~-]+", str(path)) for path in told)
        texts = []
        for root, store in (told, (Path("/plain/logs"), Path("/plain/.store"))):
            where = Places(root=root, store=store, run="feed", kinds="")
            given_job = job("aa", inputs=("prepare-0", "prepare-1"), goes_on=True, code="c0de")
            (bundle,) = bundled([given_job], at_most=9, engine="htcondor")
            texts.append(
                render.submit_text(bundle, site(shared_folder=False), HTCondorOptions(), where)
                .replace(str(root), "ROOT")
                .replace(str(store), "STORE")
            )
        assert texts[0] == texts[1]


def test_files_are_written_below_the_folder(tmp_path: Path) -> None:
    write_files(tmp_path / "logs", {"a/task.json": b"1", "batch-a/submit.sub": b"2"})
    assert (tmp_path / "logs" / "a" / "task.json").read_bytes() == b"1"
    assert (tmp_path / "logs" / "batch-a" / "submit.sub").read_bytes() == b"2"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(NotWritable, match="cannot be written"):
        write_files(tmp_path / "logs", {"a/task.json": b"1"})
