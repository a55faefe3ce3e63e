"""A plan's ids change with what changes the result, and with nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.analysis.models import Analysis
from gridloom.catalogue import Catalogue, LostFile, SampleFiles
from gridloom.environment import Environment
from gridloom.plan import (
    KINDS,
    MOST_GROUPS,
    SMALLEST_GROUP,
    Plan,
    group_files,
    make_export,
    make_plan,
    make_prediction,
    mask,
)
from gridloom.scoring import Group, Request, Variation, application_analysis
from gridloom.task import InputFile, Kind

ENVIRONMENT: dict[Kind, str] = {kind: f"environment of {kind}" for kind in KINDS}


def written() -> dict[str, Any]:
    """An analysis as YAML gives it."""
    return {
        "gridloom": 1,
        "name": "higgs",
        "luminosity": 1000.0,
        "samples": {
            "tth": {
                "files": "tth.root",
                "class": "signal",
                "normalisation": {"cross_section": 0.5, "k_factor": 1.1, "generator_weight": "genWeight"},
                "friends": [{"tree": "more"}, {"tree": "tags", "files": "tags*.root", "match": "event_id"}],
            },
            "tt": {"files": ["a.root", "b.root"], "class": {"ttb": "nb > 2", "ttl": "otherwise"}, "weight": "w"},
            "data": {"files": "data.root", "data": True},
        },
        "definitions": {"ht": "Sum$(Jet_pt)"},
        "selection": {"trigger": "HLT > 0", "jets": "nJet >= 4"},
        "training_selection": ["MET_pt > 10"],
        "features": ["ht", {"expression": "mass", "missing": [-999, "nan"], "impute": 3.0, "indicator": False}],
        "collections": {
            "jets": {"at_most": 4, "features": ["Jet_pt"]},
            "leptons": {"at_most": 1, "features": ["l_pt"]},
        },
        "target": {"signal": "signal"},
        "training_weights": {"factor": "1.5"},
        "model": {"name": "deepsets", "parameters": {"units": 32}},
    }


def file(name: str, size: int = 1000) -> InputFile:
    return InputFile(path=f"/data/{name}", uuid=f"uuid of {name}", size=size, entries=10)


def catalogue() -> Catalogue:
    return Catalogue(
        samples={
            "tth": SampleFiles(files=(file("tth.root"),)),
            "tt": SampleFiles(files=(file("a.root"), file("b.root")), lost=(LostFile(path="c.root", reason="torn"),)),
            "data": SampleFiles(files=(file("data.root"),)),
        }
    )


def plan(
    values: dict[str, Any] | None = None, files: Catalogue | None = None, *, code: str = "", folder: str = "/here"
) -> Plan:
    analysis = Analysis.model_validate(values or written())
    return make_plan(analysis, files or catalogue(), code=code, environment=ENVIRONMENT, folder=folder)


def changed_kinds(first: Plan, second: Plan) -> set[str]:
    old = {task.label: task_id for task_id, task in first.by_id.items()}
    return {task.kind for task_id, task in second.by_id.items() if old.get(task.label) != task_id}


def with_value(path: str, value: object) -> dict[str, Any]:
    values = written()
    *steps, last = path.split(".")
    here: Any = values
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
    here[last] = value
    return values


EVERYTHING = {"prepare", "train", "reference", "evaluate", "report"}
LEARNING = EVERYTHING - {"prepare"}
SHAPE = {"tune"}  # what decides how large the network and its inputs are


def test_tasks_stand_after_their_inputs() -> None:
    tasks = plan().tasks
    known: set[str] = set()
    for task in tasks:
        assert known.issuperset(task.inputs)
        known.add(task.id)
    assert len(known) == len(tasks)


def test_the_shape_of_a_plan() -> None:
    found = plan()
    labels = [task.label for task in found.tasks]
    folds = [f"{kind} fold {fold}" for kind in ("train", "reference") for fold in range(5)]
    assert labels == ["prepare data", "prepare tt", "prepare tth", "tune", *folds, "evaluate", "report"]
    prepare, train, reference = (found.of_kind(kind) for kind in ("prepare", "train", "reference"))
    (evaluate,), (report,) = found.of_kind("evaluate"), found.of_kind("report")
    (tune,) = found.of_kind("tune")
    assert found.by_id[tune].inputs == ()
    assert found.by_id[train[3]].inputs == (*prepare, tune)
    assert found.by_id[train[3]].parameters["fold"] == 3
    assert found.by_id[evaluate].inputs == (*prepare, *train, *reference)
    assert found.by_id[report].inputs == (evaluate, *prepare, *train)
    assert found.by_id[prepare[1]].lost_files == ("c.root",)
    assert found.by_id[report].folder == "/here"


@pytest.mark.parametrize(("path", "value"), [("training.xla", "off"), ("training.backend", "jax"), ("collections", {})])
def test_where_nothing_is_to_be_found_out_there_is_no_probe(path: str, value: object) -> None:
    """With `collections: {}` the network is flat, and the rule is enough."""
    changed = with_value(path, value)
    changed["model"] = {}
    found = plan(changed)
    assert found.of_kind("tune") == ()
    assert found.by_id[found.of_kind("train")[0]].inputs == found.of_kind("prepare")


def test_reduced_precision_is_probed() -> None:
    flat = {**written(), "collections": {}, "model": {}}
    assert plan(flat).of_kind("tune") == ()
    assert len(plan({**flat, "training": {"precision": "mixed_bfloat16"}}).of_kind("tune")) == 1


def test_the_users_own_function_is_probed() -> None:
    found = plan({**written(), "collections": {}, "model": {"function": "mine:build"}}, code="abc")
    (tune,) = found.of_kind("tune")
    assert found.by_id[tune].code == "abc"


def test_the_back_end_is_the_trainings() -> None:
    found = plan(with_value("training.backend", "jax"))
    assert {task.backend for task in found.tasks if task.kind == "train"} == {"jax"}
    assert {task.backend for task in found.tasks if task.kind != "train"} == {"tensorflow"}
    (train, *_) = found.of_kind("train")
    assert found.by_id[train].packages == ("jax", "jaxlib")
    assert {task.backend for task in plan().tasks} == {"tensorflow"}


def test_without_reference_there_are_no_trees() -> None:
    assert plan(with_value("evaluation.reference", False)).of_kind("reference") == ()


@pytest.mark.parametrize(
    ("path", "value", "kinds"),
    [
        ("name", "other", {"evaluate", "report"}),
        ("luminosity", 2000.0, LEARNING),
        ("samples.tth.normalisation.cross_section", 0.6, LEARNING),
        ("samples.tth.normalisation.k_factor", 1.2, LEARNING),
        ("samples.tth.normalisation.generator_weight", "w", EVERYTHING),
        ("samples.tth.files", "elsewhere/tth.root", {"report"}),
        ("samples.tth.friends.1.files", "elsewhere/*.root", {"report"}),
        ("samples.tth.friends.1.match", "entry", EVERYTHING),
        ("samples.tt.weight", "2 * w", EVERYTHING),
        ("definitions.ht", "2 * Sum$(Jet_pt)", EVERYTHING),
        ("selection.jets", "nJet >= 5", EVERYTHING),
        ("training_selection", [], EVERYTHING),
        ("features.1.missing", [-99], EVERYTHING | SHAPE),
        ("features.1.impute", 4.0, LEARNING),
        ("features.1.indicator", True, LEARNING | SHAPE),
        ("features.1.unit", "GeV", {"report"}),
        ("collections.jets.at_most", 5, EVERYTHING | SHAPE),
        ("target.signal", ["ttb"], LEARNING | SHAPE),
        ("target.classes", ["ttl", "ttb", "signal"], EVERYTHING | SHAPE),
        ("folds", 4, EVERYTHING),
        ("training_weights.negative", "drop", LEARNING),
        ("training_weights.factor", "2.5", EVERYTHING),
        ("model.parameters.units", 64, {"train", "evaluate", "report"} | SHAPE),
        ("training.batch", 64, {"train", "evaluate", "report"} | SHAPE),
        ("training.xla", "on", {"train", "evaluate", "report"}),
        ("training.optimizer.learning_rate", 0.1, {"train", "evaluate", "report"}),
        ("training.seed", 2, LEARNING),
        ("training.epochs", 7, {"train", "evaluate", "report"}),
        ("evaluation.bins", 10, {"evaluate", "report"}),
        ("evaluation.unblind", True, {"evaluate", "report"}),
    ],
)
def test_a_key_redoes_what_depends_on_it(path: str, value: object, kinds: set[str]) -> None:
    assert changed_kinds(plan(), plan(with_value(path, value))) == kinds


def test_only_the_changed_sample_is_prepared_again() -> None:
    first, second = plan(), plan(with_value("samples.tt.weight", "2 * w"))
    same = set(first.of_kind("prepare")) & set(second.of_kind("prepare"))
    assert sorted(first.by_id[task_id].label for task_id in same) == ["prepare data", "prepare tth"]


def test_a_new_sample_redoes_no_other() -> None:
    values = written()
    values["samples"]["zz"] = {"files": "zz.root", "class": "ttb", "weight": "1"}
    files = Catalogue(samples={**catalogue().samples, "zz": SampleFiles(files=(file("zz.root"),))})
    assert set(plan().of_kind("prepare")) < set(plan(values, files).of_kind("prepare"))


def reordered(value: Any, keys: list[int]) -> Any:
    """The same mapping with its keys in another order, all the way down."""
    if not isinstance(value, dict):
        return value
    names = sorted(value, key=lambda name: (keys[hash_of(name) % len(keys)], name))
    return {name: reordered(value[name], keys) for name in names}


def hash_of(name: str) -> int:
    return sum(name.encode())


@given(st.lists(st.integers(), min_size=1, max_size=10))
def test_the_order_of_keys_changes_nothing(keys: list[int]) -> None:
    values = with_value("target.classes", ["signal", "ttb", "ttl"])
    files = catalogue()
    mixed = Catalogue(samples=reordered(dict(files.samples), keys))
    shuffled = {**reordered(values, keys), "selection": values["selection"]}
    assert plan(shuffled, mixed).ids == plan(values, files).ids


@given(st.text(min_size=1), st.integers(1, 16))
def test_paths_and_resources_change_nothing(prefix: str, cores: int) -> None:
    files = catalogue()
    moved = Catalogue(
        samples={
            name: sample.model_copy(
                update={"files": tuple(one.model_copy(update={"path": prefix + one.path}) for one in sample.files)}
            )
            for name, sample in files.samples.items()
        }
    )
    first, second = plan(), plan(files=moved, folder=prefix)
    assert first.ids == second.ids
    task = first.tasks[0]
    resources = task.resources.model_copy(update={"cores": cores})
    assert task.model_copy(update={"resources": resources, "label": prefix}).id == task.id


def test_content_of_files_code_and_environment_change_ids() -> None:
    files = catalogue()
    other = SampleFiles(files=(file("tth.root").model_copy(update={"uuid": "another"}),))
    assert changed_kinds(plan(), plan(files=Catalogue(samples={**files.samples, "tth": other}))) == EVERYTHING
    assert changed_kinds(plan(), plan(code="abc")) == {"tune", "train", "evaluate", "report"}
    analysis = Analysis.model_validate(written())
    newer = {**ENVIRONMENT, "train": "another TensorFlow"}
    second = make_plan(analysis, files, code="", environment=newer)
    assert changed_kinds(plan(), second) == {"train", "evaluate", "report"}


def test_packages_belong_to_what_runs_the_users_model() -> None:
    """How they are asked for changes nothing: their installed versions are in the environment's digest."""
    own = {**written(), "model": {"function": "mine:build"}}
    found = plan({**own, "packages": ["zuko", "My_Package[fast]>=1.2"]})
    assert changed_kinds(plan(own), found) == {"tune", "train", "evaluate", "report"}
    assert changed_kinds(found, plan({**own, "packages": ["my-package", "zuko<9"]})) == {"report"}
    runs_it = ("tune", "train", "evaluate")
    assert {task.packages for task in found.tasks if task.kind in runs_it} == {("my-package", "zuko")}
    assert {task.packages for task in found.tasks if task.kind not in runs_it} == {()}
    assert {task.packages for task in plan().tasks} == {()}


def test_provenance_belongs_to_the_report_alone() -> None:
    analysis = Analysis.model_validate(written())
    second = make_plan(analysis, catalogue(), code="", environment=ENVIRONMENT, provenance={"seed": 3})
    assert changed_kinds(plan(), second) == {"report"}
    assert second.digest != plan().digest


def test_more_seeds_train_only_what_is_new() -> None:
    one, three = plan(), plan(with_value("training.seeds", 3))
    assert set(one.of_kind("train")) < set(three.of_kind("train"))
    assert len(three.of_kind("train")) == 15
    assert [three.by_id[name].label for name in three.of_kind("train")[:3]] == [
        f"train fold 0 seed {n}" for n in (1, 2, 3)
    ]
    assert plan(with_value("training.seeds", 1)).digest == one.digest


SURROUNDINGS = Environment(kinds=dict.fromkeys(("predict", "export"), "environment"), code="code")


def prediction(
    request: Request, models: tuple[str, ...] = ("train-1",), *, values: dict[str, Any] | None = None
) -> Plan:
    analysis = Analysis.model_validate(values or written())
    reduced = application_analysis(analysis, analysis.samples["data"], nominal=False)
    group = Group(analysis=reduced, files=(file("data.root"), file("more.root")))
    return make_prediction([group], request, models, environment=SURROUNDINGS, folder="/here")


def test_a_prediction_depends_on_networks_request_and_expressions() -> None:
    first = prediction(Request())
    (task,) = first.tasks
    assert (task.inputs, task.code, len(task.files)) == (("train-1",), "code", 2)
    assert prediction(Request()).digest == first.digest
    up = Request(variations=(Variation(name="up", branches={"mass": "mass_up"}),))
    others = [
        prediction(up),
        prediction(Request(format="rntuple")),
        prediction(Request(), ("train-2",)),
        prediction(Request(), values=with_value("selection.jets", "nJet >= 5")),
    ]
    assert len({first.digest, *(other.digest for other in others)}) == 5
    # Neither labels, weights nor how it was trained: these are in the networks.
    assert prediction(Request(), values=with_value("samples.tt.weight", "2 * w")).digest == first.digest
    assert prediction(Request(), values=with_value("training.epochs", 9)).digest == first.digest


def test_an_export_of_each_format_depends_on_the_networks() -> None:
    analysis = Analysis.model_validate(written())

    def export(*inputs: str) -> Plan:
        return make_export(analysis, ["onnx", "litert", "onnx"], inputs, environment=SURROUNDINGS, folder="/here")

    assert [task.label for task in export("train-1").tasks] == ["export onnx", "export litert"]
    assert set(export("train-1").ids).isdisjoint(export("train-2").ids)
    unit = Analysis.model_validate(with_value("features.1.unit", "GeV"))
    assert mask(unit, "export") != mask(analysis, "export")


def test_threads_of_a_training_are_its_cores() -> None:
    found = plan(with_value("training.threads", 2))
    assert {found.by_id[task_id].resources.cores for task_id in found.of_kind("train")} == {2}
    assert {task.resources.cores for task in found.tasks if task.kind not in ("tune", "train")} == {1}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "report"])
def test_a_masked_analysis_is_an_analysis(kind: Kind) -> None:
    analysis = Analysis.model_validate(written())
    masked = Analysis.model_validate(mask(analysis, kind))
    assert mask(masked, kind) == mask(analysis, kind)
    assert masked.target.classes == ("signal", "ttb", "ttl")
    assert all(friend.files in (None, ("*",)) for friend in masked.samples["tth"].friends)


def test_what_a_kind_sees_is_what_was_written() -> None:
    analysis = Analysis.model_validate(written())
    train = Analysis.model_validate(mask(analysis, "train"))
    assert (train.features, train.model, train.training) == (analysis.features, analysis.model, analysis.training)
    assert train.samples["tth"].normalisation == analysis.samples["tth"].normalisation
    prepare = Analysis.model_validate(mask(analysis, "prepare", only_sample="tt"))
    assert list(prepare.samples) == ["tt"]
    assert (prepare.selection, prepare.definitions) == (analysis.selection, analysis.definitions)
    evaluate = Analysis.model_validate(mask(analysis, "evaluate"))
    assert evaluate.evaluation == analysis.evaluation


def test_a_regression_is_planned() -> None:
    values = written()
    values["target"] = {"regression": "mass"}
    for sample in values["samples"].values():
        sample.pop("class", None)
    found = plan(values)
    assert found.of_kind("train")
    assert changed_kinds(found, plan({**values, "target": {"regression": "2 * mass"}})) == EVERYTHING | SHAPE


@given(st.lists(st.integers(1, 2 * SMALLEST_GROUP), min_size=1, max_size=60))
def test_groups_hold_every_file_once_in_order(sizes: list[int]) -> None:
    sample = SampleFiles(files=tuple(file(str(number), size) for number, size in enumerate(sizes)))
    groups = group_files(sample, SMALLEST_GROUP)
    assert [one for group in groups for one in group] == list(sample.files)
    large = [sum(one.size for one in group) >= SMALLEST_GROUP for group in groups]
    assert all(large) or len(groups) == 1


def test_many_files_make_few_groups_that_a_new_file_leaves_alone() -> None:
    many = [file(str(number), 10 * SMALLEST_GROUP) for number in range(500)]
    values = written()
    values["samples"] = {"tth": values["samples"]["tth"]}
    first = plan(values, Catalogue(samples={"tth": SampleFiles(files=tuple(many))}))
    second = plan(values, Catalogue(samples={"tth": SampleFiles(files=(*many, file("new", 10 * SMALLEST_GROUP)))}))
    assert 10 <= len(first.of_kind("prepare")) <= MOST_GROUPS
    assert len(set(first.of_kind("prepare")) - set(second.of_kind("prepare"))) <= 1
