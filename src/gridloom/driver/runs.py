"""Run folders: `<name>-<digest of the plan>/` with manifest, copy of the analysis, catalogue, journal and report."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from gridloom import __version__
from gridloom.analysis.load import LoadedAnalysis
from gridloom.catalogue import Catalogue
from gridloom.environment import Environment
from gridloom.errors import DamagedResult, GridloomError, NotFound
from gridloom.files import digest_bytes, full_disk_named, write_json, write_text
from gridloom.journal import JOURNAL, History, history, holder, read_journal
from gridloom.plan import Plan
from gridloom.results import Store
from gridloom.task import Kind

MANIFEST = "run.json"
REPORT = "report"
PAGE = "index.html"
STORE = ".store"
LOGS = "logs"

Shown: TypeAlias = Literal["running", "finished", "failed", "interrupted", "left", "lost", "new"]


class PlannedTask(BaseModel):
    """A task as a run refers to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: Kind
    label: str


class Manifest(BaseModel):
    """Content of run.json: what the run consists of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    created: float
    gridloom: str
    analysis_file: str
    analysis_digest: str
    plan_digest: str
    tasks: tuple[PlannedTask, ...]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run folder as it is found."""

    folder: Path
    manifest: Manifest

    @property
    def page(self) -> Path:
        return self.folder / REPORT / PAGE

    @property
    def runs(self) -> Runs:
        """The folder of runs that it is in, and so its store: a run may be named by its path from anywhere."""
        return Runs(self.folder.absolute().parent)

    def history(self) -> History:
        return history(read_journal(self.folder / JOURNAL))

    def state(self) -> Shown:
        """What became of it; `lost` when its driver is gone without a word."""
        if holder(self.folder) is not None:
            return "running"
        state = self.history().state
        return "lost" if state == "going" else state

    def counts(self, store: Store) -> dict[Kind, tuple[int, int]]:
        """Per kind: tasks whose result is in the store, and all."""
        every = Counter(task.kind for task in self.manifest.tasks)
        there = Counter(task.kind for task in self.manifest.tasks if store.folder(task.id).is_dir())
        return {kind: (there[kind], number) for kind, number in every.items()}


@dataclass(frozen=True)
class Runs:
    """The folder of all runs and of the store they share."""

    root: Path

    @property
    def store(self) -> Store:
        return Store(self.root / STORE)

    def folder(self, name: str, plan: Plan) -> Path:
        return self.root / f"{name}-{plan.digest[:8]}"

    def all(self) -> tuple[Run, ...]:
        """Every run, newest last. Raises DamagedResult for a manifest that cannot be read."""
        found = [read_run(path.parent) for path in self.root.glob(f"*/{MANIFEST}")]
        return tuple(sorted(found, key=lambda run: (run.manifest.created, run.manifest.name)))

    def find(self, name: str | None) -> Run:
        """A run by its folder, its name or the beginning of it; the newest without one. Raises NotFound."""
        if name and (Path(name) / MANIFEST).is_file():
            return read_run(Path(name))
        every = self.all()
        wanted = [run for run in every if name is None or run.folder.name.startswith(name.rstrip("/"))]
        if not wanted:
            known = ", ".join(run.folder.name for run in every[-8:]) or "there are none yet"
            raise NotFound(
                f"no run `{name}`" if name else "no runs",
                where=str(self.root),
                fix=f"Known runs: {known}. `gridloom run analysis.yaml` makes one; `--runs` names their folder.",
            )
        return wanted[-1]

    def kept_ids(self) -> frozenset[str]:
        """Ids that some run refers to."""
        return frozenset(task.id for run in self.all() for task in run.manifest.tasks)


def read_run(folder: Path) -> Run:
    path = folder / MANIFEST
    try:
        return Run(folder=folder, manifest=Manifest.model_validate_json(path.read_bytes()))
    except (OSError, ValidationError) as error:
        raise DamagedResult(
            "the run's manifest cannot be read",
            where=str(path),
            fix="Remove the run's folder and run again: finished results are kept in the store.",
        ) from error


def open_run(
    folder: Path, loaded: LoadedAnalysis, catalogue: Catalogue, plan: Plan, environment: Environment
) -> Manifest:
    """Write everything about a run that is known before its first task; the manifest last. Keeps one that is there."""
    if (folder / MANIFEST).is_file():
        return read_run(folder).manifest
    manifest = Manifest(
        name=folder.name,
        created=time.time(),
        gridloom=__version__,
        analysis_file=str(loaded.path.absolute()),
        analysis_digest=digest_bytes(loaded.text.encode()),
        plan_digest=plan.digest,
        tasks=tuple(PlannedTask(id=key, kind=task.kind, label=task.label) for key, task in plan.by_id.items()),
    )
    write_text(folder / "analysis.yaml", loaded.text)
    write_text(folder / "catalogue.json", catalogue.model_dump_json(indent=1) + "\n")
    write_json(folder / "provenance.json", provenance(loaded, catalogue, environment, manifest))
    write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    return manifest


def provenance(
    loaded: LoadedAnalysis, catalogue: Catalogue, environment: Environment, manifest: Manifest
) -> dict[str, JsonValue]:
    """Where the run's results come from: versions, inputs, seeds, machine, revision of the analysis."""
    return {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(manifest.created)),
        "versions": dict(environment.versions),
        "environment": {str(kind): digest for kind, digest in environment.kinds.items()},
        "code": dict(environment.code_files),
        "machine": dict(environment.machine),
        "seeds": {"training": loaded.analysis.training.seed},
        "analysis": {"file": str(loaded.path), "sha256": manifest.analysis_digest},
        "inputs": {
            name: [
                {"path": file.path, "uuid": file.uuid, "size": file.size, "entries": file.entries}
                for file in sample.files
            ]
            for name, sample in catalogue.samples.items()
        },
        "lost_inputs": {
            name: [{"path": file.path, "reason": file.reason} for file in sample.lost]
            for name, sample in catalogue.samples.items()
            if sample.lost
        },
        "revision": git_revision(loaded.path.parent),
    }


def git_revision(folder: Path) -> str | None:
    """The commit of the analysis' folder, with `-changed` if files differ from it; None outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{commit}-changed" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def publish_report(folder: Path, store: Store, plan: Plan) -> Path:
    """Put a copy of the report's files into the run's folder: it can be passed on without the store."""
    page = folder / REPORT / PAGE
    (report,) = plan.of_kind("report")
    result = store.find(report)
    if result is None:
        raise GridloomError("the report is not in the store", where=str(store.folder(report)), fix="Run again.")
    wanted = {output.path: output.size for output in result.outputs}
    present = {path: (folder / REPORT / path).stat().st_size for path in wanted if (folder / REPORT / path).is_file()}
    if wanted == present:
        return page
    fresh = folder / f".{REPORT}"
    with full_disk_named(folder):
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(store.folder(report), fresh, ignore=shutil.ignore_patterns("result.json"))
        shutil.rmtree(folder / REPORT, ignore_errors=True)
        fresh.rename(folder / REPORT)
    return page
