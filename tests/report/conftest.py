"""Evaluations made by hand: a binary one, one of many classes, a regression and a hostile one."""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import NormalDist

import pytest
from pydantic import JsonValue

from gridloom.physics.results import (
    BinnedSignificance,
    Blinding,
    Calibration,
    CalibrationBin,
    Check,
    ClassDistribution,
    ClassYield,
    Confusion,
    CorrelationMatrix,
    Cutflow,
    CutflowRow,
    Discrimination,
    Evaluation,
    Histogram,
    Importance,
    ImportanceTable,
    Interval,
    LearningCurve,
    Measured,
    Meta,
    OvertrainingTest,
    ProfileBin,
    Regression,
    RegressionScores,
    RejectionPoint,
    RocCurve,
    SampleYield,
    ScoreDistribution,
    Separation,
    Significance,
    SignificanceBin,
    SignificanceScan,
    WorkingPoint,
)
from gridloom.report.task import write_report

NORMAL = NormalDist()
FEATURES = (
    "m_bb",
    "dR_bb",
    "HT",
    "met_pt",
    "lepton_pt",
    "Sum$(Jet_pt > 25)",
    "Jet_btag[0]",
    "Jet_btag[1]",
    "Jet_btag[2]",
    "sphericity",
    "aplanarity",
    "m_top_had",
)


def around(value: float, size: float) -> Interval:
    return Interval(value=value, low=value - size, high=value + size)


def roc(area: float, seed: int, size: float = 0.003, folds: int = 5) -> RocCurve:
    """The curve of two normal distributions with that area."""
    distance = math.sqrt(2) * NORMAL.inv_cdf(area)
    background = [10 ** (-5 + 5 * step / 160) for step in range(160)] + [1.0]
    signal = [1.0 if b >= 1 else NORMAL.cdf(NORMAL.inv_cdf(b) + distance) for b in background]
    width = [0.012 * math.sqrt(max(s * (1 - s), 0.0)) + 0.001 for s in signal]
    drawn = random.Random(seed)
    return RocCurve(
        background_efficiency=tuple(background),
        signal_efficiency=tuple(signal),
        signal_low=tuple(s - w for s, w in zip(signal, width, strict=True)),
        signal_high=tuple(s + w for s, w in zip(signal, width, strict=True)),
        area=around(area, size),
        fold_areas=tuple(area + drawn.gauss(0, 2 * size) for _ in range(folds)),
        rejections=tuple(
            RejectionPoint(
                signal_efficiency=efficiency,
                rejection=Interval(
                    value=(rejection := 1 / NORMAL.cdf(NORMAL.inv_cdf(efficiency) - distance)),
                    low=rejection * 0.95,
                    high=rejection * 1.06,
                ),
            )
            for efficiency in (0.3, 0.5, 0.7, 0.9)
        ),
    )


def histogram(shape: list[float], total: float, events: float, drawn: random.Random) -> Histogram:
    norm = sum(shape)
    contents, errors = [], []
    for value in shape:
        expected = max(value / norm * events, 0.3)
        seen = max(drawn.gauss(expected, math.sqrt(expected)), 0.2)
        contents.append(seen / events * total)
        errors.append(math.sqrt(expected) / events * total)
    return Histogram(contents=tuple(contents), uncertainties=tuple(errors))


def distribution(names: tuple[str, ...], discriminant: str, peaked: int, bins: int = 20) -> ScoreDistribution:
    drawn = random.Random(len(names) + peaked)
    edges = tuple(step / bins for step in range(bins + 1))
    classes = []
    for index, name in enumerate(names):
        a, b = (3.2, 1.7) if index == peaked else (1.5 + 0.25 * index, 3.4)
        shape = [((low + 0.5 / bins) ** a) * ((1 - low - 0.5 / bins) ** b) for low in edges[:-1]]
        classes.append(
            ClassDistribution(
                name=name,
                yields=histogram(shape, 250.0 * 8.0 ** (index != peaked), 20000, drawn),
                test=histogram(shape, 1, 10000, drawn),
                train=histogram(shape, 1, 40000, drawn),
                overtraining=OvertrainingTest(
                    ks_distance=0.011,
                    ks_p=0.31 if index else 0.0042,
                    chi2=17.3,
                    degrees=19,
                    chi2_p=0.57,
                    test_effective=9812.0,
                    train_effective=38990.0,
                ),
            )
        )
    return ScoreDistribution(discriminant=discriminant, edges=edges, classes=tuple(classes))


def calibration(discriminant: str) -> Calibration:
    bins = [
        CalibrationBin(
            low=step / 10,
            high=(step + 1) / 10,
            predicted=(middle := (step + 0.5) / 10),
            observed=Measured(value=middle + 0.03 * math.sin(6 * middle), uncertainty=0.012),
            effective=300 + 4000 * middle * (1 - middle),
        )
        for step in range(10)
    ]
    return Calibration(
        discriminant=discriminant, bins=tuple(bins), expected_error=around(0.018, 0.003), chi2=21.4, degrees=10
    )


def significance() -> Significance:
    cuts = tuple(step / 50 for step in range(50))
    signal = tuple(250 * (1 - cut**1.6) for cut in cuts)
    background = tuple(2000 * (1 - cut) ** 3.4 for cut in cuts)
    valid = tuple(cut < 0.87 for cut in cuts)
    asimov = tuple(
        s / math.sqrt(b + (0.1 * b) ** 2 + 0.5) if ok else None
        for s, b, ok in zip(signal, background, valid, strict=True)
    )
    ams = tuple(s / math.sqrt(b + 10) if ok else None for s, b, ok in zip(signal, background, valid, strict=True))
    errors = tuple(None if z is None else 0.03 * z + 0.02 for z in asimov)
    scan = SignificanceScan(
        cuts=cuts,
        signal=signal,
        signal_uncertainty=tuple(0.02 * s for s in signal),
        background=background,
        background_uncertainty=tuple(0.03 * b for b in background),
        asimov=asimov,
        asimov_uncertainty=errors,
        ams=ams,
        ams_uncertainty=errors,
        valid=valid,
    )
    best = WorkingPoint(
        cuts=(0.71, 0.72, 0.68, 0.74, 0.71),
        signal=Measured(value=101.2, uncertainty=2.1),
        background=Measured(value=31.0, uncertainty=1.9),
        background_effective=266.0,
        signal_efficiency=0.405,
        background_efficiency=0.0155,
        asimov=around(9.1, 0.4),
        ams=around(10.2, 0.35),
        valid=True,
    )
    bins = tuple(
        SignificanceBin(
            mean_cut=step / 8,
            signal=Measured(value=4.0 + 6 * step, uncertainty=0.7 + 0.2 * step),
            background=Measured(value=900 * math.exp(-0.75 * step), uncertainty=20 * math.exp(-0.45 * step)),
            background_effective=900 * math.exp(-0.6 * step),
            asimov=None if step == 7 else 0.2 * step,
            valid=step != 7,
        )
        for step in range(8)
    )
    binned = BinnedSignificance(
        bins=bins, asimov=Interval(value=10.3, low=9.8, high=10.9), ams=around(11, 0.4), excluded=1
    )
    return Significance(scan=scan, best=best, binned=binned)


def matrix(name: str, labels: tuple[str, ...]) -> CorrelationMatrix:
    drawn = random.Random(name)
    size = len(labels)
    values = [[1.0] * size for _ in labels]
    for row in range(size):
        for column in range(row):
            values[row][column] = values[column][row] = max(-0.95, min(0.95, drawn.gauss(0, 0.35)))
    rows = tuple(tuple(None if row == 2 and name == "signal" else v for v in line) for row, line in enumerate(values))
    return CorrelationMatrix(name=name, labels=labels, values=rows)


def learning(folds: int = 5) -> tuple[LearningCurve, ...]:
    drawn = random.Random(4)
    curves = []
    for fold in range(folds):
        epochs = tuple(float(epoch) for epoch in range(1, 22 + fold))
        train = tuple(0.52 + 0.17 * math.exp(-epoch / 5) - 0.001 * epoch + drawn.gauss(0, 0.001) for epoch in epochs)
        valid = tuple(0.535 + 0.15 * math.exp(-epoch / 4.5) + drawn.gauss(0, 0.002) for epoch in epochs)
        curves.append(
            LearningCurve(
                fold=fold,
                epochs=epochs,
                loss=train,
                validation_loss=valid,
                learning_rate=tuple(1e-3 for _ in epochs),
                validation_auc=tuple(0.79 - 0.1 * math.exp(-epoch / 4) for epoch in epochs),
                seconds=tuple(0.81 for _ in epochs),
                best_epoch=epochs[valid.index(min(valid))],
            )
        )
    return tuple(curves)


def class_yield(name: str, weighted: float, raw: int, negative: float = 0.0) -> ClassYield:
    return ClassYield(
        name=name,
        raw=raw,
        weighted=Measured(value=weighted, uncertainty=weighted / math.sqrt(raw)),
        effective=raw * (1 - 2 * negative) ** 2,
        negative_fraction=negative,
    )


def cutflow(sample: str, start: int, steps: tuple[tuple[str, float], ...]) -> Cutflow:
    rows = [
        CutflowRow(
            name="all events",
            raw=start,
            weighted=Measured(value=start * 0.31, uncertainty=12.0),
            efficiency=1.0,
            step_efficiency=None,
        )
    ]
    whole = 1.0
    for name, kept in steps:
        whole *= kept
        rows.append(
            CutflowRow(
                name=name,
                raw=int(start * whole),
                weighted=Measured(value=start * 0.31 * whole, uncertainty=9.0 * math.sqrt(whole)),
                efficiency=whole,
                step_efficiency=kept,
            )
        )
    return Cutflow(sample=sample, rows=tuple(rows))


CUTS = (("one lepton, pT > 25 GeV", 0.52), ("≥ 4 jets", 0.41), ("≥ 2 b-tags & met < 300", 0.33))
CHECKS = (
    Check(name="Better than chance", status="good", statement="AUC 0.791 ± 0.003 is far above 0.5."),
    Check(
        name="Beside boosted trees",
        status="good",
        statement="The network is as good as the trees: difference 0.006 ± 0.002.",
    ),
    Check(
        name="Over-training",
        status="warn",
        statement="Test and train scores differ for ttbar (KS p = 0.0042), by at most 3 % in any bin.",
    ),
    Check(
        name="No leak from an input",
        status="good",
        statement="The strongest single input, m_bb, reaches an AUC of 0.66.",
    ),
    Check(
        name="Folds agree", status="good", statement="The AUCs of the 5 folds scatter by 0.005, as expected by chance."
    ),
    Check(
        name="Negative weights",
        status="good",
        statement="11.2 % of ttbar's weights are negative; effective events: 24 580.",
    ),
    Check(
        name="Calibration",
        status="warn",
        statement="Scores are off by 0.018 on average: calibrate before using them as probabilities.",
    ),
    Check(name="Files", status="good", statement="One file of 15 was lost."),
)


def make_binary() -> Evaluation:
    labels = (*FEATURES, "score")
    drawn = random.Random(8)
    drops = sorted((abs(drawn.gauss(0, 0.03)) for _ in FEATURES), reverse=True)
    tth, ttbar = class_yield("ttH", 251.3, 20117), class_yield("ttbar", 2004.8, 40992, 0.112)
    return Evaluation(
        meta=Meta(
            analysis="tth",
            kind="classification",
            classes=("ttbar", "ttH"),
            signal=("ttH",),
            background=("ttbar",),
            features=FEATURES,
            collections=("jets",),
            folds=5,
            seed=1,
            events=61109,
            training_events=58220,
            bootstrap=200,
            background_uncertainty=0.1,
            minimum_effective_events=10,
            luminosity=138000.0,
        ),
        blinding=Blinding(
            data_samples=("data2018",),
            blinded=True,
            statement="Collision data (data2018) are not shown; set evaluation.unblind to show them.",
        ),
        verdict=CHECKS,
        class_yields=(ttbar, tth),
        samples=(
            SampleYield(sample="tth", data=False, files_read=4, files_lost=0, scale=0.01249, total=tth, classes=(tth,)),
            SampleYield(
                sample="ttbar", data=False, files_read=9, files_lost=1, scale=0.0489, total=ttbar, classes=(ttbar,)
            ),
            SampleYield(sample="data2018", data=True, files_read=1, files_lost=0),
        ),
        cutflows=(
            cutflow("tth", 290_000, CUTS),
            cutflow("ttbar", 1_204_551, (*CUTS[:1], ("≥ 4 jets", 0.2), (CUTS[2][0], 0.16))),
        ),
        discriminations=(
            Discrimination(
                name="signal",
                positive=("ttH",),
                negative=("ttbar",),
                network=roc(0.791, 1),
                reference=roc(0.785, 2),
                difference=around(0.006, 0.0021),
            ),
        ),
        distributions=(distribution(("ttbar", "ttH"), "signal", 1),),
        calibrations=(calibration("signal"),),
        significance=significance(),
        importance=ImportanceTable(
            measure="loss of AUC",
            baseline=0.7912,
            repeats=5,
            events=20000,
            rows=tuple(
                Importance(
                    name=name,
                    collection="jets" if name == "HT" else None,
                    drop=Measured(value=drop, uncertainty=0.0012),
                )
                for name, drop in zip(FEATURES, drops, strict=True)
            ),
        ),
        separations=tuple(Separation(name=name, area=0.5 + drawn.gauss(0, 0.08)) for name in FEATURES),
        correlations=(matrix("signal", labels), matrix("background", labels)),
        learning=learning(),
        notes=("One of ttbar's 10 files could not be read; its normalisation was corrected by a factor of 1.11.",),
    )


def make_multiclass() -> Evaluation:
    names = ("QCD", "Hbb", "Hcc", "Top", "W")
    base = make_binary()
    fractions = tuple(tuple(0.72 if row == column else 0.07 for column in range(5)) for row in range(5))
    return base.model_copy(
        update={
            "meta": base.meta.model_copy(
                update={
                    "analysis": "jet-tagging",
                    "classes": names,
                    "signal": names[1:3],
                    "background": (names[0], *names[3:]),
                    "luminosity": None,
                }
            ),
            "blinding": Blinding(blinded=False, statement="No collision data."),
            "verdict": (
                *CHECKS,
                Check(
                    name="Calibration of Hcc",
                    status="bad",
                    statement="Hcc has only 3 effective events in half of its bins.",
                ),
            ),
            "class_yields": tuple(class_yield(name, 100.0 * (index + 1), 4000) for index, name in enumerate(names)),
            "discriminations": (
                base.discriminations[0],
                *(
                    Discrimination(
                        name=name,
                        positive=(name,),
                        negative=tuple(n for n in names if n != name),
                        network=roc(0.8 + 0.03 * i, i),
                    )
                    for i, name in enumerate(names)
                ),
            ),
            "distributions": (
                distribution(names, "signal", 1),
                *(distribution(names, name, i) for i, name in enumerate(names)),
            ),
            "calibrations": (calibration("signal"), *(calibration(name) for name in names)),
            "confusion": Confusion(
                classes=names,
                yields=fractions,
                fractions=((*fractions[0][:4], None), *fractions[1:]),
                uncertainties=tuple(tuple(0.004 for _ in names) for _ in names),
                accuracy=around(0.72, 0.004),
            ),
            "significance": None,
        }
    )


def make_regression() -> Evaluation:
    base = make_binary()
    edges = tuple(-50.0 + 5 * step for step in range(21))
    bell = [math.exp(-0.5 * ((low + 2.5) / 16) ** 2) for low in edges[:-1]]
    drawn = random.Random(3)
    scores = RegressionScores(
        bias=around(0.2, 0.1),
        resolution=around(15.9, 0.2),
        rmse=around(16, 0.2),
        mae=around(12, 0.2),
        r2=around(0.71, 0.01),
    )
    profile = tuple(
        ProfileBin(
            low=low,
            high=low + 20,
            true=low + 10,
            predicted=Measured(value=60 + 0.5 * low, uncertainty=0.9),
            spread=11.0,
            effective=900.0,
        )
        for low in range(40, 200, 20)
    )
    return Evaluation(
        meta=base.meta.model_copy(
            update={"analysis": "mass", "kind": "regression", "classes": (), "signal": (), "background": ()}
        ),
        blinding=Blinding(blinded=False, statement="No collision data."),
        verdict=(CHECKS[0],),
        class_yields=(),
        samples=base.samples[:1],
        cutflows=base.cutflows[:1],
        regression=Regression(
            network=scores,
            reference=scores,
            residual_edges=edges,
            residuals=histogram(bell, 60000, 60000, drawn),
            reference_residuals=histogram(bell, 60000, 60000, drawn),
            profile=profile,
            target_edges=edges,
            target=histogram(bell, 60000, 60000, drawn),
            predicted=histogram(bell, 60000, 60000, drawn),
        ),
        importance=base.importance,
        correlations=(matrix("all", tuple(f"f{index}" for index in range(50))),),
        learning=tuple(curve.model_copy(update={"validation_auc": ()}) for curve in base.learning),
    )


HOSTILE = (
    '<script>document.documentElement.dataset.owned="yes"</script>',
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "a & b < c > d 'e' \"f\"",
    r"Sum$(Jet_pt > 25)/Sum$(1) \frac{",
    "mass μ–ττ 質量 🚀",
    'id="x" --> url(#y) {{ 7 * 7 }} {% raw %} #bd1f01',
    "[bold]not markup[/bold] [/]",
    "]]> &amp; &lt;",
    "x" * 120,
    "line\nbreak\ttab",
    "$\\alpha$ %s {0}",
)


def make_hostile() -> Evaluation:
    """The binary evaluation with names that try to be markup, formulas or templates."""
    base = make_binary()
    names = dict(zip(FEATURES, HOSTILE, strict=True))
    text = base.model_dump(mode="json")

    def rename(value: object) -> object:
        if isinstance(value, dict):
            return {key: rename(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [rename(inner) for inner in value]
        if value in ("ttH", "tth"):
            return HOSTILE[0]
        return names.get(value, HOSTILE[1] if value == "ttbar" else value) if isinstance(value, str) else value

    return Evaluation.model_validate(rename(text) | {"notes": list(HOSTILE)})  # type: ignore[operator]


@pytest.fixture(scope="session")
def binary() -> Evaluation:
    return make_binary()


@pytest.fixture(scope="session")
def multiclass() -> Evaluation:
    return make_multiclass()


@pytest.fixture(scope="session")
def regression() -> Evaluation:
    return make_regression()


@pytest.fixture(scope="session")
def hostile() -> Evaluation:
    return make_hostile()


PROVENANCE: dict[str, JsonValue] = {
    "date": "2026-05-04 12:01 UTC",
    "versions": {"gridloom": "0.1.0", "python": "3.11.9"},
    "seeds": [1, 2, 3],
    "inputs": [{"file": "tth.root", "uuid": "0f"}, {"file": "<b>ttbar</b>.root", "uuid": "1e"}],
}


@pytest.fixture(scope="session")
def binary_report(binary: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a written report."""
    return write_report(binary, PROVENANCE, tmp_path_factory.mktemp("binary")).parent


@pytest.fixture(scope="session")
def hostile_report(hostile: Evaluation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(hostile, PROVENANCE, tmp_path_factory.mktemp("hostile")).parent
