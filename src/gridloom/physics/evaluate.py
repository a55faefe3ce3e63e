"""From scored events to everything that the report draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gridloom.errors import EmptyClass
from gridloom.physics import verdict
from gridloom.physics.bootstrap import IntArray
from gridloom.physics.calibration import calibration
from gridloom.physics.counting import Counting
from gridloom.physics.discrimination import discrimination
from gridloom.physics.distributions import score_distribution
from gridloom.physics.events import Discriminant, ScoreArray, discriminants
from gridloom.physics.features import Sampled, correlation_matrices, importance, separations
from gridloom.physics.material import Material
from gridloom.physics.multiclass import confusion
from gridloom.physics.overtraining import random_half
from gridloom.physics.regression import regression
from gridloom.physics.results import (
    Blinding,
    Calibration,
    Check,
    ClassYield,
    Confusion,
    CorrelationMatrix,
    Discrimination,
    Evaluation,
    ImportanceTable,
    Meta,
    Regression,
    SampleYield,
    ScoreDistribution,
    Separation,
    Significance,
)
from gridloom.physics.roc import area
from gridloom.physics.significance import significance
from gridloom.physics.yields import class_yields, cutflows, data_yield, sample_yield


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """The figures of a classification or of a regression, and their part of the first screen."""

    checks: tuple[Check | None, ...]
    discriminations: tuple[Discrimination, ...] = ()
    distributions: tuple[ScoreDistribution, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    significance: Significance | None = None
    confusion: Confusion | None = None
    regression: Regression | None = None
    importance: ImportanceTable | None = None
    separations: tuple[Separation, ...] = ()
    correlations: tuple[CorrelationMatrix, ...] = ()


def evaluate(material: Material) -> Evaluation:
    """Every figure and table of the report, with uncertainties.

    Raises EmptyClass or BadWeights when a class has no events or no positive yield.
    """
    yields = class_yields(material.events, material.classes)
    empty = [item.name for item in yields if item.raw == 0]
    if empty:
        raise EmptyClass(f"no events of {', '.join(empty)} to judge", fix="Loosen the selection.", key=("selection",))
    figures = _classification(material) if material.classes else _regression(material)
    samples = _samples(material)
    hidden = frozenset(() if material.analysis.evaluation.unblind else material.data_samples)
    checks = (*figures.checks, *_common_checks(material, yields, samples))
    return Evaluation(
        meta=_meta(material),
        blinding=_blinding(material),
        verdict=tuple(check for check in checks if check is not None),
        class_yields=yields,
        samples=samples,
        cutflows=cutflows(material.statistics, material.scales, hidden),
        discriminations=figures.discriminations,
        distributions=figures.distributions,
        calibrations=figures.calibrations,
        significance=figures.significance,
        confusion=figures.confusion,
        regression=figures.regression,
        importance=figures.importance,
        separations=figures.separations,
        correlations=figures.correlations,
        learning=material.learning,
        notes=(*_notes(material, yields), *material.notes),
    )


def _classification(material: Material) -> _Figures:
    events, classes = material.events, material.classes
    settings = material.analysis.evaluation
    named = discriminants(classes, material.analysis.target.signal)
    main, bootstrap = named[0], material.bootstrap
    positive, score = main.is_positive(events.label), main.of(events.scores)
    sampled = Sampled.of(material)
    found = tuple(discrimination(bootstrap, events, item) for item in named)
    half = random_half(len(events), material.analysis.training.seed)
    distributions = tuple(score_distribution(events, item, classes, bins=settings.bins, half=half) for item in named)
    calibrations = tuple(
        calibration(
            bootstrap, item.name, item.of(events.scores), item.is_positive(events.label), events.training_weight
        )
        for item in named
    )
    counted = significance(bootstrap, _counting(material, main))
    alone = separations(material, sampled, positive)
    return _Figures(
        checks=(
            verdict.separation(found[0]),
            verdict.against_trees(found[0]),
            verdict.overtraining(found[0], distributions[0]),
            verdict.calibrated(calibrations[0]),
            verdict.folds_agree(found[0]),
            verdict.leak(alone, found[0]),
            verdict.counting(counted),
        ),
        discriminations=found,
        distributions=distributions,
        calibrations=calibrations,
        significance=counted,
        confusion=confusion(bootstrap, events, classes) if len(classes) > 2 else None,
        importance=importance(
            material, "AUC", lambda scores, at: area(main.of(scores), positive[at], events.weight[at])
        ),
        separations=alone,
        correlations=correlation_matrices(material, sampled, score, {"signal": positive, "background": ~positive}),
    )


def _counting(material: Material, main: Discriminant) -> Counting:
    events, settings = material.events, material.analysis.evaluation
    return Counting(
        scores=main.of(events.scores),
        validation_scores=main.of(events.validation_scores),
        positive=main.is_positive(events.label),
        weight=events.weight,
        fold=events.fold.astype(np.int64),
        folds=events.folds,
        relative_uncertainty=settings.background_uncertainty,
        minimum_effective=settings.minimum_effective_events,
        bins=settings.bins,
    )


def _regression(material: Material) -> _Figures:
    events = material.events
    assert events.target is not None, "events of a regression have a target"
    target, weight = events.target, events.weight
    predicted = events.scores[:, 0].astype(np.float64)
    found = regression(
        material.bootstrap,
        target=target,
        predicted=predicted,
        trained=events.train_scores[:, 0].astype(np.float64),
        reference=None if events.reference is None else events.reference[:, 0].astype(np.float64),
        weight=weight,
        bins=material.analysis.evaluation.bins,
    )
    spread = float(target.std()) or 1.0

    def minus_error(scores: ScoreArray, at: IntArray) -> float:
        square = float(weight[at] @ (scores[:, 0] - target[at]) ** 2) / float(weight[at].sum())
        return -float(np.sqrt(max(square, 0.0))) / spread

    sampled = Sampled.of(material)
    return _Figures(
        checks=verdict.regression_checks(found, spread),
        regression=found,
        importance=importance(material, "RMS error / spread of the target", minus_error),
        correlations=correlation_matrices(material, sampled, predicted, {"all": np.ones(len(events), dtype=np.bool_)}),
    )


def _samples(material: Material) -> tuple[SampleYield, ...]:
    names = list(material.analysis.samples)
    unblind = material.analysis.evaluation.unblind
    return tuple(
        data_yield(statistics, unblind=unblind)
        if name in material.data_samples
        else sample_yield(material.events, names.index(name), statistics, material.classes, material.scales[name])
        for name, statistics in material.statistics.items()
    )


def _common_checks(
    material: Material, yields: tuple[ClassYield, ...], samples: tuple[SampleYield, ...]
) -> tuple[Check | None, ...]:
    return (
        verdict.effective(yields),
        verdict.negative_weights(yields),
        verdict.trained_enough(material.learning, material.analysis.training.epochs),
        verdict.lost_files(samples),
    )


def _meta(material: Material) -> Meta:
    analysis, events = material.analysis, material.events
    signal = tuple(name for name in material.classes if name in analysis.target.signal)
    return Meta(
        analysis=analysis.name,
        kind="classification" if material.classes else "regression",
        classes=material.classes,
        signal=signal,
        background=tuple(name for name in material.classes if name not in signal),
        features=tuple(feature.name for feature in analysis.features),
        collections=tuple(analysis.collections),
        folds=analysis.folds,
        seed=analysis.training.seed,
        events=len(events),
        training_events=int(events.trains.sum()),
        bootstrap=analysis.evaluation.bootstrap,
        background_uncertainty=analysis.evaluation.background_uncertainty,
        minimum_effective_events=analysis.evaluation.minimum_effective_events,
        luminosity=analysis.luminosity,
    )


def _blinding(material: Material) -> Blinding:
    names = material.data_samples
    if not names:
        return Blinding(blinded=False, statement="There is no collision data in this analysis.")
    if material.analysis.evaluation.unblind:
        text = "Collision data is shown, as the analysis file asks (`evaluation: {unblind: true}`)."
        return Blinding(data_samples=names, blinded=False, statement=text)
    text = "Collision data is blinded: this report shows nothing of it but the number of its files."
    return Blinding(data_samples=names, blinded=True, statement=text)


def _notes(material: Material, yields: tuple[ClassYield, ...]) -> tuple[str, ...]:
    """What a careful reader must know about the figures."""
    notes = ["Every event is judged by the model of its own fold, which saw it neither in training nor in validation."]
    samples = material.analysis.samples.values()
    if material.classes and all(sample.normalisation is None for sample in samples if not sample.data):
        notes.append(
            "No sample states a cross section: yields and significances mean something only if the weights in the "
            "files are normalised to the data."
        )
    if any(item.negative_fraction > 0 for item in yields):
        notes.append(
            "Negative weights are counted with their sign. ROC curves may therefore go backwards; nothing is clipped."
        )
    if material.classes:
        notes.append(
            "Significances come from cuts and bins that were chosen on validation events. The scan over all cuts "
            "shows test events, so its highest point is biased upwards."
        )
        notes.append("Calibration is judged with training weights: for their class balance scores are probabilities.")
    return tuple(notes)
