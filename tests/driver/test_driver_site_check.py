"""`site check`: one real job through the local engine, and engines that answer by script for what may go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gridloom.assignment import Assignment
from gridloom.cli import site
from gridloom.driver import site_check
from gridloom.driver.site_check import SiteCheck, asked_of
from gridloom.engines.base import Capabilities, Engine, Fact, JobStatus, State
from gridloom.errors import (
    DamagedResult,
    EngineUnavailable,
    GridloomError,
    Interrupted,
    NodeProblem,
    Problems,
    SiteProblem,
    SubmissionRefused,
    UnknownKey,
)
from gridloom.files import write_text
from gridloom.results import Result, Store, list_outputs
from gridloom.sites.load import LoadedSite, load_text
from gridloom.sites.models import Site
from gridloom.sites.probe import FILE, Memory, Network, Probe, Processor, Scratch, TensorFlow
from gridloom.task import Resources

PENDING, RUNNING, DONE = (JobStatus(state=state) for state in (State.PENDING, State.RUNNING, State.DONE))
AWAY = EngineUnavailable("the scheduler is silent")
CAPABILITIES = Capabilities(
    shared_file_system=True,
    file_transfer=False,
    arrays=False,
    gpus=False,
    containers=False,
    checkpoint_transfer=False,
)


@dataclass
class Scripted:
    """An engine that answers by script; after its end the last answer stays."""

    script: list[JobStatus | GridloomError] = field(default_factory=lambda: [PENDING, RUNNING, DONE])
    described: EngineUnavailable | None = None
    refused: GridloomError | None = None
    does_the_job: bool = True
    words: str | None = None
    damaged: DamagedResult | None = None
    deaf: bool = False
    capabilities: Capabilities = CAPABILITIES
    calls: list[str] = field(default_factory=list)
    job: Assignment | None = None

    def render(self, jobs: Sequence[Assignment]) -> Mapping[str, bytes]:
        return {}

    def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
        self.calls.append("submit")
        if self.refused is not None:
            raise self.refused
        (self.job,) = jobs
        return ("17",)

    def find(self, tokens: Sequence[str]) -> Mapping[str, str]:
        return {token: "17" for token in tokens if self.job is not None and token == self.job.token}

    def poll(self, ids: Sequence[str]) -> Mapping[str, JobStatus]:
        answer = self.script[0] if len(self.script) == 1 else self.script.pop(0)
        if isinstance(answer, GridloomError):
            raise answer
        return dict.fromkeys(ids, answer)

    def wait(self, seconds: float) -> None:
        time.sleep(0.01)

    def cancel(self, ids: Sequence[str], *, at_once: bool = False) -> None:
        self.calls.append(f"cancel {ids[0]} {at_once}")
        if not self.deaf:
            self.script[:] = [JobStatus(state=State.CANCELLED)]

    def release(self, job: str, *, memory_mb: int | None, avoid: Sequence[str]) -> None: ...

    def collect(self, ids: Sequence[str]) -> Mapping[str, DamagedResult]:
        self.calls.append("collect")
        if self.damaged is not None:
            return {ids[0]: self.damaged}
        if self.does_the_job and self.job is not None:
            finish(self.job, self.words)
        return {}

    def describe(self) -> tuple[Fact, ...]:
        if self.described is not None:
            raise self.described
        return (Fact(name="scheduler", value="answers"),)

    def close(self) -> None:
        self.calls.append("close")


def finish(job: Assignment, words: str | None) -> None:
    """Do what a probe does, elsewhere and faster."""
    store = Store(Path(job.store))
    probe = Probe(
        host="node17",
        user="jo",
        time=time.time(),
        python="/python",
        versions={"python": "2.7"},
        processor=Processor(architecture="vax", name="A slow one", sets=(), cores=1),
        memory=Memory(limit_mb=4000, set_by="the machine"),
        scratch=Scratch(folder="/s", free_mb=10_000, write_mb_per_second=100.0, state_mb=64, save_seconds=1.0),
        tensorflow=TensorFlow(version="2", devices=("CPU:0",)),
        gpus=(),
        network=Network(address="a:1", seconds=0.1),
    )
    attempt = store.attempt(job.task.id, job.token)
    write_text(attempt / FILE, probe.model_dump_json() if words is None else words)
    result = Result(
        task=job.task.id,
        kind="probe",
        label=job.task.label,
        token=job.token,
        outputs=list_outputs(attempt),
        host="node17",
        user="jo",
        started=time.time(),
        seconds=1.0,
        versions={},
    )
    store.finish(attempt, result)


Checked = Callable[..., tuple[list[Fact], list[str]]]


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Check a site with a scripted engine: what is said of it, and on the way."""

    def check(engine: Engine, patience: float = 5.0) -> tuple[list[Fact], list[str]]:
        monkeypatch.setattr(site_check, "make_engine", lambda *_, **__: engine)
        said: list[str] = []
        loaded = LoadedSite(name="a", site=Site(engine="scripted", poll=1))
        runs = tmp_path / "runs"
        facts = list(SiteCheck(loaded=loaded, runs=runs, patience=patience, say=said.append).facts())
        assert not runs.exists()
        return facts, said

    return check


def test_a_job_that_runs_is_judged(checked: Checked) -> None:
    engine = Scripted()
    facts, said = checked(engine)
    assert [fact.name for fact in facts[:3]] == ["scheduler", "queue", "node"]
    assert {fact.name for fact in facts if fact.verdict == "bad"} == {"Python", "libraries", "instruction set"}
    assert said == ["probe job 17 is submitted", "probe job 17 is pending", "probe job 17 is running"]
    assert engine.calls == ["submit", "collect", "close"]
    assert engine.job is not None
    assert engine.job.task.parameters == {"network": "cern.ch:443", "state_mb": 64}


@pytest.mark.parametrize(
    ("engine", "patience", "text", "fix", "calls"),
    [
        (
            Scripted(script=[PENDING]),
            *(0.1, "the job did not start within 0.1 s: the batch system gives no reason"),
            *("It asks for 1 core, 2000 MB of memory, 1000 MB of disk, 0 GPUs and 30 min:", ["cancel 17 True"]),
        ),
        (
            Scripted(script=[JobStatus(state=State.HELD, reason="no such account")]),
            *(5, "the job is held: no such account", "Mend what the reason names", ["cancel 17 True"]),
        ),
        (
            Scripted(
                script=[
                    JobStatus(
                        state=State.FAILED,
                        reason="no Python",
                        errors=(NodeProblem("no Python"), NodeProblem("at /x", fix="Install it.")),
                    )
                ]
            ),
            *(5, "the job failed: no Python; at /x", "Install it.", []),
        ),
        (Scripted(script=[JobStatus(state=State.EVICTED)]), 5, "the job lost its node: the batch", "Check again", []),
        (Scripted(script=[JobStatus(state=State.CANCELLED, reason="by root")]), 5, "somebody cancelled", "ask", []),
        (
            Scripted(script=[AWAY]),
            *(
                0.1,
                "nothing was heard of the job for 0.1 s: the scheduler is silent",
                "Look for it",
                ["cancel 17 True"],
            ),
        ),
        (Scripted(does_the_job=False), 5, "its result did not come back: there is none", "shared_folder", ["collect"]),
        (
            Scripted(damaged=DamagedResult("truncated", fix="Again.")),
            *(5, "its result did not come back: truncated", "Again.", ["collect"]),
        ),
        (
            Scripted(words='{"host": "x"}'),
            *(5, "its result did not come back: probe.json cannot be read", "the same Gridloom", ["collect"]),
        ),
        (Scripted(refused=SubmissionRefused("no such queue", fix="Use short.")), 5, "refused: no such", "short", []),
        (Scripted(refused=EngineUnavailable("gone")), 5, "no answer: gone", "Try again", []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_job_that_does_not_run(
    checked: Checked, engine: Scripted, patience: float, text: str, fix: str, calls: list[str]
) -> None:
    facts, _ = checked(engine, patience)
    assert facts[0].name == "scheduler"
    (fact,) = facts[1:]
    assert fact.verdict == "bad"
    assert text in fact.value
    assert fix in fact.fix
    assert engine.calls == ["submit", *calls, "close"]


def test_a_job_that_runs_for_ever(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_check, "_RUNS_AT_MOST", 0.1)
    facts, said = checked(Scripted(script=[JobStatus(state=State.RUNNING, host="node17", reason="slow")]))
    assert facts[-1].value.startswith("the job did not end within 0.1 s: slow")
    assert said[-1] == "probe job 17 is running on node17: slow"


def test_a_scheduler_that_is_away_for_a_moment_is_no_failed_job(checked: Checked) -> None:
    facts, said = checked(Scripted(script=[PENDING, AWAY, RUNNING, AWAY, DONE]))
    assert facts[1].name == "queue"
    assert "probe job 17 is unknown: the scheduler is silent" in said


def test_no_scheduler_no_job(checked: Checked) -> None:
    engine = Scripted(described=EngineUnavailable("no daemon", fix="Start it."))
    facts, _ = checked(engine)
    assert facts == [Fact(name="scheduler", value="no answer: no daemon", verdict="bad", fix="Start it.")]
    assert engine.calls == ["close"]


def test_a_job_that_cannot_be_cancelled_is_named(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_check, "_WITHDRAWN_WITHIN", 0.1)
    _, said = checked(Scripted(script=[PENDING], deaf=True), 0.1)
    assert said[-1] == "probe job 17 was cancelled, but is still there: see that it leaves"
    _, said = checked(Scripted(script=[PENDING, AWAY], deaf=True), 0.1)
    assert said[-1].startswith("the batch system gives no answer (the scheduler is silent): see that probe job 17")


def test_an_interrupt_cancels_the_job(checked: Checked) -> None:
    class Stopped(Scripted):
        def wait(self, seconds: float) -> None:
            if len(self.calls) == 1:
                raise Interrupted("stopped on request")

    engine = Stopped(script=[PENDING])
    with pytest.raises(Interrupted):
        checked(engine)
    assert engine.calls == ["submit", "cancel 17 True", "close"]


def test_an_interrupt_during_submission_cancels_what_was_taken(checked: Checked) -> None:
    class Stopped(Scripted):
        def submit(self, jobs: Sequence[Assignment]) -> tuple[str, ...]:
            super().submit(jobs)
            raise Interrupted("stopped on request")

    engine = Stopped(script=[PENDING])
    with pytest.raises(Interrupted):
        checked(engine)
    assert engine.calls == ["submit", "cancel 17 True", "close"]


def test_runs_that_are_there_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_check, "make_engine", lambda *_, **__: Scripted())
    loaded = LoadedSite(name="a", site=Site(engine="scripted"))
    assert list(SiteCheck(loaded=loaded, runs=tmp_path, patience=1, say=print).facts())
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{engine: slrum}", SiteProblem, "sites.yaml:2:9: there is no engine `slrum`"),
        ("{engine: local, options: {jbos: 3}}", UnknownKey, "sites.yaml:2:38: the engine `local` has no option `jbos`"),
    ],
)
def test_a_wrong_site_is_an_error_at_its_place(
    tmp_path: Path, text: str, kind: type[GridloomError], message: str
) -> None:
    loaded = load_text(f"gridloom: 1\nsites: {{a: {text}}}\n", Path("sites.yaml"))["a"]
    with pytest.raises(GridloomError) as caught:
        list(SiteCheck(loaded=loaded, runs=tmp_path, patience=1, say=print).facts())
    errors = caught.value.errors if isinstance(caught.value, Problems) else (caught.value,)
    assert type(errors[0]) is kind
    assert str(errors[0]).startswith(message)


def test_what_the_probe_asks_for() -> None:
    assert asked_of(Site(engine="x")) == Resources(memory_mb=2000, disk_mb=1000, wall_seconds=1800)
    site = Site.model_validate(
        {"engine": "x", "resources": {"default": {"memory": "1 GB"}, "train": {"gpus": 2}, "probe": {"cores": 2}}}
    )
    assert asked_of(site) == Resources(cores=2, memory_mb=1000, disk_mb=1000, gpus=2, wall_seconds=1800)


# --- as a user types it -----------------------------------------------------------------------------------------
def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gridloom.cli.main", "site", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "XDG_CONFIG_HOME": str(folder.parent / "config")},
    )


def gridloom(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in out + err
    return process.returncode, out, err


def test_this_machine_as_a_site(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text(
        "gridloom: 1\nsites: {here: {engine: local, network: 'localhost:1', resources: {probe: {memory: 1 GB}}}}\n"
    )
    code, out, err = gridloom(tmp_path, "check", "here")
    assert code == 0, out
    lines = out.splitlines()
    assert lines[-1] == "Site `here` is fine."
    names = [line[6:22].strip() for line in lines[:-1] if line[:6].strip()]
    assert {"queue", "node", "Python", "libraries", "TensorFlow", "memory", "scratch", "clock"} <= set(names)
    assert any("computes on CPU:0" in line for line in lines)
    assert "is submitted" in err
    assert [path.name for path in tmp_path.iterdir()] == ["sites.yaml"]


def test_a_site_with_something_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(site_check, "make_engine", lambda *_, **__: Scripted())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sites.yaml").write_text("gridloom: 1\nsites:\n  here: {engine: scripted}\n")
    with pytest.raises(SiteProblem) as caught:
        site.check("here", wait=5, runs=tmp_path / "runs")
    assert str(caught.value) == (
        "sites.yaml:3:3: 3 things are wrong with site `here`\n  Mend what is marked `bad`, then check again."
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    scheduler       answers"
    at = next(index for index, line in enumerate(lines) if line.startswith("bad   Python "))
    assert (
        lines[at + 1]
        == " " * 22 + "Install the same locked environment on the nodes and name its Python with `python:`."
    )


def test_ctrl_c_cancels_and_leaves_nothing(tmp_path: Path) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        process = start(tmp_path, "check", "local")
        assert process.stderr is not None
        assert "is submitted" in process.stderr.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130, err
        assert "error[Interrupted] stopped on request" in err
        assert list(tmp_path.iterdir()) == []


def test_the_list_of_sites(tmp_path: Path) -> None:
    (tmp_path / "sites.yaml").write_text("gridloom: 1\nsites: {pool: {engine: htcondor}}\n")
    code, out, _ = gridloom(tmp_path, "list")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows == [
        ["site", "engine", "described", "in"],
        ["local", "local", "built", "in"],
        ["pool", "htcondor", "sites.yaml"],
    ]


def test_what_is_typed_wrong(tmp_path: Path) -> None:
    code, _, err = gridloom(tmp_path, "check", "lokal")
    assert code == 58
    assert "Did you mean `local`?" in err
    code, _, err = gridloom(tmp_path, "check", "local", "--wait", "soon")
    assert code == 2
    assert "write a number with one of the units s, min, h, d" in " ".join(err.split())
