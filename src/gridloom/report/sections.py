"""The order of the page: which question each section answers, with which figures and tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gridloom.physics.results import Evaluation
from gridloom.report import tables
from gridloom.report.tables import Table


@dataclass(frozen=True, kw_only=True)
class Section:
    """A question with what answers it; figures without content are left out, and empty sections too."""

    key: str
    title: str
    menu: str
    figures: tuple[str, ...]
    tables: tuple[Callable[[Evaluation], list[Table]], ...] = ()
    folded: tuple[Callable[[Evaluation], list[Table]], ...] = ()


SECTIONS = (
    Section(
        key="separation",
        title="How well does it separate?",
        menu="Separation",
        figures=("roc", "folds", "roc_classes", "confusion", "score_classes"),
        tables=(tables.separation,),
    ),
    Section(
        key="regression",
        title="How well does it predict?",
        menu="Prediction",
        figures=("residuals", "profile", "spectrum"),
        tables=(tables.regression,),
    ),
    Section(
        key="training",
        title="Has it learnt by heart?",
        menu="Training",
        figures=("scores", "learning", "learning_auc"),
        tables=(tables.overtraining,),
        folded=(tables.training,),
    ),
    Section(
        key="gain",
        title="What does it bring?",
        menu="Significance",
        figures=("yields", "significance", "significance_bins"),
        tables=(tables.significance,),
    ),
    Section(
        key="calibration",
        title="Is the score a probability?",
        menu="Calibration",
        figures=("calibration", "calibration_classes"),
        tables=(tables.calibration,),
    ),
    Section(
        key="inputs",
        title="What does it look at?",
        menu="Inputs",
        figures=("importance", "separation", "correlations_signal", "correlations_background", "correlations_all"),
        folded=(tables.importance,),
    ),
    Section(
        key="events",
        title="Which events?",
        menu="Events",
        figures=("class_yields", "cutflow"),
        tables=(tables.yields,),
        folded=(tables.cutflows,),
    ),
)
