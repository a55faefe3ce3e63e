"""How figures look: mplhep's style at the size of a note's column, colours that everyone can tell apart.

The colours are those of Petroff (arXiv:2107.02270). Everything drawn in colour also differs by line style, marker or
hatch, so that a black and white print can be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
import mplhep
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#191c22"
MUTED = "#6d727c"
FAINT = "#cfd3da"
PAPER = "#fefefe"
SIGNAL = "#bd1f01"
BACKGROUND = "#3f90da"
NETWORK = "#832db6"
TREES = "#e76300"
GOOD = "#2f7d4f"

CYCLE = ("#bd1f01", "#3f90da", "#ffa90e", "#832db6", "#a96b59", "#94a4a2", "#e76300", "#b9ac70", "#717581", "#92dadd")
LINES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
HATCHES = ("////", "", "....", "\\\\\\\\", "xx", "||", "--", "++", "oo", "**")

# In the page a colour becomes a CSS variable, so that the dark scheme may choose a lighter one.
VARIABLES = {
    INK: "--fig-ink",
    MUTED: "--fig-muted",
    FAINT: "--fig-faint",
    PAPER: "--fig-paper",
    GOOD: "--fig-good",
    **{colour: f"--fig-{index}" for index, colour in enumerate(CYCLE)},
}

WIDTH = 5.6
HEIGHT = 4.5
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.82, 0.2, 0.62, 0.34

STYLE: dict[str, Any] = {
    **mplhep.style.ROOT,
    "font.size": 12,
    # Named one by one: only so a glyph that the first lacks is taken from the second.
    "font.family": ["TeX Gyre Heros", "DejaVu Sans"],
    "axes.linewidth": 1.0,
    "axes.unicode_minus": True,
    "axes.labelpad": 5,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.ndivs": 2,  # ticks are what drawing spends its time on
    "ytick.minor.ndivs": 2,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    "xtick.major.size": 6,
    "xtick.minor.size": 3,
    "ytick.major.size": 6,
    "ytick.minor.size": 3,
    "xtick.major.width": 0.9,
    "xtick.minor.width": 0.6,
    "ytick.major.width": 0.9,
    "ytick.minor.width": 0.6,
    "legend.fontsize": 10,
    "legend.labelspacing": 0.35,
    "legend.borderpad": 0.3,
    "legend.handlelength": 1.9,
    "lines.linewidth": 1.7,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.6,
    "hatch.color": INK,
    "svg.fonttype": "none",
    "pdf.fonttype": 3,
    "path.simplify": True,
    "path.simplify_threshold": 0.2,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this context; matplotlib's settings are as before afterwards."""
    with mpl.rc_context(cast("Any", STYLE)):
        yield


def plain(name: str) -> str:
    r"""A name as text: without this `Sum$(a) + Sum$(b)` would be taken for a formula."""
    return name.replace("$", r"\$")


def short(name: str, length: int = 34) -> str:
    """A name that fits beside an axis; the tables hold it in full."""
    name = " ".join(name.split())
    return plain(name if len(name) <= length else name[: length - 1] + "…")


@dataclass(frozen=True, kw_only=True)
class Label:
    """The line above the axes: what was judged at the left, the luminosity at the right."""

    left: str = "Simulation"
    right: str = ""


def luminosity(value: float | None) -> str:
    """`138 fb⁻¹` for 138000 (in /pb)."""
    if value is None:
        return ""
    return f"{value / 1000:.4g} fb⁻¹" if value >= 100 else f"{value:.4g} pb⁻¹"


def write_label(axes: Axes, label: Label) -> None:
    axes.text(0, 1.018, label.left, transform=axes.transAxes, style="italic", ha="left", va="bottom")
    if label.right:
        axes.text(1, 1.018, label.right, transform=axes.transAxes, ha="right", va="bottom", fontsize=10.5)


def single(
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    left: float = _LEFT,
    bottom: float = _BOTTOM,
    right: float = _RIGHT,
) -> Axes:
    """Axes of one new figure with fixed margins in inches: fast, and figures line up in a note."""
    figure = Figure(figsize=(width, height))
    box = (left / width, bottom / height, (width - left - right) / width, (height - bottom - _TOP) / height)
    return figure.add_axes(box)


def with_ratio(*, width: float = WIDTH, height: float = HEIGHT + 0.5, share: float = 0.27) -> tuple[Axes, Axes]:
    """Axes above and a ratio panel below with the same horizontal axis."""
    figure = Figure(figsize=(width, height))
    inner = height - _BOTTOM - _TOP
    gap = 0.1
    low = share * inner
    across = (_LEFT / width, (width - _LEFT - _RIGHT) / width)
    main = figure.add_axes((across[0], (_BOTTOM + low + gap) / height, across[1], (inner - low - gap) / height))
    ratio = figure.add_axes((across[0], _BOTTOM / height, across[1], low / height), sharex=main)
    main.tick_params(labelbottom=False)
    return main, ratio


def figure_of(axes: Axes) -> Figure:
    """The figure that `single` or `with_ratio` made for these axes."""
    figure = axes.get_figure()
    if not isinstance(figure, Figure):
        raise TypeError("axes outside a figure")
    return figure


def headroom(axes: Axes, factor: float) -> None:
    """Leave room for the legend above what is drawn."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        axes.set_ylim(low, high * (high / low) ** (factor - 1))
    else:
        axes.set_ylim(low, low + (high - low) * factor)


def from_zero(axes: Axes) -> None:
    """Let the axis begin at zero, unless negative weights make contents negative: those are shown."""
    low, high = axes.get_ylim()
    if axes.dataLim.y0 >= 0 and high > 0:
        axes.set_ylim(0, high)
    else:
        axes.set_ylim(low, high)


def span(axes: Axes, low: float, high: float) -> None:
    """The horizontal range, where it is one."""
    if low < high:
        axes.set_xlim(low, high)


def legend(axes: Axes, **settings: Any) -> None:
    """A legend if anything has a name."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(handles, labels, **settings)
