"""What the system says of a full disk or a forbidden folder, in whatever words, becomes one error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from gridloom.errors import BranchType, DiskFull, NotWritable
from gridloom.files import full_disk_named, write_text, writing


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "no space left in your quota"),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), "a file may not grow any more"),
        (OSError("4096 requested and 120 written"), "no space left on the disk"),  # NumPy
        (RuntimeError("write failed: No space left on device; /x/events"), "no space left on the disk"),  # TensorFlow
    ],
)
def test_no_space(error: Exception, says: str) -> None:
    with pytest.raises(DiskFull, match=says) as caught, full_disk_named(Path("here")):
        raise error
    assert caught.value.where == "here"
    assert "gridloom clean" in caught.value.fix


@pytest.mark.parametrize("error", [OSError("no number"), ValueError("other"), BranchType("No space left on device")])
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, writing(Path("here")):
        raise error
    assert caught.value is error


def test_something_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(NotWritable, match="cannot be written") as caught:
        write_text(tmp_path / "runs" / "run.json", "{}")
    assert caught.value.where == str(tmp_path / "runs")
