"""What a job knows of its image, and that tidying up after a container never reaches what it was shown."""

from __future__ import annotations

import json
from pathlib import Path

from gridloom.results import Image
from gridloom.worker.inside import LABEL, empty_temporary, image


def test_no_image() -> None:
    assert image({}) is None


def test_the_digest_is_the_daemons_or_the_images_own(tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    told = {"GRIDLOOM_RUNTIME": "apptainer", "GRIDLOOM_IMAGE": "/x.sif"}
    assert image(told, labels) == Image(name="/x.sif", digest="", runtime="apptainer")
    labels.write_text(json.dumps({LABEL: "sha256:a"}))
    assert image(told, labels) == Image(name="/x.sif", digest="sha256:a", runtime="apptainer")
    assert image({**told, "GRIDLOOM_IMAGE_DIGEST": "sha256:b"}, labels) == Image(
        name="/x.sif", digest="sha256:b", runtime="apptainer"
    )
    labels.write_text("[1]")
    assert image(told, labels) == Image(name="/x.sif", digest="", runtime="apptainer")


def filled(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    return folder


def mounts(path: Path, place: str) -> Path:
    path.write_text(f"22 1 0:20 / /proc rw - proc proc rw\n30 1 8:1 /x {place} rw - ext4 /dev/sda rw\n")
    return path


def test_what_was_left_is_removed(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a b")
    empty_temporary(folder, mounts(tmp_path / "mounts", "/elsewhere"))
    assert not folder.exists()
    empty_temporary(folder)


def test_nothing_is_removed_where_anything_is_mounted(tmp_path: Path) -> None:
    folder = filled(tmp_path / "a b")
    for place in (folder, folder / "deep"):
        empty_temporary(folder, mounts(tmp_path / "mounts", str(place).replace(" ", "\\040")))
        assert (folder / "deep" / "file").exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    real = filled(tmp_path / "real")
    (tmp_path / "link").symlink_to(real)
    empty_temporary(tmp_path / "link")
    assert (real / "deep" / "file").exists()
