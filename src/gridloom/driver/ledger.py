"""What a driver knows: which tasks are done, which the engine has, and what has happened to each."""

from __future__ import annotations

from dataclasses import dataclass, field

from gridloom.driver.retry import Again, Attempts
from gridloom.plan import Plan
from gridloom.task import Progress


@dataclass
class Job:
    """A task that the engine has."""

    task_id: str
    token: str
    id: str
    running: bool = False
    held: bool = False
    answer: Again | None = None  # to a hold; given as soon as the engine takes it
    answered_at: float = float("-inf")
    restarts: int = 0
    progress: Progress | None = None
    host: str = ""
    told_host: str = ""
    placed: bool = False  # the journal knows where it runs
    unknown_since: float | None = None
    settling_since: float | None = None


@dataclass
class Ledger:
    """The state of one pass over a plan."""

    plan: Plan
    done: set[str] = field(default_factory=set)
    fresh: set[str] = field(default_factory=set)  # verified in full, or made, in this pass
    jobs: dict[str, Job] = field(default_factory=dict)  # by the engine's id
    unsure: dict[str, str] = field(default_factory=dict)  # token -> task: whether the engine has them is not known
    attempts: dict[str, Attempts] = field(default_factory=dict)
    changed: bool = True  # something may have become ready

    @property
    def all_done(self) -> bool:
        return len(self.done) == len(self.plan.ids)

    @property
    def busy(self) -> set[str]:
        """Tasks that the engine has, or may have."""
        return {job.task_id for job in self.jobs.values()} | set(self.unsure.values())

    def ready(self) -> list[str]:
        """Tasks whose inputs are done and that nobody is on, in the plan's order.

        Inputs that another plan has made were looked at when this one was.
        """
        busy, planned = self.busy, self.plan.by_id
        return [
            task_id
            for task_id, task in self.plan.by_id.items()
            if task_id not in self.done
            and task_id not in busy
            and all(name in self.done for name in task.inputs if name in planned)
        ]

    def attempts_of(self, task_id: str) -> Attempts:
        return self.attempts.setdefault(task_id, Attempts())
