"""What other rooms ask of an analysis."""

from __future__ import annotations

from collections.abc import Iterator

from gridloom.analysis.models import OTHERWISE, Analysis, Collection, Sample
from gridloom.errors import KeyPath

Expressions = tuple[tuple[KeyPath, str], ...]


def classes_of(sample: Sample) -> tuple[str, ...]:
    """The classes a sample's events may have; none for collision data and regressions."""
    if sample.class_ is None:
        return ()
    return (sample.class_,) if isinstance(sample.class_, str) else tuple(sample.class_)


def used_classes(analysis: Analysis) -> tuple[str, ...]:
    """All classes of the samples, in order of appearance."""
    return tuple(dict.fromkeys(name for sample in analysis.samples.values() for name in classes_of(sample)))


def class_names(analysis: Analysis) -> tuple[str, ...]:
    """The classes in the order of the model's outputs; none for a regression."""
    return analysis.target.classes or used_classes(analysis)


def signal_indices(analysis: Analysis) -> tuple[int, ...]:
    """The model's outputs that count as signal, in their order."""
    return tuple(index for index, name in enumerate(class_names(analysis)) if name in analysis.target.signal)


def training_samples(analysis: Analysis) -> tuple[str, ...]:
    """The samples that are not collision data."""
    return tuple(name for name, sample in analysis.samples.items() if not sample.data)


def sample_tree(analysis: Analysis, sample_name: str) -> str:
    """The tree that holds a sample's events."""
    return analysis.samples[sample_name].tree or analysis.tree


def model_name(analysis: Analysis) -> str | None:
    """The shipped model to train; None for the user's own function."""
    if analysis.model.function is not None:
        return None
    return analysis.model.name or ("deepsets" if analysis.collections else "mlp")


def expressions_of(analysis: Analysis, sample_name: str) -> Expressions:
    """Every expression that a sample's events need, with its key; they may use the analysis' definitions.

    Collision data needs no class, weight, training selection or regression target.
    """
    sample = analysis.samples[sample_name]
    if sample.data:
        return application_expressions(analysis)
    own = (((*("samples", sample_name), *key), text) for key, text in _sample_expressions(sample))
    return (*application_expressions(analysis), *_training_expressions(analysis), *own)


def application_expressions(analysis: Analysis) -> Expressions:
    """What scoring an event needs: event id, selection and inputs, but no weight and no label."""
    found: list[tuple[KeyPath, str]] = []
    if not isinstance(analysis.event_id, str):
        found += [(("event_id", index), text) for index, text in enumerate(analysis.event_id)]
    found += [(("selection", index, "cut"), cut.cut) for index, cut in enumerate(analysis.selection)]
    found += [(("features", index, "expression"), item.expression) for index, item in enumerate(analysis.features)]
    for name, collection in analysis.collections.items():
        found += [(("collections", name, *key), text) for key, text in _collection_expressions(collection)]
    return tuple(found)


def _collection_expressions(collection: Collection) -> Iterator[tuple[KeyPath, str]]:
    if collection.where is not None:
        yield ("where",), collection.where
    if collection.order_by is not None:
        yield ("order_by",), collection.order_by
    for index, text in enumerate(collection.features):
        yield ("features", index), text


def _training_expressions(analysis: Analysis) -> Iterator[tuple[KeyPath, str]]:
    for index, cut in enumerate(analysis.training_selection):
        yield ("training_selection", index, "cut"), cut.cut
    if analysis.target.regression is not None:
        yield ("target", "regression"), analysis.target.regression
    yield ("training_weights", "factor"), analysis.training_weights.factor


def _sample_expressions(sample: Sample) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(sample.class_, dict):
        yield from ((("class", name), text) for name, text in sample.class_.items() if text != OTHERWISE)
    if sample.weight is not None:
        yield ("weight",), sample.weight
    if sample.normalisation is not None:
        yield ("normalisation", "generator_weight"), sample.normalisation.generator_weight
        yield ("normalisation", "corrections"), sample.normalisation.corrections


def output_count(analysis: Analysis) -> int:
    """Outputs of the network: one for a regression or two classes, else one per class."""
    classes = len(class_names(analysis))
    return 1 if analysis.target.regression is not None or classes == 2 else classes
