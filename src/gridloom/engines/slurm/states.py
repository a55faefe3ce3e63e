"""What squeue and sacct say of jobs, in one form: id -> where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gridloom.engines.base import Cause, State

_ENDED: dict[str, tuple[State, Cause]] = {
    "COMPLETED": (State.DONE, Cause.NONE),
    "FAILED": (State.FAILED, Cause.NONE),
    "TIMEOUT": (State.EVICTED, Cause.WALL_TIME),
    "DEADLINE": (State.EVICTED, Cause.WALL_TIME),
    "OUT_OF_MEMORY": (State.EVICTED, Cause.MEMORY),
    "PREEMPTED": (State.EVICTED, Cause.PREEMPTED),
    "NODE_FAIL": (State.EVICTED, Cause.NODE),
    "BOOT_FAIL": (State.EVICTED, Cause.NODE),
    "CANCELLED": (State.CANCELLED, Cause.NONE),
    "REVOKED": (State.CANCELLED, Cause.NONE),
}
_RUNNING = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "SIGNALING", "RESIZING", "STOPPED"})
# Flags beside a job's base state: it is not over, whatever the base state says.
_AGAIN = frozenset({"REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING"})
_HELD = {"JobHeldUser": Cause.USER, "JobHeldAdmin": Cause.USER, "JobHoldMaxRequeue": Cause.NODE}
# A job that waits for one of these waits for ever, unless somebody changes it or the cluster.
_NEVER = re.compile(
    r"(?!.*(?:Grp|PerUser|PerAccount))"  # limits that other jobs use up pass with those
    r".*(?:TimeLimit|NodeLimit|MaxWall|MaxCpu|MaxMem|MaxNode|BadConstraints|Invalid(?:QOS|Account)|PartitionDown)"
)
# In words beside `JobHeldUser`: nobody holds the job, its node could not start it.
_NOT_STARTED = "launch fail"
_IDS = re.compile(r"(\d+)_\[?([\d,:-]+)(?:%\d+)?\]?")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job as Slurm sees it."""

    state: State
    ended: bool = False
    exit_code: int | None = None
    cause: Cause = Cause.NONE
    reason: str = ""
    host: str = ""


def from_queue(job: Mapping[str, Any]) -> Iterator[tuple[str, Entry]]:
    """The elements that a record of `squeue --json` is about: one, or those of an array that still wait."""
    states = job.get("job_state", "")
    names = frozenset([states] if isinstance(states, str) else states)
    entry = _entry(names, str(job.get("state_reason", "")), _code(job.get("exit_code")), str(job.get("nodes", "")))
    words = str(job.get("state_description") or "")
    if entry.state is State.HELD and _NOT_STARTED in words:
        entry = replace(entry, cause=Cause.NODE, reason=f"Slurm holds it: {words}")
    array = _number(job.get("array_job_id")) or _number(job.get("job_id"))
    waiting = str(job.get("array_task_string") or "")
    element = _set_number(job.get("array_task_id"))
    if element is not None:
        yield f"{array}_{element}", entry
    for number in numbers(waiting.partition("%")[0]):
        yield f"{array}_{number}", entry


def from_accounting(row: Mapping[str, str]) -> Iterator[tuple[str, Entry]]:
    """The elements that a row of sacct is about."""
    match = _IDS.fullmatch(row.get("JobID", ""))
    if match is None:
        return
    state = row.get("State", "").partition(" ")[0]
    code, _, number = row.get("ExitCode", "0:0").partition(":")
    exit_code = 128 + int(number) if number not in ("", "0") else int(code or 0)
    entry = _entry(frozenset({state}), row.get("Reason", ""), exit_code, row.get("NodeList", ""))
    for element in numbers(match[2]):
        yield f"{match[1]}_{element}", entry


def numbers(text: str) -> Iterator[int]:
    """`0-3,7,10-20:5` -> 0 1 2 3 7 10 15 20."""
    for part in filter(None, text.split(",")):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def _entry(names: frozenset[str], reason: str, exit_code: int | None, nodes: str) -> Entry:
    host = "" if nodes.startswith("None") else nodes
    if names & _AGAIN or "PENDING" in names:
        if reason in _HELD:
            return Entry(state=State.HELD, cause=_HELD[reason], reason=f"Slurm holds it: {reason}")
        if _NEVER.match(reason):
            return Entry(state=State.HELD, cause=Cause.USER, reason=f"Slurm will not start it as it is: {reason}")
        return Entry(state=State.PENDING, reason="" if reason == "None" else reason)
    if names & _RUNNING:
        return Entry(state=State.RUNNING, host=host)
    for name in names:
        if name in _ENDED:
            state, cause = _ENDED[name]
            return Entry(state=state, ended=True, exit_code=exit_code, cause=cause, reason=name, host=host)
    return Entry(state=State.UNKNOWN, reason=f"Slurm says {' '.join(sorted(names)) or 'nothing'}")


def _number(value: object) -> int:
    """Numbers are plain in older versions, and `{set, infinite, number}` in newer ones."""
    if isinstance(value, dict):
        return int(value.get("number") or 0)
    return int(value) if isinstance(value, int | str) and str(value).isdigit() else 0


def _set_number(value: object) -> int | None:
    if isinstance(value, dict):
        return int(value["number"]) if value.get("set") else None
    return int(value) if isinstance(value, int) else None


def _code(value: object) -> int | None:
    if not isinstance(value, dict):
        return _of_wait(value) if isinstance(value, int) else None
    signal = value.get("signal")
    if isinstance(signal, dict):
        number = _number(signal.get("id", signal.get("signal_id")))
        if number:
            return 128 + number
    return _number(value.get("return_code"))


def _of_wait(status: int) -> int:
    """An exit status as `wait` gives it, which older versions pass on."""
    killed = status & 0x7F
    return 128 + killed if killed else status >> 8
