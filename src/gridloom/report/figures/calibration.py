"""Calibration: does a score of 0.7 mean 70 % signal?"""

from __future__ import annotations

from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gridloom.physics.results import Calibration, Evaluation
from gridloom.report import style
from gridloom.report.numbers import interval


def _curve(axes: Axes, one: Calibration, colour: str, index: int, name: str) -> None:
    axes.errorbar(
        [row.predicted for row in one.bins],
        [row.observed.value for row in one.bins],
        yerr=[row.observed.uncertainty or 0.0 for row in one.bins],
        fmt=style.MARKERS[index % len(style.MARKERS)],
        linestyle=style.LINES[index % len(style.LINES)],
        color=colour,
        linewidth=1.2,
        label=name,
    )


def _frame(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=style.MUTED, linestyle=":", linewidth=1, label="Perfect calibration")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.03, 1.12)
    axes.set_ylabel("True fraction (training weights)")
    axes.grid(color=style.FAINT, linewidth=0.6)
    style.legend(axes, loc="upper left")
    style.write_label(axes, style.Label())


def draw_calibration(evaluation: Evaluation) -> Figure | None:
    """Reliability curve of the main discriminant above, the events in each bin below."""
    if not evaluation.calibrations or not evaluation.calibrations[0].bins:
        return None
    one = evaluation.calibrations[0]
    axes, lower = style.with_ratio(share=0.24)
    error = "" if one.expected_error is None else f" (mean error {interval(one.expected_error)})"
    _curve(axes, one, style.NETWORK, 0, f"Network{error}")
    _frame(axes)
    edges = [row.low for row in one.bins] + [one.bins[-1].high]
    events = [row.effective for row in one.bins]
    if all(low < high for low, high in pairwise(edges)):
        lower.stairs(events, edges, fill=True, color=style.MUTED, alpha=0.5, label="Effective events")
    if min(events) > 0 and max(events) / min(events) > 30:
        lower.set_yscale("log")
    lower.set_ylabel("Events", loc="center", fontsize=10.5)
    lower.set_xlabel("Mean score")
    return style.figure_of(axes)


def draw_calibration_classes(evaluation: Evaluation) -> Figure | None:
    """Reliability curves of every class."""
    classes = [one for one in evaluation.calibrations[1:] if one.bins]
    if len(classes) < 2:
        return None
    axes = style.single()
    for index, one in enumerate(classes):
        _curve(axes, one, style.CYCLE[index % len(style.CYCLE)], index, style.short(one.discriminant, 18))
    _frame(axes)
    axes.set_xlabel("Mean score of the class")
    return style.figure_of(axes)
