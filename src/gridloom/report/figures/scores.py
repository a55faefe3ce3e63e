"""Score distributions: test against train, expected yields, every output of a model of many classes."""

from __future__ import annotations

import math
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gridloom.physics.results import ClassDistribution, Evaluation, Floats, Histogram, ScoreDistribution
from gridloom.report import style

_MOST_CLASSES = 6
_WIDEST_RATIO_ERROR = 0.5


def centres(edges: Floats) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(edges)]


def _class_colour(evaluation: Evaluation, name: str) -> str:
    """Two classes keep the colours of signal and background; more go round the palette."""
    if len(evaluation.meta.classes) == 2:
        return style.SIGNAL if name in evaluation.meta.signal else style.BACKGROUND
    names = list(evaluation.meta.classes)
    return style.CYCLE[(names.index(name) if name in names else 0) % len(style.CYCLE)]


def _density(histogram: Histogram, edges: Floats) -> tuple[list[float], list[float]]:
    """Fraction of events per bin, over the bin's width in units of the mean width (a shape, independent of binning)."""
    mean = (edges[-1] - edges[0]) / (len(edges) - 1)
    widths = [(high - low) / mean for low, high in pairwise(edges)]
    return (
        [content / width for content, width in zip(histogram.contents, widths, strict=True)],
        [error / width for error, width in zip(histogram.uncertainties, widths, strict=True)],
    )


def _p_value(p: float) -> str:
    return f"{p:.2f}" if p >= 0.01 else f"{p:.1e}"


def _draw_class(axes: Axes, one: ClassDistribution, edges: Floats, colour: str, index: int, *, hatched: bool) -> None:
    train, _ = _density(one.train, edges)
    test, errors = _density(one.test, edges)
    fitted = "" if one.overtraining is None else f", KS p = {_p_value(one.overtraining.ks_p)}"
    name = style.short(one.name, 18)
    axes.stairs(train, edges, fill=True, color=colour, alpha=0.28, linewidth=0)
    axes.stairs(
        train,
        edges,
        color=colour,
        linewidth=1.3,
        linestyle=style.LINES[index % len(style.LINES)],
        label=f"{name}, train",
        hatch=style.HATCHES[index] if hatched and index < 2 else None,
    )
    axes.errorbar(
        centres(edges),
        test,
        yerr=errors,
        fmt=style.MARKERS[index % len(style.MARKERS)],
        color=colour,
        linewidth=1,
        label=f"{name}, test{fitted}",
    )


def _draw_ratio(ratio: Axes, one: ClassDistribution, edges: Floats, colour: str, index: int, many: int) -> None:
    """Test over train with the uncertainty of both."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    shift = (index - (many - 1) / 2) * 0.18 * width
    rows = [
        (centre + shift, test / train, test / train * math.hypot(test_error / test, train_error / train))
        for centre, test, test_error, train, train_error in zip(
            centres(edges),
            one.test.contents,
            one.test.uncertainties,
            one.train.contents,
            one.train.uncertainties,
            strict=True,
        )
        if train > 0 and test > 0
    ]
    rows = [row for row in rows if row[2] < _WIDEST_RATIO_ERROR]
    if not rows:
        return
    x, y, errors = zip(*rows, strict=True)
    marker = style.MARKERS[index % len(style.MARKERS)]
    ratio.errorbar(
        x, y, yerr=errors, fmt=marker, color=colour, linewidth=0.9, markersize=3.5, label=style.short(one.name, 18)
    )


def _score_axis(evaluation: Evaluation, distribution: ScoreDistribution) -> str:
    if distribution.discriminant == "signal" and len(evaluation.meta.classes) > 2:
        return "Signal score (sum of the signal classes)"
    name = distribution.discriminant
    return "Score" if name == "signal" else f"Score for {style.short(name, 30)}"


def draw_scores(evaluation: Evaluation) -> Figure | None:
    """Shapes of the main discriminant: events the model never saw against events it trained on."""
    if not evaluation.distributions:
        return None
    distribution = evaluation.distributions[0]
    edges = distribution.edges
    axes, ratio = style.with_ratio()
    shown = distribution.classes[:_MOST_CLASSES]
    for index, one in enumerate(shown):
        colour = _class_colour(evaluation, one.name)
        _draw_class(axes, one, edges, colour, index, hatched=len(shown) <= 2)
        _draw_ratio(ratio, one, edges, colour, index, len(shown))
    ratio.axhline(1, color=style.MUTED, linewidth=0.8, linestyle=":")
    ratio.set_ylim(0.5, 1.5)
    ratio.set_yticks([0.6, 0.8, 1.0, 1.2, 1.4], ["0.6", "", "1.0", "", "1.4"])
    ratio.set_ylabel("Test / train", loc="center", fontsize=10.5)
    ratio.set_xlabel(_score_axis(evaluation, distribution))
    style.span(axes, edges[0], edges[-1])
    style.from_zero(axes)
    axes.set_ylabel("Fraction of events / bin")
    style.headroom(axes, 1.18 + 0.11 * len(shown))
    style.legend(axes, loc="upper center", ncols=2, columnspacing=1.2, fontsize=10)
    style.write_label(axes, style.Label(right="unit area, training selection"))
    return style.figure_of(axes)


def _stack(axes: Axes, evaluation: Evaluation, distribution: ScoreDistribution) -> tuple[list[float], list[float]]:
    """Backgrounds below, signals on top; the total with its variance."""
    signals = set(evaluation.meta.signal)
    ordered = sorted(distribution.classes, key=lambda one: (one.name in signals, sum(one.yields.contents)))
    total = [0.0] * (len(distribution.edges) - 1)
    variance = [0.0] * (len(distribution.edges) - 1)
    for index, one in enumerate(ordered):
        above = [base + content for base, content in zip(total, one.yields.contents, strict=True)]
        axes.stairs(
            above,
            distribution.edges,
            baseline=total,
            fill=True,
            facecolor=_class_colour(evaluation, one.name),
            alpha=0.75,
            edgecolor=style.INK,
            linewidth=0.5,
            hatch=style.HATCHES[index % len(style.HATCHES)] if index else None,
            label=style.short(one.name, 18),
        )
        total = above
        variance = [v + error**2 for v, error in zip(variance, one.yields.uncertainties, strict=True)]
    return total, variance


def _draw_signal_line(axes: Axes, evaluation: Evaluation, distribution: ScoreDistribution, total: list[float]) -> None:
    """The signal alone, scaled to the total: a small signal is invisible in the stack."""
    signal = [0.0] * len(total)
    for one in distribution.classes:
        if one.name in evaluation.meta.signal:
            signal = [a + b for a, b in zip(signal, one.yields.contents, strict=True)]
    if sum(signal) <= 0 or sum(total) <= 0:
        return
    ratio = sum(total) / sum(signal)
    if ratio < 3:
        return
    # A round factor, 1, 2 or 5 times a power of ten: it is read off, not measured.
    power = 10.0 ** math.floor(math.log10(ratio))
    factor = max(step * power for step in (1, 2, 5) if step * power <= ratio)
    scaled = [factor * content for content in signal]
    axes.stairs(scaled, distribution.edges, color=style.INK, linestyle="--", label=f"Signal × {factor:,.0f}")


def draw_yields(evaluation: Evaluation) -> Figure | None:
    """Expected events per bin of the main discriminant, stacked; collision data only when unblinded."""
    if not evaluation.distributions:
        return None
    distribution = evaluation.distributions[0]
    edges = distribution.edges
    axes = style.single()
    total, variance = _stack(axes, evaluation, distribution)
    errors = [math.sqrt(value) for value in variance]
    low = [content - error for content, error in zip(total, errors, strict=True)]
    high = [content + error for content, error in zip(total, errors, strict=True)]
    axes.stairs(high, edges, baseline=low, fill=True, color=style.INK, alpha=0.3, linewidth=0, label="Stat. unc.")
    _draw_signal_line(axes, evaluation, distribution, total)
    if distribution.data is not None:
        data = distribution.data
        axes.errorbar(
            centres(edges), data.contents, yerr=data.uncertainties, fmt="o", color=style.INK, label="Data", linewidth=1
        )
    style.span(axes, edges[0], edges[-1])
    positive = [content for content in total if content > 0]
    if positive and min(total) >= 0 and max(positive) / min(positive) > 50:
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.3 * min(positive))
    axes.set_ylabel("Expected events / bin")
    axes.set_xlabel(_score_axis(evaluation, distribution))
    style.headroom(axes, 1.4)
    style.legend(axes, loc="upper center", ncols=3, columnspacing=1.2, fontsize=10)
    left = "Simulation" if distribution.data is None else "Data and simulation"
    style.write_label(axes, style.Label(left=left, right=style.luminosity(evaluation.meta.luminosity)))
    return style.figure_of(axes)


def _panel(figure: Figure, evaluation: Evaluation, distribution: ScoreDistribution, at: tuple[int, int, int]) -> None:
    axes = figure.add_subplot(*at)
    for index, one in enumerate(distribution.classes):
        contents, _ = _density(one.test, distribution.edges)
        axes.stairs(
            contents,
            distribution.edges,
            color=_class_colour(evaluation, one.name),
            linestyle=style.LINES[index % len(style.LINES)],
            linewidth=1.4,
            label=style.short(one.name, 16),
        )
    style.span(axes, distribution.edges[0], distribution.edges[-1])
    style.from_zero(axes)
    axes.set_xlabel(_score_axis(evaluation, distribution), fontsize=10.5)
    if at[2] == 1:
        axes.set_ylabel("Fraction of events / bin", fontsize=10.5)
        style.write_label(axes, style.Label())
        style.headroom(axes, 1.3)
        style.legend(axes, loc="upper right", fontsize=9, ncols=2)


def draw_score_classes(evaluation: Evaluation) -> Figure | None:
    """Every output of a model of many classes, in each true class (test events)."""
    outputs = [one for one in evaluation.distributions if one.discriminant in evaluation.meta.classes]
    if len(outputs) < 3:
        return None
    columns = 2 if len(outputs) == 4 else 3
    rows = math.ceil(len(outputs) / columns)
    height = 2.9 * rows + 0.4
    figure = Figure(figsize=(3.4 * columns + 0.6, height))
    figure.subplots_adjust(left=0.075, right=0.985, bottom=0.6 / height, top=1 - 0.4 / height, hspace=0.32, wspace=0.16)
    for index, one in enumerate(outputs):
        _panel(figure, evaluation, one, (rows, columns, index + 1))
    return figure
