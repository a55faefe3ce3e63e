"""One ROOT file of a production: generated, reconstructed and written, from nothing but its description."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import uproot
from examples.simulation.events import reconstruct, signed
from examples.simulation.generator import Floats, generate
from examples.simulation.request import CHUNK, Job

# Branches of the collections in the file, with their types; the counters nJet and nLepton come with them.
COLLECTIONS = {
    "Jet": {
        "pt": "float32",
        "eta": "float32",
        "phi": "float32",
        "mass": "float32",
        "btag": "float32",
        "hadronFlavour": "int32",
        "partonFlavour": "int32",
    },
    "Lepton": {"pt": "float32", "eta": "float32", "phi": "float32", "charge": "int32", "pdgId": "int32"},
}
FLAT = {"MET_pt": "float32", "MET_phi": "float32", "genTtbarId": "int32", "GenHiggs_pt": "float32"}


def make(job: Job, folder: Path, progress: Callable[[int], None]) -> int:
    """Generate and write one file, whole or not at all; returns its size in bytes.

    `progress` hears how many more events are done. Raises RuntimeError if Pythia cannot start, OSError if the file
    cannot be written.
    """
    request, process = job.request, job.process
    random = np.random.default_rng(job.entropy)
    seed = int(random.integers(1, 900_000_001))  # the seeds that Pythia takes
    batches, weights, rows = [], [], []
    done = 0
    for particles in generate(process, events=job.events, seed=seed, interactions=request.interactions):
        selected = reconstruct(particles, skim=process.skim, detector=request.detector, random=random)
        batches.append(selected.columns)
        weights.append(particles.weight)
        rows.append(selected.rows + done)
        done += particles.events
        progress(particles.events)
    # The sums are those of the weights as stored, in single precision.
    weight = signed(np.concatenate(weights), request.signed, random).astype(np.float32).astype(np.float64)
    kept = np.concatenate(rows)
    events: dict[str, Any] = {
        "run": np.full(len(kept), process.run, dtype=np.uint32),
        "luminosityBlock": np.full(len(kept), job.number + 1, dtype=np.uint32),
        "event": (job.number * CHUNK + kept + 1).astype(np.uint64),
        "genWeight": weight[kept].astype(np.float32),
    }
    events |= {name: ak.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return write(folder / job.name, _typed(events), _sums(process.run, weight))


def write(path: Path, events: dict[str, Any], runs: dict[str, Any]) -> int:
    """Write the trees `Events` and `Runs` under a temporary name, then give the file its own; returns its size.

    The file's UUID is a digest of its content: made again from the same seed, it is the same file to whoever asks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    content = _digest({**events, **runs})
    identities = iter(range(1000))

    def identity() -> uuid.UUID:
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{content} {next(identities)}")

    try:
        with uproot.recreate(temporary, compression=uproot.ZLIB(1), uuid_function=identity) as file:
            for name, columns in (("Events", events), ("Runs", runs)):
                tree = file.mktree(name, {key: ak.type(values).content for key, values in columns.items()})
                tree.extend(columns)
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.stat().st_size


def _typed(events: dict[str, Any]) -> dict[str, Any]:
    """The columns in the file's types and order; fields that no branch is made of are dropped."""
    columns = {name: events[name] for name in ("run", "luminosityBlock", "event", "genWeight")}
    columns |= {name: ak.to_numpy(events[name]).astype(kind) for name, kind in FLAT.items()}
    for name, fields in COLLECTIONS.items():
        objects = {field: ak.values_astype(events[name][field], kind) for field, kind in fields.items()}
        columns[name] = ak.to_packed(ak.zip(objects))
    return columns


def _sums(run: int, weight: Floats) -> dict[str, Any]:
    """Sums over all generated events, written or not."""
    return {
        "run": np.array([run], dtype=np.uint32),
        "genEventCount": np.array([len(weight)], dtype=np.int64),
        "genEventSumw": np.array([weight.sum()]),
        "genEventSumw2": np.array([(weight**2).sum()]),
    }


def _digest(columns: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, values in columns.items():
        form, length, buffers = ak.to_buffers(ak.to_packed(ak.Array(values)))
        digest.update(f"{name} {form.to_json()} {length}".encode())
        for key in sorted(buffers):
            digest.update(np.ascontiguousarray(buffers[key]).tobytes())
    return digest.hexdigest()
