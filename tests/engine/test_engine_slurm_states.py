"""What squeue and sacct say of jobs, in the forms of several versions of Slurm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_slurm import old_record, record
from hypothesis import given
from hypothesis import strategies as st

from gridloom.engines.base import Cause, State
from gridloom.engines.slurm.states import Entry, from_accounting, from_queue, numbers

QUEUE = Path(__file__).with_name("squeue-24.11.json")


def one(job: dict[str, Any]) -> Entry:
    ((_, entry),) = from_queue(job)
    return entry


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("7", [7]),
        ("0-3", [0, 1, 2, 3]),
        ("1,3,5-9:2", [1, 3, 5, 7, 9]),
        ("0-3,7,10-20:5", [0, 1, 2, 3, 7, 10, 15, 20]),
        ("4,", [4]),
    ],
)
def test_numbers(text: str, found: list[int]) -> None:
    assert list(numbers(text)) == found


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20), st.integers(1, 4)), max_size=5))
def test_every_number_that_is_written_is_read(parts: list[tuple[int, int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}:{step}" for first, more, step in parts)
    wanted = [number for first, more, step in parts for number in range(first, first + more + 1, step)]
    assert list(numbers(text)) == wanted


@pytest.mark.parametrize(
    ("job", "ids"),
    [
        (record("PENDING", waiting="8-11%2"), ["54_8", "54_9", "54_10", "54_11"]),
        (record("PENDING", waiting="1,3,5-9:2"), ["54_1", "54_3", "54_5", "54_7", "54_9"]),
        (record("RUNNING", element=0), ["54_0"]),
        (old_record("PENDING", waiting="8-11%2"), ["54_8", "54_9", "54_10", "54_11"]),
        (old_record("RUNNING", element=0), ["54_0"]),
        # Another job of the user, which is no array.
        (record("RUNNING", array=0) | {"job_id": 7}, []),
        ({}, []),
        ({"job_id": 3, "array_task_id": 1}, ["3_1"]),
        ({"array_job_id": "3", "array_task_id": 1}, ["3_1"]),
    ],
)
def test_the_jobs_that_a_record_is_about(job: dict[str, Any], ids: list[str]) -> None:
    assert [job_id for job_id, _ in from_queue(job)] == ids


@pytest.mark.parametrize("make", [record, old_record])
@pytest.mark.parametrize(
    ("state", "reason", "found", "cause"),
    [
        ("PENDING", "Resources", State.PENDING, Cause.NONE),
        ("PENDING", "BeginTime", State.PENDING, Cause.NONE),
        ("CONFIGURING", "None", State.PENDING, Cause.NONE),
        ("REQUEUED", "None", State.PENDING, Cause.NONE),
        ("PENDING", "JobHeldUser", State.HELD, Cause.USER),
        ("PENDING", "JobHeldAdmin", State.HELD, Cause.USER),
        ("PENDING", "JobHoldMaxRequeue", State.HELD, Cause.NODE),
        ("REQUEUE_HOLD", "JobHeldUser", State.HELD, Cause.USER),
        ("RUNNING", "None", State.RUNNING, Cause.NONE),
        ("COMPLETING", "None", State.RUNNING, Cause.NONE),
        ("SUSPENDED", "None", State.RUNNING, Cause.NONE),
        ("COMPLETED", "None", State.DONE, Cause.NONE),
        ("FAILED", "NonZeroExitCode", State.FAILED, Cause.NONE),
        ("TIMEOUT", "TimeLimit", State.EVICTED, Cause.WALL_TIME),
        ("DEADLINE", "None", State.EVICTED, Cause.WALL_TIME),
        ("OUT_OF_MEMORY", "OutOfMemory", State.EVICTED, Cause.MEMORY),
        ("PREEMPTED", "None", State.EVICTED, Cause.PREEMPTED),
        ("NODE_FAIL", "NodeDown", State.EVICTED, Cause.NODE),
        ("BOOT_FAIL", "None", State.EVICTED, Cause.NODE),
        ("CANCELLED", "None", State.CANCELLED, Cause.NONE),
        ("REVOKED", "None", State.CANCELLED, Cause.NONE),
        ("SOMETHING_NEW", "None", State.UNKNOWN, Cause.NONE),
    ],
)
def test_states(make: Any, state: str, reason: str, found: State, cause: Cause) -> None:
    entry = one(make(state, element=1, reason=reason, node="node1"))
    assert (entry.state, entry.cause) == (found, cause)
    assert entry.ended == (found in (State.DONE, State.FAILED, State.EVICTED, State.CANCELLED))
    if found is State.UNKNOWN:
        assert "SOMETHING_NEW" in entry.reason


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("PartitionTimeLimit", State.HELD),
        ("PartitionNodeLimit", State.HELD),
        ("QOSMaxWallDurationPerJobLimit", State.HELD),
        ("AssocMaxCpuPerJobLimit", State.HELD),
        ("BadConstraints", State.HELD),
        ("InvalidQOS", State.HELD),
        # These pass when other jobs have ended.
        ("QOSMaxCpuPerUserLimit", State.PENDING),
        ("QOSMaxMemoryPerUser", State.PENDING),
        ("MaxNodePerAccount", State.PENDING),
        ("QOSGrpNodeLimit", State.PENDING),
        ("AssocGrpCpuLimit", State.PENDING),
        ("AssocMaxJobsLimit", State.PENDING),
        ("JobArrayTaskLimit", State.PENDING),
        ("Priority", State.PENDING),
        ("Resources", State.PENDING),
        ("ReqNodeNotAvail", State.PENDING),
        ("Licenses", State.PENDING),
    ],
)
def test_what_a_job_would_wait_for_for_ever_is_told(reason: str, state: State) -> None:
    entry = one(record("PENDING", waiting="3", reason=reason))
    assert entry.state is state
    assert reason in entry.reason
    if state is State.HELD:
        assert entry.cause is Cause.USER


@pytest.mark.parametrize(
    ("names", "state"),
    [
        # A flag says that it is not over, whatever the base state is.
        (["PREEMPTED", "REQUEUED"], State.PENDING),
        (["NODE_FAIL", "REQUEUE_FED"], State.PENDING),
        (["RUNNING", "CONFIGURING"], State.PENDING),
        (["CANCELLED", "COMPLETING"], State.RUNNING),
        (["COMPLETED", "COMPLETING"], State.RUNNING),
        (["PENDING", "REQUEUED"], State.PENDING),
        (["CANCELLED", "TIMEOUT_ODD"], State.CANCELLED),
        ([], State.UNKNOWN),
    ],
)
def test_flags_beside_a_state(names: list[str], state: State) -> None:
    assert one(record(names, element=1)).state is state


def test_why_and_where() -> None:
    assert one(record("PENDING", element=1, reason="Resources")).reason == "Resources"
    assert one(record("PENDING", element=1)).reason == ""
    assert one(record("PENDING", element=1, reason="JobHeldUser")).reason == "Slurm holds it: JobHeldUser"
    assert one(record("RUNNING", element=1, node="node1")).host == "node1"
    assert one(record("NODE_FAIL", element=1, node="node2")).host == "node2"
    assert one(record("CANCELLED", element=1, node="None assigned")).host == ""


@pytest.mark.parametrize("make", [record, old_record])
def test_a_job_that_its_node_could_not_start_is_held_by_nobody(make: Any) -> None:
    """Slurm says `JobHeldUser` of it; only the words beside it tell that no user did so."""
    held = make("PENDING", element=1, reason="JobHeldUser")
    entry = one({**held, "state_description": "launch failed requeued held"})
    assert (entry.state, entry.cause) == (State.HELD, Cause.NODE)
    assert "launch failed" in entry.reason
    assert one({**held, "state_description": "job requeued in held state"}).cause is Cause.USER
    assert one({**make("RUNNING", element=1), "state_description": "launch failed"}).state is State.RUNNING


@pytest.mark.parametrize(
    ("job", "code"),
    [
        (record("FAILED", element=1, code=7), 7),
        (record("FAILED", element=1, code=None, signal=11), 139),
        (record("COMPLETED", element=1), 0),
        (old_record("FAILED", element=1, status=7 << 8), 7),
        # Killed by a signal: `wait` gives its number in the low bits.
        (old_record("FAILED", element=1, status=11), 139),
        (old_record("FAILED", element=1, status=11 | 0x80), 139),
        (old_record("COMPLETED", element=1, status=0), 0),
        # 23.02: numbers in an object, but plain.
        (
            {
                **record("FAILED", element=1),
                "exit_code": {"status": "SIGNALED", "return_code": 0, "signal": {"signal_id": 9, "name": "KILL"}},
            },
            137,
        ),
        ({**record("FAILED", element=1), "exit_code": {"status": "ERROR", "return_code": 3}}, 3),
        ({**record("FAILED", element=1), "exit_code": None}, None),
    ],
)
def test_exit_codes(job: dict[str, Any], code: int | None) -> None:
    assert one(job).exit_code == code


def test_a_queue_as_slurm_24_11_wrote_it() -> None:
    """An array with a limit whose elements wait, run and have failed; one on hold; a job killed by a signal."""
    found = {
        job_id: (entry.state.value, entry.cause.value, entry.exit_code if entry.ended else None, entry.host)
        for job in json.loads(QUEUE.read_text())["jobs"]
        for job_id, entry in from_queue(job)
    }
    assert found == {
        "55_1": ("failed", "", 7, "node1"),
        "55_3": ("running", "", None, "node1"),
        **{f"55_{number}": ("pending", "", None, "") for number in (5, 7, 9)},
        **{f"56_{number}": ("held", "user", None, "") for number in range(4)},
        "57_0": ("failed", "", 139, "node1"),
    }


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (("54_1", "COMPLETED", "0:0", "node1", "None"), {"54_1": (State.DONE, 0, "node1")}),
        (("54_1", "FAILED", "7:0", "node1", "None"), {"54_1": (State.FAILED, 7, "node1")}),
        (("54_1", "FAILED", "0:9", "node1", "None"), {"54_1": (State.FAILED, 137, "node1")}),
        (("54_1", "CANCELLED by 1000", "0:15", "None assigned", "None"), {"54_1": (State.CANCELLED, 143, "")}),
        (("54_[3-5%2]", "PENDING", "0:0", "None assigned", "Resources"),
         {f"54_{number}": (State.PENDING, None, "") for number in (3, 4, 5)}),
        (("54_[1,7-9:2]", "PENDING", "0:0", "None assigned", "JobHeldUser"),
         {f"54_{number}": (State.HELD, None, "") for number in (1, 7, 9)}),
        (("54_1", "REQUEUED", "0:0", "node1", "None"), {"54_1": (State.PENDING, None, "")}),
        (("54", "COMPLETED", "0:0", "node1", "None"), {}),
        (("54_1.batch", "COMPLETED", "0:0", "node1", "None"), {}),
        (("54_1", "FAILED", "", "node1", ""), {"54_1": (State.FAILED, 0, "node1")}),
    ],
)  # fmt: skip
def test_rows_of_the_accounting(row: tuple[str, ...], found: dict[str, tuple[State, int | None, str]]) -> None:
    named = dict(zip(("JobID", "State", "ExitCode", "NodeList", "Reason"), row, strict=True))
    assert {job: (entry.state, entry.exit_code, entry.host) for job, entry in from_accounting(named)} == found


def test_a_row_without_a_job() -> None:
    assert list(from_accounting({})) == []
