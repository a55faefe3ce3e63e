"""What must hold between the keys of an analysis: small functions, all listed in RULES."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gridloom.analysis.models import ENTRY_ID, OTHERWISE, Analysis
from gridloom.analysis.packages import package_name
from gridloom.analysis.problems import nearest
from gridloom.analysis.queries import class_names, model_name, training_samples, used_classes
from gridloom.errors import DoubleNormalisation, GridloomError, InvalidValue, KeyPath
from gridloom.expressions.functions import FUNCTIONS

Check = Callable[[Analysis], Iterable[GridloomError]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A check, what it says for the reference, and the keys it concludes from (`*`: any): it waits for those."""

    check: Check
    says: str
    reads: tuple[KeyPath, ...] = ()


def broken_rules(analysis: Analysis, doubtful: Iterable[KeyPath] = ()) -> Iterator[GridloomError]:
    """Every broken rule, each error with its `key`; rules that read a doubtful key are left out."""
    unclear = tuple(doubtful)
    for rule in RULES:
        if not any(touches(path, pattern) for path in unclear for pattern in rule.reads):
            yield from rule.check(analysis)


def touches(path: KeyPath, pattern: KeyPath) -> bool:
    """The two are the same, or one lies within the other."""
    return all(want in ("*", have) for have, want in zip(path, pattern, strict=False))


def _normalised(analysis: Analysis) -> Iterator[GridloomError]:
    for name in training_samples(analysis):
        sample = analysis.samples[name]
        if sample.weight is None and sample.normalisation is None:
            yield InvalidValue(
                f"sample `{name}` does not say how its events are weighted",
                fix="Give `normalisation` (cross section, sum of weights) or `weight`, an expression; `weight: 1` if "
                "all events count equally.",
                key=("samples", name),
            )


def _normalised_once(analysis: Analysis) -> Iterator[GridloomError]:
    for name, sample in analysis.samples.items():
        if sample.data and (sample.weight is not None or sample.normalisation is not None):
            given = "weight" if sample.weight is not None else "normalisation"
            yield DoubleNormalisation(
                f"sample `{name}` is collision data, where every event counts once, and has `{given}` besides",
                fix=f"Remove `{given}`, or `data: true` if it is a simulation.",
                key=("samples", name, given),
            )
        elif sample.weight is not None and sample.normalisation is not None:
            yield DoubleNormalisation(
                f"sample `{name}` is normalised twice, by `weight` and by `normalisation`",
                fix="Keep one: `weight` if the expression holds cross section and luminosity already, else "
                "`normalisation` with the other factors as its `corrections`.",
                key=("samples", name, "normalisation"),
            )


def _luminosity_given(analysis: Analysis) -> Iterator[GridloomError]:
    normalised = [name for name, sample in analysis.samples.items() if sample.normalisation is not None]
    if normalised and analysis.luminosity is None:
        yield InvalidValue(
            f"sample `{normalised[0]}` has a cross section, but the analysis has no `luminosity`",
            fix="Add `luminosity:` in /pb at the top, e.g. `luminosity: 59830`.",
            key=("samples", normalised[0], "normalisation"),
        )


def _samples_to_train_on(analysis: Analysis) -> Iterator[GridloomError]:
    if not training_samples(analysis):
        yield InvalidValue(
            "all samples are collision data: there is nothing to train on",
            fix="Add samples of signal and background with their `class`.",
            key=("samples",),
        )


def _class_given(analysis: Analysis) -> Iterator[GridloomError]:
    regression = analysis.target.regression is not None
    for name, sample in analysis.samples.items():
        if sample.class_ is not None and (regression or sample.data):
            why = "`target` is a regression" if regression else "it is collision data"
            yield InvalidValue(
                f"sample `{name}` has a class, but {why}", fix="Remove `class`.", key=("samples", name, "class")
            )
        elif sample.class_ is None and not regression and not sample.data:
            yield InvalidValue(
                f"sample `{name}` has no class",
                fix="Add `class:` with a name, or with a mapping from class to condition; `data: true` for collision "
                "data.",
                key=("samples", name, "class"),
            )


def _otherwise_last(analysis: Analysis) -> Iterator[GridloomError]:
    for name, sample in analysis.samples.items():
        conditions = tuple(sample.class_.items()) if isinstance(sample.class_, dict) else ()
        for class_name, condition in conditions[:-1]:
            if condition == OTHERWISE:
                yield InvalidValue(
                    f"`{OTHERWISE}` takes the rest, so it comes once and last",
                    fix=f"Make `{class_name}: {OTHERWISE}` the last class of sample `{name}`.",
                    key=("samples", name, "class", class_name),
                )


def _signal_known(analysis: Analysis) -> Iterator[GridloomError]:
    used = used_classes(analysis)
    for index, name in enumerate(analysis.target.signal):
        if name not in used:
            yield InvalidValue(
                f"signal `{name}` is the class of no sample",
                fix=_known(name, used, "Classes"),
                key=("target", "signal", index),
            )


def _classes_complete(analysis: Analysis) -> Iterator[GridloomError]:
    listed, used = analysis.target.classes, used_classes(analysis)
    if not listed:
        return
    for index, name in enumerate(listed):
        if name not in used:
            yield InvalidValue(
                f"class `{name}` belongs to no sample",
                fix=_known(name, used, "Classes"),
                key=("target", "classes", index),
            )
    for name in used:
        if name not in listed:
            yield InvalidValue(
                f"class `{name}` of the samples is not listed in `target.classes`",
                fix="List every class, or remove `target.classes` for the order of appearance.",
                key=("target", "classes"),
            )


def _two_classes(analysis: Analysis) -> Iterator[GridloomError]:
    if analysis.target.regression is not None or not used_classes(analysis):
        return
    names, signals = class_names(analysis), set(analysis.target.signal)
    if len(set(names)) < 2:
        yield InvalidValue(
            f"all events are of class `{names[0]}`: there is nothing to tell apart",
            fix="Give signal and background samples different classes.",
            key=("target",),
        )
    elif signals.issuperset(names):
        yield InvalidValue(
            "all classes are signal: there is no background", fix="Name fewer signals.", key=("target", "signal")
        )


def _sampling_by_class(analysis: Analysis) -> Iterator[GridloomError]:
    if analysis.target.regression is not None and analysis.training.sampling == "class":
        yield InvalidValue(
            "a regression has no classes to draw events by",
            fix="Use `sampling: every` or `sampling: weight`.",
            key=("training", "sampling"),
        )


def _inputs_given(analysis: Analysis) -> Iterator[GridloomError]:
    if not analysis.features and not analysis.collections:
        yield InvalidValue(
            "the model has no inputs", fix="List `features` (one number per event) or `collections`.", key=("features",)
        )


def _model_fits_inputs(analysis: Analysis) -> Iterator[GridloomError]:
    name = model_name(analysis)
    if name == "deepsets" and not analysis.collections:
        yield InvalidValue(
            "`deepsets` needs at least one collection",
            fix="Add `collections`, or use `mlp` for flat features.",
            key=("model", "name"),
        )
    if name == "mlp" and analysis.collections:
        yield InvalidValue(
            "`mlp` sees flat features only: the collections would not be used",
            fix="Use `deepsets`, or remove `collections`.",
            key=("model", "name"),
        )


def _packages_for_own_model(analysis: Analysis) -> Iterator[GridloomError]:
    if analysis.packages and analysis.model.function is None:
        yield InvalidValue(
            "`packages` are for the user's own model, and the analysis has none",
            fix="Name its `function` in `model`, or remove `packages`.",
            key=("packages",),
        )


def _names_unique(analysis: Analysis) -> Iterator[GridloomError]:
    features = tuple(feature.name for feature in analysis.features)
    yield from _repeated(features, ("features",), "feature", "Give one of them another `name`, or remove it.")
    for key, cuts in (("selection", analysis.selection), ("training_selection", analysis.training_selection)):
        yield from _repeated(tuple(cut.name for cut in cuts), (key,), "cut", "Name every cut once.")
    for name, collection in analysis.collections.items():
        path = ("collections", name, "features")
        yield from _repeated(collection.features, path, "feature", "Remove one of them.")
    for name, sample in analysis.samples.items():
        fix = "Remove one of them: its events would count twice."
        yield from _repeated(sample.files, ("samples", name, "files"), "file", fix)
    packages = tuple(package_name(text) for text in analysis.packages)
    yield from _repeated(packages, ("packages",), "package", "Remove one of them.")
    yield from _repeated(analysis.target.signal, ("target", "signal"), "signal", "Remove one of them.")
    yield from _repeated(analysis.target.classes, ("target", "classes"), "class", "Remove one of them.")
    if not isinstance(analysis.event_id, str):
        yield from _repeated(analysis.event_id, ("event_id",), "expression", "Remove one of them.")


def _repeated(names: tuple[str, ...], path: KeyPath, what: str, fix: str) -> Iterator[GridloomError]:
    for name, count in Counter(names).items():
        if count > 1:
            last = len(names) - 1 - names[::-1].index(name)
            yield InvalidValue(f"{what} `{name}` is given {count} times", fix=fix, key=(*path, last))


def _input_names_free(analysis: Analysis) -> Iterator[GridloomError]:
    """The model's inputs are `features`, and for each collection its name and `<name>_mask`."""
    taken = {"features"} | {f"{name}_mask" for name in analysis.collections}
    for name in analysis.collections:
        if name in taken:
            yield InvalidValue(
                f"a collection cannot be called `{name}`: another input of the model has that name",
                fix="Give it another name.",
                key=("collections", name),
            )


def _definitions_distinct(analysis: Analysis) -> Iterator[GridloomError]:
    for name in analysis.definitions:
        if name in FUNCTIONS:
            yield InvalidValue(
                f"definition `{name}` has the name of a function", fix="Give it another.", key=("definitions", name)
            )


def _friends_matched(analysis: Analysis) -> Iterator[GridloomError]:
    for name, sample in analysis.samples.items():
        for index, friend in enumerate(sample.friends):
            if friend.match == "event_id" and analysis.event_id == ENTRY_ID:
                yield InvalidValue(
                    "a friend tree cannot be matched by event id: `event_id: entry` names no branches",
                    fix="Give `event_id` as expressions, or use `match: entry`.",
                    key=("samples", name, "friends", index, "match"),
                )


def _sentinels_exact(analysis: Analysis) -> Iterator[GridloomError]:
    if analysis.storage.features != "float16":
        return
    for index, feature in enumerate(analysis.features):
        for value in feature.missing:
            if not isinstance(value, str) and not _exact_in_half(value):
                yield InvalidValue(
                    f"feature `{feature.name}` is missing where it is {value:g}, a number that float16 does not have",
                    fix="Give such events another value in the expression, e.g. `x == -9999 ? -999 : x` with "
                    "`missing: -999`, or remove `storage` to keep float32.",
                    key=("features", index, "missing"),
                )


def _exact_in_half(value: float) -> bool:
    try:
        return bool(struct.unpack("<e", struct.pack("<e", value))[0] == value)
    except OverflowError:
        return False


def _known(name: str, known: tuple[str, ...], what: str) -> str:
    near = nearest(name, known)
    guess = f"Did you mean `{near}`? " if near else ""
    return f"{guess}{what}: {', '.join(known) or 'none'}."


_CLASSES: tuple[KeyPath, ...] = (("samples", "*", "class"), ("samples", "*", "data"), ("target",))

RULES: tuple[Rule, ...] = (
    Rule(check=_normalised, says="Every simulated sample has `weight` or `normalisation`."),
    Rule(check=_normalised_once, says="No sample has both, and collision data has neither."),
    Rule(check=_luminosity_given, says="`normalisation` needs the analysis' `luminosity`.", reads=(("luminosity",),)),
    Rule(
        check=_samples_to_train_on, says="At least one sample is not collision data.", reads=(("samples", "*", "data"),)
    ),
    Rule(
        check=_class_given,
        says="Every simulated sample has a `class`, unless `target` is a regression; collision data has none.",
        reads=(("target",), ("samples", "*", "data")),
    ),
    Rule(check=_otherwise_last, says="`otherwise` comes at most once in a sample's classes, and last."),
    Rule(check=_signal_known, says="Every signal is the class of a sample.", reads=_CLASSES),
    Rule(
        check=_classes_complete,
        says="`target.classes`, if given, lists exactly the classes of the samples.",
        reads=_CLASSES,
    ),
    Rule(
        check=_two_classes,
        says="A classification has at least one signal class and one background class.",
        reads=_CLASSES,
    ),
    Rule(
        check=_sampling_by_class,
        says="`training.sampling: class` needs classes.",
        reads=(("target",), ("training", "sampling")),
    ),
    Rule(
        check=_inputs_given,
        says="There is at least one feature or collection.",
        reads=(("features",), ("collections",)),
    ),
    Rule(
        check=_model_fits_inputs,
        says="`deepsets` needs a collection, `mlp` takes none.",
        reads=(("model",), ("collections",)),
    ),
    Rule(
        check=_packages_for_own_model,
        says="`packages` stand beside a `function` of `model`.",
        reads=(("model",), ("packages",)),
    ),
    Rule(check=_names_unique, says="Features, cuts, files of a sample, classes and packages are given once."),
    Rule(check=_input_names_free, says="A collection is not called `features` or like another one with `_mask`."),
    Rule(check=_definitions_distinct, says="A definition is not called like a function."),
    Rule(
        check=_friends_matched,
        says="Friend trees matched by event id need an `event_id` of expressions.",
        reads=(("event_id",),),
    ),
    Rule(
        check=_sentinels_exact,
        says="With `storage: {features: float16}`, every number in a `missing` is one that float16 has.",
        reads=(("storage",),),
    ),
)
