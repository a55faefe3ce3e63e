"""From an analysis and its catalogue to a plan: all tasks, in the order they can be done. Pure: nothing is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import JsonValue

from gridloom.analysis.models import Analysis, Sample
from gridloom.analysis.packages import package_name
from gridloom.analysis.queries import class_names
from gridloom.catalogue import Catalogue, SampleFiles
from gridloom.environment import Environment
from gridloom.files import digest_json
from gridloom.scoring import Group, Request
from gridloom.task import InputFile, Kind, Resources, Task

KINDS: tuple[Kind, ...] = ("prepare", "tune", "train", "reference", "evaluate", "report")

_READ = (
    "tree",
    "definitions",
    "selection",
    "training_selection",
    "collections",
    "event_id",
    "folds",
    "target.classes",
    "target.regression",
    "damaged_files",
    "samples.*.class",
    "samples.*.weight",
    "samples.*.data",
    "storage",
)
_LEARN = (
    *_READ,
    "luminosity",
    "target.signal",
    "features.*.name",
    "features.*.expression",
    "features.*.missing",
    "features.*.impute",
    "features.*.indicator",
    "samples.*.normalisation",
    "training_weights",
)

# Which keys of the analysis file the result of each kind depends on; all others are reset to their defaults before
# the task is named, so changing them does not redo it. (A `*` stands for every name or position.) What only `prepare`
# looks at stands in the later kinds too: their ids change with their inputs' anyway. `report` depends on all.
DEPENDS: dict[Kind, tuple[str, ...]] = {
    "prepare": (
        *_READ,
        "samples.*.tree",
        "samples.*.friends",
        "samples.*.normalisation.generator_weight",
        "samples.*.normalisation.sum_of_weights",
        "samples.*.normalisation.corrections",
        "features.*.name",
        "features.*.expression",
        "features.*.missing",
        "training_weights.factor",
    ),
    "tune": (
        "features.*.name",
        "features.*.missing",
        "features.*.indicator",
        "collections",
        "target",
        "samples.*.class",
        "samples.*.data",
        "model",
        "packages",
        "training.batch",
        "training.optimizer.name",
        "training.optimizer.clip_norm",
        "training.threads",
        "training.precision",
    ),
    "train": (*_LEARN, "model", "packages", "training"),
    "reference": (*_LEARN, "training.seed"),
    "evaluate": ("name", *_LEARN, "model", "packages", "training", "evaluation"),
    "export": (
        "name",
        *_LEARN,
        "features.*.unit",
        "model",
        "packages",
        "training.seed",
        "training.seeds",
        "evaluation",
    ),
    "predict": (
        "definitions",
        "selection",
        "features.*.name",
        "features.*.expression",
        "features.*.missing",
        "collections",
        "event_id",
        "folds",
        "storage",
        "target",
        "packages",
        "model.function",
        "samples.*.tree",
        "samples.*.friends",
        "samples.*.data",
    ),
}

_MEMORY_MB: dict[Kind, int] = {
    "prepare": 2000,
    "tune": 4000,
    "train": 4000,
    "reference": 4000,
    "evaluate": 6000,
    "report": 3000,
    "predict": 3000,
    "export": 4000,
}
_MASKED_NAME = "masked"
_MASKED_FILES = ("*",)
_Key = tuple[str, ...]
# Kinds that import the user's own modules where they are named in the task.
_LOADS_CODE: tuple[Kind, ...] = ("tune", "train", "predict", "export")

MOST_GROUPS = 32
SMALLEST_GROUP = 50_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All tasks of an analysis in topological order: every task stands after its inputs."""

    tasks: tuple[Task, ...]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(task.id for task in self.tasks)

    @cached_property
    def by_id(self) -> dict[str, Task]:
        return dict(zip(self.ids, self.tasks, strict=True))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the ids: two plans with the same digest give the same results."""
        return digest_json(list(self.ids))

    def of_kind(self, kind: Kind) -> tuple[str, ...]:
        return tuple(task_id for task_id, task in self.by_id.items() if task.kind == kind)


def make_plan(
    analysis: Analysis,
    catalogue: Catalogue,
    *,
    code: str,
    environment: Mapping[Kind, str],
    folder: str = "",
    provenance: Mapping[str, JsonValue] | None = None,
) -> Plan:
    """All tasks of an analysis.

    `code`: digest of the user's own model code, or "". `environment`: digest of what each kind of task runs in.
    `folder`: where the user's own modules are found; it does not enter the ids. `provenance`: what the report says
    of its origin.
    """
    planner = _Planner(analysis=analysis, code=code, environment=environment, folder=folder)
    prepare = planner.prepare(catalogue)
    shards = tuple(task.id for task in prepare)
    tune = planner.tune()
    train = planner.networks((*shards, *(task.id for task in tune)))
    reference = planner.folds("reference", shards) if analysis.evaluation.reference else ()
    models = tuple(task.id for task in train)
    evaluate = planner.task(
        "evaluate",
        "evaluate",
        {"analysis": mask(analysis, "evaluate")},
        inputs=(*shards, *models, *(task.id for task in reference)),
    )
    told: dict[str, JsonValue] = {"analysis": _dumped(analysis), "provenance": dict(provenance or {})}
    report = planner.task("report", "report", told, inputs=(evaluate.id, *shards, *models))
    return Plan(tasks=(*prepare, *tune, *train, *reference, evaluate, report))


def make_prediction(
    groups: Iterable[Group], request: Request, models: tuple[str, ...], *, environment: Environment, folder: str
) -> Plan:
    """The tasks that score some files with the networks of the `train` tasks `models`."""
    groups = tuple(groups)
    target = _group_size(sum(file.size for group in groups for file in group.files))
    tasks: list[Task] = []
    told: JsonValue = request.model_dump(mode="json")
    for group in groups:
        planner = _Planner(analysis=group.analysis, code=environment.code, environment=environment.kinds, folder=folder)
        parameters: dict[str, JsonValue] = {"analysis": mask(group.analysis, "predict"), "request": told}
        for files in group_files(SampleFiles(files=group.files), target):
            number = len(tasks) + 1
            tasks.append(planner.task("predict", f"score {number}", parameters, inputs=models, files=files))
    return Plan(tasks=tuple(tasks))


def make_export(
    analysis: Analysis, formats: Iterable[str], inputs: tuple[str, ...], *, environment: Environment, folder: str
) -> Plan:
    """A task for each format; `inputs` are the `prepare` and `train` tasks of a run."""
    planner = _Planner(analysis=analysis, code=environment.code, environment=environment.kinds, folder=folder)
    masked = mask(analysis, "export")
    return Plan(
        tasks=tuple(
            planner.task(
                "export",
                f"export {name}",
                {"analysis": masked, "format": name, "name": analysis.name},
                inputs=inputs,
            )
            for name in dict.fromkeys(formats)
        )
    )


@dataclass(frozen=True, kw_only=True)
class _Planner:
    analysis: Analysis
    code: str
    environment: Mapping[Kind, str]
    folder: str

    def task(
        self,
        kind: Kind,
        label: str,
        parameters: dict[str, JsonValue],
        *,
        inputs: tuple[str, ...] = (),
        files: tuple[InputFile, ...] = (),
        lost_files: tuple[str, ...] = (),
        cores: int = 1,
    ) -> Task:
        return Task(
            kind=kind,
            label=label,
            parameters=parameters,
            inputs=inputs,
            files=files,
            lost_files=lost_files,
            code=self.code if kind in _LOADS_CODE else "",
            environment=self.environment[kind],
            folder=self.folder,
            resources=Resources(cores=cores, memory_mb=_MEMORY_MB[kind]),
        )

    def prepare(self, catalogue: Catalogue) -> tuple[Task, ...]:
        """Tasks in the order of the samples' names, so that their order in the file changes no result."""
        target = _group_size(sum(sample.size for sample in catalogue.samples.values()))
        tasks: list[Task] = []
        common = _common(self.analysis, "prepare")
        for name, sample in sorted(catalogue.samples.items()):
            masked = _with_samples(common, self.analysis, "prepare", [name])
            parameters: dict[str, JsonValue] = {"analysis": masked, "sample": name}
            groups = group_files(sample, target)
            for number, files in enumerate(groups, start=1):
                label = f"prepare {name}" if len(groups) == 1 else f"prepare {name} {number}/{len(groups)}"
                # The files lost of a sample count once, with its first group.
                lost = tuple(file.path for file in sample.lost) if number == 1 else ()
                tasks.append(self.task("prepare", label, parameters, files=files, lost_files=lost))
        return tuple(tasks)

    def folds(self, kind: Kind, shards: tuple[str, ...]) -> tuple[Task, ...]:
        masked = mask(self.analysis, kind)
        return tuple(
            self.task(kind, f"{kind} fold {fold}", {"analysis": masked, "fold": fold}, inputs=shards)
            for fold in range(self.analysis.folds)
        )

    def tune(self) -> tuple[Task, ...]:
        """The probe of the run, if there is something to find out. It waits for no other task."""
        settings = self.analysis.training
        asked = settings.xla == "auto" and settings.backend == "tensorflow"
        own = self.analysis.model.function is not None
        # Flat networks in float32 follow the rule: nothing that a probe could find is clearly faster.
        if not asked or not (own or self.analysis.collections or settings.precision != "float32"):
            return ()
        parameters: dict[str, JsonValue] = {"analysis": mask(self.analysis, "tune")}
        return (self.task("tune", "tune", parameters, cores=settings.threads),)

    def networks(self, inputs: tuple[str, ...]) -> tuple[Task, ...]:
        """The trainings: fold by fold, and of each fold those of all seeds, each as if there were no others."""
        settings = self.analysis.training
        tasks: list[Task] = []
        for fold in range(self.analysis.folds):
            for seed in range(settings.seed, settings.seed + settings.seeds):
                one = settings.model_copy(update={"seed": seed, "seeds": 1})
                masked = mask(self.analysis.model_copy(update={"training": one}), "train")
                label = f"train fold {fold}" + (f" seed {seed}" if settings.seeds > 1 else "")
                parameters: dict[str, JsonValue] = {"analysis": masked, "fold": fold}
                tasks.append(self.task("train", label, parameters, inputs=inputs, cores=settings.threads))
        return tuple(tasks)


def mask(analysis: Analysis, kind: Kind, *, only_sample: str | None = None) -> dict[str, JsonValue]:
    """The analysis with every key that the kind's result does not depend on reset to its default.

    Classes are spelt out, and samples and collections sorted by name: then their order in the file changes nothing.
    With `only_sample` the other samples are left out.
    """
    names = sorted(analysis.samples) if only_sample is None else [only_sample]
    return _with_samples(_common(analysis, kind), analysis, kind, names)


def _common(analysis: Analysis, kind: Kind) -> dict[str, Any]:
    """The masked analysis without its samples: the same for all tasks of a kind."""
    own = _keys(key for key in DEPENDS[kind] if not key.startswith("samples."))
    kept: dict[str, Any] = {"gridloom": analysis.gridloom, "name": _MASKED_NAME}
    kept |= _prune(_dumped(analysis), own)
    kept["collections"] = dict(sorted(kept["collections"].items()))
    if "packages" in kept:
        # Which versions are asked for is not what counts: those that are there are in the environment's digest.
        kept["packages"] = sorted(package_name(text) for text in kept["packages"])
    if analysis.target.regression is None:
        names = list(class_names(analysis))
        kept["target"] = {"signal": names[:1], **kept["target"], "classes": names}
    return kept


def _with_samples(
    common: Mapping[str, Any], analysis: Analysis, kind: Kind, names: Iterable[str]
) -> dict[str, JsonValue]:
    keys = [key[2:] for key in _keys(DEPENDS[kind]) if key[:2] == ("samples", "*")]
    samples = {name: _masked_sample(analysis.samples[name], keys) for name in names}
    return _dumped(Analysis.model_validate({**common, "samples": samples}))


def _masked_sample(sample: Sample, keys: list[_Key]) -> dict[str, Any]:
    """One sample's keys; what has no default is given a neutral value. Files are known to a task by its own list."""
    kept: dict[str, Any] = _prune(_dumped(sample), keys)
    kept["files"] = _MASKED_FILES
    if kept.get("normalisation") is not None:
        kept["normalisation"] = {"cross_section": 1.0} | kept["normalisation"]
    kept["friends"] = [
        {"tree": friend.tree, "match": friend.match, "files": None if friend.files is None else _MASKED_FILES}
        for friend in (sample.friends if ("friends",) in keys else ())
    ]
    return kept


def _dumped(part: Analysis | Sample) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True)


def _keys(keys: Iterable[str]) -> list[_Key]:
    return [tuple(key.split(".")) for key in keys]


def _prune(value: Any, keys: list[_Key]) -> Any:
    """What the keys name of a JSON value, in its own shape."""
    if () in keys:
        return value
    if isinstance(value, list):
        return [_prune(item, _below(keys, "*")) for item in value]
    if isinstance(value, dict):
        below = {name: _below(keys, name) for name in value}
        return {name: _prune(item, below[name]) for name, item in value.items() if below[name]}
    return value


def _below(keys: list[_Key], name: str) -> list[_Key]:
    return [key[1:] for key in keys if key and key[0] in (name, "*")]


def _group_size(total: int) -> int:
    """Bytes for one group: 50 MB times a power of two, so that a few more files regroup nothing."""
    size = SMALLEST_GROUP
    while size * MOST_GROUPS < total:
        size *= 2
    return size


def group_files(sample: SampleFiles, target: int) -> tuple[tuple[InputFile, ...], ...]:
    """Files in order, in groups of at least `target` bytes; a smaller rest joins the last group."""
    groups: list[list[InputFile]] = [[]]
    size = 0
    for file in sample.files:
        if size >= target:
            groups.append([])
            size = 0
        groups[-1].append(file)
        size += file.size
    if len(groups) > 1 and size < target:
        rest = groups.pop()
        groups[-1].extend(rest)
    return tuple(tuple(group) for group in groups)
