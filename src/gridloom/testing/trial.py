"""`python -m gridloom.testing.trial FOLDER`: a whole small run, from simulated ntuples to a report, and what came out.

It shows that an environment, such as a container image, can do everything; two environments whose digests agree have
trained the same networks, bit for bit. The answer is one line of JSON on standard output.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from gridloom.errors import TaskFailed

ANALYSIS = """\
gridloom: 1
name: trial
samples:
  signal: {files: signal.root, class: signal, weight: 1}
  background: {files: background.root, class: background, weight: 1}
features: [MET_pt, Lepton_pt, nJet, "Sum$(Jet_pt)"]
target: {signal: signal}
event_id: [run, luminosityBlock, event]
folds: 3
training: {epochs: 3, batch: 256}
evaluation: {bootstrap: 20, reference: false}
"""
_EVENTS = 2000
_LINES = 20


def main(folder: Path) -> str:
    """Do the trial in a folder of its own; JSON with AUC, digest of the networks, seconds. Raises TaskFailed."""
    begun = time.perf_counter()
    from gridloom.testing.ntuples import write_sample

    folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, signal) in enumerate((("signal", True), ("background", False)), start=1):
        write_sample(folder / f"{name}.root", events=_EVENTS, seed=seed, signal=signal, first_event=seed * _EVENTS)
    (folder / "analysis.yaml").write_text(ANALYSIS)
    runs = folder / "runs"
    command = [sys.executable, "-m", "gridloom", "run", str(folder / "analysis.yaml"), "--runs", str(runs), "-j", "1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        words = "\n".join((done.stdout + done.stderr).splitlines()[-_LINES:])
        raise TaskFailed(f"the trial's run ended with exit code {done.returncode}", where=str(folder), fix=words)
    return json.dumps(
        {
            "auc": _auc(runs),
            "digest": _digest(runs),
            "seconds": time.perf_counter() - begun,
            "architecture": platform.machine(),
        }
    )


def _auc(runs: Path) -> float:
    (path,) = runs.glob(".store/evaluate-*/evaluation.json")
    found = json.loads(path.read_text())["discriminations"][0]
    return float(found["test_area"]["value"])


def _digest(runs: Path) -> str:
    """Of the weights of all folds' networks, bit by bit."""
    digest = hashlib.sha256()
    # By fold: the names of results depend on the files, which differ each time in their UUIDs.
    for folder in sorted(runs.glob(".store/train-*"), key=lambda path: (path / "fold.json").read_text()):
        with zipfile.ZipFile(folder / "model.keras") as archive:
            digest.update(archive.read("model.weights.h5"))
    return digest.hexdigest()


if __name__ == "__main__":
    sys.stdout.write(main(Path(sys.argv[1])) + "\n")
