"""From an analysis file to a finished run: scan, plan, open the run's folder, drive, publish the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from gridloom.analysis.load import LoadedAnalysis
from gridloom.catalogue import Catalogue
from gridloom.containers.folders import of_analysis, reads_urls, without_inner
from gridloom.containers.here import find
from gridloom.driver.events import Listener, RunStarted
from gridloom.driver.live import LiveFile
from gridloom.driver.loop import Driver
from gridloom.driver.runs import LOGS, open_run, publish_report
from gridloom.driver.settings import Settings, check_place, write_how
from gridloom.driver.snapshot import snapshot
from gridloom.driver.workplace import CANCEL_FILE, Pace, StopRequest, Terms, Workplace
from gridloom.engines import make_engine
from gridloom.engines.base import Engine
from gridloom.engines.local import LocalEngine, LocalSettings
from gridloom.engines.surroundings import Surroundings
from gridloom.environment import Environment
from gridloom.errors import GridloomError, ImageProblem, Problems
from gridloom.exporting import FormatName
from gridloom.files import digest_json, writing
from gridloom.journal import Journal, lease
from gridloom.plan import Plan, make_plan


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An analysis with its files looked at and its tasks planned."""

    loaded: LoadedAnalysis
    catalogue: Catalogue
    environment: Environment
    plan: Plan


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A run whose tasks are all done. `reopened`: there was nothing to do."""

    folder: Path
    page: Path
    reopened: bool


@dataclass(frozen=True)
class Session:
    """One command's work with one pool of workers on this machine; a run's tasks may be jobs of a site instead."""

    settings: Settings
    engine: LocalEngine
    stop: StopRequest = field(default_factory=StopRequest)

    def prepare(self, loaded: LoadedAnalysis) -> Prepared:
        """Scan the files and plan; nothing is written. Raises the scan's errors with their place in the file."""
        arguments = _arguments(loaded)
        self.show(loaded)
        with placed(loaded):
            environment = Environment.model_validate(self.ask("environment", arguments))
            catalogue = Catalogue.model_validate(self.ask("scan", arguments))
        plan = make_plan(
            loaded.analysis,
            catalogue,
            code=environment.code,
            environment=environment.kinds,
            folder=str(loaded.path.parent.resolve()),
            provenance=_told(loaded, catalogue, environment),
        )
        return Prepared(loaded=loaded, catalogue=catalogue, environment=environment, plan=plan)

    def check(self, loaded: LoadedAnalysis, formats: Sequence[FormatName] = ()) -> JsonValue:
        """Look into the files, and whether these formats take the model. Raises all errors, with their places."""
        self.show(loaded)
        with placed(loaded):
            return self.ask("check", {**_arguments(loaded), "formats": list(formats)})

    def ask(self, operation: str, arguments: dict[str, JsonValue]) -> JsonValue:
        """What a worker answers; it has what is too heavy for this process."""
        return self.engine.ask(operation, arguments, stop=lambda: self.stop.times > 0)

    def show(self, loaded: LoadedAnalysis, others: tuple[str, ...] = ()) -> None:
        """Have containers of workers show what an analysis reads, `others`, and the folder of runs."""
        if self.engine.surroundings is None:
            return
        runs, folder = self.settings.runs.root.resolve(), loaded.path.parent
        self.engine.surroundings = self.engine.surroundings.showing(
            writes=(str(runs),) if runs.is_dir() else (),
            reads=without_inner((*of_analysis(loaded.analysis, folder), *others)),
            network=reads_urls(loaded.analysis),
        )

    def run(self, loaded: LoadedAnalysis, listener: Listener) -> Finished:
        """Do what is missing of an analysis. Raises the error that stopped it; running again goes on from there."""
        if self.settings.enclosed is not None:
            with writing(self.settings.runs.root):
                self.settings.runs.root.mkdir(parents=True, exist_ok=True)
        self.show(loaded)
        if self.settings.here:
            training = loaded.analysis.training
            self.engine.warm_up(cores=training.threads, workers=loaded.analysis.folds, backend=training.backend)
        prepared, folder = self.open(loaded)
        return self.drive(prepared, folder, listener)

    def open(self, loaded: LoadedAnalysis) -> tuple[Prepared, Path]:
        """Plan an analysis and write its run's folder; nothing of it is done yet."""
        runs = self.settings.runs
        prepared = self.prepare(loaded)
        folder = runs.folder(loaded.analysis.name, prepared.plan)
        with runs.store.referring():
            open_run(folder, loaded, prepared.catalogue, prepared.plan, prepared.environment)
        return prepared, folder

    def drive(self, prepared: Prepared, folder: Path, listener: Listener) -> Finished:
        """Do what is missing of an opened run. Raises RunLocked while another driver has it."""
        with self.driving(prepared, folder, listener) as driver:
            reopened = len(driver.done) == len(prepared.plan.ids)
            driver.run()
        page = publish_report(folder, self.settings.runs.store, prepared.plan)
        return Finished(folder=folder, page=page, reopened=reopened)

    @contextmanager
    def driving(self, prepared: Prepared, folder: Path, listener: Listener, name: str = "") -> Iterator[Driver]:
        """A driver that knows what of a plan is done, with the lease of the folder where its journal is.

        `name` is what it is called before people, by default the folder's.
        """
        plan = prepared.plan
        with lease(folder) as journal:
            check_place(folder, self.settings)
            engine = self._engine_for(folder)
            write_how(folder, self.settings)
            journal.write("started")
            (folder / CANCEL_FILE).unlink(missing_ok=True)
            self.stop.watched = folder
            live = LiveFile(folder, listener)
            place = replace(self._workplace(engine, journal, live, prepared, folder), tick=live.tick)
            driver = Driver(plan, place)
            try:
                driver.look()
                live(RunStarted(name=name or folder.name, folder=folder, tasks=len(plan.ids), done=len(driver.done)))
                with placed(prepared.loaded):
                    yield driver
            finally:
                (folder / CANCEL_FILE).unlink(missing_ok=True)
                live.write()

    def _engine_for(self, folder: Path) -> Engine:
        """The engine that does the tasks. Workers of this machine that are not needed any more leave."""
        site = self.settings.site
        if self.settings.here or site is None:
            self.engine.folder = folder / LOGS
            return self.engine
        self.engine.close()
        with site.placed():
            return make_engine(site.site, folder=folder / LOGS, kinds=self.settings.kinds)

    def _workplace(
        self, engine: Engine, journal: Journal, listener: Listener, prepared: Prepared, folder: Path
    ) -> Workplace:
        store, site = self.settings.runs.store, self.settings.site
        place = Workplace(store=store, engine=engine, journal=journal, listener=listener, stop=self.stop)
        if self.settings.here or site is None:
            return place
        analysis, loaded = prepared.loaded.analysis, prepared.loaded
        code = ""
        if analysis.model.function and prepared.environment.code:
            beside = loaded.path.parent.resolve()
            code = str(snapshot(analysis.model.function, beside, folder.resolve(), prepared.environment.code))
        terms = Terms.of(site.site, prepared.environment.versions, code)
        return replace(place, pace=Pace.of(site.site), terms=terms)


@contextmanager
def session(settings: Settings) -> Iterator[Session]:
    """A session with its workers, which leave with it."""
    preload = settings.preload if settings.here else ()
    engine = LocalEngine(LocalSettings(jobs=settings.jobs, kinds=settings.kinds, preload=preload))
    engine.surroundings = _surroundings(settings)
    try:
        yield Session(settings, engine)
    finally:
        engine.close()


def _surroundings(settings: Settings) -> Surroundings | None:
    """The container of workers on this machine. Raises ImageProblem when it cannot be had but tasks run here.

    For a site's jobs, files are scanned here in the same image if this machine can use it, else in this environment;
    jobs refuse to begin in another one than they were planned with.
    """
    container = settings.enclosed
    if container is None or container.runtime == "none":
        return None
    try:
        found = find(container.image, container.runtime)
    except ImageProblem:
        if settings.here:
            raise
        return None
    return Surroundings(found=found, container=container, folder="/")


@contextmanager
def placed(loaded: LoadedAnalysis) -> Iterator[None]:
    """Give errors that belong to a key of the analysis file its file:line:column."""
    try:
        yield
    except Problems as problems:
        raise Problems(place(error, loaded) for error in problems.errors) from problems
    except GridloomError as error:
        if not error.key:
            raise
        raise place(error, loaded) from error


def place(error: GridloomError, loaded: LoadedAnalysis) -> GridloomError:
    """The same error at its place in the analysis file; the place it named itself stays in its text."""
    if not error.key:
        return error
    what = f"{error.what} ({error.where})" if error.where else error.what
    return type(error)(what, where=loaded.locate(error.key), fix=error.fix, key=error.key)


def _arguments(loaded: LoadedAnalysis) -> dict[str, JsonValue]:
    analysis: JsonValue = loaded.analysis.model_dump(mode="json", by_alias=True)
    return {"analysis": analysis, "folder": str(loaded.path.parent.resolve())}


def _told(loaded: LoadedAnalysis, catalogue: Catalogue, environment: Environment) -> Mapping[str, JsonValue]:
    """What the report says of its origin, as far as it is the same wherever the run is done."""
    return {
        "versions": dict(environment.versions),
        "seed": loaded.analysis.training.seed,
        "inputs": {
            name: {
                "files": len(sample.files),
                "entries": sample.entries,
                "digest": digest_json([[file.uuid, file.size] for file in sample.files])[:20],
            }
            for name, sample in sorted(catalogue.samples.items())
        },
    }
