"""Events from Pythia 8 as flat columns of particles, many events at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import pythia8mc
from examples.simulation.process import Process

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ENERGY = 13_000.0  # GeV, proton on proton
BATCH = 1000  # events held in memory at a time, about 100 kB each


@dataclass(frozen=True, kw_only=True)
class Particles:
    """The event records of n events, their particles one after the other.

    `starts` (n + 1) bounds each event's particles; `first` and `last` are a particle's first and last mother as
    positions in these columns (the record's own entry 0 stands for `none`). Momenta in GeV, `weight` (n).
    """

    starts: Ints
    id: Ints
    status: Ints
    first: Ints
    last: Ints
    px: Floats
    py: Floats
    pz: Floats
    energy: Floats
    weight: Floats

    @property
    def events(self) -> int:
        return len(self.weight)

    def chosen(self, events: Mask) -> Particles:
        """The chosen events only."""
        keep = np.repeat(events, np.diff(self.starts))
        place = np.cumsum(keep) - 1
        columns = {name: getattr(self, name)[keep] for name in ("id", "status", "px", "py", "pz", "energy")}
        return Particles(
            starts=np.concatenate(([0], np.cumsum(np.diff(self.starts)[events]))),
            first=place[self.first[keep]],
            last=place[self.last[keep]],
            weight=self.weight[events],
            **columns,
        )

    def jagged(self, values: npt.NDArray[Any], chosen: Mask) -> Any:
        """Values of the chosen particles as one list per event; `values` holds the chosen ones only."""
        before = np.concatenate(([0], np.cumsum(chosen)))
        return ak.unflatten(values, np.diff(before[self.starts]))


def generate(process: Process, *, events: int, seed: int, interactions: bool) -> Iterator[Particles]:
    """Generate exactly `events` events in batches; what Pythia cannot complete is tried again.

    Raises RuntimeError if Pythia refuses a setting or cannot start.
    """
    pythia = _start(process, seed=seed, interactions=interactions)
    parts = len(process.decays)
    for number, decays in enumerate(process.decays):
        _apply(pythia, decays)
        left = events * (number + 1) // parts - events * number // parts
        while left:
            # -1: go on until there are as many good events as asked for.
            batch = pythia.nextBatch(min(left, BATCH), -1.0)
            left -= len(batch)
            yield _columns(batch, weighted=bool(process.enhanced))


def _start(process: Process, *, seed: int, interactions: bool) -> Any:
    pythia = pythia8mc.Pythia("", False)
    settings = [
        "Print:quiet = on",
        f"Beams:eCM = {ENERGY}",
        "Random:setSeed = on",
        f"Random:seed = {seed}",
        f"PartonLevel:MPI = {'on' if interactions else 'off'}",
        # Long-lived particles reach the detector. A pi0 is as visible as its photons, and one particle instead of two.
        "ParticleDecays:limitTau0 = on",
        "ParticleDecays:tau0Max = 10",
        "111:mayDecay = off",
        # No electrons from photons of the shower: the leptons are those of the hard process.
        "TimeShower:QEDshowerByGamma = off",
        "Check:event = off",
        *process.settings,
        *process.decays[0],
    ]
    if process.enhanced:
        splittings = ",".join(f"{name}={factor}" for name, factor in process.enhanced)
        settings += ["Enhancements:doEnhance = on", f"EnhancedSplittings:List = {{{splittings}}}"]
    _apply(pythia, settings)
    if not pythia.init():
        raise RuntimeError(f"Pythia cannot start {process.name}")
    return pythia


def _apply(pythia: Any, settings: list[str] | tuple[str, ...]) -> None:
    for setting in settings:
        if not pythia.readString(setting):
            raise RuntimeError(f"Pythia does not know the setting `{setting}`")


def _columns(batch: Any, *, weighted: bool) -> Particles:
    """A batch as columns. Only enhanced splittings are weighted.

    Where the phase space is steeper than Pythia assumed (one ttH event in 200, never for tt) it gives weights above
    one, rarely up to 60; they would move 1 % of the cross section and are left out, as its manual expects.
    """
    counts = ak.to_numpy(ak.num(batch["prt", "id"]))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    offset = np.repeat(starts[:-1], counts)

    def column(*field: str) -> npt.NDArray[Any]:
        return np.asarray(ak.to_numpy(ak.flatten(batch[("prt", *field)])))

    return Particles(
        starts=starts,
        id=column("id").astype(np.int64),
        status=column("status").astype(np.int64),
        first=column("mother1") + offset,
        last=column("mother2") + offset,
        px=column("p", "px"),
        py=column("p", "py"),
        pz=column("p", "pz"),
        energy=column("p", "e"),
        weight=ak.to_numpy(ak.prod(batch["info", "weights"], axis=1)) if weighted else np.ones(len(counts)),
    )
