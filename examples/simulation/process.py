"""What to generate: a physics process with its forced decays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Skim:
    """Which generated events are written: a loose preselection, as in real productions. Momenta in GeV."""

    leptons: int
    lepton_pt: float
    jets: int = 0
    jet_pt: float = 25.0


@dataclass(frozen=True, kw_only=True)
class Process:
    """One physics process.

    `decays` are alternatives of equal probability, each a list of Pythia settings that may change from event to event:
    Pythia cannot ask for "one W to leptons, the other to quarks" of either charge in one table.
    `run` is the run number of its events, so that no two processes share an event id.
    `share` is the process' part of the events asked for.
    """

    name: str
    run: int
    settings: tuple[str, ...]
    decays: tuple[tuple[str, ...], ...] = ((),)
    skim: Skim
    share: float = 1.0
    # Shower splittings made this many times more frequent; the event weights compensate (arXiv:1211.7204).
    enhanced: tuple[tuple[str, float], ...] = ()


# One W to e or mu, the other to quarks; W -> tau nu is left out, here and in the branching ratios of the analyses.
LEPTON_AND_JETS = (
    ("24:onMode = off", "24:onPosIfAny = 11 13", "24:onNegIfAny = 1 2 3 4 5"),
    ("24:onMode = off", "24:onPosIfAny = 1 2 3 4 5", "24:onNegIfAny = 11 13"),
)
TWO_LEPTONS = (("24:onMode = off", "24:onIfAny = 11 13"),)
