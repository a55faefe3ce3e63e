"""The report's figures: one function each, listed with its title and what its caption says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.figure import Figure

from gridloom.physics.results import Evaluation
from gridloom.report import captions
from gridloom.report.figures.calibration import draw_calibration, draw_calibration_classes
from gridloom.report.figures.classes import draw_confusion
from gridloom.report.figures.events import draw_class_yields, draw_cutflow
from gridloom.report.figures.inputs import (
    draw_correlations_all,
    draw_correlations_background,
    draw_correlations_signal,
    draw_importance,
    draw_separation,
)
from gridloom.report.figures.learning import draw_learning, draw_learning_auc
from gridloom.report.figures.regression import draw_profile, draw_residuals, draw_spectrum
from gridloom.report.figures.roc import draw_folds, draw_roc, draw_roc_classes
from gridloom.report.figures.scores import draw_score_classes, draw_scores, draw_yields
from gridloom.report.figures.significance import draw_significance, draw_significance_bins


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A figure of the report: `draw` gives None when the evaluation has nothing to show there."""

    title: str
    draw: Callable[[Evaluation], Figure | None]
    caption: str | Callable[[Evaluation], str]
    wide: bool = False

    def caption_for(self, evaluation: Evaluation) -> str:
        return self.caption if isinstance(self.caption, str) else self.caption(evaluation)


# A new figure is one function, one caption and one line here (and its place in `sections.py`).
FIGURES: dict[str, Drawing] = {
    "roc": Drawing(title="ROC curve", draw=draw_roc, caption=captions.roc),
    "roc_classes": Drawing(title="Each class against the others", draw=draw_roc_classes, caption=captions.roc_classes),
    "folds": Drawing(title="AUC, fold by fold", draw=draw_folds, caption=captions.folds),
    "residuals": Drawing(title="Residuals", draw=draw_residuals, caption=captions.residuals),
    "profile": Drawing(title="Prediction against truth", draw=draw_profile, caption=captions.PROFILE),
    "spectrum": Drawing(title="Spectra", draw=draw_spectrum, caption=captions.SPECTRUM),
    "scores": Drawing(title="Score: test against train", draw=draw_scores, caption=captions.SCORES),
    "yields": Drawing(title="Expected events against score", draw=draw_yields, caption=captions.yields),
    "score_classes": Drawing(title="All outputs", draw=draw_score_classes, caption=captions.score_classes, wide=True),
    "confusion": Drawing(title="Confusion matrix", draw=draw_confusion, caption=captions.confusion),
    "calibration": Drawing(title="Calibration", draw=draw_calibration, caption=captions.calibration),
    "calibration_classes": Drawing(
        title="Calibration of every class", draw=draw_calibration_classes, caption=captions.CALIBRATION_CLASSES
    ),
    "learning": Drawing(title="Loss", draw=draw_learning, caption=captions.LEARNING),
    "learning_auc": Drawing(title="Validation AUC", draw=draw_learning_auc, caption=captions.LEARNING_AUC),
    "significance": Drawing(
        title="Significance against the cut", draw=draw_significance, caption=captions.significance
    ),
    "significance_bins": Drawing(
        title="Significance, bin by bin", draw=draw_significance_bins, caption=captions.significance_bins
    ),
    "importance": Drawing(title="Permutation importance", draw=draw_importance, caption=captions.importance),
    "separation": Drawing(title="Each input alone", draw=draw_separation, caption=captions.SEPARATION),
    "correlations_signal": Drawing(
        title="Correlations in signal", draw=draw_correlations_signal, caption=captions.CORRELATIONS
    ),
    "correlations_background": Drawing(
        title="Correlations in background", draw=draw_correlations_background, caption=captions.CORRELATIONS
    ),
    "correlations_all": Drawing(title="Correlations", draw=draw_correlations_all, caption=captions.CORRELATIONS),
    "class_yields": Drawing(title="Yields and statistics", draw=draw_class_yields, caption=captions.CLASS_YIELDS),
    "cutflow": Drawing(title="Selection", draw=draw_cutflow, caption=captions.CUTFLOW),
}
