"""An analysis written as YAML and loaded again is the same analysis."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gridloom.analysis import models
from gridloom.analysis.load import load_text
from gridloom.analysis.models import Analysis
from gridloom.analysis.reference import EXAMPLE_FILE
from gridloom.analysis.write import to_yaml

GOLDEN = Path(__file__).with_name("golden")

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+\-]{0,8}", fullmatch=True)
identifiers = st.from_regex(r"v_[a-z0-9]{1,4}", fullmatch=True)
# Text that YAML could take for something else is as good as any other.
words = st.sampled_from(
    ("no", "null", "true", "1e3", "1_0", "2024-01-01", "~", "- a", "a: b", "a #b", "!x", "*", "<<", "é")
)
texts = words | st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
expressions = st.sampled_from(
    ("x", "1", "-0.5", "1e-3", "!isTau && Jet_pt[0] > 25", "a ? b : c", "Sum$(Jet_pt > 25) >= 4", "`a: b`")
)
positive = st.floats(1e-6, 1e9)
fractions = st.floats(0, 0.999)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def some(strategy: st.SearchStrategy[str], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, min_size=least, max_size=most, unique=True).map(tuple)


normalisations = st.builds(
    models.Normalisation,
    cross_section=positive,
    k_factor=positive,
    filter_efficiency=st.floats(0.001, 1),
    generator_weight=expressions,
    sum_of_weights=st.just("events") | st.builds(models.SumOfWeights, tree=texts, branch=texts),
    corrections=expressions,
)
friends = st.builds(models.Friend, files=st.none() | some(texts, 1), tree=texts, match=st.just("entry"))
cuts = st.lists(st.builds(models.Cut, name=texts, cut=expressions), max_size=3, unique_by=lambda cut: cut.name).map(
    tuple
)
plain_cuts = some(expressions).map(lambda every: tuple(models.Cut(name=cut, cut=cut) for cut in every))
missing = st.lists(numbers | st.sampled_from(("nan", "inf")), max_size=2).map(tuple)
features = st.builds(
    models.Feature,
    name=texts,
    expression=expressions,
    missing=missing,
    impute=st.just("mean") | numbers,
    indicator=st.booleans(),
) | expressions.map(lambda text: models.Feature(name=text, expression=text))
collections = st.builds(
    models.Collection,
    where=st.none() | expressions,
    order_by=st.none() | expressions,
    at_most=st.integers(1, 1000),
    features=some(expressions, 1),
)


@st.composite
def samples(draw: st.DrawFn, class_name: str | None) -> models.Sample:
    conditions = draw(some(expressions, 1, 2))
    classes = {f"{class_name}{index}": text for index, text in enumerate(conditions)} | {str(class_name): "otherwise"}
    normalisation = draw(st.none() | normalisations)
    return models.Sample(
        files=draw(some(texts, 1)),
        tree=draw(st.none() | texts),
        class_=None if class_name is None else draw(st.sampled_from((class_name, classes))),
        normalisation=normalisation,
        weight=draw(expressions) if normalisation is None else None,
        friends=tuple(draw(st.lists(friends, max_size=1))),
    )


@st.composite
def analyses(draw: st.DrawFn) -> Analysis:
    regression = draw(st.booleans())
    sample_names = draw(some(names, 3, 4))
    classes = [None if regression else f"class {index}" for index in range(len(sample_names))]
    every = {name: draw(samples(label)) for name, label in zip(sample_names, classes, strict=True)}
    every[sample_names[-1]] = models.Sample(files=("data.root",), data=True)
    inputs = st.lists(features, min_size=1, max_size=3, unique_by=lambda feature: feature.name)
    return Analysis(
        gridloom=1,
        name=draw(names),
        luminosity=draw(positive),
        tree=draw(texts),
        samples=every,
        definitions=draw(st.dictionaries(identifiers, expressions, max_size=2)),
        selection=draw(cuts | plain_cuts),
        training_selection=draw(cuts | plain_cuts),
        features=tuple(draw(inputs)),
        collections=draw(st.dictionaries(names.map(lambda name: f"c{name}"), collections, max_size=2)),
        target=models.Target(regression=draw(expressions)) if regression else models.Target(signal=("class 0",)),
        event_id=draw(st.just(models.ENTRY_ID) | some(expressions, 1)),
        folds=draw(st.integers(3, 100)),
        training_weights=models.TrainingWeights(
            factor=draw(expressions), negative=draw(st.sampled_from(("keep", "drop")))
        ),
        model=models.Model(parameters=draw(st.dictionaries(texts, json_values, max_size=2))),
        training=models.Training(
            seed=draw(st.integers(0, 2**31 - 1)),
            optimizer=models.Optimizer(learning_rate=draw(positive)),
            early_stopping=draw(st.sampled_from((None, models.EarlyStopping(), models.EarlyStopping(patience=2)))),
        ),
        evaluation=models.Evaluation(background_uncertainty=draw(fractions), unblind=draw(st.booleans())),
        damaged_files=models.DamagedFiles(skip_at_most=draw(fractions)),
    )


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(analyses())
def test_round_trip(analysis: Analysis) -> None:
    assert load_text(to_yaml(analysis), Path("analysis.yaml")).analysis == analysis


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(analyses())
def test_the_models_read_their_own_dump(analysis: Analysis) -> None:
    """So tasks carry analyses as JSON, with and without aliases."""
    for by_alias in (True, False):
        assert Analysis.model_validate(analysis.model_dump(mode="json", by_alias=by_alias)) == analysis


def test_short_forms_and_no_defaults() -> None:
    """The golden file is the example of the reference, written from the models."""
    analysis = load_text(EXAMPLE_FILE.read_text(), EXAMPLE_FILE).analysis
    text = to_yaml(analysis)
    assert text == (GOLDEN / "example.yaml").read_text()
    assert load_text(text, EXAMPLE_FILE).analysis == analysis


def test_cuts_of_the_same_name_are_kept_apart() -> None:
    analysis = load_text(EXAMPLE_FILE.read_text(), EXAMPLE_FILE).analysis
    twice = (models.Cut(name="a", cut="x > 1"), models.Cut(name="a", cut="x < 5"))
    assert "selection:\n  - name: a\n    cut: x > 1\n  - name: a\n    cut: x < 5\n" in to_yaml(
        analysis.model_copy(update={"selection": twice})
    )
