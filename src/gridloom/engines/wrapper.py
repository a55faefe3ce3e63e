"""The script that starts a job on a node: the site's variables and setup, then Python, in a container or not. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gridloom import __version__
from gridloom.containers.folders import without_inner
from gridloom.engines import contained
from gridloom.engines.batches import Bundle
from gridloom.engines.contained import Sees
from gridloom.engines.ended import PLANNED_EXIT, SAVED_EXIT
from gridloom.errors import NodeProblem
from gridloom.sites.models import Site
from gridloom.task import Resources

# The script refuses a node before Python runs, in the words that a job's error.json has.
_FAIL = """\
gridloom_folder=$PWD
gridloom_node=${{SLURMD_NODENAME:-$(sed -n 's/^Machine = "\\(.*\\)"$/\\1/p' "$_CONDOR_MACHINE_AD" 2>/dev/null)}}
fail() {{
  : "${{gridloom_node:=$(hostname)}}"
  printf '[{{"kind": "NodeProblem", "what": "%s on %s", "where": "%s", "fix": "%s", "key": []}}]\\n' \\
    "$1" "$gridloom_node" "$gridloom_node" "$2" > "$gridloom_folder"/{folder}error.json
  exit {code}
}}
"""


def script(
    site: Site,
    resources: Resources,
    *,
    kinds: str,
    head: Sequence[str],
    folder: str,
    options: Sequence[str],
    sees: Sees | None = None,
) -> str:
    """The whole script: `head` finds the job's folder, `options` are those of `gridloom.worker.job`.

    `sees` says what a container must show of the node.
    """
    lines = [
        "#!/bin/bash",
        f"# Written by Gridloom {__version__}: starts one job on a worker node.",
        *head,
        _FAIL.format(folder=folder, code=NodeProblem.exit_code).rstrip(),
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(site.variables.items())]
    for number, line in enumerate(site.setup, start=1):
        lines += [
            "{",
            line,
            f'}} || fail "setup command {number} of the site failed" "Read the log, and correct setup: of the site."',
        ]
    if site.setup:
        lines.append(f'cd "$gridloom_folder" || exit {NodeProblem.exit_code}')  # wherever the setup has led
    options = [
        *options,
        f"--grace {site.grace} --wall {resources.wall_seconds} "
        f"--saved-exit {SAVED_EXIT} --planned-exit {PLANNED_EXIT}" + (f" --kinds {shlex.quote(kinds)}" * bool(kinds)),
    ]
    if site.container is not None and site.container.runtime != "none":
        command = ["-m", "gridloom.worker.job", "task.json", *shlex.split(" ".join(options))]
        lines += contained.lines(site.container, command, sorted(site.variables), sees or Sees())
    else:
        lines += [*([contained.PROBE.rstrip()] if sees is not None and sees.probe else []), *_bare(site, options)]
    return "\n".join(lines) + "\n"


def _bare(site: Site, options: Sequence[str]) -> list[str]:
    python = shlex.quote(site.python)
    *most, last = options
    return [
        f'[ -x {python} ] || fail "there is no Python where the site says" "Correct python: of the site."',
        f"exec {python} -m gridloom.worker.job task.json \\",
        *(f"  {option} \\" for option in most),
        f"  {last}",
    ]


def sees(bundle: Bundle, *, shared: bool, reads: bool = True, messages: bool = False) -> Sees:
    """What a bundle's jobs must see: a shared store, the files they read in place, the network where it is needed.

    `messages`: the batch system's own way of sending them goes through the network.
    """
    tasks = [job.task for job in bundle.assignments]
    remote = any("://" in path for task in tasks for file in task.files for path in (file.path, *file.friends))
    probe = any(task.kind == "probe" for task in tasks)
    return Sees(
        writes=(bundle.batch.store,) if shared else (),
        reads=without_inner(folder for job in bundle.assignments for folder in job.reads) if reads else (),
        network=messages or remote or probe,
        probe=probe,
    )
