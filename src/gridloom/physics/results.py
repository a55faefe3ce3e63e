"""Everything the report draws, as frozen models: what `evaluate` computes and `report` only shows.

Every number is finite or None (JSON has no NaN). Yields are in events, weighted with signed physics weights.
Sequences of one curve or table column all have the same length. Intervals come from a Poisson bootstrap over events:
percentiles, or value +- standard deviation for figures that add squares or absolute values.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gridloom.files import write_text

Status = Literal["good", "warn", "bad"]
Floats = tuple[float, ...]
MaybeFloats = tuple[float | None, ...]


class Result(BaseModel):
    """A part of the evaluation: frozen, unknown keys refused, no NaN and no infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


# --- numbers ----------------------------------------------------------------------------------------------------
class Measured(Result):
    """A number and its statistical standard uncertainty."""

    value: float
    uncertainty: float | None = None


class Interval(Result):
    """A number with a central confidence interval at `level`."""

    value: float
    low: float
    high: float
    level: float = 0.68


class Histogram(Result):
    """Bin contents and their statistical uncertainties; the edges stand where the histogram is used."""

    contents: Floats
    uncertainties: Floats


# --- the first screen -------------------------------------------------------------------------------------------
class Check(Result):
    """One question of the first screen with its answer in plain words."""

    name: str
    status: Status
    statement: str
    value: float | None = None


class Meta(Result):
    """What was judged, and how."""

    analysis: str
    kind: Literal["classification", "regression"]
    classes: tuple[str, ...] = Field(description="Order of the model's outputs; empty for a regression.")
    signal: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    folds: int
    seed: int = Field(description="Seed of the training; the bootstrap's random numbers derive from it too.")
    events: int = Field(description="Simulated events judged, each by the model that never saw it.")
    training_events: int = Field(description="Those among them that pass the training selection.")
    bootstrap: int
    background_uncertainty: float
    minimum_effective_events: float
    luminosity: float | None = Field(default=None, description="In /pb.")


class Blinding(Result):
    """Whether there is collision data and whether it is shown."""

    data_samples: tuple[str, ...] = ()
    blinded: bool
    statement: str


# --- yields -----------------------------------------------------------------------------------------------------
class ClassYield(Result):
    """Events of one class: in one sample, or in all of them."""

    name: str
    raw: int
    weighted: Measured
    effective: float | None = Field(description="(sum w)^2 / sum w^2: so many events of equal weight count as much.")
    negative_fraction: float = Field(description="Sum of |w| of the negative weights over the sum of all |w|.")
    zero_weights: int = 0


class SampleYield(Result):
    """Events of one sample after the selection; no numbers for data while it is blinded."""

    sample: str
    data: bool
    files_read: int
    files_lost: int
    scale: float | None = Field(default=None, description="Factor on each event's weight: luminosity and so on.")
    total: ClassYield | None = None
    classes: tuple[ClassYield, ...] = ()


class CutflowRow(Result):
    """Yields after one more part of the selection; the first row is all events."""

    name: str
    raw: int
    weighted: Measured
    efficiency: float | None = Field(description="Weighted yield over that of the first row.")
    step_efficiency: float | None = Field(description="Weighted yield over that of the row before.")


class Cutflow(Result):
    sample: str
    rows: tuple[CutflowRow, ...]


# --- classification ---------------------------------------------------------------------------------------------
class RejectionPoint(Result):
    """Background rejection 1 / (background efficiency) at a signal efficiency."""

    signal_efficiency: float
    rejection: Interval | None


class RocCurve(Result):
    """Signal against background efficiency of falling score cuts, and the area below (AUC).

    `signal_low` and `signal_high` are the 68 % band of the signal efficiency. With negative weights the curve may go
    backwards or leave the unit square; nothing is clipped, and `monotonic` says so.
    """

    background_efficiency: Floats
    signal_efficiency: Floats
    signal_low: Floats
    signal_high: Floats
    area: Interval
    fold_areas: MaybeFloats = Field(description="AUC of each fold's own model; None where a class has no yield.")
    rejections: tuple[RejectionPoint, ...] = ()
    monotonic: bool = True


class Discrimination(Result):
    """How well one discriminant separates its positive classes from the rest, beside the trees."""

    name: str = Field(description="`signal` for the main discriminant, else the class taken against all others.")
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    network: RocCurve
    reference: RocCurve | None = None
    difference: Interval | None = Field(default=None, description="AUC of network minus trees, same replicas for both.")
    train_area: Interval | None = Field(
        default=None, description="AUC of the same events (training selection) by models that trained on them."
    )
    test_area: Interval | None = Field(default=None, description="AUC of these events by models that never saw them.")
    overtraining: Interval | None = Field(default=None, description="`train_area` minus `test_area`, same replicas.")


class OvertrainingTest(Result):
    """Scores of events by a model that never saw them against a model that trained on them."""

    ks_distance: float
    ks_p: float
    chi2: float
    degrees: int
    chi2_p: float
    test_effective: float
    train_effective: float


class ClassDistribution(Result):
    """Scores of one class. `yields`: all events; `test` and `train`: events of the training selection, sum one."""

    name: str
    yields: Histogram
    test: Histogram
    train: Histogram
    overtraining: OvertrainingTest | None = None


class ScoreDistribution(Result):
    """One discriminant in all classes; `data` only when unblinded."""

    discriminant: str
    edges: Floats
    classes: tuple[ClassDistribution, ...]
    data: Histogram | None = None


class CalibrationBin(Result):
    """Events of similar score: mean score and the true fraction of the positive classes among them."""

    low: float
    high: float
    predicted: float
    observed: Measured
    effective: float


class Calibration(Result):
    """Reliability curve with training weights: there a score of 0.7 should mean 70 % signal."""

    discriminant: str
    bins: tuple[CalibrationBin, ...]
    expected_error: Interval | None = Field(description="Mean |observed - predicted| over events (ECE).")
    chi2: float | None = None
    degrees: int = 0


class Confusion(Result):
    """Row: true class, column: class of the highest score. `fractions` sum to one in each row."""

    classes: tuple[str, ...]
    yields: tuple[Floats, ...]
    fractions: tuple[MaybeFloats, ...]
    uncertainties: tuple[MaybeFloats, ...]
    accuracy: Interval = Field(description="Mean of the diagonal fractions (balanced accuracy).")


# --- significance -----------------------------------------------------------------------------------------------
class SignificanceScan(Result):
    """Significance of counting the events above each cut. A picture only: the best cut of it is biased upwards.

    None where `valid` is false: too few effective background events or a yield that is not positive.
    """

    cuts: Floats
    signal: Floats
    signal_uncertainty: Floats
    background: Floats
    background_uncertainty: Floats
    asimov: MaybeFloats
    asimov_uncertainty: MaybeFloats
    ams: MaybeFloats
    ams_uncertainty: MaybeFloats
    valid: tuple[bool, ...]


class WorkingPoint(Result):
    """The cut chosen for each fold on its validation fold and applied to its test fold: free of optimisation bias."""

    cuts: Floats = Field(description="One per fold.")
    signal: Measured
    background: Measured
    background_effective: float | None = None
    signal_efficiency: float
    background_efficiency: float
    asimov: Interval | None
    ams: Interval | None
    valid: bool


class SignificanceBin(Result):
    """One bin of the discriminant, summed over the folds; edges differ from fold to fold."""

    mean_cut: float = Field(description="Lower edge, mean of the folds.")
    signal: Measured
    background: Measured
    background_effective: float | None
    asimov: float | None
    valid: bool


class BinnedSignificance(Result):
    """All bins together (in quadrature); binning chosen on validation folds, quoted on test folds."""

    bins: tuple[SignificanceBin, ...]
    asimov: Interval | None
    ams: Interval | None
    excluded: int = Field(description="Bins left out for a yield that is not positive or too few effective events.")


class Significance(Result):
    scan: SignificanceScan
    best: WorkingPoint | None
    binned: BinnedSignificance | None


# --- what the network looks at ----------------------------------------------------------------------------------
class Importance(Result):
    """Loss of AUC (regression: rise of the error in units of the target's spread) when an input is shuffled."""

    name: str
    collection: str | None = None
    drop: Measured


class ImportanceTable(Result):
    measure: str
    baseline: float
    repeats: int
    events: int
    rows: tuple[Importance, ...] = Field(description="Most important first.")


class Separation(Result):
    """AUC of one input used alone; 0.5 means no separation, near 0 or 1 suggests a leak."""

    name: str
    area: float


class CorrelationMatrix(Result):
    """Weighted linear correlations of the flat features and, last, the score; None where undefined."""

    name: str = Field(description="`signal`, `background` or `all`.")
    labels: tuple[str, ...]
    values: tuple[MaybeFloats, ...]


class LearningCurve(Result):
    """Loss per epoch of one fold's training."""

    fold: int
    epochs: Floats
    loss: MaybeFloats
    validation_loss: MaybeFloats
    learning_rate: MaybeFloats
    validation_auc: MaybeFloats = Field(description="Empty when it was not recorded.")
    seconds: MaybeFloats
    best_epoch: float | None


# --- regression -------------------------------------------------------------------------------------------------
class RegressionScores(Result):
    """Residual is predicted minus true, weighted; resolution is its standard deviation."""

    bias: Interval
    resolution: Interval
    rmse: Interval
    mae: Interval
    r2: Interval | None


class ProfileBin(Result):
    """Events of similar true value: mean prediction and spread of the prediction."""

    low: float
    high: float
    true: float
    predicted: Measured
    spread: float
    effective: float


class Regression(Result):
    network: RegressionScores
    reference: RegressionScores | None
    train: RegressionScores | None = Field(default=None, description="By models that trained on the events.")
    residual_edges: Floats
    residuals: Histogram
    reference_residuals: Histogram | None
    profile: tuple[ProfileBin, ...]
    target_edges: Floats
    target: Histogram
    predicted: Histogram


class Evaluation(Result):
    """All that the report draws."""

    meta: Meta
    blinding: Blinding
    verdict: tuple[Check, ...]
    class_yields: tuple[ClassYield, ...]
    samples: tuple[SampleYield, ...]
    cutflows: tuple[Cutflow, ...]
    discriminations: tuple[Discrimination, ...] = Field(default=(), description="`signal` first, then each class.")
    distributions: tuple[ScoreDistribution, ...] = Field(default=(), description="`signal` first, then each class.")
    calibrations: tuple[Calibration, ...] = Field(default=(), description="`signal` first, then each class.")
    significance: Significance | None = None
    confusion: Confusion | None = Field(default=None, description="With more than two classes.")
    regression: Regression | None = None
    importance: ImportanceTable | None = None
    separations: tuple[Separation, ...] = ()
    correlations: tuple[CorrelationMatrix, ...] = ()
    learning: tuple[LearningCurve, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="What a careful reader must know, in plain words.")


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write evaluation.json, whole or not at all."""
    write_text(path, evaluation.model_dump_json() + "\n")


def read_evaluation(path: Path) -> Evaluation:
    return Evaluation.model_validate_json(path.read_text(encoding="utf-8"))
