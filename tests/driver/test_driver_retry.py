"""What is tried again, how, and when it is given up: decided by the cause, in one place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gridloom.driver.retry import Again, Attempts, BadNodes, Decision, GiveUp, decide
from gridloom.engines.base import Cause, JobStatus, State
from gridloom.errors import NodeProblem, TaskFailed
from gridloom.task import Progress


def status(
    cause: Cause = Cause.NONE, reason: str = "because", *, host: str = "", done: float | None = None, fix: str = ""
) -> JobStatus:
    errors = (NodeProblem(reason, fix=fix),) if fix else ()
    progress = None if done is None else Progress(done=done, total=100)
    return JobStatus(state=State.EVICTED, cause=cause, reason=reason, host=host, progress=progress, errors=errors)


def decisions(
    *statuses: JobStatus,
    memory: int = 1000,
    most: int = 8000,
    nodes: Sequence[str] = (),
    attempts: Attempts | None = None,
) -> list[Decision]:
    """What is decided of one task, time after time; it has the memory that it was given."""
    known = attempts or Attempts()
    return [
        decide(
            "train",
            one,
            known,
            memory_mb=known.memory_mb or memory,
            most_memory_mb=most,
            known_nodes=frozenset(nodes),
        )
        for one in statuses
    ]


def given_up(decision: Decision) -> NodeProblem | TaskFailed:
    assert isinstance(decision, GiveUp)
    assert isinstance(decision.error, NodeProblem | TaskFailed)
    assert decision.error.fix
    return decision.error


def again(decision: Decision) -> Again:
    assert isinstance(decision, Again)
    return decision


# --- nothing says why -------------------------------------------------------------------------------------------------
def test_what_nothing_explains_is_tried_twice_more() -> None:
    first, second, third = decisions(*[status(reason="it vanished")] * 3)
    assert again(first) == again(second) == Again(reason="it vanished")
    assert given_up(third).what == "train was lost 3 times, the last time because it vanished"
    assert again(decisions(status(reason=""))[0]).reason == "nothing says why"


# --- the batch system took its slot, or its time was over -------------------------------------------------------------
@pytest.mark.parametrize("cause", [Cause.PREEMPTED, Cause.WALL_TIME])
def test_an_eviction_counts_for_nothing_as_long_as_there_is_progress(cause: Cause) -> None:
    found = decisions(*[status(cause, done=number) for number in range(1, 100)])
    assert all(isinstance(decision, Again) for decision in found)


def test_preemptions_have_a_limit_far_away() -> None:
    found = decisions(*[status(Cause.PREEMPTED)] * 201)
    assert all(isinstance(decision, Again) for decision in found[:200])
    assert "evicted 201 times" in given_up(found[200]).what


@pytest.mark.parametrize("reached", [(10, 10, 10), (10, 20, 20), (30, 20, 10), (None, None, None)])
def test_a_task_that_its_wall_time_lets_get_no_further(reached: tuple[float | None, ...]) -> None:
    found = decisions(*[status(Cause.WALL_TIME, done=done) for done in reached])
    assert [isinstance(decision, Again) for decision in found] == [True, True, False]
    assert given_up(found[2]).what == "train used up its wall time 3 times and gets no further"
    assert "wall" in given_up(found[2]).fix


def test_a_preemption_without_progress_is_no_fault_of_the_task() -> None:
    found = decisions(*[status(Cause.PREEMPTED, done=10)] * 9)
    assert all(isinstance(decision, Again) for decision in found)


# --- memory -----------------------------------------------------------------------------------------------------------
def test_memory_doubles_up_to_the_limit() -> None:
    attempts = Attempts()
    found = decisions(*[status(Cause.MEMORY, "too big")] * 4, memory=1500, most=8000, attempts=attempts)
    assert [again(decision).memory_mb for decision in found[:3]] == [3000, 6000, 8000]
    assert again(found[0]).reason == "too big; it is given 3000 MB instead of 1500 MB"
    error = given_up(found[3])
    assert error.what == "train needs more than 8000 MB of memory: too big"
    assert "limits: memory" in error.fix
    assert attempts.memory_mb == 8000


@pytest.mark.parametrize("memory", [8000, 9000])
def test_a_task_that_has_all_the_memory_there_is(memory: int) -> None:
    (found,) = decisions(status(Cause.MEMORY), memory=memory, most=8000)
    assert f"more than {memory} MB" in given_up(found).what


def test_memory_does_not_double_for_ever() -> None:
    found = decisions(*[status(Cause.MEMORY)] * 7, memory=1, most=10**9)
    assert [again(decision).memory_mb for decision in found[:6]] == [2, 4, 8, 16, 32, 64]
    given_up(found[6])


# --- nodes ------------------------------------------------------------------------------------------------------------
def test_a_node_that_cannot_is_avoided() -> None:
    (found,) = decisions(status(Cause.NODE, "no such file", host="node1"))
    assert again(found) == Again(reason="no such file; it goes elsewhere than node1", avoid="node1")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("there is no Python", "there is no Python"),
        # The node's own name in its words makes no difference.
        ("no Python on node1", "no Python on node2"),
        ("node1: no Python", "node2: no Python"),
    ],
)
def test_the_same_on_two_nodes_is_not_the_nodes_fault(first: str, second: str) -> None:
    one, two = decisions(
        status(Cause.NODE, first, host="node1", fix="Install it."),
        status(Cause.NODE, second, host="node2", fix="Install it."),
    )
    again(one)
    error = given_up(two)
    assert isinstance(error, NodeProblem)
    assert error.what == f"train cannot be done on node1, node2: {second}"
    assert error.fix == "Install it."


def test_different_reasons_on_several_nodes() -> None:
    found = decisions(*[status(Cause.NODE, f"reason {name}", host=f"n{number}") for number, name in enumerate("abcde")])
    assert [again(decision).avoid for decision in found[:4]] == ["n0", "n1", "n2", "n3"]
    assert "n0, n1, n2, n3, n4" in given_up(found[4]).what
    assert "gridloom site check" in given_up(found[4]).fix


def test_when_no_node_is_left() -> None:
    found = decisions(
        status(Cause.NODE, "a", host="node1"), status(Cause.NODE, "b", host="node2"), nodes=["node1", "node2"]
    )
    again(found[0])
    assert "cannot be done on node1, node2: b" in given_up(found[1]).what


@pytest.mark.parametrize("host", ["", "node1"])
def test_a_node_that_cannot_be_avoided_is_not_tried_for_ever(host: str) -> None:
    """One that does not say its name, or one that jobs are sent to in spite of all."""
    found = decisions(*[status(Cause.NODE, "a setup command failed", host=host)] * 9)
    last = next(number for number, decision in enumerate(found) if isinstance(decision, GiveUp))
    assert 1 < last < 5
    assert isinstance(given_up(found[last]), NodeProblem)


def test_each_cause_has_its_own_account() -> None:
    attempts = Attempts()
    many = [status(Cause.PREEMPTED)] * 20 + [status(Cause.MEMORY), status(Cause.NODE, host="node1"), status(), status()]
    assert all(isinstance(decision, Again) for decision in decisions(*many, attempts=attempts))
    given_up(decisions(status(), attempts=attempts)[0])


def test_bad_nodes_are_those_that_fail_two_tasks() -> None:
    bad = BadNodes(nodes=lambda: frozenset({"node1", "node2", "node3"}))
    mine, others = Attempts(nodes={"node3": "a"}), Attempts()
    assert bad.avoided(mine) == ("node3",)
    bad.strike("node1", "task a")
    bad.strike("node1", "task a")
    bad.strike("", "task b")
    assert bad.avoided(others) == ()
    bad.strike("node1", "task b")
    assert bad.avoided(others) == ("node1",)
    assert bad.avoided(mine) == ("node1", "node3")


def test_some_node_must_be_left() -> None:
    bad = BadNodes(nodes=lambda: frozenset({"node1", "node2"}))
    assert bad.avoided(Attempts(nodes={"node1": "a", "node2": "b"})) == ()
    # Where the nodes are not known, those that are known to be bad are avoided.
    unknown = BadNodes(nodes=frozenset)
    assert unknown.avoided(Attempts(nodes={"node2": "a", "node1": "b"})) == ("node1", "node2")
    asked: list[int] = []

    def nodes() -> frozenset[str]:
        asked.append(1)
        return frozenset()

    assert BadNodes(nodes=nodes).avoided(Attempts()) == ()
    assert asked == []
