"""Simulate ttH(H->bb) and tt+jets at 13 TeV, lepton + jets: python examples/tth/simulate.py --help."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.simulation.commandline import simulate
from examples.simulation.process import LEPTON_AND_JETS, Process, Skim

SKIM = Skim(leptons=1, lepton_pt=27.0, jets=4, jet_pt=25.0)

TTH = Process(
    name="ttH",
    run=1,
    # gg and qq -> ttH at leading order; the Higgs boson decays to b quarks only.
    settings=(
        "HiggsSM:gg2Httbar = on",
        "HiggsSM:qqbar2Httbar = on",
        "25:m0 = 125",
        "25:onMode = off",
        "25:onIfAny = 5",
    ),
    decays=LEPTON_AND_JETS,
    skim=SKIM,
    share=0.3,
)
TT = Process(
    name="tt",
    run=2,
    settings=("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
    decays=LEPTON_AND_JETS,
    skim=SKIM,
    share=0.7,
    # The background that matters is tt+bb: gluons split into b quarks three times as often, at a third of the weight.
    enhanced=(("fsr:G2BB", 3.0),),
)

if __name__ == "__main__":
    sys.exit(
        simulate(
            "Simulate ttH(H->bb) and tt+jets at 13 TeV, lepton + jets.",
            (TTH, TT),
            events=78_000,
            signed=0.05,
            out=Path(__file__).resolve().parent / "data",
        )
    )
