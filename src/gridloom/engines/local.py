"""This machine: jobs in warm worker processes, as many at a time as there are cores (or as asked for)."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from gridloom.assignment import FILE, LOG_FILE, Assignment
from gridloom.containers.failures import explain, own_words
from gridloom.engines.base import ENDED, Capabilities, Fact, JobStatus, State
from gridloom.engines.processes import WorkerKind, WorkerProcess, ended_how, last_line
from gridloom.engines.surroundings import Surroundings
from gridloom.environment import available_cores
from gridloom.errors import DamagedResult, GridloomError, ImageProblem, Interrupted, TaskFailed
from gridloom.files import write_bytes
from gridloom.messages import Reply, Request, errors_from_json, one_error, progress_of
from gridloom.task import TENSORFLOW

# Kinds of tasks that a preloaded worker is kept for; the others go to a plain one when there is one.
_HEAVY = frozenset({"tune", "train", "evaluate", "predict", "export"})


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """How the local engine works. `kinds` names other kinds of tasks than the built-in ones (`module:DICT`)."""

    jobs: int = 0  # 0: as many as cores
    preload: tuple[str, ...] = ()
    kinds: str = ""
    grace: float = 60.0

    @property
    def slots(self) -> int:
        return self.jobs or available_cores()


class LocalEngine:
    """Runs jobs in worker processes of this machine; `folder` takes each job's task.json, log and error."""

    capabilities = Capabilities(
        shared_file_system=True,
        file_transfer=False,
        arrays=False,
        gpus=False,
        containers=True,
        checkpoint_transfer=False,
    )

    def __init__(self, settings: LocalSettings, folder: Path | None = None) -> None:
        self.settings = settings
        self.folder = folder
        self._workers: list[WorkerProcess] = []
        self._jobs: dict[str, Assignment] = {}
        self._status: dict[str, JobStatus] = {}
        self.surroundings: Surroundings | None = None

    # --- the contract of an engine -----------------------------------------------------------------------------
    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        return {f"{job.folder}/{FILE}": job.as_text().encode() for job in jobs}

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        for name, content in self.render(jobs).items():
            write_bytes(self._folder / name, content)
        for job in jobs:
            self._jobs[job.token] = job
            self._status[job.token] = JobStatus(state=State.PENDING)
        self._start_pending()
        return tuple(job.token for job in jobs)

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        return {token: token for token in tokens if token in self._jobs}

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        # Before listening: whoever hears of a failure now can still withdraw what waits for the free slot.
        self._start_pending()
        for worker in tuple(self._workers):
            self._listen(worker)
        unknown = JobStatus(state=State.UNKNOWN, reason="no job of this engine")
        return {job: self._status.get(job, unknown) for job in ids}

    def wait(self, seconds: float) -> None:
        self._start_pending()
        if self._workers:
            select.select(self._workers, [], [], seconds)
        else:
            time.sleep(seconds)

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        for job in ids:
            status = self._status.get(job)
            if status is None or status.state in ENDED:
                continue
            worker = next((worker for worker in self._workers if worker.token == job), None)
            if worker is None:
                self._status[job] = JobStatus(state=State.CANCELLED, reason="cancelled before it began")
            elif at_once:
                self._status[job] = JobStatus(state=State.CANCELLED, reason="ended on request")
                worker.kill()
            else:
                worker.send(Request(do="stop", token=job))

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        """Nothing: no job is held here."""

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:  # noqa: ARG002 - workers write into the store
        return {}

    def nodes(self) -> frozenset[str]:
        return frozenset()

    def describe(self) -> tuple[Fact, ...]:
        return (Fact(name="this machine", value=f"{self.settings.slots} jobs at a time"),)

    def close(self) -> None:
        for worker in self._workers:
            if worker.busy and not worker.token:
                worker.kill()  # importing or answering: there is nothing to save
            worker.close()
        for worker in self._workers:
            worker.finish(self.settings.grace + 5)
        self._workers.clear()

    # --- beyond the contract: requests that are answered at once ------------------------------------------------
    def warm_up(self, *, cores: int, workers: int, backend: str = TENSORFLOW) -> None:
        """Start workers before there is work: they import the heavy libraries while another one scans and reads.

        One slot stays free for that one, so on a single core nothing is started.
        """
        for _ in range(min(workers, self.settings.slots // cores, self.settings.slots - 1)):
            self._workers.append(self._start(cores, heavy=True, backend=backend))

    def ask(
        self, operation: str, arguments: dict[str, JsonValue], *, stop: Callable[[], bool] = lambda: False
    ) -> JsonValue:
        """Have a worker answer an operation. Raises the error that it raised, or Interrupted once `stop` is true."""
        worker = self._free_worker(1, heavy=False) or self._start(1, heavy=False)
        if worker not in self._workers:
            self._workers.append(worker)
        worker.working = True
        worker.send(Request(do="operation", name=operation, arguments=arguments))
        while True:
            if stop():
                raise Interrupted("stopped on request", where=operation)
            select.select([worker], [], [], 0.5)
            for reply in worker.receive():
                if reply.kind == "answer":
                    return reply.answer
                if reply.kind == "failed":
                    raise one_error(errors_from_json(reply.errors))
            code = worker.exit_code()
            if code is not None:
                words = worker.last_words().splitlines()[-1:]
                problem = self._not_started(worker, code)
                self._remove(worker)
                raise problem or TaskFailed(
                    f"{operation} failed: {': '.join([ended_how(code), *words])}", fix="Try it again."
                )

    def workers(self) -> tuple[int, ...]:
        """Process ids of the workers."""
        return tuple(worker.pid for worker in self._workers)

    def worker_of(self, job: str) -> int | None:
        """Process id of the worker that a job runs in."""
        return next((worker.pid for worker in self._workers if worker.token == job), None)

    # --- the pool ----------------------------------------------------------------------------------------------
    @property
    def _folder(self) -> Path:
        if self.folder is None:
            raise TaskFailed("the engine has no folder for jobs yet")
        return self.folder

    def _start_pending(self) -> None:
        for job, status in self._status.items():
            if status.state is not State.PENDING:
                continue
            cores = min(self._jobs[job].task.resources.cores, self.settings.slots)
            if self._cores_in_use() + cores > self.settings.slots:
                return
            self._start_job(job)

    def _cores_in_use(self) -> int:
        return sum(worker.cores_in_use for worker in self._workers)

    def _start_job(self, job: str) -> None:
        task = self._jobs[job].task
        worker = self._free_worker(task.resources.cores, heavy=task.kind in _HEAVY, backend=task.backend)
        if worker is None:
            self._make_room()
            worker = self._start(task.resources.cores, heavy=False, backend=task.backend)
            self._workers.append(worker)
        worker.working = True
        worker.token = job
        path = self._folder / self._jobs[job].folder / FILE
        worker.send(Request(do="task", path=str(path.resolve()), token=job))
        self._status[job] = JobStatus(state=State.RUNNING)

    def _free_worker(self, cores: int, *, heavy: bool, backend: str = TENSORFLOW) -> WorkerProcess | None:
        """An idle worker with as many threads: a preloaded one for heavy tasks, a plain one, if any, for others."""
        fits = (cores, backend)
        free = [w for w in self._workers if not w.busy and (w.kind.cores, w.kind.backend) == fits]
        return min(free, key=lambda worker: bool(worker.kind.preload) != heavy, default=None)

    def _start(self, cores: int, *, heavy: bool, backend: str = TENSORFLOW) -> WorkerProcess:
        preload = self.settings.preload if heavy else ()
        kind = WorkerKind(
            cores=cores,
            backend=backend,
            preload=preload,
            kinds=self.settings.kinds,
            grace=self.settings.grace,
            surroundings=self.surroundings,
        )
        return WorkerProcess(kind)

    def _make_room(self) -> None:
        """Let an idle worker of another kind go when there are as many as slots."""
        idle = [worker for worker in self._workers if not worker.busy]
        if len(self._workers) >= self.settings.slots and idle:
            idle[0].close()
            idle[0].finish(5)
            self._workers.remove(idle[0])

    def _listen(self, worker: WorkerProcess) -> None:
        job = worker.token
        for reply in worker.receive():
            self._hear(reply)
        code = worker.exit_code()
        if code is None:
            return
        for reply in worker.receive():
            self._hear(reply)
        if job and self._status[job].state not in ENDED:
            self._status[job] = self._lost(job, worker, code)
        self._remove(worker)

    def _hear(self, reply: Reply) -> None:
        status = self._status.get(reply.token)
        if status is None or status.state in ENDED:
            return
        if reply.kind == "progress" and reply.step is not None:
            self._status[reply.token] = replace(status, progress=progress_of(reply.step))
        elif reply.kind == "done":
            self._status[reply.token] = JobStatus(state=State.DONE, exit_code=0)
        elif reply.kind == "failed":
            errors = errors_from_json(reply.errors)
            self._status[reply.token] = JobStatus(
                state=State.FAILED, reason=errors[0].what, exit_code=errors[0].exit_code, errors=errors
            )

    def _lost(self, job: str, worker: WorkerProcess, code: int) -> JobStatus:
        reason = ended_how(code)
        log = self._folder / self._jobs[job].folder / LOG_FILE
        if code == 0 and not log.exists():
            # It was told to leave just before the job reached it.
            return JobStatus(state=State.PENDING)
        if code < 0:
            return JobStatus(state=State.EVICTED, reason=reason, exit_code=code)
        problem = self._not_started(worker, code)
        if problem is not None:
            return JobStatus(state=State.FAILED, reason=problem.what, exit_code=problem.exit_code, errors=(problem,))
        words = (last_line(log) or worker.last_words()).splitlines()[-1:]
        error = TaskFailed(": ".join([reason, *words]), where=str(log), fix="The log holds the whole story.")
        return JobStatus(state=State.FAILED, reason=reason, exit_code=code, errors=(error,))

    def _not_started(self, worker: WorkerProcess, code: int) -> GridloomError | None:
        """The reason why a worker's container has not begun, if that is what happened."""
        if self.surroundings is None or not worker.silent:
            return None
        found, words = self.surroundings.found, worker.last_words()
        return explain(found.runtime.name, found.image, words) or ImageProblem(
            f"{found.runtime.name} ended with exit code {code}: {own_words(words) or 'it gives no reason'}",
            where=found.image,
            fix="Run it by hand to see more; `gridloom image check` tries an image.",
        )

    def _remove(self, worker: WorkerProcess) -> None:
        self._workers.remove(worker)
        worker.finish(5)
