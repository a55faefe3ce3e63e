"""HTCondor's events of a job, one after the other, and what they tell of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gridloom.engines.base import Cause, State
from gridloom.engines.htcondor.events import Seen, Story, follow, hold_cause
from gridloom.messages import Note, Step

Event = tuple[str, dict[str, Any]]
SUBMIT: Event = ("SUBMIT", {})
EXECUTE: Event = ("EXECUTE", {"ExecuteHost": "<127.0.0.1:9618>"})


def told(*events: Event) -> Seen:
    return story(*events).seen


def story(*events: Event) -> Story:
    found = Story()
    for kind, attributes in events:
        follow(found, kind, attributes)
    return found


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        ((), Seen()),
        ((SUBMIT,), Seen(materialised=True)),
        ((SUBMIT, EXECUTE), Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, EXECUTE, ("IMAGE_SIZE", {"Size": 7}), ("FILE_TRANSFER", {})),
         Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_EVICTED", {"Reason": "preempted by a better one", "Checkpointed": False})),
         Seen(cause=Cause.PREEMPTED, reason="preempted by a better one", materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_EVICTED", {}), EXECUTE), Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, EXECUTE, ("SHADOW_EXCEPTION", {"Message": " Error from slot1\n"})),
         Seen(reason="Error from slot1", materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_RECONNECT_FAILED", {"Reason": "startd is gone"})),
         Seen(cause=Cause.PREEMPTED, reason="startd is gone", materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_DISCONNECTED", {}), ("JOB_RECONNECTED", {})),
         Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_SUSPENDED", {})),
         Seen(state=State.RUNNING, reason="suspended", materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_SUSPENDED", {}), ("JOB_UNSUSPENDED", {})),
         Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, ("JOB_HELD", {"HoldReason": "via condor_hold (by user me)\n", "HoldReasonCode": 1})),
         Seen(state=State.HELD, cause=Cause.USER, reason="via condor_hold (by user me)", materialised=True)),
        ((SUBMIT, ("JOB_HELD", {"HoldReasonCode": 1}), ("JOB_RELEASED", {}), EXECUTE),
         Seen(state=State.RUNNING, materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_TERMINATED", {"TerminatedNormally": True, "ReturnValue": 0})),
         Seen(state=State.DONE, ended=True, exit_code=0, materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_TERMINATED", {"TerminatedNormally": True, "ReturnValue": 143})),
         Seen(state=State.DONE, ended=True, exit_code=143, materialised=True)),
        ((SUBMIT, EXECUTE, ("JOB_TERMINATED", {"TerminatedNormally": False, "TerminatedBySignal": 11})),
         Seen(state=State.DONE, ended=True, exit_code=139, materialised=True)),
        ((SUBMIT, ("JOB_ABORTED", {"Reason": "via condor_rm"})),
         Seen(state=State.CANCELLED, ended=True, reason="via condor_rm", materialised=True)),
        ((SUBMIT, ("JOB_ABORTED", {})),
         Seen(state=State.CANCELLED, ended=True, reason="it was removed from the queue", materialised=True)),
    ],
)  # fmt: skip
def test_events(events: tuple[Event, ...], seen: Seen) -> None:
    assert told(*events) == seen


def test_a_released_job_is_not_held_any_more() -> None:
    found = told(SUBMIT, ("JOB_HELD", {"HoldReason": "no", "HoldReasonCode": 1}), ("JOB_RELEASED", {}))
    assert (found.state, found.cause, found.reason) == (State.PENDING, Cause.NONE, "")


def test_what_has_ended_stays_so() -> None:
    """A job that was taken back before it was made is submitted all the same, until it can be removed."""
    found = Story(Seen(state=State.CANCELLED, ended=True, reason="cancelled before it began"))
    follow(found, "SUBMIT", {})
    assert (found.seen.state, found.seen.ended, found.seen.materialised) == (State.CANCELLED, True, True)
    follow(found, "EXECUTE", {})
    assert found.seen.state is State.CANCELLED


@pytest.mark.parametrize(
    ("code", "reason", "cause"),
    [
        (1, "via condor_hold", Cause.USER),
        (34, "Job has gone over cgroup memory limit of 128 megabytes.", Cause.MEMORY),
        (3, "The job attribute PeriodicHold expression 'Memory > 1' evaluated to TRUE", Cause.MEMORY),
        (26, "The system macro SYSTEM_PERIODIC_HOLD: memory usage exceeded request_memory", Cause.MEMORY),
        (21, "The startd's policy: MEMORY", Cause.MEMORY),
        (37, "the disk was used up", Cause.NONE),
        (26, "the job ran for too long", Cause.NONE),
        (6, "Failed to execute '/bin/bash': out of memory", Cause.NODE),
        (12, "Transfer output files failure", Cause.NODE),
        (13, "Transfer input files failure", Cause.NODE),
        (14, "Cannot access initial working directory", Cause.NODE),
        (16, "spooling input", Cause.NONE),
        (0, "", Cause.NONE),
    ],
)
def test_why_a_job_is_held(code: int, reason: str, cause: Cause) -> None:
    assert hold_cause(code, reason) is cause


def test_notes_come_through_the_log() -> None:
    notes = (
        Note(kind="began", at=1, host="node1"),
        Note(kind="progress", at=2, step=Step(done=3, total=4)),
        Note(kind="left", at=3, exit_code=143, reason="preempted"),
    )
    events: list[Event] = [("GENERIC", {"Info": note.line().decode()}) for note in notes]
    found = story(SUBMIT, EXECUTE, ("GENERIC", {"Info": "words of somebody else"}), ("GENERIC", {}), *events)
    assert found.seen == Seen(state=State.RUNNING, materialised=True)
    assert found.heard.host == "node1"
    assert found.heard.progress is not None
    assert found.heard.left == notes[2]


@pytest.mark.parametrize(
    ("reason", "host"),
    [
        ("Error from slot1_1@node1: Job has gone over cgroup memory limit", "node1"),
        ("Error from slot1@b7s01p1.cern.ch: cannot start container", "b7s01p1.cern.ch"),
        ("Error from node2: failed to create the scratch folder", "node2"),
        ("via condor_hold (by user me)", ""),
    ],
)
def test_a_hold_may_name_its_node(reason: str, host: str) -> None:
    held = ("JOB_HELD", {"HoldReason": reason, "HoldReasonCode": 6})
    assert told(SUBMIT, EXECUTE, held).host == host
    assert told(SUBMIT, EXECUTE, held, ("JOB_RELEASED", {}), EXECUTE).host == host


def at(seconds: float) -> dict[str, Any]:
    """When an event was written, as HTCondor tells it."""
    return {"EventTime": datetime.fromtimestamp(seconds, tz=UTC).isoformat()}


def said(note: Note) -> Event:
    return "GENERIC", {"Info": note.line().decode()}


BEGAN = said(Note(kind="began", at=1000, host="node1"))


@pytest.mark.parametrize("kind", ["JOB_EVICTED", "JOB_HELD", "SHADOW_EXCEPTION", "JOB_RECONNECT_FAILED"])
def test_a_job_that_was_killed_worked_until_then(kind: str) -> None:
    """It could not say so itself; the log tells when it was over."""
    again = said(Note(kind="began", at=1100, saved=1010))
    assert story(SUBMIT, EXECUTE, BEGAN, (kind, at(1030)), EXECUTE, again).heard.lost_seconds == 20
    # Without a time, or with one that cannot be read, its last words count.
    for attributes in ({}, {"EventTime": "yesterday"}):
        assert story(SUBMIT, EXECUTE, BEGAN, (kind, attributes), EXECUTE, again).heard.lost_seconds == 0


def test_what_happens_to_a_job_that_waits_costs_nothing() -> None:
    again = said(Note(kind="began", at=2000, saved=1030))
    left = said(Note(kind="left", at=1030, saved=1030, exit_code=143, reason="preempted"))
    events: tuple[Event, ...] = (
        SUBMIT,
        EXECUTE,
        BEGAN,
        left,
        ("JOB_EVICTED", at(1031)),
        ("JOB_HELD", at(1500)),
        ("JOB_RELEASED", {}),
    )
    assert story(*events, EXECUTE, again).heard.lost_seconds == 1
