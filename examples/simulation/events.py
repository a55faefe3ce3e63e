"""One chunk of a process: generated, reconstructed, skimmed and given its signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
from examples.simulation import objects, truth
from examples.simulation.detector import Detector
from examples.simulation.generator import Floats, Mask, Particles
from examples.simulation.process import Skim

PARTON_PT = 5.0  # GeV: softer partons give no jet its flavour
NO_HIGGS = -999.0


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The events of a batch that pass the skim, as columns in NanoAOD's names; `rows` (n) are their places in it."""

    rows: npt.NDArray[np.int64]
    columns: dict[str, Any]


def reconstruct(particles: Particles, *, skim: Skim, detector: Detector, random: np.random.Generator) -> Selected:
    """Reconstruct the events and keep those that pass the skim; events are dropped as early as possible."""
    rows = np.arange(particles.events)
    leptons, used = objects.leptons(particles, detector, random)
    good = ak.to_numpy(ak.sum(leptons.pt > skim.lepton_pt, axis=1)) >= skim.leptons
    jets = objects.particle_jets(particles.chosen(good), used[np.repeat(good, np.diff(particles.starts))], detector)
    enough = ak.to_numpy(ak.num(jets)) >= skim.jets
    rows, jets, particles = rows[good][enough], jets[enough], particles.chosen(good).chosen(enough)
    beauty = truth.heavy_hadrons(particles, truth.BEAUTY)
    charm = truth.heavy_hadrons(particles, truth.CHARM)
    partons = truth.partons(particles, PARTON_PT)
    flavour = truth.hadron_flavour(jets, beauty, charm, detector.jet_radius)
    category = truth.ttbar_category(jets, beauty, charm, detector)
    jets = ak.with_field(jets, flavour, "hadronFlavour")
    jets = ak.with_field(jets, truth.parton_flavour(jets, partons, detector.jet_radius), "partonFlavour")
    jets = objects.measured_jets(jets, detector, random)
    met, met_phi = objects.missing_momentum(particles, jets, detector, random)
    columns = {
        "Jet": jets,
        "Lepton": leptons[rows],
        "MET_pt": met,
        "MET_phi": met_phi,
        "genTtbarId": ak.to_numpy(category),
        "GenHiggs_pt": _higgs_pt(particles),
    }
    passed = ak.to_numpy(ak.sum(jets.pt > skim.jet_pt, axis=1)) >= skim.jets
    return Selected(rows=rows[passed], columns={name: values[passed] for name, values in columns.items()})


def signed(weights: Floats, fraction: float, random: np.random.Generator) -> Floats:
    """Negate the weights of a fraction of the events, chosen at random, and scale all so that the total stays.

    A toy of the negative weights of NLO generators: w -> +-w / (1 - 2 f), with f the negated share of the sum. It
    keeps every distribution within statistics and costs a factor of (1 - 2 f)^2 in effective events.
    """
    negated = random.choice(len(weights), size=round(fraction * len(weights)), replace=False)
    signs = np.ones(len(weights))
    signs[negated] = -1.0
    flipped = weights * signs
    return np.asarray(flipped * (weights.sum() / flipped.sum()))


def _higgs_pt(particles: Particles) -> Floats:
    """Transverse momentum of the Higgs boson as it decays, or -999 without one."""
    chosen: Mask = (particles.id == truth.HIGGS) & (np.abs(particles.status) // 10 == 6)
    pt = particles.jagged(np.hypot(particles.px[chosen], particles.py[chosen]), chosen)
    return np.asarray(ak.to_numpy(ak.fill_none(ak.firsts(pt[:, ::-1]), NO_HIGGS)))
