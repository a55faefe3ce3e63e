"""ROC curves as background rejection against signal efficiency, and the AUC fold by fold."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gridloom.physics.results import Discrimination, Evaluation, Interval, RocCurve
from gridloom.report import style
from gridloom.report.numbers import interval

_LOWEST_EFFICIENCY = 0.02
_HIGHEST_REJECTION = 1e5


def _label(evaluation: Evaluation) -> style.Label:
    return style.Label(left="Simulation", right=f"{evaluation.meta.folds}-fold, out-of-fold scores")


def _rejection(curve: RocCurve) -> tuple[list[float], list[float]]:
    """Points that can stand on a logarithmic axis."""
    points = [
        (signal, 1 / background)
        for signal, background in zip(curve.signal_efficiency, curve.background_efficiency, strict=True)
        if signal >= _LOWEST_EFFICIENCY and background > 1 / _HIGHEST_REJECTION
    ]
    return [point[0] for point in points], [point[1] for point in points]


def _band(axes: Axes, curve: RocCurve, colour: str) -> None:
    rows = [
        (low, high, 1 / background)
        for low, high, background in zip(curve.signal_low, curve.signal_high, curve.background_efficiency, strict=True)
        if low >= _LOWEST_EFFICIENCY and background > 1 / _HIGHEST_REJECTION
    ]
    if rows:
        low, high, rejection = zip(*rows, strict=True)
        axes.fill_betweenx(rejection, low, high, color=colour, alpha=0.25, linewidth=0)


def _draw_curve(axes: Axes, curve: RocCurve, name: str, colour: str, line: Any) -> None:
    x, y = _rejection(curve)
    _band(axes, curve, colour)
    axes.plot(x, y, color=colour, linestyle=line, label=f"{name} (AUC {interval(curve.area)})")


def _points(axes: Axes, curve: RocCurve) -> None:
    """Rejections with their intervals, at the round signal efficiencies that notes quote."""
    rows = [
        (point.signal_efficiency, point.rejection)
        for point in curve.rejections
        if point.rejection is not None and point.rejection.value > 0
    ]
    if not rows:
        return
    axes.errorbar(
        [efficiency for efficiency, _ in rows],
        [rejection.value for _, rejection in rows],
        yerr=(
            [max(rejection.value - rejection.low, 0.0) for _, rejection in rows],
            [max(rejection.high - rejection.value, 0.0) for _, rejection in rows],
        ),
        fmt="o",
        color=style.NETWORK,
        label="Network, working points (68 %)",
    )


def _frame(axes: Axes) -> None:
    guess = [0.01 + 0.99 * step / 100 for step in range(101)]
    axes.plot(guess, [1 / x for x in guess], color=style.MUTED, linestyle=":", linewidth=1, label="No separation")
    axes.set_xlim(0, 1)
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.8)
    axes.grid(color=style.FAINT, linewidth=0.6)
    axes.set_xlabel("Signal efficiency")
    axes.set_ylabel("1 / background efficiency")
    axes.set_ylim(top=min(axes.get_ylim()[1], _HIGHEST_REJECTION))


def draw_roc(evaluation: Evaluation) -> Figure | None:
    """Network and trees: background rejection against signal efficiency."""
    if not evaluation.discriminations:
        return None
    main = evaluation.discriminations[0]
    axes = style.single()
    _draw_curve(axes, main.network, "Network", style.NETWORK, "-")
    if main.reference is not None:
        _draw_curve(axes, main.reference, "Boosted trees", style.TREES, "--")
    _points(axes, main.network)
    _frame(axes)
    style.legend(axes, loc="upper right")
    style.write_label(axes, _label(evaluation))
    return style.figure_of(axes)


def draw_roc_classes(evaluation: Evaluation) -> Figure | None:
    """Each class against all others (more than two classes)."""
    classes = evaluation.discriminations[1:]
    if len(classes) < 2:
        return None
    axes = style.single()
    for index, one in enumerate(classes):
        line = style.LINES[index % len(style.LINES)]
        _draw_curve(axes, one.network, style.short(one.name, 18), style.CYCLE[index % len(style.CYCLE)], line)
    _frame(axes)
    axes.set_xlabel("Efficiency of the class")
    axes.set_ylabel("Rejection of all others")
    style.legend(axes, loc="upper right")
    style.write_label(axes, _label(evaluation))
    return style.figure_of(axes)


def _fold_points(axes: Axes, curve: RocCurve, shift: float, colour: str, marker: str, name: str) -> None:
    places = [fold + shift for fold, area in enumerate(curve.fold_areas) if area is not None]
    areas = [area for area in curve.fold_areas if area is not None]
    axes.plot(places, areas, linestyle="none", marker=marker, color=colour, label=f"{name}, each fold", markersize=6)
    _mark_interval(axes, curve.area, colour, name)


def _mark_interval(axes: Axes, area: Interval, colour: str, name: str) -> None:
    axes.axhspan(area.low, area.high, color=colour, alpha=0.16, linewidth=0)
    axes.axhline(area.value, color=colour, linewidth=1, linestyle="-" if name == "Network" else "--")


def draw_folds(evaluation: Evaluation) -> Figure | None:
    """AUC of each fold's own model, network beside trees."""
    if not evaluation.discriminations or len(evaluation.discriminations[0].network.fold_areas) < 2:
        return None
    main: Discrimination = evaluation.discriminations[0]
    axes = style.single()
    _fold_points(axes, main.network, -0.08, style.NETWORK, "o", "Network")
    if main.reference is not None:
        _fold_points(axes, main.reference, 0.08, style.TREES, "s", "Boosted trees")
    folds = len(main.network.fold_areas)
    axes.set_xlim(-0.6, folds - 0.4)
    if folds <= 15:
        axes.set_xticks(range(folds))
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.margins(y=0.2)
    axes.set_xlabel("Fold (events that this fold's model never saw)")
    axes.set_ylabel("AUC")
    style.headroom(axes, 1.25)
    style.legend(axes, loc="upper right", ncols=2)
    style.write_label(axes, _label(evaluation))
    return style.figure_of(axes)
