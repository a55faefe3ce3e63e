"""End the jobs of a run that nobody drives: from its journal alone, whatever has become of its files since."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from gridloom.driver.runs import LOGS
from gridloom.driver.settings import Settings
from gridloom.engines import make_engine
from gridloom.engines.base import ENDED, Engine, JobStatus, State
from gridloom.errors import EngineUnavailable
from gridloom.journal import JOURNAL, Event, Journal, history, lease, read_journal
from gridloom.task import SAVES

_EVERY = 1.0
_LONGER = 60.0  # seconds that the engine may take beyond the grace until it tells that jobs have ended


def jobs_out(folder: Path) -> dict[str, str]:
    """Token -> task of the jobs that a run's journal last knew in the batch system."""
    tasks = history(read_journal(folder / JOURNAL)).tasks
    return {record.token: task for task, record in tasks.items() if record.state == "submitted"}


def end_jobs(folder: Path, settings: Settings) -> int:
    """End a run's jobs softly, wait until they have saved, and bring home what they saved; how many there were.

    Raises RunLocked while a driver has the run, and EngineUnavailable when the batch system does not answer.
    """
    with lease(folder) as journal:
        out = jobs_out(folder)
        if settings.site is None or settings.here:
            _write_down(journal, dict.fromkeys(out.values(), "withdrawn"))
            return 0  # workers of this machine ended with their driver
        with settings.site.placed():
            engine = make_engine(settings.site.site, folder=folder / LOGS, kinds=settings.kinds)
        found = engine.find(tuple(out))
        engine.cancel(tuple(found.values()))
        ended = _wait(engine, tuple(found.values()), settings.site.site.grace + _LONGER)
        engine.collect(tuple(ended))
        engine.close()
        _write_down(journal, {task: _event(task, found.get(token), ended) for token, task in out.items()})
        return len(found)


def _wait(engine: Engine, ids: tuple[str, ...], seconds: float) -> Mapping[str, JobStatus]:
    """What became of the jobs; raises EngineUnavailable when that is not known in time."""
    deadline = time.monotonic() + seconds
    while True:
        ended = {job: status for job, status in engine.poll(ids).items() if status.state in ENDED}
        if len(ended) == len(ids):
            return ended
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"{len(ids) - len(ended)} of {len(ids)} jobs have not ended yet",
                fix="They were asked to. Look at the queue, and cancel again.",
            )
        engine.wait(_EVERY)


def _event(task: str, job: str | None, ended: Mapping[str, JobStatus]) -> Event:
    """What to write of a task; of a job that ended by itself meanwhile, the next driver looks at what there is."""
    never_ran = job is None or (ended[job].state is State.CANCELLED and not ended[job].host)
    return "withdrawn" if never_ran or task.partition("-")[0] not in SAVES else "saved"


def _write_down(journal: Journal, events: Mapping[str, Event]) -> None:
    records = [journal.record(event, task=task) for task, event in events.items()]
    journal.write_all([*records, journal.record("interrupted")])
