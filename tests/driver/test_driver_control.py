"""What stands beside a run for others: how it goes, how it is done, the user's code; and being cancelled."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gridloom.assignment import Assignment
from gridloom.driver import cancelling, control
from gridloom.driver.cancelling import jobs_out
from gridloom.driver.control import cancel, go_on, go_on_in_background, loaded_of, settings_for
from gridloom.driver.events import EngineSilent, Event, JobsLeft, ResultDamaged, RunStarted, Stopping, TaskChanged
from gridloom.driver.live import FILE, Live, LiveFile, read_live
from gridloom.driver.runs import Manifest, Run, Runs
from gridloom.driver.session import Finished
from gridloom.driver.settings import How, Settings, check_place, find_site, read_how, settings_of, write_how
from gridloom.driver.snapshot import snapshot
from gridloom.driver.workplace import CANCEL_FILE, Pace, StopRequest, Terms
from gridloom.engines.base import JobStatus, State
from gridloom.environment import code_digest
from gridloom.errors import (
    DamagedResult,
    EngineUnavailable,
    NotFound,
    Problems,
    RunLocked,
    SiteProblem,
    TaskFailed,
    UnknownKey,
)
from gridloom.files import write_text
from gridloom.journal import JOURNAL, history, lease, read_journal
from gridloom.sites.load import LoadedSite
from gridloom.sites.models import Site
from gridloom.task import Progress, Task
from gridloom.testing.pool import ToyPool

STATES = "queued", "running", "held", "resumed", "failed", "retried", "saved"
ANALYSIS = """\
gridloom: 1
name: toy
samples:
  signal: {files: signal.root, class: signal, weight: 1}
  background: {files: background.root, class: background, weight: 1}
features: [MET_pt]
target: {signal: signal}
"""


# --- live.json --------------------------------------------------------------------------------------------------------
def changed(state: Any, *, task: str = "a", **more: Any) -> TaskChanged:
    return TaskChanged(task=task, kind="train", label=f"train {task}", state=state, **more)


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def live(tmp_path: Path, heard: list[Event], monkeypatch: pytest.MonkeyPatch) -> LiveFile:
    monkeypatch.setattr("gridloom.driver.live._EVERY", 0.0)
    return LiveFile(tmp_path, heard.append)


def shown(live: LiveFile) -> Live:
    found = read_live(live.folder)
    assert found is not None
    return found


def test_everything_is_passed_on_and_written(live: LiveFile, heard: list[Event]) -> None:
    event = changed(
        "running", host="node1", job="7.0", progress=Progress(done=3, total=9, text="epoch", values={"x": float("nan")})
    )
    live(event)
    assert heard == [event]
    (entry,) = shown(live).tasks.values()
    assert (entry.state, entry.host, entry.job) == ("running", "node1", "7.0")
    assert entry.step is not None
    assert (entry.step.done, entry.step.total, entry.step.text, entry.step.values) == (3, 9, "epoch", {})
    assert abs(shown(live).at - time.time()) < 5


@pytest.mark.parametrize("state", STATES)
def test_what_happened_to_a_task_last_stays(live: LiveFile, state: str) -> None:
    live(changed(state, reason="because\nof more"))
    assert shown(live).tasks["a"].state == state
    assert shown(live).notices == (f"train a {state}: because",)


@pytest.mark.parametrize("state", ["done", "waiting", "cancelled"])
def test_what_is_over_goes(live: LiveFile, state: str) -> None:
    live(changed("running"))
    live(changed(state))
    assert shown(live).tasks == {}


def test_since_when_a_task_is_in_its_state(live: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter(range(100, 200))
    monkeypatch.setattr("gridloom.driver.live.time.time", lambda: float(next(times)))
    live(changed("running"))
    first = shown(live).tasks["a"].since
    live(changed("running", progress=Progress(done=1, total=2)))
    assert shown(live).tasks["a"].since == first
    live(changed("held", reason="memory"))
    assert shown(live).tasks["a"].since > first


def test_silence_and_notices(live: LiveFile, tmp_path: Path) -> None:
    live(EngineSilent(reason="schedd is away"))
    assert shown(live).silent == "schedd is away"
    live(EngineSilent(reason="", back=True))
    assert shown(live).silent == ""
    live(ResultDamaged(task="a", label="train a", error=DamagedResult("bad digest"), aside=tmp_path))
    live(Stopping(reason="asked to stop", running=1))
    live(JobsLeft(jobs=3))
    live(RunStarted(name="toy", folder=tmp_path, tasks=1, done=0))
    assert shown(live).notices == ("train a: bad digest", "asked to stop")
    for number in range(30):
        live(changed("retried", task=str(number), reason=f"loss {number}"))
    assert len(shown(live).notices) == 8
    assert shown(live).notices[-1] == "train 29 retried: loss 29"


def test_the_file_is_written_now_and_then(live: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom.driver.live._EVERY", 1000.0)
    live(RunStarted(name="toy", folder=live.folder, tasks=1, done=0))
    live(changed("running"))
    live.tick()
    assert shown(live).tasks == {}
    live(EngineSilent(reason="away"))  # who watches wants to know at once
    assert set(shown(live).tasks) == {"a"}
    live(changed("done"))
    monkeypatch.setattr("gridloom.driver.live._EVERY", 0.0)
    live.tick()
    assert shown(live).tasks == {}


def test_a_sign_of_life(live: LiveFile, monkeypatch: pytest.MonkeyPatch) -> None:
    live.write()
    first = shown(live).at
    live.tick()
    assert shown(live).at == first
    monkeypatch.setattr("gridloom.driver.live._SIGN_OF_LIFE", 0.0)
    live.tick()
    assert shown(live).at > first


def test_a_file_that_cannot_be_written_or_read_stops_nobody(live: LiveFile, tmp_path: Path) -> None:
    live.folder = tmp_path / "nowhere"
    live(changed("running"))
    live.write()
    assert read_live(tmp_path / "nowhere") is None
    for content in ("", "{", '{"at": "x"}', '{"at": 1, "odd": 2}'):
        (tmp_path / FILE).write_text(content)
        assert read_live(tmp_path) is None


# --- how.json and settings --------------------------------------------------------------------------------------------
def loaded(name: str = "cluster", path: Path | None = None, **content: Any) -> LoadedSite:
    return LoadedSite(name=name, site=Site.model_validate({"engine": "slurm", **content}), path=path)


def write_sites(folder: Path, text: str = "cluster: {engine: slurm, limits: {jobs: 9}}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sites.yaml").write_text(f"gridloom: 1\nsites:\n  {text}\n")
    return folder / "sites.yaml"


def test_how_a_run_is_done_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_sites(tmp_path / "project")
    monkeypatch.chdir(tmp_path)
    settings = Settings(runs=Runs(Path("runs")), jobs=3, kinds="m:K", site=loaded(path=Path("project/sites.yaml")))
    write_how(tmp_path, settings)
    how = read_how(tmp_path)
    assert how == How(site="cluster", site_file=str(path), jobs=3, kinds="m:K")
    # Another process, elsewhere, does it the same way; the site is as its file describes it now.
    monkeypatch.chdir("/")
    found = settings_of(how, Runs(tmp_path / "runs"), Path("/no/such/analysis.yaml"), {"HOME": str(tmp_path)})
    assert found.site is not None
    assert (found.site.name, found.site.path, found.kinds, found.preload, found.here) == (
        "cluster",
        path,
        "m:K",
        (),
        False,
    )
    assert found.site.site.limits.jobs == 3  # `--jobs` is the limit there


def test_a_run_on_this_machine(tmp_path: Path) -> None:
    write_how(tmp_path, Settings(runs=Runs(tmp_path)))
    assert read_how(tmp_path) == read_how(tmp_path / "of a run before there were sites") == How()
    found = settings_of(How(), Runs(tmp_path), tmp_path, {})
    assert (found.here, found.site, found.jobs) == (True, None, 0)
    assert found.preload


def test_a_site_that_is_this_machine(tmp_path: Path) -> None:
    here = Settings(runs=Runs(tmp_path), site=loaded(engine="local", options={"jobs": 2}))
    assert here.here
    assert here.checked().jobs == 2
    assert Settings(runs=Runs(tmp_path), jobs=5, site=here.site).checked().jobs == 5
    write_how(tmp_path, here)
    assert read_how(tmp_path).site == ""
    with pytest.raises(SiteProblem, match="whatever `grace` says"):
        Settings(runs=Runs(tmp_path), site=loaded(engine="local", grace=7, poll=3)).checked()
    with pytest.raises(Problems) as caught:
        Settings(runs=Runs(tmp_path), site=loaded(engine="local", options={"cores": 2})).checked()
    assert isinstance(caught.value.errors[0], UnknownKey)


def test_the_limits_of_a_site_stay_without_a_number_of_jobs(tmp_path: Path) -> None:
    found = Settings(runs=Runs(tmp_path), site=loaded(limits={"jobs": 9, "memory": 100})).checked()
    assert found.site is not None
    assert found.site.site.limits.jobs == 9
    found = Settings(runs=Runs(tmp_path), jobs=4, site=found.site).checked()
    assert found.site is not None
    assert (found.site.site.limits.jobs, found.site.site.limits.memory) == (4, 100)


@pytest.mark.parametrize("content", ["{", '{"odd": 1}', '{"jobs": "x"}'])
def test_a_how_that_cannot_be_read(content: str, tmp_path: Path) -> None:
    (tmp_path / "how.json").write_text(content)
    with pytest.raises(DamagedResult, match="how the run is done") as caught:
        read_how(tmp_path)
    assert "gridloom run" in caught.value.fix


def test_a_site_is_found_where_it_was_and_else_where_sites_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = write_sites(tmp_path / "first")
    write_sites(tmp_path / "project", "cluster: {engine: slurm, limits: {jobs: 1}}")
    environ = {"HOME": str(tmp_path)}
    assert find_site("cluster", tmp_path / "project", environ).site.limits.jobs == 1
    assert find_site("cluster", tmp_path / "project", environ, first=str(first)).site.limits.jobs == 9
    first.unlink()
    assert find_site("cluster", tmp_path / "project", environ, first=str(first)).site.limits.jobs == 1
    with pytest.raises(SiteProblem, match="no site `clutser`"):
        find_site("clutser", tmp_path / "project", environ)


def test_a_run_is_done_at_one_place_at_a_time(tmp_path: Path) -> None:
    there = Settings(runs=Runs(tmp_path), site=loaded())
    check_place(tmp_path, there)
    write_how(tmp_path, there)
    with lease(tmp_path) as journal:
        journal.write("submitting", task="a", token="t")
        journal.write("done", task="b", token="u")
    check_place(tmp_path, there)
    for elsewhere in (Settings(runs=Runs(tmp_path)), Settings(runs=Runs(tmp_path), site=loaded("other"))):
        with pytest.raises(SiteProblem, match="1 jobs of the run are at site `cluster`") as caught:
            check_place(tmp_path, elsewhere)
        assert "gridloom cancel" in caught.value.fix
    with lease(tmp_path) as journal:
        journal.write("saved", task="a", token="t")
    check_place(tmp_path, Settings(runs=Runs(tmp_path)))


@pytest.mark.parametrize(("poll", "wait", "unknown"), [(1, 1.0, 120), (10, 1.0, 120), (60, 1.0, 600)])
def test_the_pace_of_a_site(poll: int, wait: float, unknown: float) -> None:
    found = Pace.of(loaded(poll=poll).site)
    assert (found.wait, found.unknown, found.settle) == (wait, unknown, 60)


def test_the_terms_of_a_site() -> None:
    found = Terms.of(loaded(limits={"jobs": 5, "memory": "3 GB"}).site, {"numpy": "2"})
    assert (found.most_jobs, found.most_memory_mb, found.versions, found.code) == (5, 3000, {"numpy": "2"}, "")


def test_a_request_to_cancel(tmp_path: Path) -> None:
    assert not StopRequest().cancelled
    stop = StopRequest(tmp_path)
    told = [stop.cancelled]
    (tmp_path / CANCEL_FILE).touch()
    told.append(stop.cancelled)
    (tmp_path / CANCEL_FILE).unlink()
    told.append(stop.cancelled)  # it was asked for
    assert told == [False, True, True]
    asked = StopRequest()
    asked.cancel()
    assert asked.cancelled
    assert asked.times == 0


# --- the copy of the user's code --------------------------------------------------------------------------------------
@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A module that imports a package, one more module, and an installed one."""
    folder = tmp_path / "project"
    (folder / "layers" / "deep").mkdir(parents=True)
    (folder / "my_network.py").write_text("import json, layers.deep, numpy\nimport helper\ndef build(): ...\n")
    (folder / "helper.py").write_text("TEXT = 'helper'\n")
    (folder / "layers" / "__init__.py").write_text("")
    (folder / "layers" / "deep" / "__init__.py").write_text("SIZE = 3\n")
    (folder / "layers" / "notes.txt").write_text("no code\n")
    (folder / "unused.py").write_text("no = 1\n")
    return folder


FUNCTION = "my_network:build"


def test_the_copy_has_what_the_function_needs_and_its_digest(project: Path, tmp_path: Path) -> None:
    digest = code_digest(FUNCTION, project)
    copy = snapshot(FUNCTION, project, tmp_path / "run", digest)
    assert copy == tmp_path / "run" / "code" / digest[:12]
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*.*")) == [
        "helper.py",
        "layers/__init__.py",
        "layers/deep/__init__.py",
        "my_network.py",
    ]
    assert code_digest(FUNCTION, copy) == digest


def test_the_copy_stays_when_the_user_goes_on_editing(project: Path, tmp_path: Path) -> None:
    digest = code_digest(FUNCTION, project)
    copy = snapshot(FUNCTION, project, tmp_path / "run", digest)
    (project / "helper.py").write_text("TEXT = 'edited'\n")
    assert snapshot(FUNCTION, project, tmp_path / "run", digest) == copy
    assert code_digest(FUNCTION, copy) == digest
    other = code_digest(FUNCTION, project)
    assert snapshot(FUNCTION, project, tmp_path / "run", other) != copy


def test_what_a_kill_left_of_a_copy_is_made_anew(project: Path, tmp_path: Path) -> None:
    digest = code_digest(FUNCTION, project)
    left = tmp_path / "run" / "code" / f".{digest[:12]}"
    left.mkdir(parents=True)
    (left / "half.py").write_text("")
    copy = snapshot(FUNCTION, project, tmp_path / "run", digest)
    assert not (copy / "half.py").exists()


def test_modules_that_are_links_are_copied(project: Path, tmp_path: Path) -> None:
    """Several analyses may share one module: the nodes see only the copy."""
    shared = tmp_path / "shared"
    shared.mkdir()
    (project / "helper.py").rename(shared / "helper.py")
    (project / "helper.py").symlink_to(shared / "helper.py")
    (project / "layers").rename(shared / "layers")
    (project / "layers").symlink_to(shared / "layers")
    digest = code_digest(FUNCTION, project)
    copy = snapshot(FUNCTION, project, tmp_path / "run", digest)
    assert code_digest(FUNCTION, copy) == digest
    assert not (copy / "helper.py").is_symlink()


def test_an_installed_module_stays_where_it_is(tmp_path: Path) -> None:
    digest = code_digest("json:loads", tmp_path)
    copy = snapshot("json:loads", tmp_path, tmp_path / "run", digest)
    assert list(copy.iterdir()) == []
    assert code_digest("json:loads", copy) == digest


# --- going on, and cancelling -----------------------------------------------------------------------------------------
@pytest.fixture
def run(tmp_path: Path) -> Run:
    folder = tmp_path / "runs" / "toy-01234567"
    folder.mkdir(parents=True)
    (folder / "analysis.yaml").write_text(ANALYSIS)
    manifest = Manifest(
        name="toy-01234567",
        created=1.0,
        gridloom="0",
        analysis_file=str(tmp_path / "project" / "toy.yaml"),
        analysis_digest="a",
        plan_digest="b",
        tasks=(),
    )
    return Run(folder=folder, manifest=manifest)


def runs_of(run: Run) -> Runs:
    return Runs(run.folder.parent)


def test_a_run_goes_on_with_the_analysis_it_began_with(run: Run) -> None:
    """Places in its text, and files relative to it, are those of the file that the user knows."""
    found = loaded_of(run)
    assert (found.text, found.path) == (ANALYSIS, Path(run.manifest.analysis_file))
    (run.folder / "analysis.yaml").unlink()
    with pytest.raises(NotFound, match="no copy of its analysis"):
        loaded_of(run)


class FakeSession:
    """A session whose analysis is planned into some folder, and whose driver does what a test says."""

    def __init__(self, folder: Path, drive: Callable[[StopRequest], None]) -> None:
        self.stop = StopRequest()
        self._folder, self._drive = folder, drive

    def open(self, analysis: object) -> tuple[object, Path]:
        return object(), self._folder

    def drive(self, prepared: object, folder: Path, listener: object) -> Finished:
        self._drive(self.stop)
        return Finished(folder=folder, page=folder / "page", reopened=False)


def nobody(event: Event) -> None:
    """Hears nothing."""


def test_a_run_whose_files_have_changed_does_not_go_on(run: Run) -> None:
    asked: list[StopRequest] = []
    here: Any = FakeSession(run.folder, asked.append)
    assert go_on(here, run, nobody).folder == run.folder
    assert len(asked) == 1
    changed_files: Any = FakeSession(run.folder.with_name("toy-76543210"), asked.append)
    with pytest.raises(TaskFailed, match="cannot go on as it was planned") as caught:
        go_on(changed_files, run, nobody)
    assert f"gridloom run {run.manifest.analysis_file}" in caught.value.fix
    assert len(asked) == 1


@dataclass
class Pool(ToyPool):
    """A batch system whose jobs run for some rounds after they were asked to leave."""

    collected: list[str] = field(default_factory=list)

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        self.collected += ids
        return {}


def pool_of(monkeypatch: pytest.MonkeyPatch, run: Run, jobs: Mapping[str, str]) -> Pool:
    """A run at a site, whose journal says that jobs (token -> task) were submitted."""
    pool = Pool(work=lambda job: None)
    write_text(run.folder / "how.json", How(site="toy", site_file=str(run.folder / "sites.yaml")).model_dump_json())
    (run.folder / "sites.yaml").write_text("gridloom: 1\nsites: {toy: {engine: slurm, grace: 1 s}}")
    monkeypatch.setattr(cancelling, "make_engine", lambda site, **_: pool)
    monkeypatch.setattr(cancelling, "_LONGER", 0.0)
    with lease(run.folder) as journal:
        journal.write("started")
        for token, task in jobs.items():
            journal.write("submitting", task=task, token=token)
    return pool


def take(pool: Pool, token: str, *, host: str = "node1", state: State = State.RUNNING) -> str:
    job = Assignment(task=Task(kind="train", label="t"), token=token, store="/store")
    (job_id,) = pool.submit([job])
    pool.states[job_id] = JobStatus(state=state, host=host)
    return job_id


def states(run: Run) -> dict[str, str]:
    return {task: record.state for task, record in history(read_journal(run.folder / JOURNAL)).tasks.items()}


def test_jobs_without_a_driver_are_cancelled_from_the_journal_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has become of the run's input files since: nothing is planned anew."""
    pool = pool_of(monkeypatch, run, {"aa": "train-1", "bb": "evaluate-1", "cc": "train-2", "dd": "train-3"})
    ids = [take(pool, "aa"), take(pool, "bb"), take(pool, "cc", host="", state=State.PENDING)]
    cancelled = pool.cancel

    def cancel_keeping_hosts(ids: Sequence[str], *, at_once: bool = False) -> None:
        assert not at_once
        hosts = {job: pool.states[job].host for job in ids}
        cancelled(ids)
        for job in ids:
            pool.states[job] = JobStatus(state=State.CANCELLED, host=hosts[job])

    pool.cancel = cancel_keeping_hosts  # type: ignore[method-assign]
    assert jobs_out(run.folder) == {"aa": "train-1", "bb": "evaluate-1", "cc": "train-2", "dd": "train-3"}
    assert cancel(run, runs_of(run), {}) == 0
    assert pool.collected == ids
    assert states(run) == {
        "train-1": "saved",  # it ran: what it has saved is home
        "evaluate-1": "waiting",
        "train-2": "waiting",
        "train-3": "waiting",  # the pool never had it
    }
    assert history(read_journal(run.folder / JOURNAL)).state == "interrupted"
    assert jobs_out(run.folder) == {}


def test_jobs_that_do_not_end_are_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = pool_of(monkeypatch, run, {"aa": "train-1"})
    take(pool, "aa")
    pool.cancel = lambda ids, *, at_once=False: None  # type: ignore[method-assign]
    pool.patience = 10**9
    monkeypatch.setattr(cancelling, "_EVERY", 0.0)
    monkeypatch.setattr(cancelling, "_LONGER", -1.0)
    with pytest.raises(EngineUnavailable, match="1 of 1 jobs have not ended yet"):
        cancel(run, runs_of(run), {})
    assert states(run) == {"train-1": "submitted"}


def test_workers_of_this_machine_ended_with_their_driver(run: Run) -> None:
    with lease(run.folder) as journal:
        journal.write("submitting", task="train-1", token="aa")
    assert cancel(run, runs_of(run), {}) == 0
    assert states(run) == {"train-1": "waiting"}


@contextmanager
def driven(run: Run, *, leaves: bool) -> Iterator[None]:
    """Somebody else drives the run, and leaves when asked to."""
    held, over = threading.Event(), threading.Event()

    def drive() -> None:
        with lease(run.folder):
            held.set()
            while not over.is_set():
                if leaves and (run.folder / CANCEL_FILE).exists():
                    return
                time.sleep(0.01)

    thread = threading.Thread(target=drive)
    thread.start()
    held.wait(10)
    yield
    over.set()
    thread.join(10)


def test_a_driver_is_asked_to_cancel(run: Run) -> None:
    with driven(run, leaves=True):
        assert cancel(run, runs_of(run), {}) <= 1
    assert (run.folder / CANCEL_FILE).read_text().startswith("asked for")


def test_a_driver_that_does_not_answer_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        """Minutes pass at every look."""

        now = 0.0

        def monotonic(self) -> float:
            self.now += 50
            return self.now

        def sleep(self, seconds: float) -> None:
            """No time passes here."""

    monkeypatch.setattr(control, "time", Clock())
    with driven(run, leaves=False), pytest.raises(TaskFailed, match="drives the run and has not ended its jobs yet"):
        cancel(run, runs_of(run), {})


def test_a_driver_in_the_background_that_does_not_come_up_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words, and not those of an earlier one in the same log."""
    monkeypatch.setattr(control, "_START", 300.0)
    (run.folder / "run.json").write_text(run.manifest.model_dump_json())
    (run.folder / control.DRIVER_LOG).write_text("words of before\n")
    (run.folder / "analysis.yaml").write_text("no analysis")
    with pytest.raises(TaskFailed, match="did not come up") as caught:
        go_on_in_background(run, settings_for(run, runs_of(run), {}))
    assert "error[AnalysisSyntaxError]" in caught.value.what
    assert "words of before" not in caught.value.what
    assert caught.value.where == str(run.folder / control.DRIVER_LOG)


def test_a_run_that_is_driven_gets_no_driver_in_the_background(run: Run) -> None:
    with driven(run, leaves=False), pytest.raises(RunLocked):
        go_on_in_background(run, settings_for(run, runs_of(run), {}))
    assert not (run.folder / control.DRIVER_LOG).exists()
    assert json.loads(json.dumps(read_how(run.folder).model_dump())) == How().model_dump()
