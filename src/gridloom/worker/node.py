"""The node that a job runs on: its name, the scheduler's name of the job, and whether it can do the task at all."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

from gridloom.assignment import Assignment
from gridloom.environment import environment_digest, versions
from gridloom.errors import NodeProblem

_MACHINE = re.compile(r'^Machine = "(.+)"$', re.MULTILINE)


def host() -> str:
    """The node's name as the batch system knows it, so that it can be told to avoid it."""
    advertised = os.environ.get("_CONDOR_MACHINE_AD", "")
    if advertised:
        try:
            found = _MACHINE.search(Path(advertised).read_text(errors="replace"))
        except OSError:
            found = None
        if found:
            return found[1]
    return os.environ.get("SLURMD_NODENAME", "") or socket.gethostname()


def job_id() -> str:
    """The batch system's name of this job, where it tells it to the job."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID", "")
    if array:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    return os.environ.get("SLURM_JOB_ID", "")


def check(assignment: Assignment) -> None:
    """Raise NodeProblem if results made here would not be those that were planned."""
    task = assignment.task
    if not task.environment or environment_digest(task.kind, task.packages) == task.environment:
        return
    here = versions(task.packages)
    planned = assignment.versions
    differing = [
        f"{name} {here.get(name, 'missing')} instead of {wanted}"
        for name, wanted in planned.items()
        if here.get(name) != wanted and name != "gridloom"
    ]
    raise NodeProblem(
        f"the environment on {host()} is not the one the run was planned with: "
        + (", ".join(differing) or "another architecture"),
        where=task.label,
        fix="Have the same locked environment on the nodes (`python:` of the site, or an image that was built for "
        "this analysis), or plan with theirs.",
    )
