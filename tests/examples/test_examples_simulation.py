"""The parts of the simulation, on events written by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
from examples.simulation import objects, truth
from examples.simulation.detector import Detector
from examples.simulation.events import signed
from examples.simulation.generator import Particles, generate
from examples.simulation.process import LEPTON_AND_JETS, Process, Skim
from examples.simulation.production import ProductionError, open_manifest, produce
from examples.simulation.progress import shown
from examples.simulation.request import CHUNK, Request, jobs_of
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

SHARP = Detector(electron_efficiency=1, muon_efficiency=1, electron_resolution=0, muon_resolution=0)


def process(name: str = "toy", *, share: float = 1.0, settings: tuple[str, ...] = ()) -> Process:
    return Process(name=name, run=1, settings=settings, skim=Skim(leptons=1, lepton_pt=27.0), share=share)


def request(*processes: Process, events: int = 10, seed: int = 1) -> Request:
    return Request(processes=processes, events=events, seed=seed, signed=0.0, interactions=False, detector=Detector())


def particles(*rows: tuple[int, int, int, float, float, float]) -> Particles:
    """One event: (pdg id, status, first mother, pt, eta, phi) of massless particles, after the record's entry 0."""
    columns = np.array([(90, -11, 0, 0.0, 0.0, 0.0), *rows])
    pt, eta, phi = columns[:, 3:].T
    mothers = columns[:, 2].astype(np.int64)
    return Particles(
        starts=np.array([0, len(columns)]),
        id=columns[:, 0].astype(np.int64),
        status=columns[:, 1].astype(np.int64),
        first=mothers,
        last=mothers,
        px=pt * np.cos(phi),
        py=pt * np.sin(phi),
        pz=pt * np.sinh(eta),
        energy=pt * np.cosh(eta),
        weight=np.ones(1),
    )


def jets(*rows: tuple[float, float, float]) -> Any:
    pt, eta, phi = (ak.Array([list(column)]) for column in zip(*rows, strict=True))
    return ak.zip({"pt": pt, "eta": eta, "phi": phi})


# --- truth ------------------------------------------------------------------------------------------------------
TTBAR_WITH_GLUON = particles(
    (6, -22, 0, 100, 0.0, 0.0),  # 1: top
    (5, -71, 1, 60, 0.0, 0.0),  # 2: its b quark
    (21, -51, 0, 80, 1.0, 2.0),  # 3: gluon
    (5, -71, 3, 40, 1.0, 2.0),  # 4: splits into b ...
    (-5, -71, 3, 40, -1.0, -2.0),  # 5: ... and anti-b
    (-511, -83, 2, 55, 0.0, 0.0),  # 6: b hadron of the top quark
    (-513, -83, 4, 35, 1.0, 2.0),  # 7: excited b hadron ...
    (-511, -91, 7, 33, 1.0, 2.0),  # 8: ... that decays to one
    (511, -83, 5, 38, -1.0, -2.0),  # 9
    (411, -91, 9, 20, -1.0, -2.0),  # 10: c hadron of a b hadron
)


def test_heavy_hadrons_know_where_their_quark_came_from() -> None:
    beauty = truth.heavy_hadrons(TTBAR_WITH_GLUON, truth.BEAUTY)
    assert beauty.pt[0].to_list() == pytest.approx([55, 33, 38])
    assert beauty.source[0].to_list() == [6, 21, 21]
    assert ak.num(truth.heavy_hadrons(TTBAR_WITH_GLUON, truth.CHARM)).to_list() == [0]


@pytest.mark.parametrize(
    ("found", "category"),
    [
        (jets((60, 0.0, 0.0), (40, 1.0, 2.0), (40, -1.0, -2.0)), 53),
        (jets((60, 0.0, 0.0), (40, 1.0, 2.1)), 51),
        (jets((60, 0.0, 0.0), (40, 1.0, 2.0), (15, -1.0, -2.0)), 51),  # too soft
        (jets((60, 0.0, 0.0)), 0),
    ],
)
def test_category_counts_additional_jets(found: Any, category: int) -> None:
    beauty = truth.heavy_hadrons(TTBAR_WITH_GLUON, truth.BEAUTY)
    charm = truth.heavy_hadrons(TTBAR_WITH_GLUON, truth.CHARM)
    assert truth.ttbar_category(found, beauty, charm, Detector()).to_list() == [category]


def hadrons(*rows: tuple[float, float], source: int = 21) -> Any:
    eta, phi = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [])
    return ak.zip(
        {
            "eta": ak.values_astype(ak.Array([eta]), float),
            "phi": ak.values_astype(ak.Array([phi]), float),
            "source": ak.values_astype(ak.Array([[source] * len(rows)]), int),
        }
    )


@pytest.mark.parametrize(
    ("beauty", "charm", "category"),
    [
        (hadrons((0.0, 0.0), (0.1, 0.0)), hadrons(), 52),
        (hadrons((0.0, 0.0), (0.1, 0.0), (1.0, 2.0)), hadrons(), 54),
        (hadrons((0.0, 0.0), (0.1, 0.0), (1.0, 2.0), (1.1, 2.0)), hadrons(), 55),
        (hadrons(), hadrons((0.0, 0.0)), 41),
        (hadrons(), hadrons((0.0, 0.0), source=24), 0),
        (hadrons((1.0, 2.0)), hadrons((0.0, 0.0)), 51),
    ],
)
def test_category_tells_hadrons_apart(beauty: Any, charm: Any, category: int) -> None:
    found = jets((50, 0.0, 0.0), (40, 1.0, 2.0))
    assert truth.ttbar_category(found, beauty, charm, Detector()).to_list() == [category]


def test_flavour_is_that_of_the_nearest_jet() -> None:
    found = jets((50, 0.0, 0.0), (40, 0.5, 0.0), (30, 2.0, 0.0))
    flavour = truth.hadron_flavour(found, hadrons((0.3, 0.0)), hadrons((0.1, 0.0), (0.45, 0.0)), 0.4)
    assert flavour.to_list() == [[4, 5, 0]]


def test_parton_flavour_prefers_heavy_quarks() -> None:
    found = jets((50, 0.0, 0.0), (40, 1.0, 2.0), (40, -1.0, -2.0), (30, 2.0, 0.0))
    record = particles(
        (21, -71, 0, 50, 0.0, 0.1),
        (-5, -71, 0, 10, 0.0, 0.0),
        (21, -71, 0, 30, 1.0, 2.0),
        (2, -71, 0, 20, 1.0, 2.0),
        (1, -71, 0, 3, 2.0, 0.0),  # too soft
        (2, -71, 0, 30, -1.0, -2.0),
    )
    flavour = truth.parton_flavour(found, truth.partons(record, 5.0), 0.4)
    assert flavour.to_list() == [[-5, 21, 2, 0]]


# --- objects ----------------------------------------------------------------------------------------------------
def test_leptons_are_dressed_isolated_and_taken_out_of_the_jets() -> None:
    record = particles(
        (13, 23, 0, 40, 0.5, 1.0),  # a muon ...
        (22, 51, 0, 10, 0.5, 1.05),  # ... with its photon
        (-11, 23, 0, 30, -0.5, -2.0),  # an electron in a jet
        (211, 83, 0, 50, -0.5, -2.1),
        (13, 91, 0, 60, 2.0, 0.0),  # a muon from a hadron
        (11, 23, 0, 50, 2.45, 0.0),  # too far forward
    )
    found, used = objects.leptons(record, SHARP, np.random.default_rng(1))
    assert found.pdgId.to_list() == [[13]]
    assert found.charge.to_list() == [[-1]]
    assert found.pt[0, 0] == pytest.approx(50, rel=1e-3)
    assert used.tolist() == [False, True, True, False, False, False, False]
    clustered = objects.particle_jets(record, used, SHARP)
    assert sorted(clustered.pt[0].to_list()) == pytest.approx([50, 60, 80], rel=0.01)


def test_measured_jets_are_smeared_around_the_truth() -> None:
    pt = ak.Array([[60.0] * 20_000])
    found = ak.zip({"pt": pt, "eta": 0 * pt, "phi": 0 * pt + 3.14, "mass": 0 * pt + 6})
    found["hadronFlavour"] = ak.values_astype(0 * pt + 5, int)
    measured = objects.measured_jets(found, Detector(), np.random.default_rng(1))
    expected = np.sqrt((3 / 60) ** 2 + 0.8**2 / 60 + 0.05**2)
    assert ak.mean(measured.pt) == pytest.approx(60, rel=0.01)
    assert ak.std(measured.pt) / 60 == pytest.approx(expected, rel=0.03)
    assert ak.mean(measured.btag > 0.5) == pytest.approx(0.80, abs=0.02)
    assert ak.all(abs(measured.phi) <= np.pi)
    assert ak.all(measured.pt[:, :-1] >= measured.pt[:, 1:])


def test_missing_momentum_is_that_of_the_neutrinos() -> None:
    record = particles((12, 1, 0, 30, 0.0, 0.0), (-14, 91, 0, 40, 1.0, np.pi / 2), (211, 83, 0, 100, 0.0, 0.0))
    exact = Detector(met_floor=0, met_slope=0)
    size, phi = objects.missing_momentum(record, jets((100, 0.0, 0.0)), exact, np.random.default_rng(1))
    assert size == pytest.approx(50)
    assert phi == pytest.approx(np.arctan2(40, 30))


# --- weights ----------------------------------------------------------------------------------------------------
@given(
    weights=st.lists(st.floats(1.0, 2.0), min_size=20, max_size=60),
    fraction=st.floats(0.0, 0.3),
    seed=st.integers(0, 2**32),
)
def test_signs_preserve_the_total(weights: list[float], fraction: float, seed: int) -> None:
    before = np.array(weights)
    after = signed(before, fraction, np.random.default_rng(seed))
    assert after.sum() == pytest.approx(before.sum())
    assert (after < 0).sum() == round(fraction * len(before))
    assert np.ptp(np.abs(after) / before) == pytest.approx(0, abs=1e-9)


def test_pythia_s_refusals_are_named() -> None:
    with pytest.raises(RuntimeError, match="does not know the setting `HardQCD:nonsense = on`"):
        next(generate(process(settings=("HardQCD:nonsense = on",)), events=1, seed=1, interactions=False))


# --- the production ---------------------------------------------------------------------------------------------
def test_jobs_share_the_events() -> None:
    jobs = jobs_of(request(process("a", share=0.25), process("b", share=0.75), events=4 * CHUNK + 2))
    sizes = [(job.name, job.events) for job in jobs]
    assert sum(events for _, events in sizes) == 4 * CHUNK + 2
    assert sizes[0] == ("a_000.root", CHUNK)
    assert [name for name, _ in sizes if name.startswith("b")] == [f"b_{number:03d}.root" for number in range(4)]


def test_a_larger_request_begins_with_the_files_of_a_smaller_one() -> None:
    small, large = (jobs_of(request(process(), events=events)) for events in (2 * CHUNK, 5 * CHUNK))
    assert [(job.name, job.events, job.entropy) for job in small] == [
        (job.name, job.events, job.entropy) for job in large[:2]
    ]


def test_every_file_has_random_numbers_of_its_own() -> None:
    jobs = jobs_of(request(process("a"), process("b"), events=6 * CHUNK))
    assert len({job.entropy for job in jobs}) == len(jobs)


def test_a_manifest_guards_its_folder(tmp_path: Path) -> None:
    asked = request(process("a"), process("b"), events=3 * CHUNK)
    manifest = open_manifest(tmp_path, asked, overwrite=False)
    for job in jobs_of(asked):
        (tmp_path / job.name).write_bytes(b"events")
        manifest.add(job, 6)
    again = open_manifest(tmp_path, asked, overwrite=False)
    assert all(again.has(job) for job in jobs_of(asked))
    with pytest.raises(ProductionError, match="other arguments"):
        open_manifest(tmp_path, request(process("a"), events=3 * CHUNK, seed=2), overwrite=False)
    with pytest.raises(ProductionError, match=r"more than asked for: a_001\.root"):
        open_manifest(tmp_path, request(process("a"), events=10), overwrite=False)
    # Another process in the same folder is nobody's business.
    assert open_manifest(tmp_path, request(process("c"), seed=2), overwrite=False).files == again.files
    open_manifest(tmp_path, request(process("a"), events=10), overwrite=True)
    assert sorted(path.name for path in tmp_path.glob("*.root")) == ["b_000.root", "b_001.root"]
    assert sorted(json.loads((tmp_path / "production.json").read_text())) == ["b_000.root", "b_001.root"]


def test_a_damaged_or_partial_file_is_made_again(tmp_path: Path) -> None:
    asked = request(process("a"))
    (job,) = jobs_of(asked)
    manifest = open_manifest(tmp_path, asked, overwrite=False)
    (tmp_path / job.name).write_bytes(b"events")
    manifest.add(job, 6)
    (larger,) = jobs_of(request(process("a"), events=11))
    assert manifest.has(job)
    assert not manifest.has(larger)
    (tmp_path / job.name).write_bytes(b"even")
    assert not manifest.has(job)


def test_a_worker_s_failure_stops_the_production(tmp_path: Path) -> None:
    jobs = jobs_of(request(process("broken", settings=("No:such = setting",))))
    with pytest.raises(ProductionError, match=r"broken_000\.root: Pythia does not know the setting"):
        list(produce(jobs, tmp_path, 1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_with_and_without_a_terminal(terminal: bool) -> None:
    text = io.StringIO()
    jobs = jobs_of(request(process("a"), process("b"), events=100))
    with shown(Console(file=text, force_terminal=terminal, width=100), jobs) as progress:
        for _ in range(10):
            progress.advance("a", 5)
            progress.advance("b", 5)
    if terminal:
        assert "50/50" in text.getvalue()
    else:
        lines = text.getvalue().splitlines()
        assert len(lines) == 10
        assert lines[-1].startswith("100 %  100 of 100 events")


def test_as_many_events_as_asked_for_also_when_the_decays_cannot_share_them() -> None:
    asked = Process(
        name="tt",
        run=1,
        settings=("Top:gg2ttbar = on", "PartonLevel:all = off"),
        decays=LEPTON_AND_JETS,
        skim=Skim(leptons=1, lepton_pt=27.0),
    )
    batches = list(generate(asked, events=7, seed=1, interactions=False))
    assert sum(batch.events for batch in batches) == 7
