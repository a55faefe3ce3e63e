"""Jobs -> the files of a Slurm array. Pure: the same jobs give the same bytes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from gridloom.assignment import FILE, NOTES_FILE
from gridloom.engines import batches, wrapper
from gridloom.engines.batches import Bundle
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.sites.models import Site

SCRIPT = "array.sh"
FOLDERS = "folders.txt"
_NAME = "gridloom-"
_EARLY = 2  # times the grace: how long before the time limit a job is told to save


def name_of(token: str) -> str:
    """The job name of a batch, by which it is found again."""
    return f"{_NAME}{token}"


def files_of(bundle: Bundle, site: Site, options: SlurmOptions, root: Path, kinds: str) -> Mapping[str, bytes]:
    """All files of a bundle, by their names below the engine's folder `root`."""
    folder = bundle.batch.folder
    files = {
        f"{folder}/{batches.FILE}": f"{bundle.batch.model_dump_json(indent=1)}\n".encode(),
        f"{folder}/{FOLDERS}": "".join(f"{job.folder}\n" for job in bundle.batch.jobs).encode(),
        f"{folder}/{SCRIPT}": array_script(bundle, site, options, root, kinds).encode(),
    }
    for job in bundle.assignments:
        files[f"{job.folder}/{FILE}"] = job.as_text().encode()
    return files


def array_script(bundle: Bundle, site: Site, options: SlurmOptions, root: Path, kinds: str) -> str:
    """The script that `sbatch` is given: its options, then how an element of the array finds its job's folder."""
    directives = [f"#SBATCH {option}" for option in sbatch_options(bundle, site, options)]
    here = shlex.quote(str(root.absolute()))
    head = [
        *directives,
        f"cd {here} || exit 60",
        f'folder=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {bundle.batch.folder}/{FOLDERS})',
        '[ -n "$folder" ] && cd -- "$folder" || exit 60',
        # Before the task has a log of its own; what Slurm itself has to say is in the job's state.
        "exec >>job.out 2>&1 </dev/null",
    ]
    return wrapper.script(
        site,
        bundle.resources,
        kinds=kinds,
        head=head,
        folder="",
        options=[f"--notes {NOTES_FILE}"],
        sees=wrapper.sees(bundle, shared=True),
    )


def sbatch_options(bundle: Bundle, site: Site, options: SlurmOptions) -> list[str]:
    needs = bundle.resources
    gpu = f"gpu:{options.gpu_type}:{needs.gpus}" if options.gpu_type else f"gpu:{needs.gpus}"
    found = [
        f"--job-name={name_of(bundle.batch.token)}",
        f"--array=0-{len(bundle.assignments) - 1}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={needs.cores}",
        *([f"--mem={needs.memory_mb}M"] if options.memory else []),
        f"--time={-(-needs.wall_seconds // 60)}",
        *([f"--gres={gpu}"] if needs.gpus else []),
        "--requeue",
        "--open-mode=append",
        "--output=/dev/null",
        f"--signal=B:USR2@{_EARLY * site.grace}",
        # sbatch is run in a clean environment. To name variables here, or NONE, costs every job a login shell.
        "--export=ALL",
        *([f"--exclude={','.join(bundle.avoid)}"] if bundle.avoid else []),
    ]
    asked = {
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "reservation": options.reservation,
        "constraint": options.constraint,
    }
    found += [f"--{name}={value}" for name, value in asked.items() if value]
    return [*found, *options.sbatch]
