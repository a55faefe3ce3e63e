"""Jobs on HTCondor: clusters with late materialisation, followed by their event logs, checked against the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gridloom.assignment import NOTES_FILE, Assignment
from gridloom.engines import batches
from gridloom.engines.base import Capabilities, Cause, Fact, JobStatus, State
from gridloom.engines.batches import Batch, Bundle
from gridloom.engines.ended import judge, status
from gridloom.engines.folders import plain_path, write_files
from gridloom.engines.homecoming import bring_log_home, bring_work_home
from gridloom.engines.htcondor import render
from gridloom.engines.htcondor.events import Seen, Story, follow, hold_cause
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.htcondor.render import Places
from gridloom.engines.htcondor.schedd import Schedd
from gridloom.engines.notes import Heard, NotesReader
from gridloom.errors import DamagedResult, EngineUnavailable
from gridloom.files import digest_bytes
from gridloom.results import Store
from gridloom.sites.models import Site

_NAME = "htcondor"
_UNWANTED = "taken-back.txt"
_TAKEN_BACK = Seen(state=State.CANCELLED, ended=True, reason="cancelled before it began")
_LARGEST_CLUSTER = 20_000
_CHECK_EVERY = 30.0  # seconds: the event log tells what happens, the queue whether the log tells all
_QUEUE = (
    "ClusterId",
    "ProcId",
    "JobStatus",
    "HoldReason",
    "HoldReasonCode",
    "ExitCode",
    "ExitBySignal",
    "ExitSignal",
    "GridloomBatch",
)
_REMOVED, _COMPLETED, _HELD, _TRANSFERRING = 3, 4, 5, 6
_LIVE = {1: State.PENDING, 2: State.RUNNING, _TRANSFERRING: State.RUNNING, 7: State.RUNNING}


@dataclass
class _Cluster:
    """A batch in the queue, with what has been read of it."""

    batch: Batch
    number: int
    stories: dict[int, Story] = field(default_factory=dict)
    notes: dict[int, NotesReader] = field(default_factory=dict)
    log: Any = None

    def story(self, proc: int) -> Story:
        return self.stories.setdefault(proc, Story())

    @property
    def alive(self) -> list[int]:
        return [proc for proc in range(len(self.batch.jobs)) if not self.story(proc).seen.ended]


class HTCondorEngine:
    """Runs jobs on a pool; `folder` is the run's folder of logs on the submitting machine."""

    def __init__(self, site: Site, options: HTCondorOptions, folder: Path, *, kinds: str = "") -> None:
        shared = render.is_shared(site)
        self.capabilities = Capabilities(
            shared_file_system=shared,
            file_transfer=not shared,
            arrays=True,
            gpus=True,
            containers=False,
            checkpoint_transfer=not shared,
            outlives_driver=True,
            late_materialisation=True,
        )
        self.folder = folder
        self._site = site
        self._options = options
        self._kinds = kinds
        self._schedd = Schedd(options=options)
        self._clusters: dict[int, _Cluster] = {}
        self._checked = 0.0
        self._unwanted: set[str] = set()

    # --- the contract of an engine -----------------------------------------------------------------------------
    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        files: dict[str, bytes] = {}
        for bundle in batches.bundled(jobs, at_most=_LARGEST_CLUSTER, engine=_NAME):
            files |= render.files_of(bundle, self._site, self._options, self._places(bundle.batch.store))
        return files

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        ids: dict[str, str] = {}
        for bundle in batches.bundled(jobs, at_most=_LARGEST_CLUSTER, engine=_NAME):
            number = self._submit(bundle)
            ids |= {job.token: f"{number}.{proc}" for proc, job in enumerate(bundle.batch.jobs)}
        return tuple(ids[job.token] for job in jobs)

    def _submit(self, bundle: Bundle) -> int:
        places = self._places(bundle.batch.store)
        files = render.files_of(bundle, self._site, self._options, places)
        write_files(self.folder, files)
        if not render.is_shared(self._site):
            self._lay_out(bundle)
        number = self._schedd.submit(files[f"{bundle.batch.folder}/{render.SUBMIT}"].decode())
        batches.write_id(self.folder, bundle.batch, str(number))
        self._clusters[number] = _Cluster(bundle.batch, number)
        return number

    def _lay_out(self, bundle: Bundle) -> None:
        """Links with plain names to what is transferred: HTCondor reads commas in names as borders."""
        for job in bundle.assignments:
            folder = self.folder / job.folder
            for name, path in render.links(job, self._site):
                (folder / name).symlink_to(path)
            if job.task.code:
                (folder / "code").symlink_to(job.task.folder, target_is_directory=True)

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        wanted = set(tokens)
        found = self._known(wanted)
        if wanted - found.keys():
            self._remember(wanted - found.keys())
            found = self._known(wanted)
        return found

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        for cluster in self._clusters.values():
            self._read_log(cluster)
        if time.monotonic() - self._checked > _CHECK_EVERY and any(c.alive for c in self._clusters.values()):
            self._check_queue()
        return {job: self._status(job) for job in ids}

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        for cluster, procs in self._by_cluster(ids):
            alive = [proc for proc in procs if not cluster.story(proc).seen.ended]
            if not alive:
                continue
            whole = len(alive) == len(cluster.alive)
            names = [f"{cluster.number}.{proc}" for proc in alive]
            target: Sequence[str] | str = f"ClusterId == {cluster.number}" if whole else names
            if at_once:
                self._schedd.act("VacateFast", target)
            self._schedd.act("Remove", target)
            for proc in alive:
                self._withdraw(cluster, proc)

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None:
        if memory_mb is not None:
            self._schedd.edit(job, "RequestMemory", str(memory_mb))
        if avoid:
            expressions = [render.avoiding(node) for node in avoid]
            (found,) = self._schedd.query(_of_job(job), ["Requirements"]) or [{}]
            if "Requirements" in found:
                expressions.insert(0, f"({found['Requirements']})")
            self._schedd.edit(job, "Requirements", " && ".join(expressions))
        self._schedd.act("Release", [job])

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        if render.is_shared(self._site):
            return {}
        damaged = {}
        for cluster, procs in self._by_cluster(ids):
            store = Store(Path(cluster.batch.store))
            for proc in procs:
                job = cluster.batch.jobs[proc]
                error = bring_work_home(self.folder / job.folder, store, job.task, job.token)
                if error is not None:
                    damaged[f"{cluster.number}.{proc}"] = error
        return damaged

    def nodes(self) -> frozenset[str]:
        return self._schedd.machines()

    def describe(self) -> tuple[Fact, ...]:
        schedd, bindings = self._schedd.versions()
        same = schedd.split(".")[:2] == bindings.split(".")[:2] or schedd.split(".")[0] == bindings.split(".")[0]
        facts = [
            Fact(
                name="HTCondor",
                value=f"schedd {schedd}, Python bindings {bindings}",
                verdict="ok" if same else "look",
                fix=""
                if same
                else f"Install bindings of the pool's version: pip install 'htcondor=={schedd.split('.')[0]}.*'.",
            )
        ]
        granted = self._schedd.vacate_times()
        if granted:
            short = min(granted) < self._site.grace
            facts.append(
                Fact(
                    name="grace",
                    value=f"machines grant an evicted job {min(granted)} s, the site says {self._site.grace} s",
                    verdict="look" if short else "ok",
                    fix=f"Set grace: {min(granted)} s, or fewer." if short else "",
                )
            )
        return tuple(facts)

    def close(self) -> None:
        """Nothing: jobs go on without this process."""

    # --- where things are -------------------------------------------------------------------------------------
    def _places(self, store: str) -> Places:
        root = plain_path(self.folder)
        run = digest_bytes(str(self.folder.absolute()).encode())[:12]
        return Places(root=root, store=plain_path(Path(store)), run=run, kinds=self._kinds)

    def _by_cluster(self, ids: Sequence[str]) -> Iterator[tuple[_Cluster, list[int]]]:
        procs: dict[int, list[int]] = {}
        for job in ids:
            number, _, proc = job.partition(".")
            if number.isdigit() and int(number) in self._clusters:
                procs.setdefault(int(number), []).append(int(proc))
        for cluster, found in procs.items():
            yield self._clusters[cluster], found

    def _known(self, tokens: set[str]) -> dict[str, str]:
        return {
            job.token: f"{cluster.number}.{proc}"
            for cluster in self._clusters.values()
            for proc, job in enumerate(cluster.batch.jobs)
            if job.token in tokens
        }

    def _remember(self, tokens: set[str]) -> None:
        """Take up batches that another driver has submitted; the schedd is asked where it did not write the number."""
        known = {cluster.batch.token for cluster in self._clusters.values()}
        for batch in batches.read_batches(self.folder, _NAME):
            if batch.token in known or not tokens & {job.token for job in batch.jobs}:
                continue
            number = batches.read_id(self.folder, batch) or self._number_of(batch)
            if number:
                batches.write_id(self.folder, batch, number)
                self._clusters[int(number)] = _Cluster(batch, int(number))
                self._read_unwanted(self._clusters[int(number)])

    def _read_unwanted(self, cluster: _Cluster) -> None:
        """Jobs that a former driver took back before they were made: the cluster may make them still."""
        path = self.folder / cluster.batch.folder / _UNWANTED
        for line in path.read_text().splitlines() if path.exists() else ():
            if line.isdigit():
                cluster.story(int(line)).seen = _TAKEN_BACK
                self._unwanted.add(f"{cluster.number}.{line}")

    def _number_of(self, batch: Batch) -> str:
        constraint = render.batch_constraint(batch.token)
        found = self._schedd.query(constraint, ["ClusterId"], clusters=True)
        found = found or self._schedd.history(constraint, ["ClusterId"], at_most=1)
        return str(found[0]["ClusterId"]) if found else ""

    # --- what became of jobs ----------------------------------------------------------------------------------
    def _read_log(self, cluster: _Cluster) -> None:
        import htcondor2

        path = self.folder / cluster.batch.folder / render.LOG
        if cluster.log is None:
            if not path.exists():
                return
            cluster.log = htcondor2.JobEventLog(str(path))
        try:
            for event in cluster.log.events(stop_after=0):
                if event.cluster != cluster.number:
                    continue
                if event.proc >= 0:
                    follow(cluster.story(event.proc), event.type.name, event)
                elif event.type.name == "CLUSTER_REMOVE":
                    self._end_unmade(cluster)
        except htcondor2.HTCondorException as error:
            # A full disk may cut an event short: what follows is learnt from the queue.
            cluster.log = None
            raise EngineUnavailable(f"the event log cannot be read: {error}", where=str(path)) from error
        self._remove_unwanted(cluster)

    def _end_unmade(self, cluster: _Cluster) -> None:
        """The cluster was removed: jobs that it has not made yet will never be."""
        for proc in cluster.alive:
            story = cluster.story(proc)
            if not story.seen.materialised:
                story.seen = Seen(state=State.CANCELLED, ended=True, reason="it was removed before it began")

    def _withdraw(self, cluster: _Cluster, proc: int) -> None:
        """A job that is not made yet cannot be removed: it is as soon as it is made."""
        story = cluster.story(proc)
        if not story.seen.materialised:
            story.seen = _TAKEN_BACK
            self._unwanted.add(f"{cluster.number}.{proc}")
            with (self.folder / cluster.batch.folder / _UNWANTED).open("a") as stream:
                stream.write(f"{proc}\n")

    def _remove_unwanted(self, cluster: _Cluster) -> None:
        made = [
            job
            for job in self._unwanted
            if job.startswith(f"{cluster.number}.") and cluster.story(int(job.partition(".")[2])).seen.materialised
        ]
        if made:
            self._schedd.act("Remove", made)
            self._unwanted.difference_update(made)

    def _check_queue(self) -> None:
        """Compare with the queue: holds and ends that the event log does not tell."""
        constraint = render.run_constraint(self._places("/").run)
        queue = {_id_of(ad): ad for ad in self._schedd.query(constraint, _QUEUE, clusters=True)}
        self._checked = time.monotonic()
        for cluster in self._clusters.values():
            made = f"{cluster.number}.-1" in queue
            for proc in cluster.alive:
                job = f"{cluster.number}.{proc}"
                ad = queue.get(job)
                story = cluster.story(proc)
                if ad is not None:
                    story.seen = _as_queued(story.seen, ad)
                elif story.seen.materialised or not made:
                    story.seen = self._left_queue(job, story.seen)

    def _left_queue(self, job: str, seen: Seen) -> Seen:
        """A job that is in the queue no more, and whose end its log does not tell."""
        if seen.state is not State.UNKNOWN:
            # Its last events may be on their way: look again before anything is said.
            return replace(seen, state=State.UNKNOWN, reason="the schedd does not know the job any more")
        found = self._schedd.history(_of_job(job), _QUEUE, at_most=1)
        if not found:
            return seen
        ad = found[0]
        if int(ad.get("JobStatus", 0)) == _REMOVED:
            return Seen(state=State.CANCELLED, ended=True, reason="it was removed from the queue", materialised=True)
        by_signal = bool(ad.get("ExitBySignal", False))
        code = 128 + int(ad.get("ExitSignal", 9)) if by_signal else int(ad.get("ExitCode", 1))
        return Seen(state=State.DONE, ended=True, exit_code=code, materialised=True)

    def _status(self, job: str) -> JobStatus:
        number, _, proc = job.partition(".")
        cluster = self._clusters.get(int(number)) if number.isdigit() else None
        if cluster is None or not proc.isdigit() or int(proc) >= len(cluster.batch.jobs):
            return JobStatus(state=State.UNKNOWN, reason="no job of this engine")
        return self._told(cluster, int(proc))

    def _told(self, cluster: _Cluster, proc: int) -> JobStatus:
        job, seen = cluster.batch.jobs[proc], cluster.story(proc).seen
        heard = self._heard(cluster, proc)
        if seen.exit_code is not None:
            folder = self.folder / job.folder
            if not render.is_shared(self._site):
                bring_log_home(folder)
            return judge(seen.exit_code, heard, folder, memory_mb=job.memory_mb)
        found = status(seen.state, heard, cause=seen.cause, reason=seen.reason)
        return found if found.host else replace(found, host=seen.host)

    def _heard(self, cluster: _Cluster, proc: int) -> Heard:
        """What a job has said: in a file of the shared folder, or through the event log."""
        if not render.is_shared(self._site):
            return cluster.story(proc).heard
        if proc not in cluster.notes:
            cluster.notes[proc] = NotesReader(self.folder / cluster.batch.jobs[proc].folder / NOTES_FILE)
        return cluster.notes[proc].look()


def _id_of(ad: Mapping[str, Any]) -> str:
    return f"{ad['ClusterId']}.{ad.get('ProcId', -1)}"


def _of_job(job: str) -> str:
    cluster, _, proc = job.partition(".")
    return f"ClusterId == {int(cluster)} && ProcId == {int(proc)}"


def _as_queued(seen: Seen, ad: Mapping[str, Any]) -> Seen:
    number = int(ad.get("JobStatus", 0))
    if number == _HELD:
        reason = str(ad.get("HoldReason", ""))
        cause = hold_cause(int(ad.get("HoldReasonCode", 0)), reason)
        return replace(seen, state=State.HELD, reason=reason, cause=cause, materialised=True)
    state = _LIVE.get(number)
    if state is None or (state is seen.state):
        return replace(seen, materialised=True)
    return replace(seen, state=state, reason="", cause=Cause.NONE, materialised=True)
