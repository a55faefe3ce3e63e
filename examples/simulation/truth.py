"""What a jet really is: hadrons with b and c quarks, where those quarks came from, and the event's class."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
from examples.simulation.detector import Detector
from examples.simulation.generator import Ints, Mask, Particles
from examples.simulation.geometry import assigned, with_angles

CHARM, BEAUTY, TOP, W, HIGGS = 4, 5, 6, 24, 25

# Hadrons that decay weakly: each b or c quark ends in exactly one.
WEAK = {
    BEAUTY: (511, 521, 531, 541, 5122, 5132, 5232, 5332),
    CHARM: (411, 421, 431, 4122, 4132, 4232, 4332),
}
# Additional jets count from here on, as in the ttbar categories of CMS.
ADDITIONAL_PT = 20.0
ADDITIONAL_ETA = 2.4


def heavy_hadrons(particles: Particles, flavour: int) -> Any:
    """The weakly decaying hadrons of a flavour, c hadrons from b hadrons left out.

    Jagged records: pt, eta, phi and `source`, the pdg id of the particle that the quark came from (6, 24, 25, ... or
    21 and below for the shower).
    """
    rows = np.flatnonzero(np.isin(np.abs(particles.id), WEAK[flavour]))
    top = _climb(rows, particles.first, _contains(particles.id, flavour))
    from_beauty = _contains(particles.id[particles.first[top]], BEAUTY)
    keep = ~from_beauty
    rows, top = rows[keep], top[keep]
    quark = _quark(particles, top, flavour)
    quark = _climb(quark, particles.first, np.abs(particles.id) == flavour)
    chosen = np.zeros(len(particles.id), dtype=np.bool_)
    chosen[rows] = True

    def jagged(values: Any) -> Any:
        return particles.jagged(values, chosen)

    return with_angles(
        jagged(particles.px[rows]),
        jagged(particles.py[rows]),
        jagged(particles.pz[rows]),
        source=jagged(np.abs(particles.id[particles.first[quark]])),
    )


def partons(particles: Particles, flavour_above: float) -> Any:
    """Quarks and gluons as they enter hadronisation, above a pt in GeV: jagged pt, eta, phi, `flavour` (signed)."""
    size = np.abs(particles.id)
    coloured = (size <= BEAUTY) | (size == 21)
    chosen = (np.abs(particles.status) // 10 == 7) & coloured
    chosen &= np.hypot(particles.px, particles.py) > flavour_above
    columns = (particles.jagged(values[chosen], chosen) for values in (particles.px, particles.py, particles.pz))
    return with_angles(*columns, flavour=particles.jagged(particles.id[chosen], chosen))


def hadron_flavour(jets: Any, beauty: Any, charm: Any, radius: float) -> Any:
    """5, 4 or 0 for each jet: does it hold a b hadron, else a c hadron (each belongs to its nearest jet)."""
    b = ak.any(assigned(jets, beauty, radius), axis=2)
    c = ak.any(assigned(jets, charm, radius), axis=2)
    return ak.where(b, BEAUTY, ak.where(c, CHARM, 0))


def parton_flavour(jets: Any, quarks: Any, radius: float) -> Any:
    """The jet's parton: b before c before the hardest; signed pdg id, 0 without a parton."""
    inside = assigned(jets, quarks, radius)
    size = abs(quarks.flavour)
    rank = quarks.pt + ak.where(size == BEAUTY, 2e6, ak.where(size == CHARM, 1e6, 0.0))
    rank = ak.where(inside, rank[:, np.newaxis, :], -1.0)
    best = ak.argmax(rank, axis=2)
    found = ak.fill_none(ak.any(inside, axis=2), value=False)
    return ak.where(found, ak.fill_none(quarks.flavour[best], 0), 0)


def ttbar_category(jets: Any, beauty: Any, charm: Any, detector: Detector) -> Any:
    """The last two digits of CMS' genTtbarId, from jets before the detector (pt > 20 GeV, |eta| < 2.4).

    51: one additional b jet with one b hadron, 52: one with several, 53: two additional b jets, 54: two or more, one
    of them with several, 55: two or more with several each; 41 to 45: the same for c jets if there is no additional
    b jet; 0: neither. Additional: the quark came neither from a top quark nor from a W.
    """
    jets = jets[(jets.pt > ADDITIONAL_PT) & (abs(jets.eta) < ADDITIONAL_ETA)]
    b = _category(jets, _additional(beauty), detector.jet_radius)
    c = _category(jets, _additional(charm), detector.jet_radius)
    return ak.where(b > 0, 50 + b, ak.where(c > 0, 40 + c, 0))


def _additional(hadrons: Any) -> Any:
    return hadrons[(hadrons.source != TOP) & (hadrons.source != W)]


def _category(jets: Any, hadrons: Any, radius: float) -> Any:
    """1 to 5 as described in `ttbar_category`, 0 without a jet."""
    held = ak.sum(assigned(jets, hadrons, radius), axis=2)
    found = ak.sum(held > 0, axis=1)
    several = ak.sum(held > 1, axis=1)
    one = ak.where(several > 0, 2, 1)
    two = 3 + ak.where(several > 1, 2, ak.where(several > 0, 1, 0))
    return ak.where(found == 0, 0, ak.where(found == 1, one, two))


def _contains(pdg: Ints, flavour: int) -> Mask:
    """Is it a hadron with this quark? Digits of the pdg id: 1000 n_q1 + 100 n_q2 + 10 n_q3 + 2 J + 1."""
    size = np.abs(pdg)
    code = size % 10_000
    digits = ((code // 10) % 10, (code // 100) % 10, (code // 1000) % 10)
    # Quarks, leptons and bosons are below 100; diquarks have a zero in the tens.
    hadron = (size > 100) & (digits[0] > 0)
    return np.asarray(hadron & ((digits[0] == flavour) | (digits[1] == flavour) | (digits[2] == flavour)))


def _climb(rows: Ints, mother: Ints, good: Mask) -> Ints:
    """Go from particle to first mother for as long as the mother is good."""
    while True:
        above = mother[rows]
        up = good[above]
        if not up.any():
            return rows
        rows = np.where(up, above, rows)


def _quark(particles: Particles, hadrons: Ints, flavour: int) -> Ints:
    """The quark at the end of the string that a primary hadron came from.

    A string's hadrons have its first and last parton as mothers: of two quarks of the flavour, the one of the right
    sign is taken. Without any (a rare junction) the first parton stands for it.
    """
    pdg = particles.id[hadrons]
    # Mesons with an up-type quark and baryons carry the quark, positive mesons with a b the antiquark.
    meson_of_b = (flavour == BEAUTY) & (np.abs(pdg) % 10_000 < 1000)
    wanted = np.sign(pdg) * np.where(meson_of_b, -flavour, flavour)
    first, last = particles.first[hadrons], particles.last[hadrons]
    ends = [particles.id[first], particles.id[last]]
    choices = [ends[0] == wanted, ends[1] == wanted, np.abs(ends[0]) == flavour, np.abs(ends[1]) == flavour]
    return np.select(choices, [first, last, first, last], default=first)
