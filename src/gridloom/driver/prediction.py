"""Scores of files in ROOT: look into the files, plan, drive, and put each friend tree where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from gridloom.analysis.load import LoadedAnalysis
from gridloom.catalogue import Catalogue
from gridloom.containers.folders import of_patterns
from gridloom.driver.control import loaded_of
from gridloom.driver.delivery import put, taken
from gridloom.driver.events import Listener
from gridloom.driver.runs import Run
from gridloom.driver.session import Prepared, Session, placed
from gridloom.environment import Environment
from gridloom.errors import DamagedResult, GridloomError, NotFound, Problems, UserModelError
from gridloom.files import digest_json, writing
from gridloom.plan import Plan, make_prediction
from gridloom.results import Store
from gridloom.scoring import Group, ScoredFile, Wanted, output_name
from gridloom.task import Task

FOLDER = "predictions"
PRELOAD = ("gridloom.prediction.task",)
_DELIVERED = "delivered.jsonl"
_SUFFIX = ".scores.root"


class Friend(BaseModel):
    """A friend tree's file that was put where it was asked for, and the file that it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    task: str
    size: int
    of: ScoredFile


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The friend trees of all files, in the files' order; `kept` of them were there already."""

    friends: tuple[Friend, ...]
    kept: int


def predict(here: Session, run: Run, wanted: Wanted, out: Path, replace: bool, listener: Listener) -> Predicted:
    """Score files by the networks of a finished run; a friend tree for each in the folder `out`.

    Run again it goes on: files that have their scores are not scored again. Raises Problems with all that is wrong
    with the files, NotFound while the run is not finished, NotWritable if something else has the name of a friend
    tree (unless it is to be replaced), and the error that stopped it.
    """
    loaded = loaded_of(run)
    models = networks(run, here.settings.runs.store)
    groups, environment = _looked(here, run, loaded, wanted)
    folder = loaded.path.parent.resolve()
    plan = make_prediction(groups, wanted.request, models, environment=environment, folder=str(folder))
    place = _Place(out=out.absolute(), folder=_folder(run, models, wanted, out))
    names = _names(plan)
    missing = place.missing(plan, names, replace=replace)
    catalogue = Catalogue.model_validate_json((run.folder / "catalogue.json").read_bytes())
    rest = Plan(tasks=tuple(plan.by_id[task_id] for task_id in missing))
    prepared = Prepared(loaded=loaded, catalogue=catalogue, environment=environment, plan=rest)
    if missing:
        with writing(place.out):
            place.out.mkdir(parents=True, exist_ok=True)
        with here.driving(prepared, place.folder, listener, f"{run.folder.name} (scores)") as driver:
            try:
                driver.run()
            finally:
                # What is done is hers, whatever became of the rest.
                for task_id in driver.done:
                    place.deliver(here.settings.runs.store, plan.by_id[task_id], names)
    known = place.delivered()
    friends = [known[str(place.out / names[task.id, index])] for task in plan.tasks for index in range(len(task.files))]
    kept = sum(len(plan.by_id[task_id].files) for task_id in plan.ids if task_id not in missing)
    return Predicted(friends=tuple(sorted(friends, key=lambda friend: friend.of.path)), kept=kept)


def networks(run: Run, store: Store) -> tuple[str, ...]:
    """The `train` tasks of a run. Raises NotFound unless all have their result."""
    found = tuple(task.id for task in run.manifest.tasks if task.kind == "train")
    missing = [task_id for task_id in found if store.verify(task_id) is None]
    if missing:
        raise NotFound(
            f"{len(missing)} of the {len(found)} networks of the run are not there",
            where=str(run.folder),
            fix=f"`gridloom resume {run.folder.name}` trains what is missing.",
        )
    return found


def _looked(here: Session, run: Run, loaded: LoadedAnalysis, wanted: Wanted) -> tuple[tuple[Group, ...], Environment]:
    analysis: JsonValue = loaded.analysis.model_dump(mode="json", by_alias=True)
    own: dict[str, JsonValue] = {"analysis": analysis, "folder": str(loaded.path.parent.resolve())}
    told: JsonValue = wanted.model_dump(mode="json")
    asked = {
        **own,
        "folder": str(Path.cwd()),
        "catalogue": str((run.folder / "catalogue.json").resolve()),
        "wanted": told,
    }
    patterns = (*wanted.files, *wanted.nominal, *(text for group in wanted.friends for text in group))
    here.show(loaded, of_patterns(patterns, Path.cwd()))
    with placed(loaded):
        environment = Environment.model_validate(here.ask("environment", own))
        groups = TypeAdapter(tuple[Group, ...]).validate_python(here.ask("score", asked))
    check_code(run, environment.code_files)
    return groups, environment


def check_code(run: Run, files: Mapping[str, str]) -> None:
    """The networks are loaded with the user's own layers: these must be the ones that were trained."""
    told = JsonObject.validate_json((run.folder / "provenance.json").read_bytes())
    if told.get("code") and told["code"] != dict(files):
        raise UserModelError(
            "the code of the user's model has changed since the run",
            where=run.manifest.analysis_file,
            fix="Take the earlier code back, or run again.",
        )


JsonObject: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


def _folder(run: Run, models: tuple[str, ...], wanted: Wanted, out: Path) -> Path:
    """Where the journal of a prediction is: the same for the same command with more files."""
    what = digest_json([list(models), wanted.request.model_dump(mode="json"), str(out.absolute())])
    return run.folder / FOLDER / what[:8]


def _names(plan: Plan) -> Mapping[tuple[str, int], str]:
    """(task, number of its file) -> name of the friend tree's file: the file's own, with its folders where needed."""
    files = {(task.id, index): Path(file.path) for task in plan.tasks for index, file in enumerate(task.files)}
    depth = 1
    names = _deep(files, depth)
    while len(set(names.values())) < len(names):
        depth += 1
        names = _deep(files, depth)
    return names


def _deep(files: Mapping[tuple[str, int], Path], depth: int) -> dict[tuple[str, int], str]:
    return {
        key: "_".join(part.strip("/") for part in path.with_suffix("").parts[-depth:]) + _SUFFIX
        for key, path in files.items()
    }


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The folder of friend trees, and what is known of those that were put there."""

    out: Path
    folder: Path

    def missing(self, plan: Plan, names: Mapping[tuple[str, int], str], *, replace: bool) -> tuple[str, ...]:
        """The tasks whose friend trees are not all there. Raises Problems with what is there instead."""
        known = self.delivered()
        missing: list[str] = []
        problems: list[GridloomError] = []
        for task in plan.tasks:
            paths = [self.out / names[task.id, index] for index in range(len(task.files))]
            done = [_is_there(path, known.get(str(path)), task) for path in paths]
            if all(done):
                continue
            missing.append(task.id)
            if not replace:
                problems += (taken(path) for path, own in zip(paths, done, strict=True) if not own and path.exists())
        if problems:
            raise Problems(problems)
        return tuple(missing)

    def delivered(self) -> dict[str, Friend]:
        """Path -> what was put there last. A line that was cut off by a crash is not counted."""
        found: dict[str, Friend] = {}
        with suppress(FileNotFoundError):
            for line in (self.folder / _DELIVERED).read_text().splitlines():
                with suppress(ValidationError):
                    friend = Friend.model_validate_json(line)
                    found[friend.path] = friend
        return found

    def deliver(self, store: Store, task: Task, names: Mapping[tuple[str, int], str]) -> None:
        """Put a task's friend trees where they were asked for, each at once; the store needs them no more."""
        if store.verify(task.id) is None:
            raise DamagedResult("the scores are not in the store", where=str(store.folder(task.id)), fix="Run again.")
        result = store.folder(task.id)
        about = TypeAdapter(list[ScoredFile]).validate_json((result / "files.json").read_bytes())
        for index, scored in enumerate(about):
            path = self.out / names[task.id, index]
            put(result / output_name(index), path)
            friend = Friend(path=str(path), task=task.id, size=path.stat().st_size, of=scored)
            with writing(self.folder), (self.folder / _DELIVERED).open("a") as stream:
                stream.write(friend.model_dump_json() + "\n")
        store.discard(task.id)


def _is_there(path: Path, known: Friend | None, task: Task) -> bool:
    if known is None or known.task != task.id:
        return False
    return path.is_file() and path.stat().st_size == known.size
