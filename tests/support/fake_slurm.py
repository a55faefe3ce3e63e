"""Slurm's commands as small shell scripts: they write down how they were called, and say what tests tell them to."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "sacct")
_SCRIPT = """\
#!/bin/sh
here={here}
name=$(basename "$0")
{{ for word in "$@"; do printf '%s\\t' "$word"; done; echo; }} >> "$here/$name.calls"
env > "$here/$name.env"
if [ "$name" = sbatch ]; then cat > "$here/sbatch.stdin"; fi
if [ -f "$here/$name.sleep" ]; then exec sleep "$(cat "$here/$name.sleep")"; fi
out="$here/$name.out"
if [ -f "$here/$name.words" ]; then
  for word in "$@"; do
    for_word="$here/$name.$(printf %s "$word" | tr -c A-Za-z0-9 _)"
    if [ -f "$for_word" ]; then out=$for_word; fi
  done
fi
cat "$out"
cat "$here/$name.err" >&2
exit "$(cat "$here/$name.code")"
"""
NO_ACCOUNTING = "Slurm accounting storage is disabled\n"


@dataclass
class FakeSlurm:
    """Commands in `folder`, which stands first on the PATH."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        for name in _COMMANDS:
            script = self.folder / name
            script.write_text(_SCRIPT.format(here=self.folder))
            script.chmod(0o755)
            self.says(name)
        self.says("squeue", json.dumps({"jobs": []}))
        self.says("sacct", err=NO_ACCOUNTING, code=1)
        self.says("sbatch", "54\n")

    def says(self, name: str, out: str = "", *, err: str = "", code: int = 0) -> None:
        for kind, text in (("out", out), ("err", err), ("code", str(code))):
            (self.folder / f"{name}.{kind}").write_text(text)

    def says_to(self, name: str, word: str, out: str) -> None:
        """Another answer for calls with this word."""
        plain = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in word)
        (self.folder / f"{name}.{plain}").write_text(out)
        (self.folder / f"{name}.words").touch()

    def is_slow(self, name: str, seconds: float) -> None:
        (self.folder / f"{name}.sleep").write_text(str(seconds))

    def has_queue(self, *records: Mapping[str, Any]) -> None:
        self.says("squeue", json.dumps({"jobs": [dict(record) for record in records]}))

    def accounts(self, *rows: Sequence[str]) -> None:
        self.says("sacct", "".join("|".join(row) + "\n" for row in rows))

    def calls(self, name: str) -> list[list[str]]:
        path = self.folder / f"{name}.calls"
        return [line.split("\t")[:-1] for line in path.read_text().splitlines()] if path.exists() else []

    def variables(self, name: str) -> dict[str, str]:
        lines = (self.folder / f"{name}.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    @property
    def script(self) -> str:
        return (self.folder / "sbatch.stdin").read_text()


def put_on_path(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{slurm.folder}{os.pathsep}{os.environ['PATH']}")


# --- records of `squeue --json` ---------------------------------------------------------------------------------------
def _set(number: int | None) -> dict[str, Any]:
    return {"set": number is not None, "infinite": False, "number": number or 0}


def record(
    state: str | Sequence[str],
    *,
    array: int = 54,
    element: int | None = None,
    waiting: str = "",
    reason: str = "None",
    node: str = "",
    code: int | None = 0,
    signal: int | None = None,
) -> dict[str, Any]:
    """A job as Slurm 24.11 describes it (seen on the testbed)."""
    return {
        "array_job_id": _set(array),
        "array_task_id": _set(element),
        "array_task_string": waiting,
        "job_id": array,
        "job_state": [state] if isinstance(state, str) else list(state),
        "state_reason": reason,
        "nodes": node,
        "exit_code": {
            "status": ["SUCCESS"],
            "return_code": _set(None if signal else code),
            "signal": {"id": _set(signal), "name": str(signal or "")},
        },
        "name": "gridloom-aa",
    }


def old_record(
    state: str,
    *,
    array: int = 54,
    element: int | None = None,
    waiting: str | None = None,
    reason: str = "None",
    node: str = "",
    status: int = 0,
) -> dict[str, Any]:
    """A job as Slurm 22.05 describes it: plain numbers, and the exit status as `wait` gives it."""
    return {
        "array_job_id": array,
        "array_task_id": element,
        "array_task_string": waiting,
        "job_id": array,
        "job_state": state,
        "state_reason": reason,
        "nodes": node,
        "exit_code": status,
        "name": "gridloom-aa",
    }
