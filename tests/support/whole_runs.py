"""Whole runs through the command line, as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uproot

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished `gridloom run`."""

    folder: Path
    store: Path
    output: str

    def results(self, kind: str) -> list[Path]:
        """Results of this run's tasks of a kind, in the order of the plan."""
        manifest = json.loads((self.folder / "run.json").read_text())
        names = [task if isinstance(task, str) else task["id"] for task in manifest["tasks"]]
        return [self.store / name for name in names if name.startswith(f"{kind}-")]

    def evaluation(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.results("evaluate")[0] / "evaluation.json").read_text())
        return found


def command(*arguments: str | Path) -> list[str]:
    """`gridloom ...` in the Python of the tests."""
    return [sys.executable, "-m", "gridloom", *map(str, arguments)]


def write_ntuple(path: Path, columns: Columns, tree: str = "Events") -> None:
    """Write one flat TTree."""
    with uproot.recreate(path) as file:
        file.mktree(tree, {name: values.dtype for name, values in columns.items()})
        file[tree].extend(dict(columns))


def write_analysis(path: Path, content: Mapping[str, Any]) -> Path:
    """JSON is YAML."""
    path.write_text(json.dumps(content, indent=1))
    return path


def run_analysis(analysis: Path, runs: Path, *options: str) -> Run:
    """Run an analysis file to its end and return where things are."""
    done = subprocess.run(
        command("run", analysis, "--runs", runs, *options),
        capture_output=True,
        text=True,
        timeout=1800,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return finished_run(runs, done.stdout + done.stderr)


def finished_run(runs: Path, output: str = "") -> Run:
    """The newest run in a folder of runs."""
    folders = sorted((path for path in runs.iterdir() if (path / "run.json").exists()), key=os.path.getmtime)
    return Run(folder=folders[-1], store=runs / ".store", output=output)


def ids(count: int, first: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Columns of an event id."""
    return {
        "run": np.ones(count, np.uint32),
        "luminosityBlock": np.ones(count, np.uint32),
        "event": np.arange(first, first + count, dtype=np.uint64),
    }


# Capabilities of root that reading and writing whatever the permissions say rests on.
_OVERRIDES = {"CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2}
_PR_CAPBSET_DROP = 24
_WITHOUT_OVERRIDES = f"""
import ctypes, os, sys
if os.geteuid() == 0:
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for capability in {tuple(_OVERRIDES.values())}:
        if prctl({_PR_CAPBSET_DROP}, capability, 0, 0, 0):
            sys.exit(f"capability {{capability}} cannot be dropped: {{os.strerror(ctypes.get_errno())}}")
os.execv(sys.argv[1], sys.argv[1:])
"""


def heeding_permissions(arguments: list[str]) -> list[str]:
    """A command that permissions hold for, also when the tests are run by root."""
    return [sys.executable, "-c", _WITHOUT_OVERRIDES, *arguments]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a command left: exit code, standard output, and what it said of errors."""

    code: int
    output: str
    told: str

    @property
    def errors(self) -> list[str]:
        """First lines of the errors."""
        return [line for line in self.told.splitlines() if line.startswith("error[")]


def environment() -> dict[str, str]:
    """For commands whose words are compared."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}


def answer_of(arguments: list[str], folder: Path) -> Answer:
    """Run a command in a folder; no traceback may reach the terminal."""
    done = subprocess.run(
        arguments,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment(),
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return Answer(code=done.returncode, output=done.stdout, told=done.stderr)
