"""Figures: what they tell under the pointer, their bytes, and names that mean something to matplotlib."""

from __future__ import annotations

import json
import re
from pathlib import Path

import matplotlib as mpl
import pytest

from gridloom.physics.results import CorrelationMatrix, Evaluation, Histogram
from gridloom.report import style, svg
from gridloom.report.draw import draw_figures
from gridloom.report.figures import FIGURES
from gridloom.report.figures.inputs import draw_correlation
from gridloom.report.readout import Readout, readout
from gridloom.report.sections import SECTIONS


def drawn(name: str, evaluation: Evaluation) -> tuple[str, list[Readout]]:
    with style.styled():
        figure = FIGURES[name].draw(evaluation)
        assert figure is not None
        return svg.inline(figure, name), readout(figure)


def test_every_figure_has_its_place_on_the_page() -> None:
    assert sorted(name for section in SECTIONS for name in section.figures) == sorted(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_for_some_evaluation(
    name: str, binary: Evaluation, multiclass: Evaluation, regression: Evaluation
) -> None:
    shown = []
    for evaluation in (binary, multiclass, regression):
        with style.styled():
            if FIGURES[name].draw(evaluation) is not None:
                shown.append(evaluation)
                assert FIGURES[name].caption_for(evaluation)
    assert shown


def bare(evaluation: Evaluation) -> Evaluation:
    return Evaluation(
        meta=evaluation.meta,
        blinding=evaluation.blinding,
        verdict=(),
        class_yields=(),
        samples=(),
        cutflows=(),
    )


def test_an_evaluation_without_results_draws_nothing(binary: Evaluation, tmp_path: Path) -> None:
    assert draw_figures(bare(binary), tmp_path, lambda _number, _of, _name: None) == {}
    assert list(tmp_path.iterdir()) == []


def test_settings_of_matplotlib_are_left_as_they_were(binary: Evaluation) -> None:
    before = dict(mpl.rcParams)
    drawn("learning", binary)
    assert dict(mpl.rcParams) == before


def test_curves_are_read_out_in_their_own_units(binary: Evaluation) -> None:
    text, (axes,) = drawn("roc", binary)
    box = [float(number) for number in re.findall(r"[\d.]+", re.findall(r'viewBox="([^"]+)"', text)[0])]
    assert box[2] > axes["box"][2] > axes["box"][0] > 0
    assert box[3] > axes["box"][3] > axes["box"][1] > 0
    assert (axes["xlog"], axes["ylog"], axes["named"]) == (False, True, False)
    network = axes["curves"][0]
    assert network["label"].startswith("Network (AUC 0.7910 ± 0.0030)")
    curve = binary.discriminations[0].network
    wanted = dict(zip(curve.signal_efficiency, curve.background_efficiency, strict=True))
    nearest = min(wanted, key=lambda efficiency: abs(efficiency - network["x"][30]))
    assert network["y"][30] == pytest.approx(1 / wanted[nearest], rel=1e-3)


def test_points_carry_their_errors_and_bars_their_names(binary: Evaluation) -> None:
    _, (axes, _) = drawn("scores", binary)
    test = next(curve for curve in axes["curves"] if curve["label"].startswith("ttH, test"))
    assert test["error"][5] == pytest.approx(binary.distributions[0].classes[1].test.uncertainties[5], rel=1e-3)
    _, (bars,) = drawn("importance", binary)
    assert bars["named"]
    assert bars["curves"][0]["names"][0].startswith("m_bb")
    assert bars["curves"][0]["error"][0] == pytest.approx(0.0012)


def test_a_stacked_histogram_tells_its_own_content(binary: Evaluation) -> None:
    _, (axes,) = drawn("yields", binary)
    top = next(curve for curve in axes["curves"] if curve["label"] == "ttH")
    assert top["content"][10] == pytest.approx(binary.distributions[0].classes[1].yields.contents[10], rel=1e-3)
    assert top["y"][10] > top["content"][10]


def test_data_are_drawn_only_when_the_evaluation_holds_them(binary: Evaluation) -> None:
    first = binary.distributions[0]
    data = Histogram(contents=(7.0,) * 20, uncertainties=(2.6,) * 20)
    shown = binary.model_copy(update={"distributions": (first.model_copy(update={"data": data}),)})
    for evaluation, there in ((binary, False), (shown, True)):
        text, (axes,) = drawn("yields", evaluation)
        assert any(curve["label"] == "Data" for curve in axes["curves"]) is there
        assert ("Data and simulation" in text) is there


def test_matrices_are_read_cell_by_cell(binary: Evaluation) -> None:
    _, (axes,) = drawn("correlations_signal", binary)
    matrix = axes["matrix"]
    assert matrix["rows"][5] == "Sum$(Jet_pt > 25)"
    assert matrix["values"][2] == [None] * 13
    assert matrix["values"][0][1] == pytest.approx(binary.correlations[0].values[0][1], rel=1e-4)


def test_a_large_matrix_is_an_image_and_still_read() -> None:
    labels = tuple(f"feature{index}" for index in range(75))
    rows = tuple(tuple(1.0 if a == b else 0.1 for a in range(75)) for b in range(75))
    with style.styled():
        figure = draw_correlation(CorrelationMatrix(name="all", labels=labels, values=rows))
        text = svg.inline(figure, "all")
        (axes,) = readout(figure)
    assert "<image" in text
    assert len(text) < 100_000
    assert axes["matrix"]["values"][3][3] == 1.0
    assert axes["matrix"]["rows"][0] == "feature0"


def test_the_same_figure_has_the_same_bytes(binary: Evaluation, tmp_path: Path) -> None:
    assert drawn("significance_bins", binary) == drawn("significance_bins", binary)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with style.styled():
            figure = FIGURES["folds"].draw(binary)
            assert figure is not None
            for kind in ("pdf", "png"):
                svg.save(figure, tmp_path / folder / f"folds.{kind}")
    for kind in ("pdf", "png"):
        content = (tmp_path / "a" / f"folds.{kind}").read_bytes()
        assert content == (tmp_path / "b" / f"folds.{kind}").read_bytes()
        assert b"CreationDate" not in content


def test_colours_are_variables_so_that_a_dark_page_can_choose_others(binary: Evaluation) -> None:
    text, _ = drawn("scores", binary)
    assert not [colour for colour in style.VARIABLES if colour in text]
    css = (Path(style.__file__).parent / "static" / "page.css").read_text()
    light, dark = css.split("@media screen and (prefers-color-scheme: dark)")
    for variable in style.VARIABLES.values():
        assert f"{variable}:" in light
        assert f"{variable}:" in dark


def test_ids_of_two_figures_never_meet(binary: Evaluation) -> None:
    ids = [set(re.findall(r' id="([^"]+)"', drawn(name, binary)[0])) for name in ("scores", "learning")]
    assert not ids[0] & ids[1]
    text, _ = drawn("scores", binary)
    for reference in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text):
        assert (reference[0] or reference[1]) in ids[0]


def test_names_stay_text(hostile: Evaluation) -> None:
    text, bars = drawn("importance", hostile)
    assert "<script" not in text
    assert "<img" not in text
    assert r"Sum$(Jet_pt &gt; 25)/Sum$(1) \frac{" in text
    names = json.dumps(bars, ensure_ascii=False)
    assert r"Sum$(Jet_pt > 25)/Sum$(1)" in names
    assert "line break" in names


def changed(value: object, to: float, key: str = "") -> object:
    """The same evaluation with every number of an event, but no edge, turned into another."""
    if isinstance(value, dict):
        return {name: changed(inner, to, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [changed(inner, to, key) for inner in value]
    if not isinstance(value, float) or key in ("edges", "cuts", "background_uncertainty", "luminosity"):
        return value
    return abs(to * value) if "uncertaint" in key or key == "effective" else to * value


@pytest.mark.parametrize("to", [0.0, -1.0, 1e-300, 1e30])
def test_strange_numbers_are_drawn_too(to: float, binary: Evaluation) -> None:
    strange = Evaluation.model_validate(changed(binary.model_dump(mode="json"), to))
    for drawing in FIGURES.values():
        with style.styled():
            figure = drawing.draw(strange)
            if figure is not None:
                assert readout(figure)
