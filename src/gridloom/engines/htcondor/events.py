"""HTCondor's event log of a batch -> what became of each of its jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from gridloom.engines.base import Cause, State
from gridloom.engines.notes import Heard, parse_note

# https://htcondor.readthedocs.io/en/latest/classad-attributes/job-classad-attributes.html#HoldReasonCode
_BY_USER = 1
_OVER_MEMORY = 34
_BY_POLICY = frozenset({3, 21, 26, 37})  # the reason is then in the text
_INTERRUPTIONS = frozenset({"JOB_EVICTED", "JOB_HELD", "SHADOW_EXCEPTION", "JOB_RECONNECT_FAILED"})
_BY_NODE = frozenset({6, 7, 8, 9, 12, 13, 14, 20, 22, 45})


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Where a job stands by its events; `exit_code` counts when it is `ended`."""

    state: State = State.PENDING
    ended: bool = False
    exit_code: int | None = None
    reason: str = ""
    cause: Cause = Cause.NONE
    materialised: bool = False
    host: str = ""


@dataclass
class Story:
    """The events of one job so far, with the notes that it sent through them."""

    seen: Seen = field(default_factory=Seen)
    heard: Heard = field(default_factory=Heard)


def follow(story: Story, kind: str, event: Mapping[str, Any]) -> None:
    """Take the next event of a job in."""
    if kind == "GENERIC":
        note = parse_note(str(event.get("Info", "")))
        if note is not None:
            story.heard.hear(note)
        return
    found = _STEPS.get(kind)
    if kind in _INTERRUPTIONS and story.seen.state is State.RUNNING and story.heard.began is not None:
        # A job that was killed could not say so itself.
        story.heard.last = max(story.heard.last, _time_of(event))
    if found is not None:
        # What has ended stays so: a job taken back before it was made is made all the same, and then removed.
        story.seen = replace(story.seen, materialised=True) if story.seen.ended else found(story.seen, event)


def _submitted(seen: Seen, _: Mapping[str, Any]) -> Seen:
    return replace(seen, state=State.PENDING, reason="", cause=Cause.NONE, materialised=True)


def _running(seen: Seen, _: Mapping[str, Any]) -> Seen:
    return replace(seen, state=State.RUNNING, reason="", cause=Cause.NONE, materialised=True)


def _evicted(seen: Seen, event: Mapping[str, Any]) -> Seen:
    return replace(seen, state=State.PENDING, reason=str(event.get("Reason", "")), cause=Cause.PREEMPTED)


def _failed_to_start(seen: Seen, event: Mapping[str, Any]) -> Seen:
    return replace(seen, state=State.PENDING, reason=str(event.get("Message", "")).strip())


def _held(seen: Seen, event: Mapping[str, Any]) -> Seen:
    reason = str(event.get("HoldReason", "")).strip()
    cause = hold_cause(int(event.get("HoldReasonCode", 0)), reason)
    return replace(seen, state=State.HELD, reason=reason, cause=cause, host=_node_in(reason) or seen.host)


def _node_in(reason: str) -> str:
    """`node1` of "Error from slot1_1@node1: ..."."""
    match = re.match(r"Error from (?:[^\s@]+@)?([^\s:@]+):", reason)
    return match[1] if match else ""


def _time_of(event: Mapping[str, Any]) -> float:
    """When an event was written, in seconds since 1970; 0 if it does not say."""
    try:
        return datetime.fromisoformat(str(event["EventTime"])).timestamp()
    except (KeyError, ValueError):
        return 0.0


def hold_cause(code: int, reason: str) -> Cause:
    """What a hold means; sites' own policies tell it only in words."""
    if code == _BY_USER:
        return Cause.USER
    if code == _OVER_MEMORY or (code in _BY_POLICY and "memory" in reason.lower()):
        return Cause.MEMORY
    return Cause.NODE if code in _BY_NODE else Cause.NONE


def _terminated(seen: Seen, event: Mapping[str, Any]) -> Seen:
    if event.get("TerminatedNormally", True):
        code = int(event.get("ReturnValue", 0))
    else:
        code = 128 + int(event.get("TerminatedBySignal", 9))
    return replace(seen, state=State.DONE, ended=True, exit_code=code, materialised=True)


def _aborted(seen: Seen, event: Mapping[str, Any]) -> Seen:
    reason = str(event.get("Reason", "")).strip() or "it was removed from the queue"
    return replace(seen, state=State.CANCELLED, ended=True, reason=reason, materialised=True)


_STEPS = {
    "SUBMIT": _submitted,
    "EXECUTE": _running,
    "JOB_EVICTED": _evicted,
    "SHADOW_EXCEPTION": _failed_to_start,
    "JOB_RECONNECT_FAILED": _evicted,
    "JOB_HELD": _held,
    "JOB_RELEASED": _submitted,
    "JOB_SUSPENDED": lambda seen, _: replace(seen, reason="suspended"),
    "JOB_UNSUSPENDED": _running,
    "JOB_TERMINATED": _terminated,
    "JOB_ABORTED": _aborted,
}
