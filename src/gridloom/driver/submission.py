"""From ready tasks to jobs of the engine: verified inputs, tokens in the journal first, nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gridloom.assignment import Assignment
from gridloom.containers.folders import of_task
from gridloom.driver.donors import Donors
from gridloom.driver.ledger import Job, Ledger
from gridloom.driver.retry import BadNodes
from gridloom.driver.voice import Voice
from gridloom.driver.workplace import Workplace
from gridloom.errors import DamagedResult, EngineUnavailable, SubmissionRefused
from gridloom.journal import TaskRecord
from gridloom.task import Task


@dataclass
class Submission:
    """Hands tasks over to the engine, and finds those that it has already."""

    place: Workplace
    ledger: Ledger
    voice: Voice
    bad_nodes: BadNodes
    donors: Donors

    def submit_ready(self) -> None:
        """Submit what is ready, as much as the site allows.

        Raises EngineUnavailable, SubmissionRefused, and DamagedResult for an input that another plan has made.
        """
        ready = self.ledger.ready()
        while [task_id for task_id in ready if not self._inputs_hold(self.ledger.plan.by_id[task_id])]:
            ready = self.ledger.ready()
        self.ledger.changed = False
        free = self.place.terms.most_jobs - len(self.ledger.busy)
        if self.place.engine.capabilities.late_materialisation:
            free = len(ready)
        if free > 0 and ready:
            self._submit(ready[:free])

    def is_there(self, task_id: str, *, fully: bool) -> bool:
        """Whether a task has a sound result; a damaged one is set aside."""
        store = self.place.store
        try:
            return store.verify(task_id, fully=fully) is not None
        except DamagedResult as error:
            self.voice.damaged(task_id, error, store.quarantine(task_id, self.place.new_token()))
            return False

    def _inputs_hold(self, task: Task) -> bool:
        """Read every input once in full before its first use; a damaged one is computed again first."""
        for task_id in task.inputs:
            if task_id in self.ledger.fresh:
                continue
            if not self.is_there(task_id, fully=True):
                if task_id not in self.ledger.plan.by_id:
                    raise DamagedResult(
                        f"a result that {task.label} needs was damaged and set aside, or is gone",
                        where=str(self.place.store.folder(task_id)),
                        fix="`gridloom resume` of its run makes it again; then repeat this command.",
                    )
                self.ledger.done.discard(task_id)
                return False
            self.ledger.fresh.add(task_id)
        return True

    def _submit(self, ready: list[str]) -> None:
        journal = self.place.journal
        journal.check_lease()
        jobs = [self._assignment(task_id) for task_id in ready]
        journal.write_all(journal.record("submitting", task=job.task.id, token=job.token) for job in jobs)
        tasks = {job.token: job.task.id for job in jobs}
        try:
            ids = self.place.engine.submit(jobs)
        except (EngineUnavailable, SubmissionRefused):
            # Some may have been taken before: `find` tells, as soon as it answers.
            self.ledger.unsure |= tasks
            raise
        self._take(tasks, dict(zip(tasks, ids, strict=True)))

    def _assignment(self, task_id: str) -> Assignment:
        task, terms = self.ledger.plan.by_id[task_id], self.place.terms
        attempts = self.ledger.attempts_of(task_id)
        resources = terms.needs(task.kind, task.resources)
        if attempts.memory_mb is not None:
            resources = resources.model_copy(update={"memory_mb": attempts.memory_mb})
        changes: dict[str, object] = {"resources": resources}
        capabilities = self.place.engine.capabilities
        if task.code and terms.code:
            changes["folder"] = terms.code
        return Assignment(
            task=task.model_copy(update=changes),
            token=self.place.new_token(),
            store=str(self.place.store.root.resolve()),
            avoid=self.bad_nodes.avoided(attempts),
            versions=dict(terms.versions),
            reads=of_task(task, code=terms.code) if terms.contained else (),
            goes_on=capabilities.checkpoint_transfer and self.place.store.has_state(task_id),
            # Only once: whatever ended the worker may have to do with it.
            donor=self.donors.of(task) if capabilities.shared_file_system and not attempts.losses else "",
        )

    def _take(self, tasks: Mapping[str, str], ids: Mapping[str, str]) -> None:
        """The engine has these jobs: token -> task, token -> id."""
        journal = self.place.journal
        journal.write_all(
            journal.record("submitted", task=tasks[token], token=token, job=job_id) for token, job_id in ids.items()
        )
        for token, job_id in ids.items():
            self.ledger.jobs[job_id] = Job(task_id=tasks[token], token=token, id=job_id)

    def settle_unsure(self, known: Mapping[str, TaskRecord]) -> tuple[str, ...]:
        """Ask the engine for jobs of which it is not known whether it has them: the ids of those that it has.

        The others are ready again. Raises EngineUnavailable.
        """
        if not self.ledger.unsure:
            return ()
        tasks = dict(self.ledger.unsure)
        found = self.place.engine.find(tuple(tasks))
        self.ledger.unsure.clear()
        self._take(tasks, found)
        journal = self.place.journal
        journal.write_all(
            journal.record("withdrawn", task=task_id, token=token)
            for token, task_id in tasks.items()
            if token not in found and task_id not in known
        )
        self.ledger.changed = True
        return tuple(found.values())
