"""Exports run without Gridloom and Keras: an environment of its own, and what a physicist would write by hand."""

from __future__ import annotations

import atexit
import functools
import re
import shutil
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
    if name == "savedmodel":
        return sys.executable, ["-I"]
    lock = (ROOT / "requirements/lock.txt").read_text()
    return environment_with(*(f"{package}=={_version(lock, package)}" for package in _PACKAGES)), ["-I"]


@functools.cache
def environment_with(*packages: str, prerelease: bool = False) -> str:
    """The Python of a virtual environment with these packages alone."""
    folder = Path(tempfile.mkdtemp(prefix="gridloom-alone-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    uv = str(Path(sys.executable).parent / "uv")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = str(folder / "bin/python")
    options = ["--prerelease", "allow"] if prerelease else []
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *options, *packages], check=True)
    return python


def headers_of_onnxruntime(folder: Path) -> Path:
    """The folder of ONNX Runtime's headers, from the distribution's package; it is unpacked, not installed.

    Debian has it from release 13 on: an older one takes it from there.
    """
    own: list[str] = []
    if subprocess.run(["apt-cache", "show", "libonnxruntime-dev"], capture_output=True, check=False).returncode:
        own = _sources_of_debian_13(folder)
        subprocess.run(["apt-get", *own, "-qq", "update"], check=True, capture_output=True)
    subprocess.run(["apt-get", *own, "download", "libonnxruntime-dev"], cwd=folder, check=True, capture_output=True)
    (package,) = folder.glob("libonnxruntime-dev_*.deb")
    subprocess.run(["dpkg-deb", "--extract", str(package), str(folder / "headers")], check=True)
    (header,) = (folder / "headers").rglob("onnxruntime_cxx_api.h")
    return header.parent


def _sources_of_debian_13(folder: Path) -> list[str]:
    """Options for apt-get: the mirror of this machine, another release, and folders of its own."""
    words = " ".join(path.read_text() for path in Path("/etc/apt").rglob("*") if path.suffix in (".list", ".sources"))
    lines = [line for line in words.splitlines() if not line.startswith("#")]
    (mirror, *_) = re.findall(r"https?://\S+/debian/?(?=\s|$)", "\n".join(lines))
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    sources = folder / "debian-13.list"
    sources.write_text(f"deb [signed-by={key}] {mirror} trixie main\n")
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _version(lock: str, name: str) -> str:
    found = re.search(rf"^{re.escape(name)}==(\S+)", lock, flags=re.MULTILINE)
    assert found is not None
    return found[1]
