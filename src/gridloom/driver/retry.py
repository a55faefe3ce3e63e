"""Whether a task that was not done is tried again, and how: decided from the cause, in one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from gridloom.engines.base import Cause, JobStatus
from gridloom.errors import GridloomError, NodeProblem, TaskFailed

RETRIES = 2  # after a loss that nothing explains, or a result that arrived damaged
_NODES = 4  # nodes that a task is tried on after the first
_EVICTIONS = 200  # a task that is evicted more often than that will never end
_MEMORY_STEPS = 6
_STRIKES = 2  # tasks that fail on a node before no task is sent there

_MEMORY_FIX = "Ask for more in `resources` of the site, or raise its `limits: memory`."
_LOSS_FIX = "Look for memory limits (fewer --jobs need less memory), and run again: finished tasks are kept."
_NODE_FIX = "Correct what the nodes say (`gridloom site check` looks at one), and run again: finished tasks are kept."


@dataclass
class Attempts:
    """What has happened to one task in this pass of the driver."""

    losses: int = 0
    evictions: int = 0
    memory_steps: int = 0
    memory_mb: int | None = None
    nodes: dict[str, str] = field(default_factory=dict)  # that failed it, with the reason
    last_progress: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Again:
    """The task is tried again; `memory_mb` is what it is given from now on, `avoid` a node not to use."""

    reason: str
    memory_mb: int | None = None
    avoid: str = ""


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """The task fails."""

    error: GridloomError


Decision = Again | GiveUp


@dataclass
class BadNodes:
    """Nodes that have failed tasks: after two tasks on one node, none is sent there."""

    nodes: Callable[[], frozenset[str]]
    _failed: dict[str, set[str]] = field(default_factory=dict)

    def strike(self, node: str, task_id: str) -> None:
        if node:
            self._failed.setdefault(node, set()).add(task_id)

    def avoided(self, attempts: Attempts) -> tuple[str, ...]:
        """Nodes that a task is not to run on; none, if that would leave no node at all."""
        found = {node for node, tasks in self._failed.items() if len(tasks) >= _STRIKES} | attempts.nodes.keys()
        every = self.nodes() if found else frozenset()
        return () if every and every <= found else tuple(sorted(found))


def decide(
    label: str,
    status: JobStatus,
    attempts: Attempts,
    *,
    memory_mb: int,
    most_memory_mb: int,
    known_nodes: frozenset[str],
) -> Decision:
    """What to do about a task whose job was held or ended without a result."""
    reason = status.reason or "nothing says why"
    match status.cause:
        case Cause.PREEMPTED | Cause.WALL_TIME:
            return _after_eviction(label, status, attempts, reason)
        case Cause.MEMORY:
            return _after_memory(label, attempts, reason, memory_mb=memory_mb, most=most_memory_mb)
        case Cause.NODE:
            return _after_node(label, status, attempts, reason, known_nodes)
    attempts.losses += 1
    if attempts.losses <= RETRIES:
        return Again(reason=reason)
    return GiveUp(
        error=TaskFailed(f"{label} was lost {attempts.losses} times, the last time because {reason}", fix=_LOSS_FIX)
    )


def _after_eviction(label: str, status: JobStatus, attempts: Attempts, reason: str) -> Decision:
    attempts.evictions += 1
    reached = status.progress.done if status.progress else 0.0
    if status.cause is Cause.WALL_TIME and attempts.evictions > 2 and reached <= attempts.last_progress:
        return GiveUp(
            error=TaskFailed(
                f"{label} used up its wall time {attempts.evictions} times and gets no further",
                fix="Ask for more in `resources: {...: {wall: ...}}` of the site.",
            )
        )
    attempts.last_progress = max(attempts.last_progress, reached)
    if attempts.evictions > _EVICTIONS:
        return GiveUp(error=TaskFailed(f"{label} was evicted {attempts.evictions} times", fix="Try another queue."))
    return Again(reason=reason)


def _after_memory(label: str, attempts: Attempts, reason: str, *, memory_mb: int, most: int) -> Decision:
    attempts.memory_steps += 1
    if memory_mb >= most or attempts.memory_steps > _MEMORY_STEPS:
        return GiveUp(error=TaskFailed(f"{label} needs more than {memory_mb} MB of memory: {reason}", fix=_MEMORY_FIX))
    more = min(most, 2 * memory_mb)
    attempts.memory_mb = more
    return Again(reason=f"{reason}; it is given {more} MB instead of {memory_mb} MB", memory_mb=more)


def _after_node(
    label: str, status: JobStatus, attempts: Attempts, reason: str, known_nodes: frozenset[str]
) -> Decision:
    node = status.host
    if not node or node in attempts.nodes:
        # Where it cannot be avoided, it is no use to try for ever.
        attempts.losses += 1
    if attempts.losses > RETRIES:
        tried = ", ".join(sorted(attempts.nodes)) or "its nodes"
        return GiveUp(error=NodeProblem(f"{label} cannot be done on {tried}: {reason}", fix=_NODE_FIX))
    if not node:
        return Again(reason=reason)
    said = _without(reason, node)
    same = [other for other, before in attempts.nodes.items() if other != node and _without(before, other) == said]
    attempts.nodes[node] = reason
    first = status.errors[0] if status.errors else None
    if same or len(attempts.nodes) > _NODES or (known_nodes and known_nodes <= attempts.nodes.keys()):
        nodes = ", ".join(sorted(attempts.nodes))
        what = f"{label} cannot be done on {nodes}: {reason}"
        return GiveUp(error=NodeProblem(what, fix=(first.fix if first and first.fix else _NODE_FIX)))
    return Again(reason=f"{reason}; it goes elsewhere than {node}", avoid=node)


def _without(reason: str, node: str) -> str:
    return re.sub(rf"\b{re.escape(node)}\b", "", reason)
