"""Tries an image: a whole small run inside it, as jobs run there, without network and with nothing else to write to."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.containers.enclosure import Enclosure
from gridloom.containers.failures import explain, own_words
from gridloom.containers.here import Start, find, start
from gridloom.environment import worker_variables
from gridloom.errors import ImageProblem
from gridloom.images.failures import last_lines
from gridloom.sites.models import Container

_PATIENCE = 3600  # seconds; emulated processors are slow
_FOLDER, _TEMPORARY = "work", "tmp"


class _Answer(BaseModel):
    """What `gridloom.testing.trial` prints."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    auc: float
    digest: str
    seconds: float
    architecture: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came out of a trial: `digest` is of all networks; `start` are the seconds before Gridloom began."""

    image: str
    runtime: str
    auc: float
    digest: str
    seconds: float
    start: float
    architecture: str


def check(image: str, runtime: str = "auto") -> Trial:
    """Try an image on this machine. Raises ImageProblem when anything in it fails."""
    found = find((image,), runtime)
    with tempfile.TemporaryDirectory(prefix="gridloom-trial-") as name:
        folder = Path(name).resolve()
        for inner in (_FOLDER, _TEMPORARY):
            (folder / inner).mkdir()
        begun = start(found, _enclosure(image, folder), {**os.environ, **worker_variables(1)}, {})
        clock = time.perf_counter()
        done = _run(begun)
        taken = time.perf_counter() - clock
    if done.returncode:
        raise explain(found.runtime.name, image, done.stderr) or ImageProblem(
            f"the trial in it failed: {own_words(done.stderr)}", where=image, fix=last_lines(done.stderr)
        )
    try:
        answer = _Answer.model_validate_json(done.stdout.strip().rpartition("\n")[2])
    except ValidationError as error:
        raise ImageProblem(
            "the trial in it gave no answer", where=image, fix="Build it anew with this version of Gridloom."
        ) from error
    return Trial(
        image=image, runtime=found.runtime.name, start=taken - answer.seconds, **answer.model_dump(mode="python")
    )


def _enclosure(image: str, folder: Path) -> Enclosure:
    work = str(folder / _FOLDER)
    return Enclosure(
        image=image,
        command=(Container(image=(image,)).python, "-m", "gridloom.testing.trial", work),
        folder=work,
        writes=(work,),
        temporary=str(folder / _TEMPORARY),
        name=f"gridloom-trial-{secrets.token_hex(4)}",
    )


def _run(begun: Start) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            begun.argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=begun.environment,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ImageProblem(f"the trial in it took more than {_PATIENCE} s", where=begun.argv[0]) from error
    finally:
        if begun.kill:
            # It is gone already, unless something went wrong.
            subprocess.run(begun.kill, env=begun.environment, capture_output=True, check=False)
