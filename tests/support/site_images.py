"""The image in all its forms, built once for all tests that run in it."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whole_runs import command


@dataclass(frozen=True, kw_only=True)
class Images:
    """Docker's name, the SIF file and the directory of one image; what its build said, and for how many seconds."""

    docker: str
    sif: Path
    directory: Path
    said: str
    told: str
    seconds: float

    @property
    def all(self) -> tuple[str, ...]:
        return self.docker, str(self.sif), str(self.directory)


@functools.cache
def built_images() -> Images:
    """Build the image in all forms, in the testbed's folder, which its ordinary user can read."""
    out = Path(os.environ["GRIDLOOM_TESTBED"], "images")
    forms = [word for form in ("docker", "sif", "directory") for word in ("--to", form)]
    begun = time.monotonic()
    done = image("build", *forms, "--tag", "gridloom:test", "--out", out)
    assert done.returncode == 0, done.stderr
    return Images(
        docker="gridloom:test",
        sif=out / "gridloom-test.sif",
        directory=out / "gridloom-test",
        said=done.stdout,
        told=done.stderr,
        seconds=time.monotonic() - begun,
    )


def image(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`gridloom image ...`, to its end."""
    done = subprocess.run(
        command("image", *arguments),
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def output(*words: str | Path, cwd: Path | None = None, code: int = 0) -> str:
    """What a program prints, that ends with this code."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=1200, check=False, cwd=cwd
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def as_user(*words: str | Path) -> Sequence[str]:
    """A command as the testbed's ordinary user."""
    user = os.environ["GRIDLOOM_TESTBED_USER"]
    home = Path(os.environ["GRIDLOOM_TESTBED"], "home")
    become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "env", f"HOME={home}"]
    return [*become, *map(str, words)]
