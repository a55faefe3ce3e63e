"""Confusion matrix of a model of many classes."""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from gridloom.physics.results import Confusion, Evaluation
from gridloom.report import style
from gridloom.report.numbers import interval

_CELLS_WITH_TEXT = 10
FRACTION = LinearSegmentedColormap.from_list(
    "fraction", [(*to_rgb(style.NETWORK), 0.0), (*to_rgb(style.NETWORK), 0.85)]
)


def _text(confusion: Confusion, row: int, column: int) -> str:
    value, error = confusion.fractions[row][column], confusion.uncertainties[row][column]
    if value is None:
        return "–"
    shown = f"{100 * value:.1f}"
    return shown if error is None or len(confusion.classes) > 6 else f"{shown}\n± {100 * error:.1f}"


def draw_confusion(evaluation: Evaluation) -> Figure | None:
    """Row: true class; column: class of the highest score; in per cent of the row."""
    confusion = evaluation.confusion
    if confusion is None:
        return None
    size = len(confusion.classes)
    names = [style.short(name, 16) for name in confusion.classes]
    margin = 0.75 + 0.075 * max(len(name) for name in names)
    side = max(3.2, min(6.0, 0.75 * size))
    axes = style.single(width=margin + side + 0.3, height=margin + side + 0.35, left=margin, bottom=margin)
    values = [[float("nan") if value is None else value for value in row] for row in confusion.fractions]
    edges = [index - 0.5 for index in range(size + 1)]
    axes.pcolormesh(edges, edges, values, cmap=FRACTION, vmin=0, vmax=1, linewidth=0)
    if size <= _CELLS_WITH_TEXT:
        for row in range(size):
            for column in range(size):
                axes.text(column, row, _text(confusion, row, column), ha="center", va="center", fontsize=9.5)
    turned = max(len(name) for name in names) * size * 0.09 > side
    axes.set_xticks(range(size), names, rotation=40 if turned else 0, ha="right" if turned else "center")
    axes.set_yticks(range(size), names)
    axes.tick_params(which="both", length=0)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xlabel("Class of the highest score")
    axes.set_ylabel("True class")
    style.write_label(axes, style.Label(right=f"balanced accuracy {interval(confusion.accuracy)}"))
    return style.figure_of(axes)
