"""The examples' analysis files: valid, and about branches that the simulation writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.simulation.chunk import COLLECTIONS, FLAT

from gridloom.analysis.load import load_analysis
from gridloom.analysis.models import OTHERWISE, Analysis
from gridloom.expressions import parse, parse_all

PROJECT = Path(__file__).resolve().parents[2]
ANALYSES = sorted((PROJECT / "examples").glob("*/*.yaml"))
BRANCHES = {
    *("run", "luminosityBlock", "event", "genWeight"),
    *FLAT,
    *(f"n{name}" for name in COLLECTIONS),
    *(f"{name}_{field}" for name, fields in COLLECTIONS.items() for field in fields),
}
# What only the simulation knows; a model that sees it would be useless on data.
TRUTH = {"genWeight", "genTtbarId", "GenHiggs_pt", "Jet_hadronFlavour", "Jet_partonFlavour"}


def inputs(analysis: Analysis) -> Iterator[str]:
    for cut in analysis.selection:
        yield cut.cut
    for feature in analysis.features:
        yield feature.expression
    for collection in analysis.collections.values():
        yield from collection.features
        yield from (text for text in (collection.where, collection.order_by) if text)


def labels(analysis: Analysis) -> Iterator[str]:
    for sample in analysis.samples.values():
        if isinstance(sample.class_, dict):
            yield from (text for text in sample.class_.values() if text != OTHERWISE)


def test_there_are_three() -> None:
    assert [path.name for path in ANALYSES] == ["analysis.yaml", "analysis-deepsets.yaml", "analysis.yaml"]


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_analysis_is_valid_and_uses_no_truth(path: Path) -> None:
    analysis = load_analysis(path).analysis
    definitions = parse_all(analysis.definitions)
    used = {name for text in inputs(analysis) for name in parse(text, definitions=definitions).branches}
    assert used
    assert used <= BRANCHES - TRUTH
    known = {name for text in labels(analysis) for name in parse(text, definitions=definitions).branches}
    assert known <= BRANCHES


@pytest.mark.parametrize("path", ANALYSES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_samples_are_normalised_by_what_the_files_say(path: Path) -> None:
    analysis = load_analysis(path).analysis
    assert analysis.luminosity is not None
    for sample in analysis.samples.values():
        assert sample.normalisation is not None
        assert sample.normalisation.generator_weight == "genWeight"
        assert sample.normalisation.sum_of_weights != "events"
