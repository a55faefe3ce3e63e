"""Jobs on Slurm: arrays on a shared folder, followed by squeue, their own notes, and sacct where there is one."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gridloom.assignment import NOTES_FILE, Assignment
from gridloom.engines import batches
from gridloom.engines.base import Capabilities, Cause, Fact, JobStatus, State
from gridloom.engines.batches import Batch, BatchJob
from gridloom.engines.ended import judge, status
from gridloom.engines.folders import write_files
from gridloom.engines.notes import Heard, NotesReader
from gridloom.engines.slurm import render
from gridloom.engines.slurm.commands import Commands
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.engines.slurm.states import Entry, from_accounting, from_queue
from gridloom.errors import DamagedResult, SiteProblem
from gridloom.sites.models import Site
from gridloom.task import Kind, Resources

_NAME = "slurm"
_SOONEST = 1.0  # seconds between two questions about jobs that are young
_SHARE = 0.1  # of the age of the youngest job: the pause until the next question


class SlurmEngine:
    """Runs jobs on a cluster; `folder` is the run's folder of logs, which the nodes see under the same path."""

    capabilities = Capabilities(
        shared_file_system=True,
        file_transfer=False,
        arrays=True,
        gpus=True,
        containers=False,
        checkpoint_transfer=False,
        outlives_driver=True,
    )

    def __init__(self, site: Site, options: SlurmOptions, folder: Path, *, kinds: str = "") -> None:
        if site.shared_folder is False:
            raise SiteProblem(
                "Slurm brings no files to its nodes: it needs a shared folder",
                fix="Leave out `shared_folder: false`, and keep runs on a file system that the nodes see.",
            )
        self.folder = folder
        self._site = site
        self._options = options
        self._kinds = kinds
        self._commands = Commands(options=options)
        self._jobs: dict[str, BatchJob] = {}
        self._notes: dict[str, NotesReader] = {}
        self._ended: dict[str, JobStatus] = {}
        self._accounting: bool | None = None
        self._entries_known: dict[str, Entry] = {}
        self._asked = float("-inf")
        self._youngest = time.monotonic()
        self._batches: set[str] = set()

    # --- the contract of an engine -----------------------------------------------------------------------------
    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        files: dict[str, bytes] = {}
        for bundle in batches.bundled(jobs, at_most=self._options.array, engine=_NAME):
            files |= render.files_of(bundle, self._site, self._options, self.folder, self._kinds)
        return files

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        ids: dict[str, str] = {}
        for bundle in batches.bundled(jobs, at_most=self._options.array, engine=_NAME):
            files = render.files_of(bundle, self._site, self._options, self.folder, self._kinds)
            write_files(self.folder, files)
            script = files[f"{bundle.batch.folder}/{render.SCRIPT}"].decode()
            number = self._commands.submit(script, "/")
            batches.write_id(self.folder, bundle.batch, number)
            ids |= self._take(bundle.batch, number)
        return tuple(ids[job.token] for job in jobs)

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        found = self._known(tokens)
        missing = set(tokens) - found.keys()
        if missing:
            self._remember(missing)
            found = self._known(tokens)
        return found

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        open_ids = [job for job in ids if job in self._jobs and job not in self._ended]
        now = time.monotonic()
        pause = min(float(self._site.poll), max(_SOONEST, _SHARE * (now - self._youngest)))
        # Between two questions the jobs' own notes tell of progress, and of the end of those that did their task.
        if open_ids and now - self._asked >= pause:
            self._entries_known = self._entries(open_ids)
            self._asked = now
        return {job: self._status(job, self._entries_known.get(job)) for job in ids}

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        alive = [job for job in ids if job in self._jobs and job not in self._ended]
        if not alive:
            return
        if at_once:
            self._commands.cancel(alive, signal="KILL")
        self._commands.cancel(alive)
        self._asked = float("-inf")

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        changes = [
            *([f"MinMemoryNode={memory_mb}"] if memory_mb else []),
            *([f"ExcNodeList={','.join(avoid)}"] if avoid else []),
        ]
        if changes:
            self._commands.control("update", f"JobId={job}", *changes)
        self._commands.control("release", job)
        self._asked = float("-inf")

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:  # noqa: ARG002 - the store is shared
        return {}

    def nodes(self) -> frozenset[str]:
        return frozenset(self._commands.nodes())

    def describe(self) -> tuple[Fact, ...]:
        config = self._commands.control("show", "config")
        facts = [Fact(name="Slurm", value=f"version {_setting(config, 'SLURM_VERSION')}")]
        accounting = self._commands.has_accounting()
        facts.append(
            Fact(
                name="accounting",
                value="there is" if accounting else "there is none: the queue and the jobs' own notes tell",
            )
        )
        names = {name.rstrip("*") for name in self._commands.partitions().split()}
        wanted = self._options.partition
        if wanted:
            there = set(wanted.split(",")) <= names
            fix = "" if there else f"There are: {', '.join(sorted(names))}."
            facts.append(
                Fact(
                    name="partition",
                    value=f"{wanted} {'exists' if there else 'does not exist'}",
                    verdict="ok" if there else "bad",
                    fix=fix,
                )
            )
        wait = int(_setting(config, "KillWait").partition(" ")[0] or 0)
        short = wait < self._site.grace
        facts.append(
            Fact(
                name="grace",
                value=f"KillWait is {wait} s, the site says {self._site.grace} s",
                verdict="look" if short else "ok",
                fix=f"Set grace: {wait} s, or fewer." if short else "",
            )
        )
        facts += self._time_limits()
        largest = int(_setting(config, "MaxArraySize") or 1001) - 1
        if self._options.array > largest:
            facts.append(
                Fact(
                    name="arrays",
                    value=f"at most {largest} jobs each",
                    verdict="bad",
                    fix=f"Set options: array: {largest}.",
                )
            )
        return tuple(facts)

    def _time_limits(self) -> list[Fact]:
        """Whether the wall time that each kind of task asks for fits into the partition."""
        limit = self._commands.time_limit(self._options.partition)
        if limit is None:
            return []
        kinds: tuple[Kind, ...] = ("prepare", "train", "reference", "evaluate", "report")
        long = [kind for kind in kinds if self._site.needs(kind, Resources()).wall_seconds > limit]
        fix = f"Ask for less: resources: {{default: {{wall: {limit // 60} min}}}}." if long else ""
        value = f"at most {limit // 60} min per job"
        if long:
            value += f", the site asks for more ({', '.join(long)}): such jobs would wait for ever"
        return [Fact(name="time limit", value=value, verdict="bad" if long else "ok", fix=fix)]

    def close(self) -> None:
        """Nothing: jobs go on without this process."""

    # --- what the engine knows --------------------------------------------------------------------------------
    def _take(self, batch: Batch, number: str) -> dict[str, str]:
        self._batches.add(batch.token)
        self._asked, self._youngest = float("-inf"), time.monotonic()
        ids = {job.token: f"{number}_{index}" for index, job in enumerate(batch.jobs)}
        for job in batch.jobs:
            self._jobs[ids[job.token]] = job
            self._notes[ids[job.token]] = NotesReader(self.folder / job.folder / NOTES_FILE)
        return ids

    def _known(self, tokens: Iterable[str]) -> dict[str, str]:
        wanted = set(tokens)
        return {job.token: job_id for job_id, job in self._jobs.items() if job.token in wanted}

    def _remember(self, tokens: set[str]) -> None:
        """Take up batches that another driver has submitted; Slurm is asked where it did not write the number."""
        for batch in batches.read_batches(self.folder, _NAME):
            if batch.token in self._batches or not tokens & {job.token for job in batch.jobs}:
                continue
            number = batches.read_id(self.folder, batch) or self._number_of(batch)
            if number:
                batches.write_id(self.folder, batch, number)
                self._take(batch, number)

    def _number_of(self, batch: Batch) -> str:
        name = render.name_of(batch.token)
        for job in self._commands.queue(name):
            for job_id, _ in from_queue(job):
                return job_id.partition("_")[0]
        rows = self._commands.accounted_name(name) if self._has_accounting() else []
        if rows:
            return rows[-1]["JobID"].partition("_")[0]  # the newest
        # Forgotten by Slurm already: a job that began has said its number.
        for entry in batch.jobs:
            said = NotesReader(self.folder / entry.folder / NOTES_FILE).look().job
            if said:
                return said.partition("_")[0]
        return ""

    def _has_accounting(self) -> bool:
        if self._accounting is None:
            self._accounting = self._commands.has_accounting()
        return self._accounting

    def _entries(self, ids: Sequence[str]) -> dict[str, Entry]:
        wanted = set(ids)
        found = {job: entry for record in self._commands.queue() for job, entry in from_queue(record) if job in wanted}
        forgotten = [job for job in ids if job not in found]
        if forgotten and self._has_accounting():
            for row in self._commands.accounted(forgotten):
                found |= {job: entry for job, entry in from_accounting(row) if job in wanted and job not in found}
        return found

    def _status(self, job: str, entry: Entry | None) -> JobStatus:
        known = self._jobs.get(job)
        if known is None:
            return JobStatus(state=State.UNKNOWN, reason="no job of this engine")
        if job in self._ended:
            return self._ended[job]
        heard = self._notes[job].look()
        found = self._judged(known, entry, heard)
        if entry is not None and not found.host:
            found = replace(found, host=entry.host)  # it never came to say it itself
        if found.state in (State.DONE, State.FAILED, State.EVICTED, State.CANCELLED):
            self._ended[job] = found
        return found

    def _judged(self, job: BatchJob, entry: Entry | None, heard: Heard) -> JobStatus:
        folder = self.folder / job.folder
        said = heard.left.exit_code if heard.left is not None else None
        if said == 0 or (entry is None and said is not None):
            # The job itself has said how it ended; Slurm hears of it later, or has forgotten it already.
            return judge(said, heard, folder, memory_mb=job.memory_mb)
        if entry is None:
            return status(State.UNKNOWN, heard, reason="Slurm does not know the job any more")
        if not entry.ended:
            return status(entry.state, heard, cause=entry.cause, reason=entry.reason)
        # A job that leaves by itself after its preemption began is one that ran into its time limit to Slurm.
        told = said is not None and (entry.state is State.DONE or entry.cause is Cause.WALL_TIME)
        if entry.state is State.FAILED or told:
            code = said if said is not None else entry.exit_code
            return judge(1 if code is None else code, heard, folder, memory_mb=job.memory_mb)
        return status(entry.state, heard, cause=entry.cause, reason=_words(entry), exit_code=entry.exit_code)


def _words(entry: Entry) -> str:
    words = {
        Cause.WALL_TIME: "its time limit was over",
        Cause.MEMORY: "it ran out of memory",
        Cause.PREEMPTED: "another job took its slot",
        Cause.NODE: f"its node {entry.host} failed",
    }
    return words.get(entry.cause, "") if entry.state is State.EVICTED else f"Slurm says {entry.reason}"


def _setting(config: str, name: str) -> str:
    match = re.search(rf"^{name}\s*=\s*(.*?)\s*$", config, re.MULTILINE)
    return match[1] if match else ""
