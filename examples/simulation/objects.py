"""From particles to reconstructed leptons, jets and missing transverse momentum."""

from __future__ import annotations

from typing import Any

import awkward as ak
import fastjet
import numpy as np
from examples.simulation.detector import Detector
from examples.simulation.generator import Floats, Mask, Particles
from examples.simulation.geometry import distances, with_angles

NEUTRINOS = (12, 14, 16)
ELECTRON, MUON, PHOTON = 11, 13, 22
# Pythia's status codes above this belong to hadronisation and decays, below to the hard process and the showers.
HADRONISATION = 80
# Particle jets softer than this fraction of the threshold do not pass it after smearing.
LOOSE = 0.6


def leptons(particles: Particles, detector: Detector, random: np.random.Generator) -> tuple[Any, Mask]:
    """Accepted leptons, hardest first, and which particles they are made of.

    Jagged records: pt, eta, phi, charge, pdgId; the mask has one value per particle.
    """
    size = np.abs(particles.id)
    prompt = (particles.status > 0) & (particles.status < HADRONISATION)
    chosen = prompt & ((size == ELECTRON) | (size == MUON))
    photons = prompt & (size == PHOTON)
    bare = _records(particles, chosen)
    light = _records(particles, photons)
    near = distances(bare, light) < detector.dressing_radius
    dressed = with_angles(*(bare[axis] + _added(near, light[axis]) for axis in ("px", "py", "pz")), pdgId=bare.pdgId)
    accepted = (dressed.pt > LOOSE * detector.lepton_pt) & (abs(dressed.eta) < detector.lepton_eta)
    accepted = accepted & (_surroundings(particles, dressed, detector) < detector.isolation * dressed.pt)
    electron = abs(dressed.pdgId) == ELECTRON
    efficiency = ak.where(electron, detector.electron_efficiency, detector.muon_efficiency)
    accepted = accepted & (_like(bare.pt, random.random) < efficiency)
    resolution = ak.where(electron, detector.electron_resolution, detector.muon_resolution)
    smeared = dressed.pt * (1 + resolution * _like(bare.pt, random.standard_normal))
    accepted = accepted & (smeared > detector.lepton_pt)
    used = np.zeros(len(particles.id), dtype=np.bool_)
    used[np.flatnonzero(chosen)] = ak.to_numpy(ak.flatten(accepted))
    used[np.flatnonzero(photons)] = ak.to_numpy(ak.flatten(ak.any(near & accepted[:, :, np.newaxis], axis=1)))
    found = ak.zip(
        {
            "pt": smeared,
            "eta": dressed.eta,
            "phi": dressed.phi,
            "charge": -np.sign(dressed.pdgId),
            "pdgId": dressed.pdgId,
        }
    )[accepted]
    return found[ak.argsort(found.pt, ascending=False)], used


def particle_jets(particles: Particles, used: Mask, detector: Detector) -> Any:
    """Anti-kt jets of all visible particles but the used ones: jagged records of pt, eta, phi, mass."""
    chosen = _visible(particles) & ~used & _central(particles, detector.particle_eta)
    inputs = ak.zip(
        {
            "px": particles.jagged(particles.px[chosen], chosen),
            "py": particles.jagged(particles.py[chosen], chosen),
            "pz": particles.jagged(particles.pz[chosen], chosen),
            "E": particles.jagged(particles.energy[chosen], chosen),
        },
        with_name="Momentum4D",
    )
    definition = fastjet.JetDefinition(fastjet.antikt_algorithm, detector.jet_radius)
    jets = fastjet.ClusterSequence(inputs, definition).inclusive_jets(min_pt=LOOSE * detector.jet_pt)
    squared = jets.E**2 - jets.px**2 - jets.py**2 - jets.pz**2
    return with_angles(jets.px, jets.py, jets.pz, mass=np.sqrt(ak.where(squared > 0, squared, 0.0)))


def measured_jets(jets: Any, detector: Detector, random: np.random.Generator) -> Any:
    """Smear the jets and add `btag`; keeps all other fields and the accepted jets, hardest first."""
    resolution = np.sqrt(
        (detector.jet_noise / jets.pt) ** 2 + detector.jet_stochastic**2 / jets.pt + detector.jet_constant**2
    )
    factor = 1 + resolution * _like(jets.pt, random.standard_normal)
    angles = {name: jets[name] + detector.jet_angle * _like(jets.pt, random.standard_normal) for name in ("eta", "phi")}
    phi = (angles["phi"] + np.pi) % (2 * np.pi) - np.pi
    for name, values in (
        ("btag", _score(jets, detector, random)),
        ("pt", jets.pt * factor),
        ("mass", jets.mass * factor),
        ("eta", angles["eta"]),
        ("phi", phi),
    ):
        jets = ak.with_field(jets, values, name)
    jets = jets[(jets.pt > detector.jet_pt) & (abs(jets.eta) < detector.jet_eta)]
    return jets[ak.argsort(jets.pt, ascending=False)]


def missing_momentum(
    particles: Particles, jets: Any, detector: Detector, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Size and azimuth of the missing transverse momentum per event, smeared by the activity of the jets."""
    chosen = (particles.status > 0) & np.isin(np.abs(particles.id), NEUTRINOS)
    sigma = np.sqrt(detector.met_floor**2 + detector.met_slope**2 * ak.to_numpy(ak.sum(jets.pt, axis=1)))
    x, y = (
        ak.to_numpy(ak.sum(particles.jagged(component[chosen], chosen), axis=1))
        + sigma * random.standard_normal(particles.events)
        for component in (particles.px, particles.py)
    )
    return np.hypot(x, y), np.arctan2(y, x)


def _score(jets: Any, detector: Detector, random: np.random.Generator) -> Any:
    """b-tagging score from the jet's `hadronFlavour`."""
    beauty, charm = jets.hadronFlavour == 5, jets.hadronFlavour == 4
    falling = ak.where(beauty, detector.btag_pt_slope, 0.0) * abs(np.log(jets.pt / detector.btag_pt))
    means, widths = (
        ak.where(beauty, numbers[0], ak.where(charm, numbers[1], numbers[2]))
        for numbers in (detector.btag_mean, detector.btag_width)
    )
    logit = means - falling + widths * _like(jets.pt, random.standard_normal)
    return 1 / (1 + np.exp(-logit))


def _surroundings(particles: Particles, found: Any, detector: Detector) -> Any:
    """Sum of the pt of visible hadronic particles around each lepton."""
    chosen = _visible(particles) & (particles.status > HADRONISATION)
    chosen &= _central(particles, detector.lepton_eta + detector.isolation_radius)
    others = _records(particles, chosen)
    return _added(distances(found, others) < detector.isolation_radius, others.pt)


def _added(near: Any, values: Any) -> Any:
    """Sum over the near ones: (event, a, b) booleans and (event, b) values to (event, a) sums."""
    return ak.sum(near * values[:, np.newaxis, :], axis=2)


def _records(particles: Particles, chosen: Mask) -> Any:
    columns = {
        name: particles.jagged(values[chosen], chosen)
        for name, values in (("px", particles.px), ("py", particles.py), ("pz", particles.pz), ("pdgId", particles.id))
    }
    return with_angles(**columns)


def _visible(particles: Particles) -> Mask:
    return (particles.status > 0) & ~np.isin(np.abs(particles.id), NEUTRINOS)


def _central(particles: Particles, eta: float) -> Mask:
    # |eta| < x is |pz| < pt sinh(x).
    return np.asarray(np.abs(particles.pz) < np.sinh(eta) * np.hypot(particles.px, particles.py))


def _like(values: Any, draw: Any) -> Any:
    """Random numbers in the shape of jagged values."""
    counts = ak.num(values)
    return ak.unflatten(draw(int(ak.sum(counts))), counts)
