"""A regression: residuals, mean prediction against truth, spectra."""

from __future__ import annotations

from matplotlib.figure import Figure

from gridloom.physics.results import Evaluation
from gridloom.report import style
from gridloom.report.figures.scores import centres
from gridloom.report.numbers import interval


def draw_residuals(evaluation: Evaluation) -> Figure | None:
    """Predicted minus true, network beside trees."""
    result = evaluation.regression
    if result is None:
        return None
    axes = style.single()
    edges = result.residual_edges
    label = f"Network (σ = {interval(result.network.resolution)})"
    axes.stairs(result.residuals.contents, edges, color=style.NETWORK, fill=True, alpha=0.25, linewidth=0)
    axes.stairs(result.residuals.contents, edges, color=style.NETWORK, linewidth=1.5, label=label)
    if result.reference_residuals is not None and result.reference is not None:
        name = f"Boosted trees (σ = {interval(result.reference.resolution)})"
        axes.stairs(result.reference_residuals.contents, edges, color=style.TREES, linestyle="--", label=name)
    axes.axvline(0, color=style.MUTED, linewidth=0.8, linestyle=":")
    style.span(axes, edges[0], edges[-1])
    style.from_zero(axes)
    style.headroom(axes, 1.25)
    axes.set_xlabel("Predicted − true (units of the target)")
    axes.set_ylabel("Events / bin")
    style.legend(axes, loc="upper left")
    style.write_label(axes, style.Label())
    return style.figure_of(axes)


def draw_profile(evaluation: Evaluation) -> Figure | None:
    """Mean prediction in bins of the truth; the band is the spread of the predictions."""
    result = evaluation.regression
    if result is None or not result.profile:
        return None
    axes = style.single()
    true = [row.true for row in result.profile]
    mean = [row.predicted.value for row in result.profile]
    low = [row.predicted.value - row.spread for row in result.profile]
    high = [row.predicted.value + row.spread for row in result.profile]
    axes.fill_between(true, low, high, color=style.NETWORK, alpha=0.2, linewidth=0)
    axes.errorbar(
        true,
        mean,
        yerr=[row.predicted.uncertainty or 0.0 for row in result.profile],
        fmt="o",
        color=style.NETWORK,
        label="Mean prediction (band: spread)",
    )
    ends = [min(true), max(true)]
    axes.plot(ends, ends, color=style.MUTED, linestyle=":", linewidth=1, label="Predicted = true")
    axes.set_xlabel("True value")
    axes.set_ylabel("Predicted value")
    style.legend(axes, loc="upper left")
    style.write_label(axes, style.Label())
    return style.figure_of(axes)


def draw_spectrum(evaluation: Evaluation) -> Figure | None:
    """Spectra of the truth and of the prediction."""
    result = evaluation.regression
    if result is None:
        return None
    axes = style.single()
    edges = result.target_edges
    axes.stairs(result.target.contents, edges, color=style.BACKGROUND, fill=True, alpha=0.3, linewidth=0)
    axes.stairs(result.target.contents, edges, color=style.BACKGROUND, linewidth=1.4, label="True")
    axes.errorbar(
        centres(edges),
        result.predicted.contents,
        yerr=result.predicted.uncertainties,
        fmt="o",
        color=style.NETWORK,
        label="Predicted",
    )
    style.span(axes, edges[0], edges[-1])
    style.from_zero(axes)
    style.headroom(axes, 1.25)
    axes.set_xlabel("Target")
    axes.set_ylabel("Events / bin")
    style.legend(axes, loc="upper right")
    style.write_label(axes, style.Label(right=style.luminosity(evaluation.meta.luminosity)))
    return style.figure_of(axes)
