"""Learning curves: training and validation loss of every fold, epoch by epoch."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gridloom.physics.results import Evaluation, Floats, LearningCurve, MaybeFloats
from gridloom.report import style


def _draw(axes: Axes, epochs: Floats, values: MaybeFloats, label: str, colour: str, line: Any) -> None:
    known = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None]
    if known:
        x, y = zip(*known, strict=True)
        axes.plot(x, y, color=colour, linestyle=line, linewidth=1.2, alpha=0.85, label=label)


def _best(axes: Axes, curve: LearningCurve, values: MaybeFloats) -> None:
    for epoch, value in zip(curve.epochs, values, strict=True):
        if epoch == curve.best_epoch and value is not None:
            axes.plot([epoch], [value], marker="o", color=style.INK, markersize=4.5)


def _legend(axes: Axes, names: tuple[tuple[str, str, Any], ...]) -> None:
    """One entry per kind of line: the fold is told by pointing at it."""
    handles = [Line2D([], [], color=colour, linestyle=line, label=name) for name, colour, line in names]
    handles.append(Line2D([], [], color=style.INK, marker="o", linestyle="none", label="Kept weights"))
    axes.legend(handles=handles, loc="upper right")


def _frame(axes: Axes, evaluation: Evaluation) -> None:
    axes.set_xlabel("Epoch")
    axes.locator_params(axis="x", integer=True)
    style.write_label(axes, style.Label(right=f"{len(evaluation.learning)} folds"))


def draw_learning(evaluation: Evaluation) -> Figure | None:
    """Loss on the training folds (dashed) and on the validation fold (full)."""
    if not any(curve.epochs for curve in evaluation.learning):
        return None
    axes = style.single()
    for curve in evaluation.learning:
        _draw(axes, curve.epochs, curve.loss, f"Fold {curve.fold}, training", style.BACKGROUND, "--")
        _draw(axes, curve.epochs, curve.validation_loss, f"Fold {curve.fold}, validation", style.NETWORK, "-")
        _best(axes, curve, curve.validation_loss)
    axes.set_ylabel("Loss (training weights)")
    _legend(axes, (("Training", style.BACKGROUND, "--"), ("Validation", style.NETWORK, "-")))
    _frame(axes, evaluation)
    return style.figure_of(axes)


def draw_learning_auc(evaluation: Evaluation) -> Figure | None:
    """AUC on the validation fold, where it was recorded."""
    curves = [curve for curve in evaluation.learning if any(value is not None for value in curve.validation_auc)]
    if not curves:
        return None
    axes = style.single()
    for curve in curves:
        _draw(axes, curve.epochs, curve.validation_auc, f"Fold {curve.fold}, validation", style.NETWORK, "-")
        _best(axes, curve, curve.validation_auc)
    axes.set_ylabel("AUC on the validation fold")
    _legend(axes, (("Validation", style.NETWORK, "-"),))
    axes.get_legend().set_loc("lower right")  # type: ignore[union-attr]
    _frame(axes, evaluation)
    return style.figure_of(axes)
