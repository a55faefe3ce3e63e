"""The analysis file as typed, frozen objects: the same from YAML and from Python.

Every key of the file is a field here and its description is the reference's text. Unknown keys are refused.
Expressions stay text in these models (so an analysis can be written back and digested); `gridloom.expressions`
turns them into column functions where events are read.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)

from gridloom.analysis.packages import checked_requirement

FORMAT_VERSION = 1
OTHERWISE = "otherwise"
ENTRY_ID = "entry"


def _number_as_text(value: object) -> object:
    """`weight: 1` is an expression too."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return repr(value) if number else value


def _one_as_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def whole(value: object) -> object:
    """`1e4` is a whole number, `true` is none (Python takes it for 1)."""
    if isinstance(value, bool):
        raise ValueError("must be a whole number, not `true` or `false`")
    return int(value) if isinstance(value, float) and value.is_integer() else value


ExpressionText = Annotated[
    str,
    Field(min_length=1),
    BeforeValidator(_number_as_text),
    WithJsonSchema({"format": "expression", "type": ["string", "number"], "minLength": 1}),
]
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.+\-]*$"
IDENTIFIER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
FUNCTION_PATTERN = r"^[A-Za-z0-9_.]+:[A-Za-z0-9_]+$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Identifier = Annotated[str, Field(pattern=IDENTIFIER_PATTERN)]
Text = Annotated[str, Field(min_length=1)]
SomeTexts = Annotated[tuple[Text, ...], Field(min_length=1)]
Texts = Annotated[SomeTexts, BeforeValidator(_one_as_many, json_schema_input_type=Text | SomeTexts)]
PackageText = Annotated[Text, AfterValidator(checked_requirement)]
# Numbers are strict: `batch: "64"` and `folds: true` are mistakes, not other spellings.
Whole = Annotated[int, Field(strict=True), BeforeValidator(whole)]
Number = Annotated[float, Field(strict=True)]
Flag = Annotated[bool, Field(strict=True)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]


class Part(BaseModel):
    """A part of the analysis file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)


class SumOfWeights(Part):
    """Where the files say their sum of generator weights."""

    tree: Text = Field(description="Tree with one entry per run or per file, e.g. `Runs`.")
    branch: Text = Field(description="Branch to add up over its entries, e.g. `genEventSumw`.")


class Normalisation(Part):
    """Cross section and friends: scale = luminosity x cross section x k-factor x filter efficiency / sum of weights."""

    cross_section: Number = Field(gt=0, description="Cross section in pb.")
    k_factor: Number = Field(default=1.0, gt=0, description="Higher-order correction to the cross section.")
    filter_efficiency: Number = Field(default=1.0, gt=0, le=1, description="Efficiency of the generator filter.")
    generator_weight: ExpressionText = Field(default="1", description="Weight of one event from the generator.")
    sum_of_weights: SumOfWeights | Literal["events"] = Field(
        default="events",
        description="Sum of generator weights before any selection: a tree and branch to add up over the files read, "
        "or `events`: the sum of `generator_weight` over all entries of the events tree (files without a skim).",
    )
    corrections: ExpressionText = Field(default="1", description="Further factors per event: pile-up, b-tagging, ...")


class Friend(Part):
    """A friend tree: more branches for the same events."""

    files: Texts | None = Field(
        default=None,
        description="Files or globs, one file for each of the sample's files in sorted order; without it the tree is "
        "in the sample's own files.",
    )
    tree: Text = Field(description="Name of the friend tree.")
    match: Literal["entry", "event_id"] = Field(
        default="entry", description="Events correspond by entry number, or by the event id (any order, all found)."
    )


class Sample(Part):
    """One process: its files, its class and how its events are normalised."""

    files: Texts = Field(description="ROOT files or globs, relative to the analysis file.")
    tree: Text | None = Field(default=None, description="TTree or RNTuple of the events; default: the file's `tree`.")
    class_: Text | Annotated[dict[Text, ExpressionText], Field(min_length=1)] | None = Field(
        default=None,
        alias="class",
        description="Class of the events, or a mapping from class to a condition per event; `otherwise` takes the "
        "rest. Not for collision data, nor for a regression.",
    )
    normalisation: Normalisation | None = Field(
        default=None, description="Cross section and sum of weights (simulation)."
    )
    weight: ExpressionText | None = Field(
        default=None,
        description="Weight of one event as an expression, normalisation included; `1` if all count equally.",
    )
    data: Flag = Field(
        default=False, description="Collision data: never trained on, weight one, blinded in the report."
    )
    friends: tuple[Friend, ...] = Field(default=(), description="Friend trees.")


class Cut(Part):
    """One named part of the selection."""

    name: Text = Field(description="Name in the cutflow.")
    cut: ExpressionText = Field(description="Condition: events where it is true (not zero) pass.")


def _cuts(value: object) -> object:
    """`{name: cut}`, a list of cuts, each its own name, or one cut."""
    if isinstance(value, dict):
        return tuple({"name": name, "cut": cut} for name, cut in value.items())
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, list | tuple):
        return tuple({"name": cut, "cut": cut} if isinstance(cut, str) else cut for cut in value)
    return value


Cuts = Annotated[
    tuple[Cut, ...],
    BeforeValidator(_cuts, json_schema_input_type=Text | dict[Text, ExpressionText] | tuple[Text | Cut, ...]),
]


def _missing(value: object) -> object:
    """One value or several; YAML's own `.nan` and `.inf` are words here, since JSON has no such numbers."""
    values = value if isinstance(value, list | tuple) else (value,)
    return tuple(_missing_word(item) for item in values)


def _missing_word(value: object) -> object:
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf"


MissingValue = Number | Literal["nan", "inf"]


def _name_or_expression(schema: dict[str, Any]) -> None:
    """In the file one of the two is enough; the other is the same."""
    del schema["required"]
    schema["anyOf"] = [{"required": ["name"]}, {"required": ["expression"]}]


class Feature(Part):
    """A flat input of the model: one number per event."""

    model_config = ConfigDict(json_schema_extra=_name_or_expression)

    name: Text = Field(description="Name in the report; default: the expression.")
    expression: ExpressionText = Field(description="Branch or expression; default: the name.")
    missing: Annotated[
        tuple[MissingValue, ...],
        BeforeValidator(_missing, json_schema_input_type=MissingValue | tuple[MissingValue, ...]),
    ] = Field(default=(), description="Values that mean `not there`: numbers, `nan`, `inf` (either sign).")
    impute: Literal["mean"] | Number = Field(
        default="mean", description="What the model sees instead: the training mean, or a number."
    )
    indicator: Flag = Field(default=True, description="Add an input that is 1 where the value is missing.")
    unit: str = Field(
        default="",
        exclude_if=lambda unit: not unit,  # what is not said does not change what a task is called
        description="Unit of the values, such as `GeV`; exported files state it.",
    )


def _feature(item: object) -> object:
    """A feature may be written as its expression alone, or with one of `name` and `expression`."""
    if isinstance(item, str):
        return {"name": item, "expression": item}
    if isinstance(item, dict):
        if "name" not in item and "expression" not in item:
            raise ValueError("needs `name` or `expression`")
        known = item.get("expression", item.get("name"))
        return {"name": _number_as_text(known), "expression": known} | item
    return item


AnyFeature = Annotated[Feature, BeforeValidator(_feature, json_schema_input_type=Text | Feature)]


class Collection(Part):
    """Objects of variable number per event (jets, leptons, tracks): padded to `at_most` and masked."""

    where: ExpressionText | None = Field(default=None, description="Which objects, e.g. `Jet_pt > 25`; default: all.")
    order_by: ExpressionText | None = Field(
        default=None, description="Order, smallest first (`-Jet_pt` is hardest first); default: as in the file."
    )
    at_most: Whole = Field(ge=1, le=1000, description="At most how many objects; the first ones in the order are kept.")
    features: tuple[ExpressionText, ...] = Field(min_length=1, description="Expressions with one value per object.")


def _event_id(value: object) -> object:
    return (value,) if isinstance(value, str) and value != ENTRY_ID else value


IdExpressions = Annotated[tuple[ExpressionText, ...], Field(min_length=1, max_length=3)]
EventId = Annotated[
    Literal["entry"] | IdExpressions, BeforeValidator(_event_id, json_schema_input_type=Text | IdExpressions)
]


class Target(Part):
    """What to learn: classes with one or more signals, or a number per event."""

    signal: Annotated[
        tuple[Text, ...], BeforeValidator(_one_as_many, json_schema_input_type=Text | tuple[Text, ...])
    ] = Field(default=(), description="Class or classes counted as signal in ROC curves, significance and the report.")
    classes: tuple[Text, ...] = Field(
        default=(), description="Order of the model's outputs; default: in order of appearance in `samples`."
    )
    regression: ExpressionText | None = Field(default=None, description="Expression to predict instead of classes.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if bool(self.signal) == (self.regression is not None):
            raise ValueError("give either `signal` (a classification) or `regression`")
        if self.regression is not None and self.classes:
            raise ValueError("`classes` belongs to a classification, not to a regression")
        return self


class TrainingWeights(Part):
    """How physics weights become training weights; yields, ROC and significance always use physics weights."""

    negative: Literal["keep", "absolute", "drop"] = Field(
        default="keep",
        description="Events of negative weight: `keep` the sign, use the `absolute` value, or `drop` them.",
    )
    factor: ExpressionText = Field(default="1", description="Reweighting for the training alone.")
    balance: Literal["classes", "none"] = Field(
        default="classes", description="`classes`: every class gets the same sum of training weights."
    )


class Model(Part):
    """The network: one that ships with Gridloom, or the user's own function."""

    name: str | None = Field(
        default=None, description="`mlp` or `deepsets`; default: `mlp`, or `deepsets` with collections."
    )
    function: Annotated[str, Field(pattern=FUNCTION_PATTERN)] | None = Field(
        default=None, description="The user's own `module:function`, found beside the analysis file or installed."
    )
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Parameters of the model.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.name is not None and self.function is not None:
            raise ValueError("give either `name` or `function`")
        return self


class Optimizer(Part):
    """The optimiser and its learning rate."""

    name: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="Keras optimiser.")
    learning_rate: Number = Field(default=2e-3, gt=0, description="Learning rate at the start (after warm-up).")
    weight_decay: Number = Field(default=0.0, ge=0, description="Decoupled weight decay (`adamw`, `sgd`).")
    momentum: Number = Field(default=0.9, ge=0, lt=1, description="Momentum (`sgd`).")
    clip_norm: Number | None = Field(default=None, gt=0, description="Clip the global norm of the gradient.")


class Schedule(Part):
    """The learning rate over the training."""

    name: Literal["constant", "cosine", "exponential"] = Field(default="cosine", description="Shape of the schedule.")
    warmup_epochs: Number = Field(default=0.0, ge=0, description="Linear rise from zero at the start.")
    final_fraction: Number = Field(
        default=0.01, gt=0, le=1, description="Learning rate at the end over that at the start."
    )


class EarlyStopping(Part):
    """Stop when the validation fold stops improving; the best weights are kept in any case."""

    patience: Whole = Field(default=5, ge=1, description="Epochs without improvement before stopping.")
    minimum_improvement: Number = Field(default=0.0, ge=0, description="What counts as an improvement of the loss.")


class Training(Part):
    """How each fold is trained."""

    batch: Whole = Field(default=1024, ge=1, description="Events per step.")
    epochs: Whole = Field(default=30, ge=1, description="Passes over the training events, at most.")
    optimizer: Optimizer = Field(default_factory=Optimizer, description="How the weights are updated.")
    schedule: Schedule = Field(default_factory=Schedule, description="How the learning rate changes.")
    early_stopping: EarlyStopping | None = Field(default_factory=EarlyStopping, description="`null` trains all epochs.")
    seed: Whole = Field(default=1, ge=0, lt=2**31, description="Seed of weights, order and dropout.")
    seeds: Whole = Field(
        default=1,
        ge=1,
        le=100,
        exclude_if=lambda seeds: seeds == 1,  # what is not said does not change what a task is called
        description="Networks per fold, of the seeds `seed`, `seed` + 1, ...: scores are their mean; predictions state "
        "their spread.",
    )
    sampling: Literal["every", "weight", "class"] = Field(
        default="every",
        exclude_if=lambda sampling: sampling == "every",
        description="How often an event is seen: `every` once per epoch; `weight`: drawn by the size of its training "
        "weight, which then counts by its sign alone; `class`: classes are drawn equally often. The expected loss is "
        "the same.",
    )
    threads: Whole = Field(default=1, ge=1, description="Compute threads of one training.")
    xla: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Compile the loop with XLA; `auto`: by a rule for flat networks, by one short probe of the run for "
        "collections, the user's own function and reduced precision.",
    )
    backend: Literal["tensorflow", "jax"] = Field(
        default="tensorflow",
        exclude_if=lambda backend: backend == "tensorflow",  # what is not said does not change what a task is called
        description="Library that trains; `jax` needs the `jax` extra. Predictions and exports use TensorFlow.",
    )
    precision: Literal["float32", "mixed_bfloat16"] = Field(default="float32", description="Arithmetic of the network.")
    checkpoint_seconds: Number = Field(default=30.0, gt=0, description="At most so much work is lost by a kill.")


class Evaluation(Part):
    """How the model is judged."""

    background_uncertainty: Fraction = Field(
        default=0.1, description="Relative systematic uncertainty of the background."
    )
    minimum_effective_events: Number = Field(
        default=10.0, ge=0, description="Effective background events that a bin or a cut needs to count."
    )
    bins: Whole = Field(default=20, ge=2, le=200, description="Bins of score distributions.")
    bootstrap: Whole = Field(default=200, ge=20, description="Bootstrap replicas for the intervals.")
    reference: Flag = Field(default=True, description="Train boosted trees on the same folds, as a reference.")
    importance_events: Whole = Field(default=20_000, ge=100, description="Events used for the permutation importance.")
    unblind: Flag = Field(default=False, description="Show collision data in the report.")


class DamagedFiles(Part):
    """What to do with files that cannot be read."""

    skip_at_most: Fraction = Field(
        default=0.0, description="Fraction of each sample's files that may be skipped; the normalisation is corrected."
    )


class Storage(Part):
    """How the prepared events are kept."""

    features: Literal["float32", "float16"] = Field(
        default="float32",
        description="Type of features and collections on the disk. `float16` takes half the space and keeps three "
        "digits; a value that does not fit is an error.",
    )


class Analysis(Part):
    """One analysis: what to read, what to learn, how to judge it."""

    gridloom: Annotated[Literal[1], BeforeValidator(whole)] = Field(description="Version of the file format.")
    name: Name = Field(description="Name of the analysis: letters, digits and `_ . + -`; runs are called after it.")
    luminosity: Number | None = Field(
        default=None, gt=0, description="Integrated luminosity in /pb, for `normalisation`."
    )
    tree: Text = Field(default="Events", description="Default name of the samples' trees.")
    samples: dict[Name, Sample] = Field(min_length=1, description="The processes.")
    definitions: dict[Identifier, ExpressionText] = Field(
        default_factory=dict, description="Names for expressions, usable in all others; may use earlier ones."
    )
    selection: Cuts = Field(default=(), description="Events to train on, judge and apply to: `{name: cut}` or a list.")
    training_selection: Cuts = Field(default=(), description="Further cuts for the events that train the model.")
    features: tuple[AnyFeature, ...] = Field(
        default=(), description="Flat inputs: branches, expressions, or `{name, expression, missing, ...}`."
    )
    collections: dict[Name, Collection] = Field(default_factory=dict, description="Inputs of variable number.")
    target: Target = Field(description="What to learn.")
    event_id: EventId = Field(
        default=("run", "luminosityBlock", "event"),
        description="Up to three integer expressions that identify an event, or `entry` (file and entry number).",
    )
    folds: Whole = Field(
        default=5, ge=3, le=100, description="Number of folds k: test i, validation i+1, training the rest."
    )
    training_weights: TrainingWeights = Field(
        default_factory=TrainingWeights, description="How events are weighted in the training."
    )
    model: Model = Field(default_factory=Model, description="The network.")
    packages: tuple[PackageText, ...] = Field(
        default=(),
        exclude_if=lambda packages: not packages,  # what is not said does not change what a task is called
        description="Python packages that the user's own model needs, such as `einops>=0.8`; "
        "`gridloom image build` puts them into the image.",
    )
    training: Training = Field(default_factory=Training, description="How it is trained.")
    evaluation: Evaluation = Field(default_factory=Evaluation, description="How it is judged.")
    damaged_files: DamagedFiles = Field(
        default_factory=DamagedFiles, description="What to do with files that cannot be read."
    )
    storage: Storage = Field(
        default_factory=Storage,
        exclude_if=lambda storage: storage == Storage(),  # what is not said does not change what a task is called
        description="How the prepared events are kept on the disk.",
    )
