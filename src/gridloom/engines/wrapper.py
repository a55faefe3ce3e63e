"""The shell script that starts a job on a node: the site's variables and setup, then Python. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from gridloom import __version__
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
    site: Site, resources: Resources, *, kinds: str, head: Sequence[str], folder: str, options: Sequence[str]
) -> str:
    """The whole script: `head` finds the job's folder, `options` are those of `gridloom.worker.job`."""
    lines = [
        "#!/bin/bash",
        f"# Written by Gridloom {__version__}: starts one job on a worker node.",
        *head,
        _FAIL.format(folder=folder, code=NodeProblem.exit_code).rstrip(),
    ]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(site.variables.items())]
    for number, command in enumerate(site.setup, start=1):
        lines += [
            "{",
            command,
            f'}} || fail "setup command {number} of the site failed" "Read the log, and correct setup: of the site."',
        ]
    if site.setup:
        lines.append(f'cd "$gridloom_folder" || exit {NodeProblem.exit_code}')  # wherever the setup has led
    python = shlex.quote(site.python)
    lines += [
        f'[ -x {python} ] || fail "there is no Python where the site says" "Correct python: of the site."',
        f"exec {python} -m gridloom.worker.job task.json \\",
        *(f"  {option} \\" for option in options),
        f"  --grace {site.grace} --wall {resources.wall_seconds} "
        f"--saved-exit {SAVED_EXIT} --planned-exit {PLANNED_EXIT}" + (f" --kinds {shlex.quote(kinds)}" * bool(kinds)),
    ]
    return "\n".join(lines) + "\n"
