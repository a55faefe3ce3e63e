"""All expressions that a sample's events need, parsed once, each with its place in the analysis file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from gridloom.analysis.models import ENTRY_ID, OTHERWISE, Analysis, Collection, Feature
from gridloom.analysis.queries import class_names
from gridloom.data.trees import Columns
from gridloom.errors import GridloomError, KeyPath
from gridloom.expressions.columns import evaluate, evaluate_condition, evaluate_per_event
from gridloom.expressions.expression import Expression, parse, parse_all
from gridloom.expressions.tree import Name


@dataclass(frozen=True, kw_only=True)
class Formula:
    """An expression of the analysis file; what it raises while it is evaluated names its key."""

    key: KeyPath
    expression: Expression

    @property
    def branches(self) -> frozenset[str]:
        return self.expression.branches

    def numbers(self, columns: Columns, events: int) -> NDArray[Any]:
        """One number per event; raises InvalidExpression or BranchType."""
        return np.asarray(self._evaluate(evaluate_per_event, columns, events))

    def singles(self, columns: Columns, events: int) -> NDArray[np.float32]:
        """One number per event in single precision, perhaps the column itself; too large ones become infinite."""
        branch = self.branch
        column = None if branch is None else columns.get(branch)
        if isinstance(column, np.ndarray) and column.dtype == np.float32 and column.ndim == 1:
            return column
        with np.errstate(over="ignore"):
            return self.numbers(columns, events).astype(np.float32)

    def objects(self, columns: Columns, events: int) -> Any:
        """As `any_shape`, but a branch of lists of float32 stays what it is."""
        column = None if self.branch is None else columns.get(self.branch)
        if isinstance(column, ak.Array) and _lists_of_singles(column.layout):
            return column
        return self.any_shape(columns, events)

    @property
    def branch(self) -> str | None:
        """The branch that the expression is, if it is nothing else."""
        return self.expression.tree.name if isinstance(self.expression.tree, Name) else None

    def condition(self, columns: Columns, events: int) -> NDArray[np.bool_]:
        """Whether each event fulfils it; NaN does not."""
        return np.asarray(self._evaluate(evaluate_condition, columns, events), dtype=np.bool_)

    def any_shape(self, columns: Columns, events: int) -> Any:
        """A NumPy array (one value per event) or an awkward array (one per object)."""
        return self._evaluate(evaluate, columns, events)

    def _evaluate(self, function: Callable[..., Any], columns: Columns, events: int) -> Any:
        own = {name: columns[name] for name in self.branches}
        try:
            return function(self.expression, own, events=events)
        except GridloomError as error:
            raise type(error)(error.what, where=error.where, fix=error.fix, key=self.key) from error


def _lists_of_singles(layout: Any) -> bool:
    return bool(layout.is_list and layout.content.is_numpy and layout.content.dtype == np.float32)


@dataclass(frozen=True, kw_only=True)
class NamedCut:
    """One part of the selection."""

    name: str
    formula: Formula


@dataclass(frozen=True, kw_only=True)
class FeatureFormula:
    """A flat feature with its declaration."""

    feature: Feature
    formula: Formula


@dataclass(frozen=True, kw_only=True)
class CollectionFormulas:
    """A collection with its declaration."""

    name: str
    collection: Collection
    where: Formula | None
    order_by: Formula | None
    features: tuple[Formula, ...]

    @property
    def formulas(self) -> tuple[Formula, ...]:
        return (*self.features, *(part for part in (self.where, self.order_by) if part is not None))


@dataclass(frozen=True, kw_only=True)
class ClassFormulas:
    """The class of events: the same for all (`label`), or by conditions with an index for the rest."""

    label: int | None = None
    conditions: tuple[tuple[int, Formula], ...] = ()
    otherwise: int | None = None
    key: KeyPath = ()


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to compute for one sample. An empty `event_id` means file and entry number.

    `weight` is the whole physics weight without `normalisation`, otherwise the generator weight; `corrections` goes
    with the latter. Collision data has neither weight, class, target nor training selection.
    """

    sample: str
    selection: tuple[NamedCut, ...]
    training_selection: tuple[NamedCut, ...]
    features: tuple[FeatureFormula, ...]
    collections: tuple[CollectionFormulas, ...]
    event_id: tuple[Formula, ...]
    classes: ClassFormulas | None
    target: Formula | None
    weight: Formula | None
    corrections: Formula | None
    factor: Formula | None
    half: bool = False  # features and collections are stored in float16
    substitutes: tuple[str, ...] = ()  # further branches to read: what variations put in the place of others

    @property
    def formulas(self) -> tuple[Formula, ...]:
        """Every expression, those for all entries first."""
        return (*self.entry_formulas, *self.event_formulas)

    @property
    def entry_formulas(self) -> tuple[Formula, ...]:
        """Needed for every entry: weights and selection."""
        weights = (part for part in (self.weight, self.corrections) if part is not None)
        return (*weights, *(cut.formula for cut in self.selection))

    @property
    def event_formulas(self) -> tuple[Formula, ...]:
        """Needed for the selected events only."""
        found = [*self.event_id, *(cut.formula for cut in self.training_selection)]
        found += [item.formula for item in self.features]
        found += [formula for collection in self.collections for formula in collection.formulas]
        if self.classes is not None:
            found += [formula for _, formula in self.classes.conditions]
        return (*found, *(part for part in (self.target, self.factor) if part is not None))

    @property
    def branches(self) -> tuple[str, ...]:
        """All branches to read, sorted."""
        read = frozenset(self.substitutes).union(*(formula.branches for formula in self.formulas))
        return tuple(sorted(read))

    def users(self, branch: str) -> tuple[Formula, ...]:
        """The expressions that read a branch."""
        return tuple(formula for formula in self.formulas if branch in formula.branches)


def make_recipe(analysis: Analysis, sample_name: str) -> Recipe:
    """Parse the expressions of one sample; raises Problems or InvalidExpression."""
    sample = analysis.samples[sample_name]
    parser = _Parser(analysis)
    train = not sample.data
    weight, corrections = parser.weights(sample_name)
    regression = analysis.target.regression
    return Recipe(
        sample=sample_name,
        selection=parser.cuts("selection"),
        training_selection=parser.cuts("training_selection") if train else (),
        features=tuple(
            FeatureFormula(feature=item, formula=parser.formula(item.expression, "features", index, "expression"))
            for index, item in enumerate(analysis.features)
        ),
        collections=tuple(parser.collection(name, part) for name, part in analysis.collections.items()),
        event_id=()
        if analysis.event_id == ENTRY_ID
        else tuple(parser.formula(text, "event_id", index) for index, text in enumerate(analysis.event_id)),
        classes=parser.classes(sample_name) if train and regression is None else None,
        target=parser.formula(regression, "target", "regression") if train and regression is not None else None,
        weight=weight,
        corrections=corrections,
        factor=parser.formula(analysis.training_weights.factor, "training_weights", "factor") if train else None,
        half=analysis.storage.features == "float16",
    )


class _Parser:
    """Parses texts of one analysis with its definitions."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._definitions: Mapping[str, Expression] = parse_all(analysis.definitions)

    def formula(self, text: str, *key: str | int) -> Formula:
        try:
            return Formula(key=key, expression=parse(text, definitions=self._definitions))
        except GridloomError as error:
            raise type(error)(error.what, where=error.where, fix=error.fix, key=key) from error

    def cuts(self, which: str) -> tuple[NamedCut, ...]:
        cuts = self._analysis.selection if which == "selection" else self._analysis.training_selection
        return tuple(
            NamedCut(name=cut.name, formula=self.formula(cut.cut, which, index, "cut"))
            for index, cut in enumerate(cuts)
        )

    def collection(self, name: str, part: Collection) -> CollectionFormulas:
        key = ("collections", name)
        return CollectionFormulas(
            name=name,
            collection=part,
            where=None if part.where is None else self.formula(part.where, *key, "where"),
            order_by=None if part.order_by is None else self.formula(part.order_by, *key, "order_by"),
            features=tuple(self.formula(text, *key, "features", index) for index, text in enumerate(part.features)),
        )

    def classes(self, sample_name: str) -> ClassFormulas | None:
        names = class_names(self._analysis)
        declared = self._analysis.samples[sample_name].class_
        key = ("samples", sample_name, "class")
        if declared is None:
            return None
        if isinstance(declared, str):
            return ClassFormulas(label=names.index(declared), key=key)
        rest = [names.index(name) for name, text in declared.items() if text == OTHERWISE]
        return ClassFormulas(
            conditions=tuple(
                (names.index(name), self.formula(text, *key, name))
                for name, text in declared.items()
                if text != OTHERWISE
            ),
            otherwise=rest[0] if rest else None,
            key=key,
        )

    def weights(self, sample_name: str) -> tuple[Formula | None, Formula | None]:
        sample = self._analysis.samples[sample_name]
        key = ("samples", sample_name)
        if sample.data:
            return None, None
        if sample.normalisation is not None:
            part = sample.normalisation
            return (
                self.formula(part.generator_weight, *key, "normalisation", "generator_weight"),
                self.formula(part.corrections, *key, "normalisation", "corrections"),
            )
        return self.formula(sample.weight or "1", *key, "weight"), None
