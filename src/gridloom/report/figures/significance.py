"""Significance against the cut, and bin by bin."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gridloom.physics.results import Evaluation, MaybeFloats, SignificanceScan
from gridloom.report import style
from gridloom.report.numbers import interval, percent


def _pieces(scan: SignificanceScan, values: MaybeFloats) -> list[list[int]]:
    """Runs of neighbouring cuts where the figure of merit is defined: a curve must not bridge a hole."""
    pieces: list[list[int]] = [[]]
    for index, (value, valid) in enumerate(zip(values, scan.valid, strict=True)):
        if value is not None and valid:
            pieces[-1].append(index)
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _curve(
    axes: Axes, scan: SignificanceScan, values: MaybeFloats, errors: MaybeFloats, look: tuple[str, str, str]
) -> None:
    name, colour, line = look
    for number, piece in enumerate(_pieces(scan, values)):
        x = [scan.cuts[i] for i in piece]
        y = [values[i] or 0.0 for i in piece]
        error = [errors[i] or 0.0 for i in piece]
        low = [a - b for a, b in zip(y, error, strict=True)]
        high = [a + b for a, b in zip(y, error, strict=True)]
        axes.fill_between(x, low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(x, y, color=colour, linestyle=line, label=name if number == 0 else f"_{name}")


def _working_point(axes: Axes, evaluation: Evaluation) -> None:
    """The unbiased working point: drawn at the mean of the folds' cuts."""
    best = evaluation.significance.best if evaluation.significance is not None else None
    if best is None or best.asimov is None or not best.cuts:
        return
    z = best.asimov
    axes.errorbar(
        [sum(best.cuts) / len(best.cuts)],
        [z.value],
        yerr=([max(z.value - z.low, 0.0)], [max(z.high - z.value, 0.0)]),
        xerr=([sum(best.cuts) / len(best.cuts) - min(best.cuts)], [max(best.cuts) - sum(best.cuts) / len(best.cuts)]),
        fmt="D",
        color=style.INK,
        markersize=6,
        linewidth=1.2,
        label=f"Cut from validation folds: {interval(z)}",
    )


def _bounds(axes: Axes, scan: SignificanceScan, values: Sequence[MaybeFloats]) -> None:
    """Cuts without enough events are shaded: there is no significance there, not a small one."""
    style.span(axes, min(scan.cuts), max(scan.cuts))
    known = [value for one in values for value in one if value is not None]
    if known:
        axes.set_ylim(min(0, *known), max(1.1 * max(known), axes.get_ylim()[1]) or 1)
    invalid = [cut for cut, valid in zip(scan.cuts, scan.valid, strict=True) if not valid]
    last = max((cut for cut, valid in zip(scan.cuts, scan.valid, strict=True) if valid), default=None)
    tail = [cut for cut in invalid if last is not None and cut > last]
    if last is not None and tail:
        axes.axvspan(last, max(scan.cuts), facecolor="none", edgecolor=style.MUTED, hatch="///", linewidth=0, alpha=0.6)


def draw_significance(evaluation: Evaluation) -> Figure | None:
    """Asimov significance with background uncertainty and AMS against the cut."""
    if evaluation.significance is None or not evaluation.significance.scan.cuts:
        return None
    scan = evaluation.significance.scan
    axes = style.single()
    uncertainty = percent(evaluation.meta.background_uncertainty, 0)
    look = (f"Asimov Z, {uncertainty} background uncertainty", style.NETWORK, "-")
    _curve(axes, scan, scan.asimov, scan.asimov_uncertainty, look)
    _curve(axes, scan, scan.ams, scan.ams_uncertainty, ("AMS", style.TREES, "--"))
    _working_point(axes, evaluation)
    _bounds(axes, scan, (scan.asimov, scan.ams))
    axes.set_xlabel("Cut on the score")
    axes.set_ylabel("Expected significance")
    style.headroom(axes, 1.32)
    style.legend(axes, loc="upper left")
    style.write_label(axes, style.Label(right=style.luminosity(evaluation.meta.luminosity)))
    return style.figure_of(axes)


def _yield_bars(axes: Axes, evaluation: Evaluation) -> None:
    binned = evaluation.significance.binned if evaluation.significance is not None else None
    if binned is None:
        return
    for name, colour, marker, shift in (
        ("Background", style.BACKGROUND, "s", 0.08),
        ("Signal", style.SIGNAL, "o", -0.08),
    ):
        rows = [(i, one.background if name == "Background" else one.signal) for i, one in enumerate(binned.bins)]
        shown = [(i, value) for i, value in rows if value.value > 0]
        if not shown:
            continue
        values = [value.value for _, value in shown]
        errors = [min(value.uncertainty or 0.0, 0.95 * value.value) for _, value in shown]
        axes.errorbar(
            [i + shift for i, _ in shown],
            values,
            yerr=errors,
            xerr=0.5 - abs(shift),
            fmt=marker,
            color=colour,
            linewidth=1.2,
            label=name,
        )


def draw_significance_bins(evaluation: Evaluation) -> Figure | None:
    """Yields in the bins chosen on the validation folds, and what each bin adds."""
    significance = evaluation.significance
    if significance is None or significance.binned is None or not significance.binned.bins:
        return None
    bins = significance.binned.bins
    axes, lower = style.with_ratio(share=0.36)
    _yield_bars(axes, evaluation)
    if axes.containers:
        axes.set_yscale("log")
    axes.set_ylabel("Events / bin")
    axes.set_xlim(-0.6, len(bins) - 0.4)
    style.headroom(axes, 1.35)
    style.legend(axes, loc="upper right", ncols=2)
    places = [index for index, one in enumerate(bins) if one.valid and one.asimov is not None]
    heights = [bins[index].asimov or 0.0 for index in places]
    lower.bar(places, heights, width=0.8, color=style.NETWORK, alpha=0.7, label="Asimov Z")
    for index, one in enumerate(bins):
        if not one.valid:
            lower.axvspan(index - 0.4, index + 0.4, facecolor="none", edgecolor=style.MUTED, hatch="///", linewidth=0)
    lower.set_ylabel("Asimov Z", loc="center")
    style.from_zero(lower)
    step = max(1, len(bins) // 8)
    lower.set_xticks(range(len(bins)), [f"{one.mean_cut:.2f}" if i % step == 0 else "" for i, one in enumerate(bins)])
    for one_axes in (axes, lower):
        one_axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    lower.set_xlabel("Bin of the score (lower edge, mean of the folds)")
    style.write_label(axes, style.Label(right=style.luminosity(evaluation.meta.luminosity)))
    return style.figure_of(axes)
