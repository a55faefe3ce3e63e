"""Captions of the figures: what is shown and how it was computed, in plain words."""

from __future__ import annotations

from gridloom.physics.results import Evaluation
from gridloom.report.numbers import count, interval, percent, significant

SCORES = (
    "Filled: events scored by a model that trained on them; points: the same events scored by the model that never saw "
    "them; each class with area one. If the two differ, the network has learnt its training events by heart. p is the "
    "Kolmogorov–Smirnov probability with effective numbers of events; far below 0.01 is suspicious, though with many "
    "events even a harmless difference becomes visible: judge by the ratio (bins known to better than 50 %)."
)
CALIBRATION_CLASSES = "Mean score of each class against its true fraction, with training weights."
LEARNING = (
    "Loss of every fold after each epoch, with training weights: dashed on the events trained on, full on the "
    "validation fold, which also chooses the weights that are kept (dots). Point at a line to see its fold."
)
LEARNING_AUC = "AUC on the validation fold after each epoch. The test fold is never looked at during training."
SEPARATION = (
    "AUC of every input used alone as a cut; 0.5 separates nothing. A single input near 0 or 1 is more often a leak of "
    "the truth than a discovery."
)
CORRELATIONS = (
    "Linear correlation (numbers in per cent) of the flat features, the network's score last, with physics weights."
)
CLASS_YIELDS = (
    "Expected events after the selection beside the effective number of simulated events, (Σw)²/Σw²: so many events of "
    "equal weight would be as precise."
)
CUTFLOW = "Weighted yield after each part of the selection over that before any, sample by sample."
PROFILE = (
    "Mean prediction for events of similar true value. A network that minimises a squared error pulls the ends towards "
    "the mean: that is no bug."
)
SPECTRUM = "Weighted spectra of the target and of its prediction; the prediction is narrower where inputs say little."


def _bootstrap(evaluation: Evaluation) -> str:
    return f"from {count(evaluation.meta.bootstrap)} bootstrap replicas of the events"


def _judged(evaluation: Evaluation) -> str:
    return f"Every event is scored by the one model of {evaluation.meta.folds} that never saw it"


def roc(evaluation: Evaluation) -> str:
    main = evaluation.discriminations[0]
    text = (
        "Background rejection (one over the background efficiency) against signal efficiency; up and to the right is "
        f"better. {_judged(evaluation)}; signed physics weights. Bands and intervals are 68 %, "
        f"{_bootstrap(evaluation)}."
    )
    if main.difference is not None:
        text += f" AUC of network minus trees, same replicas: {interval(main.difference)}."
    if not main.network.monotonic:
        text += " Negative weights make the curve go backwards in places; nothing is clipped."
    return text


def roc_classes(evaluation: Evaluation) -> str:
    return (
        "Each class against all others, by its own output. Signed physics weights; bands are 68 %, "
        f"{_bootstrap(evaluation)}."
    )


def folds(evaluation: Evaluation) -> str:
    return (
        "AUC of each fold's own model on the fold it never saw. Line and band: all folds together with the 68 % "
        f"interval, {_bootstrap(evaluation)}. Folds should scatter about the line by chance alone."
    )


def yields(evaluation: Evaluation) -> str:
    text = (
        "Expected events per bin with signed physics weights, backgrounds below; the grey band is their statistical "
        "uncertainty."
    )
    if evaluation.blinding.blinded:
        text += " Collision data are blinded."
    elif evaluation.blinding.data_samples:
        text += " Points: collision data."
    return text


def score_classes(evaluation: Evaluation) -> str:
    return f"Every output of the network in every true class, area one. {_judged(evaluation)}."


def confusion(evaluation: Evaluation) -> str:
    return (
        "Rows: true class; columns: the class of the highest score; per cent of the row's weighted yield. The balanced "
        f"accuracy is the mean of the diagonal, with its 68 % interval {_bootstrap(evaluation)}."
    )


def calibration(evaluation: Evaluation) -> str:
    one = evaluation.calibrations[0]
    text = (
        "Mean score against true fraction of the signal, in bins of the score. With training weights, since the "
        "network learns their mixture: on the diagonal a score of 0.7 means 70 % signal."
    )
    if one.chi2 is not None and one.degrees > 0:
        text += f" χ² to the diagonal: {significant(one.chi2, 3)} for {one.degrees} degrees of freedom."
    return text


def significance(evaluation: Evaluation) -> str:
    meta = evaluation.meta
    return (
        "Expected significance of counting events above a cut: Asimov formula with a background uncertainty of "
        f"{percent(meta.background_uncertainty, 0)} (arXiv:1007.1727) and the approximate median significance (AMS, "
        "regularised by 10 events). The highest point of a scan is biased upwards, so it is not quoted: each fold's "
        "cut is chosen on its validation fold and applied to its test fold (diamond). Cuts need positive yields and "
        f"{significant(meta.minimum_effective_events, 2)} effective background events; hatched: too few."
    )


def significance_bins(evaluation: Evaluation) -> str:
    binned = evaluation.significance.binned if evaluation.significance is not None else None
    text = "Yields in bins chosen on the validation folds and counted on the test folds; below, what each bin adds."
    if binned is not None:
        text += f" All bins in quadrature: {interval(binned.asimov)}."
        if binned.excluded:
            text += f" Bins left out for too few events (hatched): {binned.excluded}."
    return text


def importance(evaluation: Evaluation) -> str:
    table = evaluation.importance
    if table is None:
        return ""
    return (
        f"How much worse the network gets when one input is shuffled among the events ({table.measure}); "
        f"{table.repeats} shuffles of {count(table.events)} out-of-fold events, error bars are their spread. Baseline "
        f"{significant(table.baseline, 4)}. Inputs that say the same share their importance."
    )


def residuals(evaluation: Evaluation) -> str:
    return f"Predicted minus true value. {_judged(evaluation)}; σ with its 68 % interval, {_bootstrap(evaluation)}."
