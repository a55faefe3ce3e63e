"""Exports run without Gridloom and Keras: an environment of its own, and what a physicist would write by hand."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).resolve().parent / "run_alone.py"
_PACKAGES = ("uproot", "onnxruntime", "ai-edge-litert")


def lonely_python(name: str) -> tuple[str, list[str]]:
    """A Python with the runtime of a format, and its options.

    TensorFlow cannot be installed without Keras: for it the script forbids its import.
    """
    return (sys.executable, ["-I"]) if name == "savedmodel" else (_environment(), ["-I"])


@functools.cache
def _environment() -> str:
    """A virtual environment with the runtimes alone, in the versions of the lock."""
    folder = Path(tempfile.mkdtemp(prefix="gridloom-alone-"))
    uv = str(Path(sys.executable).parent / "uv")
    lock = (ROOT / "requirements/lock.txt").read_text()
    wanted = [f"{name}=={_version(lock, name)}" for name in _PACKAGES]
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin/python")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *wanted], check=True)
    return python


def _version(lock: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}==(\S+)", lock, flags=re.MULTILINE)
    assert found is not None
    return found[1]
