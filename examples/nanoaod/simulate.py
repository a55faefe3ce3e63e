"""Simulate events with two leptons at 13 TeV (H->WW, WW, tt, Z): python examples/nanoaod/simulate.py --help."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.simulation.commandline import simulate
from examples.simulation.process import TWO_LEPTONS, Process, Skim

SKIM = Skim(leptons=2, lepton_pt=15.0)

PROCESSES = (
    Process(
        name="HWW",
        run=11,
        # gg -> H through the top loop, decaying to WW*.
        settings=("HiggsSM:gg2H = on", "25:m0 = 125", "25:onMode = off", "25:onIfMatch = 24 -24"),
        decays=TWO_LEPTONS,
        skim=SKIM,
        share=0.3,
    ),
    Process(
        name="WW",
        run=12,
        settings=("WeakDoubleBoson:ffbar2WW = on",),
        decays=TWO_LEPTONS,
        skim=SKIM,
        share=0.25,
    ),
    Process(
        name="tt2l",
        run=13,
        settings=("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
        decays=TWO_LEPTONS,
        skim=SKIM,
        share=0.2,
    ),
    Process(
        name="Z",
        run=14,
        # Z and photon with their interference, above 50 GeV.
        settings=("WeakSingleBoson:ffbar2gmZ = on", "PhaseSpace:mHatMin = 50", "23:onMode = off", "23:onIfAny = 11 13"),
        skim=SKIM,
        share=0.25,
    ),
)

if __name__ == "__main__":
    sys.exit(
        simulate(
            "Simulate events with two leptons at 13 TeV: H->WW, WW, tt and Z.",
            PROCESSES,
            events=40_000,
            signed=0.0,
            out=Path(__file__).resolve().parent / "data",
        )
    )
