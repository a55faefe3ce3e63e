"""Draw every figure of the report once and save it in all its forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gridloom.physics.results import Evaluation
from gridloom.report import svg
from gridloom.report.figures import FIGURES
from gridloom.report.page import Drawn
from gridloom.report.readout import readout
from gridloom.report.style import styled

_TWO_COLUMNS = 7.5  # inches


def draw_figures(evaluation: Evaluation, folder: Path, each: Callable[[int, int, str], None]) -> dict[str, Drawn]:
    """Write `<name>.pdf` and `<name>.png` into `folder` and give back the inline SVGs.

    `each(number, of, name)` is called before each figure: for progress and for stopping.
    """
    folder.mkdir(parents=True, exist_ok=True)
    drawn: dict[str, Drawn] = {}
    for number, (name, drawing) in enumerate(FIGURES.items()):
        each(number, len(FIGURES), name)
        with styled():
            figure = drawing.draw(evaluation)
            if figure is None:
                continue
            text = svg.inline(figure, name)
            wide = drawing.wide or figure.get_figwidth() > _TWO_COLUMNS
            drawn[name] = Drawn(name=name, svg=text, readout=readout(figure), wide=wide)
            for kind in ("png", "pdf"):
                svg.save(figure, folder / f"{name}.{kind}")
    return drawn
