"""The inputs: how much the network relies on each, how much each separates alone, how they go together."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure

from gridloom.physics.results import CorrelationMatrix, Evaluation, Importance
from gridloom.report import style
from gridloom.report.readout import COLOUR_SCALE

_MOST_BARS = 30
_CELLS_WITH_TEXT = 14
_CELLS_AS_SHAPES = 40
_SCALE = 0.95

# The middle is transparent, so that "no correlation" is the paper's colour in the light and in the dark scheme.
CORRELATION = LinearSegmentedColormap.from_list(
    "correlation",
    [
        (place, (*to_rgb(style.BACKGROUND if place < 0.5 else style.SIGNAL), alpha))
        for place, alpha in ((0.0, 0.9), (0.35, 0.4), (0.4999, 0.0), (0.5001, 0.0), (0.65, 0.4), (1.0, 0.9))
    ],
)


def input_name(row: Importance) -> str:
    return row.name if row.collection is None or row.collection == row.name else f"{row.collection}: {row.name}"


def _bars_axes(names: Sequence[str]) -> Axes:
    """Axes for horizontal bars; the margin grows with the longest name."""
    longest = max(len(style.short(name)) for name in names)
    left = min(0.35 + 0.082 * longest, 3.0)
    axes = style.single(width=max(style.WIDTH, left + 3.2), height=1.1 + 0.24 * len(names), left=left)
    axes.set_yticks(range(len(names)), [style.short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def draw_importance(evaluation: Evaluation) -> Figure | None:
    """Permutation importance, most important input first."""
    table = evaluation.importance
    if table is None or not table.rows:
        return None
    rows = table.rows[:_MOST_BARS]
    axes = _bars_axes([input_name(row) for row in rows])
    axes.barh(
        range(len(rows)),
        [row.drop.value for row in rows],
        xerr=[row.drop.uncertainty or 0.0 for row in rows],
        height=0.66,
        color=style.NETWORK,
        alpha=0.75,
        ecolor=style.INK,
        error_kw={"linewidth": 1.1},
        label="Loss of AUC when shuffled",
    )
    axes.axvline(0, color=style.INK, linewidth=0.8)
    classification = evaluation.meta.kind == "classification"
    axes.set_xlabel("Loss of AUC when shuffled" if classification else "Rise of the error (spread of the target)")
    style.write_label(axes, style.Label())
    return style.figure_of(axes)


def draw_separation(evaluation: Evaluation) -> Figure | None:
    """AUC of each input used alone, as the distance from 0.5."""
    if not evaluation.separations:
        return None
    rows = sorted(evaluation.separations, key=lambda one: -abs(one.area - 0.5))[:_MOST_BARS]
    axes = _bars_axes([row.name for row in rows])
    for place, row in enumerate(rows):
        axes.plot([0.5, row.area], [place, place], color=style.FAINT, linewidth=2.4, solid_capstyle="butt")
    axes.plot(
        [row.area for row in rows],
        range(len(rows)),
        linestyle="none",
        marker="o",
        markersize=6,
        color=style.NETWORK,
        label="AUC of one input",
    )
    axes.axvline(0.5, color=style.INK, linewidth=0.8)
    reach = max(0.1, 1.15 * max(abs(row.area - 0.5) for row in rows))
    axes.set_xlim(max(0.5 - reach, -0.02), min(0.5 + reach, 1.02))
    axes.set_xlabel("AUC of this input alone")
    style.write_label(axes, style.Label())
    return style.figure_of(axes)


def _cells(axes: Axes, matrix: CorrelationMatrix) -> None:
    """Shapes stay sharp in every viewer but are too many for a large matrix; that one is an image."""
    values = [[float("nan") if value is None else value for value in row] for row in matrix.values]
    size = len(values)
    if size <= _CELLS_AS_SHAPES:
        edges = [index - 0.5 for index in range(size + 1)]
        drawn: ScalarMappable = axes.pcolormesh(edges, edges, values, cmap=CORRELATION, vmin=-1, vmax=1, linewidth=0)
    else:
        drawn = axes.imshow(values, cmap=CORRELATION, vmin=-1, vmax=1, interpolation="none", aspect="auto")
    box = axes.get_position()
    figure = style.figure_of(axes)
    width = figure.get_figwidth()
    place = (box.x1 + 0.12 / width, box.y0, 0.16 / width, box.height)
    scale = figure.add_axes(place, label=COLOUR_SCALE)
    bar = figure.colorbar(drawn, cax=scale)
    bar.set_ticks([-1, -0.5, 0, 0.5, 1])
    bar.set_label("Linear correlation")
    if size <= _CELLS_WITH_TEXT:
        for row, line in enumerate(matrix.values):
            for column, value in enumerate(line):
                if value is not None and abs(value) >= 0.005:
                    text = f"{100 * value:.0f}".replace("-", "−")
                    axes.text(column, row, text, ha="center", va="center", fontsize=8.5)


def draw_correlation(matrix: CorrelationMatrix) -> Figure:
    """One matrix of correlations in per cent, the score last."""
    size = len(matrix.labels)
    names = [style.short(name, 22) for name in matrix.labels]
    margin = min(0.3 + 0.078 * max(len(name) for name in names), 2.2)
    side = max(3.4, min(4.6, 0.3 * size), min(9.0, 0.15 * size))
    axes = style.single(
        width=margin + side + _SCALE, height=margin + side + 0.34, left=margin, bottom=margin, right=_SCALE
    )
    _cells(axes, matrix)
    step = 1 if size <= 60 else size // 30
    ticks = range(0, size, step)
    font = min(10.5, max(5.0, 72 * step * side / size * 0.85))
    axes.set_xticks(ticks, [names[i] for i in ticks], rotation=90, fontsize=font)
    axes.set_yticks(ticks, [names[i] for i in ticks], fontsize=font)
    axes.tick_params(which="both", length=0)
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    which = {"signal": "Simulation, signal", "background": "Simulation, background"}.get(matrix.name, "Simulation")
    style.write_label(axes, style.Label(left=which))
    return style.figure_of(axes)


def _correlation(evaluation: Evaluation, name: str) -> Figure | None:
    for matrix in evaluation.correlations:
        if matrix.name == name and matrix.labels:
            return draw_correlation(matrix)
    return None


def draw_correlations_signal(evaluation: Evaluation) -> Figure | None:
    return _correlation(evaluation, "signal")


def draw_correlations_background(evaluation: Evaluation) -> Figure | None:
    return _correlation(evaluation, "background")


def draw_correlations_all(evaluation: Evaluation) -> Figure | None:
    return _correlation(evaluation, "all")
