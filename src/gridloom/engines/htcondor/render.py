"""Jobs -> the files of an HTCondor submission. Pure: the same jobs give the same bytes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gridloom import __version__
from gridloom.assignment import FILE, NOTES_FILE, SAVED_STATE, STATE, Assignment
from gridloom.engines import batches, wrapper
from gridloom.engines.batches import Bundle
from gridloom.engines.ended import PLANNED_EXIT
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.sites.models import Site

SUBMIT = "submit.sub"
SCRIPT = "job.sh"
LOG = "events.log"
_BATCH_ATTRIBUTE = "GridloomBatch"
_RUN_ATTRIBUTE = "GridloomRun"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 200  # characters of a file's own name in the name of the link to it


@dataclass(frozen=True, kw_only=True)
class Places:
    """Folders as schedd and shadow are told them: plain names, links where the real ones have others."""

    root: Path
    store: Path
    run: str
    kinds: str


def is_shared(site: Site) -> bool:
    return bool(site.shared_folder)


def files_of(bundle: Bundle, site: Site, options: HTCondorOptions, places: Places) -> Mapping[str, bytes]:
    """All files of a bundle, by their names below the engine's folder."""
    folder = bundle.batch.folder
    shared = is_shared(site)
    files = {
        f"{folder}/{batches.FILE}": f"{bundle.batch.model_dump_json(indent=1)}\n".encode(),
        f"{folder}/{SCRIPT}": _script(bundle, site, places).encode(),
        f"{folder}/{SUBMIT}": submit_text(bundle, site, options, places).encode(),
    }
    for job in bundle.assignments:
        sent = job if shared else as_transferred(job, site)
        files[f"{job.folder}/{FILE}"] = sent.as_text().encode()
    return files


def _script(bundle: Bundle, site: Site, places: Places) -> str:
    if is_shared(site):
        head = [f'cd {shlex.quote(str(places.root))}/"$1" || exit 60']
        return wrapper.script(
            site,
            bundle.resources,
            kinds=places.kinds,
            head=head,
            folder="",
            options=[f"--notes {NOTES_FILE}"],
            sees=wrapper.sees(bundle, shared=True),
        )
    head = [f"mkdir -p {STATE} || exit 60"]
    options = ["--transferred", f"--delivery {SAVED_STATE}", f"--planned {site.checkpoint}"]
    return wrapper.script(
        site,
        bundle.resources,
        kinds=places.kinds,
        head=head,
        folder=f"{STATE}/",
        options=options,
        sees=wrapper.sees(bundle, shared=False, reads=site.inputs == "read", messages=True),
    )


def submit_text(bundle: Bundle, site: Site, options: HTCondorOptions, places: Places) -> str:
    """The submit description with one row per job."""
    needs = bundle.resources
    shared = is_shared(site)
    batch = places.root / bundle.batch.folder
    lines = [
        f"# Written by Gridloom {__version__}",
        "universe = vanilla",
        f"batch_name = gridloom-{places.run}",
        "executable = /bin/bash",
        "transfer_executable = false",
        f'arguments = "{batch / SCRIPT} $(folder)"' if shared else f'arguments = "{SCRIPT}"',
        f"initialdir = {places.root}/$(folder)",
        f"log = {batch / LOG}",
        "output = job.out",
        "error = job.err",
        *(["should_transfer_files = NO"] if shared else _transfer(batch)),
        "kill_sig = SIGTERM",
        "remove_kill_sig = SIGUSR1",
        "want_graceful_removal = true",
        f"job_max_vacate_time = {site.grace}",
        f"request_cpus = {needs.cores}",
        f"request_memory = {needs.memory_mb}",
        f"request_disk = {needs.disk_mb * 1024}",
        *([f"request_gpus = {needs.gpus}"] if needs.gpus else []),
        f"My.{options.wall_attribute} = {needs.wall_seconds}",
        f"My.{_RUN_ATTRIBUTE} = {json.dumps(places.run)}",
        f"My.{_BATCH_ATTRIBUTE} = {json.dumps(bundle.batch.token)}",
        *_requirements(options, bundle.avoid),
        *([f"accounting_group = {options.accounting_group}"] if options.accounting_group else []),
        *(f"{name} = {value}" for name, value in options.submit.items()),
        f"max_materialize = {site.limits.jobs}",
        "queue folder, inputs from (",
        *(
            f"{job.folder}, {', '.join(_inputs(job, site, places)) if not shared else '-'}"
            for job in bundle.assignments
        ),
        ")",
    ]
    return "\n".join(lines) + "\n"


def _transfer(batch: Path) -> list[str]:
    """The pattern that loses nothing: one directory, brought back at every end and brought along at every start."""
    return [
        "should_transfer_files = YES",
        "when_to_transfer_output = ON_EXIT_OR_EVICT",
        f"transfer_input_files = {batch / SCRIPT}, {FILE}, $(inputs)",
        f"transfer_output_files = {STATE}",
        f"transfer_checkpoint_files = {STATE}",
        f"checkpoint_exit_code = {PLANNED_EXIT}",
        "My.WantIOProxy = true",
    ]


def _requirements(options: HTCondorOptions, avoid: Sequence[str]) -> list[str]:
    parts = [f"({options.requirements})"] if options.requirements else []
    parts += [avoiding(node) for node in avoid]
    return [f"requirements = {' && '.join(parts)}"] if parts else []


def avoiding(node: str) -> str:
    """An expression that is true on all nodes but one."""
    return f"(TARGET.Machine =!= {json.dumps(node)})"


def batch_constraint(token: str) -> str:
    return f"{_BATCH_ATTRIBUTE} == {json.dumps(token)}"


def run_constraint(run: str) -> str:
    return f"{_RUN_ATTRIBUTE} == {json.dumps(run)}"


# --- what is transferred ------------------------------------------------------------------------------------------
def as_transferred(job: Assignment, site: Site) -> Assignment:
    """The assignment as the node sees it: `store` is made there, ROOT files lie beside it."""
    names = dict(links(job, site))
    where = {target: name for name, target in names.items()}
    files = tuple(
        file.model_copy(update={"copies": {path: where[path] for path in (file.path, *file.friends) if path in where}})
        for file in job.task.files
    )
    return job.model_copy(update={"store": "store", "task": job.task.model_copy(update={"files": files})})


def links(job: Assignment, site: Site) -> Iterator[tuple[str, str]]:
    """Names of links to be made in the job's folder, and the ROOT files that each leads to."""
    if site.inputs == "read":
        return
    paths = dict.fromkeys(path for file in job.task.files for path in (file.path, *file.friends))
    for number, path in enumerate(path for path in paths if "://" not in path):
        # The end of a name has its suffix; a name that fills what file systems allow leaves no room for ours.
        yield f"input-{number}-{_UNSAFE.sub('-', PurePosixPath(path).name)[-_LONGEST:]}", path


def _inputs(job: Assignment, site: Site, places: Places) -> list[str]:
    """What is brought to the node beside script and task: earlier results, a saved state, ROOT files, code."""
    found = [str(places.store / name) for name in job.task.inputs]
    found += [name for name, _ in links(job, site)]
    if job.goes_on:
        found.append(str(places.store / f"{job.task.id}.scratch"))
    if job.task.code:
        found.append("code")
    return found
