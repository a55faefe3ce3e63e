"""The events: yields by class and the way through the selection."""

from __future__ import annotations

from matplotlib.figure import Figure

from gridloom.physics.results import Cutflow, Evaluation
from gridloom.report import style

_MOST_SAMPLES = 10


def draw_class_yields(evaluation: Evaluation) -> Figure | None:
    """Expected yield of every class beside the number of simulated events behind it."""
    rows = evaluation.class_yields
    if not rows:
        return None
    longest = max(len(style.short(row.name, 22)) for row in rows)
    left = min(0.35 + 0.085 * longest, 2.4)
    axes = style.single(height=1.35 + 0.5 * len(rows), left=left)
    places = list(range(len(rows)))
    shown = [(place, row) for place, row in zip(places, rows, strict=True) if row.weighted.value > 0]
    if shown:
        axes.barh(
            [place - 0.18 for place, _ in shown],
            [row.weighted.value for _, row in shown],
            xerr=[min(row.weighted.uncertainty or 0.0, 0.95 * row.weighted.value) for _, row in shown],
            height=0.34,
            color=style.BACKGROUND,
            ecolor=style.INK,
            label="Expected yield",
        )
    counted = [(place, row) for place, row in zip(places, rows, strict=True) if row.effective]
    if counted:
        axes.barh(
            [place + 0.18 for place, _ in counted],
            [row.effective or 0.0 for _, row in counted],
            height=0.34,
            facecolor="none",
            edgecolor=style.INK,
            hatch="////",
            linewidth=0.8,
            label="Effective simulated events",
        )
    drawn = [row.weighted.value for _, row in shown] + [row.effective or 0.0 for _, row in counted]
    if drawn:
        axes.set_xscale("log")
        axes.set_xlim(0.2 * min(drawn), 3 * max(drawn))
    axes.set_yticks(places, [style.short(row.name, 22) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -1.0)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.set_xlabel("Events")
    style.legend(axes, loc="upper right", ncols=2, fontsize=9.5)
    style.write_label(axes, style.Label(right=style.luminosity(evaluation.meta.luminosity)))
    return style.figure_of(axes)


def _efficiencies(cutflow: Cutflow) -> list[tuple[int, float]]:
    return [
        (step, row.efficiency)
        for step, row in enumerate(cutflow.rows)
        if row.efficiency is not None and row.efficiency > 0
    ]


def draw_cutflow(evaluation: Evaluation) -> Figure | None:
    """Weighted efficiency after each part of the selection, one line per sample."""
    flows = [flow for flow in evaluation.cutflows if len(_efficiencies(flow)) > 1][:_MOST_SAMPLES]
    if not flows:
        return None
    names = [style.short(row.name, 26) for row in max(flows, key=lambda flow: len(flow.rows)).rows]
    bottom = min(0.45 + 0.075 * max(len(name) for name in names), 1.9)
    axes = style.single(height=style.HEIGHT - 0.62 + bottom, bottom=bottom)
    lowest = 1.0
    for index, flow in enumerate(flows):
        steps, values = zip(*_efficiencies(flow), strict=True)
        lowest = min(lowest, *values)
        axes.plot(
            steps,
            values,
            color=style.CYCLE[index % len(style.CYCLE)],
            linestyle=style.LINES[index % len(style.LINES)],
            marker=style.MARKERS[index % len(style.MARKERS)],
            label=style.short(flow.sample, 22),
        )
    if lowest < 0.05:
        axes.set_yscale("log")
    else:
        style.from_zero(axes)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=9.5)
    axes.set_xlim(-0.3, len(names) - 0.7)
    axes.tick_params(axis="x", which="minor", bottom=False, top=False)
    axes.set_ylabel("Efficiency (weighted)")
    style.headroom(axes, 1.1 + 0.05 * len(flows))
    style.legend(axes, loc="upper right", ncols=2 if len(flows) > 3 else 1)
    style.write_label(axes, style.Label())
    return style.figure_of(axes)
