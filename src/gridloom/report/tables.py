"""The report's tables: rows of text, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass

from gridloom.physics.results import ClassYield, Cutflow, Evaluation, LearningCurve, RegressionScores, SampleYield
from gridloom.report.figures.inputs import input_name
from gridloom.report.numbers import NOTHING, count, interval, measured, percent, significant

_ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Table:
    """A title, the names of the columns and rows of text; the first `names` columns are text, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    names: int = 1
    strong: tuple[int, ...] = ()
    wide: bool = False


def separation(evaluation: Evaluation) -> list[Table]:
    """AUCs and rejections, network beside trees."""
    if not evaluation.discriminations:
        return []
    rows = tuple(
        (
            "signal" if one.name == "signal" else f"{one.name} against others",
            interval(one.network.area),
            NOTHING if one.reference is None else interval(one.reference.area),
            interval(one.difference),
        )
        for one in evaluation.discriminations
    )
    tables = [
        Table(
            title="Area under the ROC curve",
            columns=("", "Network", "Boosted trees", "Difference"),
            rows=rows,
            note=f"68 % intervals, {count(evaluation.meta.bootstrap)} bootstrap replicas, the same for the difference.",
        )
    ]
    return tables + _rejections(evaluation)


def _rejections(evaluation: Evaluation) -> list[Table]:
    main = evaluation.discriminations[0]
    if not main.network.rejections:
        return []
    trees = {} if main.reference is None else {p.signal_efficiency: p.rejection for p in main.reference.rejections}
    rows = tuple(
        (percent(point.signal_efficiency, 0), interval(point.rejection), interval(trees.get(point.signal_efficiency)))
        for point in main.network.rejections
    )
    return [
        Table(
            title="Background rejection",
            columns=("Signal efficiency", "Network", "Boosted trees"),
            rows=rows,
            note="One over the background efficiency.",
        )
    ]


def overtraining(evaluation: Evaluation) -> list[Table]:
    """Test against train for every class of the main discriminant."""
    if not evaluation.distributions:
        return []
    rows = tuple(
        (
            one.name,
            significant(test.ks_distance, 3),
            significant(test.ks_p, 2),
            f"{significant(test.chi2, 3)} / {test.degrees}",
            significant(test.chi2_p, 2),
            significant(test.test_effective, 3),
        )
        for one in evaluation.distributions[0].classes
        if (test := one.overtraining) is not None
    )
    columns = ("Class", "KS distance", "KS p", "χ² / dof", "χ² p", "Effective test events")
    return [Table(title="Test against train", columns=columns, rows=rows)] if rows else []


def _last(curve: LearningCurve) -> tuple[str, ...]:
    best = None
    for epoch, value in zip(curve.epochs, curve.validation_loss, strict=True):
        if epoch == curve.best_epoch:
            best = value
    seconds = [value for value in curve.seconds if value is not None]
    return (
        f"fold {curve.fold}",
        str(len(curve.epochs)),
        significant(curve.best_epoch),
        significant(best, 5),
        f"{sum(seconds):.1f} s" if seconds else NOTHING,
    )


def calibration(evaluation: Evaluation) -> list[Table]:
    """The main discriminant's reliability curve in numbers."""
    if not evaluation.calibrations or not evaluation.calibrations[0].bins:
        return []
    rows = tuple(
        (
            f"{row.low:.3f} … {row.high:.3f}",
            significant(row.predicted, 3),
            measured(row.observed),
            significant(row.effective, 3),
        )
        for row in evaluation.calibrations[0].bins
    )
    columns = ("Score", "Mean score", "True fraction", "Effective events")
    return [Table(title="Calibration in numbers", columns=columns, rows=rows)]


def training(evaluation: Evaluation) -> list[Table]:
    """One row per fold: epochs, the best of them, time."""
    rows = tuple(_last(curve) for curve in evaluation.learning)
    columns = ("", "Epochs", "Best epoch", "Best validation loss", "Time")
    return [Table(title="Training", columns=columns, rows=rows)] if rows else []


def significance(evaluation: Evaluation) -> list[Table]:
    """The two significances that may be quoted."""
    result = evaluation.significance
    if result is None:
        return []
    rows: list[tuple[str, ...]] = []
    note = "Cut and bins are chosen on validation folds and counted on test folds, so nothing is biased by the choice."
    if result.best is not None:
        best = result.best
        yields_of = (measured(best.signal), measured(best.background), significant(best.background_effective, 3))
        rows.append(("one cut", *yields_of, interval(best.asimov), interval(best.ams)))
        if best.cuts:
            note += f" Cuts of the folds: {min(best.cuts):.3f} to {max(best.cuts):.3f}."
    if result.binned is not None:
        used = sum(one.valid for one in result.binned.bins)
        significances = (interval(result.binned.asimov), interval(result.binned.ams))
        rows.append((f"{used} bins", NOTHING, NOTHING, NOTHING, *significances))
    columns = ("", "Signal", "Background", "Effective background", "Asimov Z", "AMS")
    return [Table(title="Expected significance", columns=columns, rows=tuple(rows), note=note)] if rows else []


def importance(evaluation: Evaluation) -> list[Table]:
    """All inputs by name: figures cut long names and long lists."""
    table = evaluation.importance
    if table is None:
        return []
    alone = {one.name: one.area for one in evaluation.separations}
    rows = tuple(
        (input_name(row), measured(row.drop), significant(alone.get(row.name) if row.collection is None else None, 3))
        for row in table.rows
    )
    return [Table(title="Inputs", columns=("Input", "Importance", "AUC alone"), rows=rows)]


def _scale(sample: SampleYield) -> str:
    return significant(sample.scale, 4)


def _yield_cells(row: ClassYield | None) -> tuple[str, ...]:
    if row is None:
        return ("blinded", "blinded", NOTHING, NOTHING, NOTHING)
    negative = percent(row.negative_fraction)
    return (count(row.raw), measured(row.weighted), significant(row.effective, 4), negative, count(row.zero_weights))


def _sample_rows(sample: SampleYield) -> list[tuple[str, ...]]:
    files = f"{count(sample.files_read)} / {count(sample.files_lost)}"
    name = f"{sample.sample} (data)" if sample.data else sample.sample
    whole = sample.total is not None or len(sample.classes) != 1
    rows: list[tuple[str, ...]] = []
    if whole:
        rows.append((name, _ALL, *_yield_cells(sample.total), files, _scale(sample)))
    rows += [
        (
            name if not whole else "",
            one.name,
            *_yield_cells(one),
            "" if whole else files,
            "" if whole else _scale(sample),
        )
        for one in sample.classes
        if not whole or len(sample.classes) > 1 or sample.total is None
    ]
    return rows


def yields(evaluation: Evaluation) -> list[Table]:
    """Yields by sample and class, then by class."""
    rows: list[tuple[str, ...]] = []
    for sample in evaluation.samples:
        rows += _sample_rows(sample)
    strong = len(rows)
    rows += [("all samples", one.name, *_yield_cells(one), "", "") for one in evaluation.class_yields]
    columns = ("Sample", "Class", "Events", "Yield", "Effective events", "Negative weights", "Zero weights",
               "Files read / lost", "Scale")  # fmt: skip
    note = (
        "After the selection. Effective events: (Σw)²/Σw². Negative weights: their share of Σ|w|. "
        "Scale: factor on each event's weight (luminosity, cross section, corrections for lost files)."
    )
    table = Table(
        title="Yields",
        columns=columns,
        rows=tuple(rows),
        note=note,
        names=2,
        strong=tuple(range(strong, len(rows))),
        wide=True,
    )
    return [table] if rows else []


def _cutflow(flow: Cutflow) -> Table:
    rows = tuple(
        (row.name, count(row.raw), measured(row.weighted), percent(row.step_efficiency), percent(row.efficiency))
        for row in flow.rows
    )
    columns = ("Selection", "Events", "Yield", "Of the row before", "Of all")
    return Table(title=f"Cutflow: {flow.sample}", columns=columns, rows=rows)


def cutflows(evaluation: Evaluation) -> list[Table]:
    return [_cutflow(flow) for flow in evaluation.cutflows]


def _scores(name: str, scores: RegressionScores) -> tuple[str, ...]:
    return (
        name,
        interval(scores.resolution),
        interval(scores.bias),
        interval(scores.rmse),
        interval(scores.mae),
        interval(scores.r2),
    )


def regression(evaluation: Evaluation) -> list[Table]:
    """Resolution and bias, network beside trees."""
    result = evaluation.regression
    if result is None:
        return []
    rows = [_scores("Network", result.network)]
    if result.reference is not None:
        rows.append(_scores("Boosted trees", result.reference))
    columns = ("", "Resolution", "Bias", "RMSE", "Mean |residual|", "R²")
    return [
        Table(
            title="Residuals",
            columns=columns,
            rows=tuple(rows),
            note="In units of the target; 68 % intervals.",
            wide=True,
        )
    ]
