"""Files of a run's networks for other runtimes: plan, drive, and put them where they were asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from gridloom.catalogue import Catalogue
from gridloom.driver.control import loaded_of
from gridloom.driver.delivery import put, taken
from gridloom.driver.events import Listener
from gridloom.driver.prediction import check_code, networks
from gridloom.driver.runs import Run
from gridloom.driver.session import Prepared, Session, placed
from gridloom.environment import Environment
from gridloom.errors import GridloomError, NotFound, Problems
from gridloom.exporting import Description, FormatName
from gridloom.files import writing
from gridloom.plan import make_export
from gridloom.results import RESULT, Store

FOLDER = "exports"
PRELOAD = ("gridloom.export.task",)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The files of one format, and what they say of themselves."""

    description: Description
    folder: Path


def export(
    here: Session, run: Run, formats: Sequence[FormatName], out: Path, replace: bool, listener: Listener
) -> tuple[Exported, ...]:
    """Write the networks of a finished run in these formats, each compared with the trained model.

    Raises what the comparison finds (ExportMismatch, UnsupportedLayer: nothing of that format is written), NotFound
    while the run is not finished, NotWritable if something has the name of a file.
    """
    loaded = loaded_of(run)
    store = here.settings.runs.store
    models = networks(run, store)
    shards = tuple(task.id for task in run.manifest.tasks if task.kind == "prepare")
    if any(store.verify(shard) is None for shard in shards):
        raise NotFound(
            "the events that an export is compared on are not there",
            where=str(run.folder),
            fix=f"`gridloom resume {run.folder.name}` prepares what is missing.",
        )
    analysis: JsonValue = loaded.analysis.model_dump(mode="json", by_alias=True)
    folder = loaded.path.parent.resolve()
    here.show(loaded)
    with placed(loaded):
        environment = Environment.model_validate(here.ask("environment", {"analysis": analysis, "folder": str(folder)}))
    check_code(run, environment.code_files)
    plan = make_export(loaded.analysis, formats, (*shards, *models), environment=environment, folder=str(folder))
    catalogue = Catalogue.model_validate_json((run.folder / "catalogue.json").read_bytes())
    prepared = Prepared(loaded=loaded, catalogue=catalogue, environment=environment, plan=plan)
    with here.driving(prepared, run.folder / FOLDER, listener, f"{run.folder.name} (exports)") as driver:
        driver.run()
    found = [Exported(description=_description(store, task_id), folder=out) for task_id in plan.ids]
    _deliver(store, plan.ids, out, replace=replace)
    return tuple(found)


def _description(store: Store, task_id: str) -> Description:
    (path,) = (path for path in store.folder(task_id).glob("*.json") if path.name != RESULT)
    return Description.model_validate_json(path.read_bytes())


def _deliver(store: Store, task_ids: Sequence[str], out: Path, *, replace: bool) -> None:
    """Copy what is not there already alike; each file and folder appears whole."""
    tops: Mapping[Path, Path] = {
        out / path.name: path
        for task_id in task_ids
        for path in sorted(store.folder(task_id).iterdir())
        if path.name != RESULT
    }
    missing = {target: source for target, source in tops.items() if not _alike(source, target)}
    problems: list[GridloomError] = [taken(target) for target in missing if target.exists() and not replace]
    if problems:
        raise Problems(problems)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        for target, source in missing.items():
            put(source, target)


def _alike(source: Path, target: Path) -> bool:
    if source.is_dir():
        own = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
        other = {path.relative_to(target) for path in target.rglob("*") if path.is_file()}
        return own == other and all(_alike(source / path, target / path) for path in own)
    return target.is_file() and target.read_bytes() == source.read_bytes()
