"""The simple detector: every number that turns particles into reconstructed objects stands here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Acceptance, resolutions and efficiencies, of the size that ATLAS and CMS reach in Run 2 without pile-up.

    Momenta and energies in GeV. Everything not listed is perfect: no pile-up, no fake leptons, no charge flips,
    no dead regions, no trigger.
    """

    # Leptons: electrons and muons from W, Z or H (not from hadrons), dressed with the photons around them.
    lepton_pt: float = 15.0  # stored above this; analyses cut harder
    lepton_eta: float = 2.4
    dressing_radius: float = 0.1
    isolation_radius: float = 0.3
    isolation: float = 0.15  # at most so much of the lepton's pt from other visible particles in the radius
    electron_efficiency: float = 0.90  # reconstruction, identification and trigger together
    muon_efficiency: float = 0.95
    electron_resolution: float = 0.02  # sigma(pt) / pt
    muon_resolution: float = 0.015

    # Jets: anti-kt of all visible particles but the accepted leptons, so no lepton is counted twice (one that is not
    # accepted is a particle like any other).
    jet_radius: float = 0.4
    jet_pt: float = 20.0  # stored above this; analyses cut harder
    jet_eta: float = 2.5
    particle_eta: float = 4.0  # particles further forward cannot reach a jet within `jet_eta`
    # sigma(pt) / pt = sqrt(noise^2 / pt^2 + stochastic^2 / pt + constant^2)
    jet_noise: float = 3.0
    jet_stochastic: float = 0.8
    jet_constant: float = 0.05
    jet_angle: float = 0.01  # sigma of eta and of phi

    # Missing transverse momentum: all neutrinos, each component smeared by sqrt(floor^2 + slope^2 * sum of jet pt).
    met_floor: float = 8.0
    met_slope: float = 0.6

    # b-tagging: a score in 0..1 whose logit is Gaussian, by the flavour of the jet's hadrons (b, c, light). At 80 GeV
    # a score above 0.5 keeps 82 % of b jets, 15 % of c jets and 1 % of light jets, close to DeepJet's medium point.
    btag_mean: tuple[float, float, float] = (2.0, -2.0, -4.6)
    btag_width: tuple[float, float, float] = (2.2, 1.9, 2.0)
    btag_pt: float = 80.0  # where tagging b jets works best ...
    btag_pt_slope: float = 0.4  # ... and how fast the mean falls per unit of |ln(pt / btag_pt)|, b jets only
