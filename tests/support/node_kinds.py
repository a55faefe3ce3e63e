"""Kinds of tasks that do to a worker node's process what happens there: for `--kinds node_kinds:KINDS`."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from gridloom.errors import EnvironmentProblem
from gridloom.task import Context
from gridloom.testing import kinds


def run(context: Context) -> None:
    """Do what `do` says, or what the tiny kinds do."""
    deed = _DEEDS.get(str(context.task.parameters["do"]))
    if deed is None:
        kinds.run(context)
    else:
        deed(context)


def _illegal(_: Context) -> None:
    """What the system does to a process whose library was built for another processor."""
    os.kill(os.getpid(), signal.SIGILL)


def _where(context: Context) -> None:
    """Write what is found of the files, the inputs and the user's own modules."""
    copies = {path: copy for file in context.task.files for path, copy in file.copies.items()}
    sys.path.insert(0, context.task.folder)
    import own_module  # type: ignore[import-not-found]

    found = {
        "files": {path: Path(copy).read_text() for path, copy in copies.items()},
        "inputs": {name: (folder / "value.txt").read_text() for name, folder in context.inputs.items()},
        "own": own_module.TEXT,
        "threads": os.environ["OMP_NUM_THREADS"],
    }
    (context.output / "found.json").write_text(json.dumps(found))


def _fill(context: Context) -> None:
    """Write until the disk is full."""
    with (context.scratch / "filled").open("wb") as stream:
        for _ in range(1000):
            stream.write(b"x" * 1_000_000)
            stream.flush()


def _deaf(context: Context) -> None:
    """Save once, then listen to nobody."""
    (context.scratch / "count").write_text("1")
    time.sleep(60)


def _unusable(_: Context) -> None:
    raise EnvironmentProblem("a library is missing", where="/opt", fix="Install it.")


def _bigger(_: Context) -> None:
    """Be killed while holding 300 MB, as the system does when memory runs out."""
    held = bytearray(300_000_000)
    held[::4096] = b"x" * len(held[::4096])
    os.kill(os.getpid(), signal.SIGKILL)


_DEEDS: dict[str, Callable[[Context], None]] = {
    "illegal": _illegal,
    "where": _where,
    "fill": _fill,
    "deaf": _deaf,
    "unusable": _unusable,
    "bigger": _bigger,
}
KINDS: dict[str, str] = dict.fromkeys(kinds.TINY, f"{__name__}:run")
