"""Commands for runs that go on by themselves: watch, logs, resume, cancel, `run --detach`, and their progress lines."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from golden import compare_text
from rich.console import Console
from rich.progress import Progress as RichProgress

from gridloom.assignment import ERROR_FILE, LOG_FILE
from gridloom.cli import cancel as cancel_command
from gridloom.cli import watch as watch_command
from gridloom.cli.logs import logs
from gridloom.cli.progress import Bars, Lines
from gridloom.cli.run import leaving, stopping
from gridloom.cli.watch import duration, watch
from gridloom.driver.events import EngineSilent, Event, JobsLeft, RunStarted, TaskChanged
from gridloom.driver.live import Live, LiveTask
from gridloom.driver.runs import Manifest, PlannedTask, Run, Runs
from gridloom.driver.settings import Settings
from gridloom.driver.workplace import StopRequest
from gridloom.errors import Interrupted, NotFound
from gridloom.journal import LEASE, Record, lease
from gridloom.messages import Step
from gridloom.sites.load import LoadedSite
from gridloom.sites.models import Site
from gridloom.task import Kind, Progress
from gridloom.testing.ntuples import write_sample

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_000_000.0
NAME = "toy-01234567"


# --- runs as they are found on a disk ---------------------------------------------------------------------------------
@dataclass
class Written:
    """A run's folder below `home`, written by hand: nothing of it depends on when, where and by whom."""

    home: Path
    tasks: list[PlannedTask] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    live: dict[str, LiveTask] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label in ("prepare signal", "prepare background", *(f"train fold {number}" for number in range(3))):
            kind: Kind = "prepare" if label.startswith("prepare") else "train"
            self.tasks.append(PlannedTask(id=f"{kind}-{len(self.tasks):020d}", kind=kind, label=label))

    @property
    def folder(self) -> Path:
        return self.home / "runs" / NAME

    def id_of(self, label: str) -> str:
        return next(task.id for task in self.tasks if task.label == label)

    def note(self, event: Any, label: str = "", *, at: float = NOW - 60, **more: Any) -> None:
        task = self.id_of(label) if label else ""
        self.records.append(Record(at=at, fence=1, event=event, task=task, **more))

    def is_in(self, label: str, state: str, *, since: float = 30, step: Step | None = None, **more: Any) -> None:
        self.live[self.id_of(label)] = LiveTask(state=state, since=NOW - since, step=step, **more)

    def is_done(self, *labels: str) -> None:
        for label in labels:
            folder = self.home / "runs" / ".store" / self.id_of(label)
            folder.mkdir(parents=True)
            (folder / "result.json").touch()

    def write(self, *, site: str = "cluster", silent: str = "", notices: tuple[str, ...] = ()) -> Run:
        self.folder.mkdir(parents=True, exist_ok=True)
        manifest = Manifest(
            name=NAME,
            created=NOW - 3725,
            gridloom="0",
            analysis_file="/project/toy.yaml",
            analysis_digest="a",
            plan_digest="b",
            tasks=tuple(self.tasks),
        )
        (self.folder / "run.json").write_text(manifest.model_dump_json())
        (self.folder / "how.json").write_text(json.dumps({"site": site}))
        lines = [record.model_dump_json(exclude_defaults=True) + "\n" for record in self.records]
        (self.folder / "journal.jsonl").write_text("".join(lines))
        live = Live(at=NOW, silent=silent, tasks=self.live, notices=notices)
        (self.folder / "live.json").write_text(live.model_dump_json())
        return Run(folder=self.folder, manifest=manifest)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    monkeypatch.chdir(tmp_path)
    return Written(tmp_path)


@contextmanager
def driven(run: Run) -> Iterator[None]:
    """This process drives the run; its journal stays as it was written."""
    kept = (run.folder / "journal.jsonl").read_bytes()
    with lease(run.folder):
        (run.folder / LEASE).write_text(json.dumps({"pid": 4711, "host": "login1", "fence": 1}))
        (run.folder / "journal.jsonl").write_bytes(kept)
        yield


# --- watch ------------------------------------------------------------------------------------------------------------
def screen(monkeypatch: pytest.MonkeyPatch, *, width: int, terminal: bool) -> str:
    """What `gridloom watch --once` shows."""
    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=terminal, color_system=None, highlight=False, soft_wrap=True
    )
    monkeypatch.setattr(watch_command, "output", lambda: console)
    monkeypatch.setattr("gridloom.cli.watch.time.time", lambda: NOW)
    watch(run=None, runs=Path("runs"), once=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def compare_screens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a file, where nothing is cut, and on a terminal."""
    shown = (
        f"--- a file\n{screen(monkeypatch, width=200, terminal=False)}"
        f"--- a terminal of 100 columns\n{screen(monkeypatch, width=100, terminal=True)}"
    )
    compare_text(GOLDEN / f"watch-{name}.txt", shown)


def begin(written: Written) -> None:
    written.note("started", at=NOW - 3725)
    written.is_done("prepare signal", "prepare background")
    for label in ("prepare signal", "prepare background"):
        written.note("submitting", label, token="aa")
        written.note("done", label)
    for number in range(3):
        written.note("submitting", f"train fold {number}", token=f"t{number}")
        written.note("submitted", f"train fold {number}", token=f"t{number}", job=f"7.{number}")


EPOCH = Step(done=3, total=10, text="epoch 3/10", values={"loss": 0.123456, "validation AUC": 0.87})


def test_a_run_on_its_way(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that runs, one that was evicted and goes on, one on hold; silence, and what has happened."""
    begin(written)
    written.note("resumed", "train fold 1", lost=12.4)
    written.note("evicted", "train fold 2", lost=3.0)
    written.is_in("train fold 0", "running", since=75, host="node1.example.org", step=EPOCH)
    written.is_in("train fold 1", "resumed", since=5, host="node2", reason="12.4 s of work are done again\nand more")
    written.is_in("train fold 2", "held", reason="memory usage exceeded request_memory")
    # Left over from before it was done, and of no task of this run.
    written.is_in("prepare signal", "running")
    written.live["train-of-another-run"] = LiveTask(state="running", since=NOW)
    notices = (
        "train fold 1 resumed: 12.4 s of work are done again",
        "[bold]no markup[/bold] " + "and a long word " * 9,
    )
    with driven(written.write(silent="the schedd did not answer (query): gone", notices=notices)):
        compare_screens("running", monkeypatch)


def test_many_tasks_fit_on_a_screen(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(written)
    for number in range(3, 60):
        label = f"train fold {number}"
        written.tasks.append(PlannedTask(id=f"train-{number:020d}", kind="train", label=label))
        written.is_in(label, "running" if number % 2 else "queued", step=Step(done=number, total=60))
    written.is_in("train fold 0", "failed", reason="class `s` has no events")
    with driven(written.write(site="")):
        compare_screens("many", monkeypatch)


def test_a_run_that_nobody_drives(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its tasks do now is not known."""
    begin(written)
    written.is_in("train fold 0", "running", step=EPOCH)
    written.is_in("train fold 1", "failed", reason="an old failure")
    written.write(silent="an old silence")
    compare_screens("lost", monkeypatch)
    written.note("left")
    written.write()
    assert "Nobody drives this run now: `gridloom resume" in screen(monkeypatch, width=100, terminal=True)
    written.records[-1:] = []
    written.note("interrupted")
    written.write()
    assert f"`gridloom resume {NAME}` goes on." in screen(monkeypatch, width=100, terminal=True)


def test_a_finished_run(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(written)
    written.is_done(*(f"train fold {number}" for number in range(3)))
    written.note("finished", at=NOW - 100)
    written.write(site="")
    compare_screens("finished", monkeypatch)


def test_a_failed_run(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(written)
    written.note("failed", "train fold 1", reason="the loss is not finite")
    written.is_in("train fold 1", "failed", host="node1", reason="the loss is not finite\nin epoch 3")
    written.write(notices=("train fold 1 failed",))
    compare_screens("failed", monkeypatch)


def test_a_run_that_was_not_begun(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    run = written.write()
    (run.folder / "journal.jsonl").unlink()
    (run.folder / "live.json").unlink()
    (run.folder / "how.json").unlink()
    shown = screen(monkeypatch, width=100, terminal=False)
    assert shown.splitlines()[0] == f"{NAME}  new  0:00"
    assert "0/3" in shown


def test_watching_ends_with_the_run(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the screen is drawn again and again while somebody drives the run."""
    begin(written)
    run = written.write()
    stream = io.StringIO()
    console = Console(file=stream, width=100, height=40, force_terminal=True, color_system=None)
    monkeypatch.setattr(watch_command, "output", lambda: console)
    drawn: list[float] = []

    with ExitStack() as stack:
        stack.enter_context(driven(run))

        def sleep(seconds: float) -> None:
            drawn.append(seconds)
            if len(drawn) == 3:
                stack.close()

        monkeypatch.setattr("gridloom.cli.watch.time.sleep", sleep)
        watch(run=NAME[:5], runs=Path("runs"))
    assert drawn == [1.0] * 3
    assert f"{NAME}  running" in stream.getvalue()
    assert f"{NAME}  lost" in stream.getvalue()


def test_watching_can_be_left(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    run = written.write()
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    monkeypatch.setattr(watch_command, "output", lambda: console)

    def sleep(seconds: float) -> None:
        raise Interrupted("stopped on request")

    monkeypatch.setattr("gridloom.cli.watch.time.sleep", sleep)
    with driven(run):
        watch(run=None, runs=Path("runs"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0:00"), (0.4, "0:00"), (59.6, "1:00"), (125, "2:05"), (3600, "1:00:00"), (90061, "25:01:01")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# --- logs -------------------------------------------------------------------------------------------------------------
def attempt(written: Written, label: str, token: str, files: dict[str, str]) -> Path:
    folder = written.folder / "logs" / f"{label.replace(' ', '-')}-{token}"
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def logged(written: Written) -> Written:
    """Two attempts at one task, one at another, none at the third; and a batch, which is no attempt."""
    begin(written)
    written.note("submitting", "train fold 0", token="new")
    written.note("submitted", "train fold 0", token="new", job="8.0")
    written.note("evicted", "train fold 1", token="t1")
    written.records = [record for record in written.records if record.task != written.id_of("train fold 2")]
    attempt(written, "train fold 0", "t0", {LOG_FILE: "the old attempt\n"})
    text = {LOG_FILE: "one\ntwo [red]no markup[/red]\nthree\n", ERROR_FILE: "[]", "job.out": "", "task.json": "{}"}
    attempt(written, "train fold 0", "new", text)
    attempt(written, "train fold 1", "t1", {})
    (written.folder / "logs" / "batch-new").mkdir()
    written.write()
    return written


def show(task: str | None = None, lines: int = 0) -> None:
    logs(run=NAME, task=task, runs=Path("runs"), lines=lines)


def test_where_logs_are(logged: Written, capsys: pytest.CaptureFixture[str]) -> None:
    logged.tasks.append(PlannedTask(id="train-9", kind="train", label="train [red]fold[/red]"))
    logged.write()
    show()
    rows = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["task", "attempts", "log"]
    assert ["train fold 0", "2", f"runs/{NAME}/logs/train-fold-0-new"] in rows
    assert ["train fold 1", "1", f"runs/{NAME}/logs/train-fold-1-t1"] in rows
    assert ["train fold 2", "0", "-"] in rows
    assert ["train [red]fold[/red]", "0", "-"] in rows


@pytest.mark.parametrize("name", ["train fold 0", "train-00000000000000000002"])
def test_the_log_of_the_newest_attempt(name: str, logged: Written, capsys: pytest.CaptureFixture[str]) -> None:
    show(name)
    shown = capsys.readouterr()
    assert shown.out == "one\ntwo [red]no markup[/red]\nthree\n[]\n"
    folder = f"runs/{NAME}/logs/train-fold-0-new"
    assert shown.err.splitlines() == [f"--- {folder}/output.log", f"--- {folder}/error.json"]


def test_the_last_lines(logged: Written, capsys: pytest.CaptureFixture[str]) -> None:
    show("train fold 0", lines=2)
    assert capsys.readouterr().out == "two [red]no markup[/red]\nthree\n[]\n"


def test_an_attempt_that_has_printed_nothing(logged: Written, capsys: pytest.CaptureFixture[str]) -> None:
    show("train fold 1")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"It has printed nothing: runs/{NAME}/logs/train-fold-1-t1.\n"
    shutil.rmtree(logged.folder / "logs" / "train-fold-0-new")
    attempt(logged, "train fold 0", "new", {})
    show("train fold 0")
    assert "a log comes back when the job ends" in capsys.readouterr().err


def test_names_of_no_task(logged: Written) -> None:
    with pytest.raises(NotFound, match="no task `train fold 9`") as caught:
        show("train fold 9")
    assert "`train fold 0`, `train fold 1`" in caught.value.fix
    with pytest.raises(NotFound, match="`train fold 2` has not been tried in this run"):
        show("train fold 2")
    # It was tried, and somebody has removed its folder.
    shutil.rmtree(logged.folder / "logs")
    with pytest.raises(NotFound, match="has not been tried"):
        show("train fold 0")


# --- cancel -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("event", ["finished", "failed", "interrupted", ""])
def test_nothing_to_cancel(event: str, written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    if event:
        written.note("started")
        written.note(event)
    written.write()
    cancel_command.cancel(run=None, runs=Path("runs"))
    assert capsys.readouterr().out == f"Nothing to cancel: runs/{NAME} is {event or 'new'}.\n"


@pytest.mark.parametrize("event", ["started", "left"])
def test_jobs_that_go_on_are_cancelled(
    event: str, written: Written, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, Path]] = []

    def cancel_run(run: Run, runs: Runs, environ: object) -> int:
        asked.append((run.folder.name, runs.root))
        return 12

    monkeypatch.setattr(cancel_command, "cancel_run", cancel_run)
    written.note("submitting", "train fold 0", token="aa")
    written.note(event)
    written.write()
    cancel_command.cancel(run=NAME, runs=Path("runs"))
    assert asked == [(NAME, Path("runs"))]
    shown = capsys.readouterr()
    assert shown.out == f"Cancelled after 12 s: `gridloom resume {NAME}` goes on from what was saved.\n"
    assert "running ones save what they have" in shown.err


# --- progress ---------------------------------------------------------------------------------------------------------
def changed(state: Any, **more: Any) -> TaskChanged:
    return TaskChanged(task="a", kind="train", label="train fold 0", state=state, **more)


EVENTS: tuple[Event, ...] = (
    RunStarted(name="toy-0123", folder=Path("runs/toy-0123"), tasks=4, done=1),
    EngineSilent(reason="schedd is away"),
    EngineSilent(reason="", back=True),
    changed("running", host="node1"),
    changed("queued", reason="preempted by a better one"),
    changed("resumed", host="node2", reason="3.2 s of work are done again"),
    changed("running", host="node2", progress=Progress(done=1, total=4)),
    changed("held", reason="memory [200 MB]\nof 100 MB"),
    changed("queued"),
    changed("running", host="node3"),
    changed("cancelled", reason="on request"),
    JobsLeft(jobs=3),
)


def test_lines_of_batch_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    listener = Lines(Console(file=text, width=200))
    for event in EVENTS:
        listener(event)
    assert text.getvalue().splitlines() == [
        "run toy-0123: 4 tasks, 1 done already",
        "no answer, asking again: schedd is away",
        "the batch system answers again",
        "[1/4] train fold 0 begins on node1",
        "[1/4] train fold 0 queued: preempted by a better one",
        "[1/4] train fold 0 resumed: 3.2 s of work are done again",
        "[1/4] train fold 0 begins on node2",
        "[1/4] train fold 0 held: memory [200 MB]",
        "[1/4] train fold 0 cancelled: on request",
    ]


def test_bars_of_batch_jobs() -> None:
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=True, color_system=None)
    with RichProgress(console=console, auto_refresh=False) as bars:
        bars.add_task("looking at the files", total=None, text="")
        listener = Bars(bars)
        shown = []
        for event in EVENTS:
            listener(event)
            shown.append(len(bars.tasks) - 1)
    assert shown == [0, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]
    said = text.getvalue()
    for words in ("no answer, asking again: schedd is away", "train fold 0 held: memory [200 MB]", "resumed: 3.2 s"):
        assert words in said
    assert "leaving" not in said


def test_leaving_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    stop = StopRequest()
    with pytest.raises(Interrupted), leaving(stop):
        raise Interrupted("stopped on request")
    stop.left = True
    with pytest.raises(typer.Exit) as caught, leaving(stop):
        raise Interrupted("left, while 2 jobs go on", fix="`gridloom resume` goes on.")
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err == "Left, while 2 jobs go on: `gridloom resume` goes on.\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("engine", "told"),
    [("", "Stopping: running tasks save what they have."), ("local", "Stopping"), ("slurm", "Leaving.")],
)
def test_a_signal_is_a_request_to_stop(
    number: int, engine: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also that of a terminal that is closed; what the signal meant before, it means afterwards."""
    before = signal.getsignal(number)
    stop = StopRequest()
    site = LoadedSite(name="there", site=Site(engine=engine)) if engine else None
    with stopping(stop, Settings(runs=Runs(tmp_path), site=site)):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    assert stop.times == 2
    assert capsys.readouterr().err.startswith(told)
    assert signal.getsignal(number) is before


# --- for real ---------------------------------------------------------------------------------------------------------
ANALYSIS = """\
gridloom: 1
name: toy
samples:
  signal: {files: signal.root, class: signal, weight: genWeight}
  background: {files: background.root, class: background, weight: 1}
features: [MET_pt, Lepton_pt]
target: {signal: signal}
folds: 3
"""


def gridloom(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "gridloom", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1", **variables},
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_sample(folder / "signal.root", events=60, seed=1, signal=True)
    write_sample(folder / "background.root", events=60, seed=2, first_event=1000)
    return folder


@pytest.fixture
def home(samples: Path, tmp_path: Path) -> Path:
    shutil.copytree(samples, tmp_path / "project")
    (tmp_path / "project" / "toy.yaml").write_text(ANALYSIS)
    return tmp_path


def test_a_run_in_the_background_is_watched_cancelled_and_resumed(home: Path) -> None:
    """From beside the project, and then from anywhere: the run knows how it is done."""
    slow = ("--kinds", "gridloom.testing.kinds:SLOW", "--jobs", "1")
    begun = gridloom(home, "run", "project/toy.yaml", "--detach", *slow)
    assert begun.returncode == 0, begun.stderr
    (run,) = home.glob("runs/toy-*")
    match = re.match(rf"{run.name} goes on in the background \(process (\d+), log runs/.*/driver\.log\)", begun.stdout)
    assert match is not None
    driver = int(match[1])
    assert os.getsid(driver) == driver  # a closed terminal does not end it
    until(lambda: list(home.glob("runs/.store/*.scratch/count")))
    shown = gridloom(Path("/"), "watch", str(run), "--once", "--runs", str(home / "runs"))
    assert shown.stdout.startswith(f"{run.name}  running  driven by process {driver} on {socket.gethostname()}")
    assert gridloom(home, "resume", run.name, "--detach").returncode == 53

    cancelled = gridloom(home, "cancel", run.name)
    assert cancelled.returncode == 0
    assert re.fullmatch(rf"Cancelled after \d+ s: `gridloom resume {run.name}` goes on .*\n", cancelled.stdout)
    until(lambda: not is_alive(driver))
    assert gridloom(home, "cancel", run.name).stdout == f"Nothing to cancel: runs/{run.name} is interrupted.\n"
    assert "error[Interrupted]" in (run / "driver.log").read_text()
    assert any(int(path.read_text()) > 0 for path in home.glob("runs/.store/*.scratch/count"))

    # The slow kinds would take their time: what was written down is changed, and found.
    how = json.loads((run / "how.json").read_text())
    assert {name: value for name, value in how.items() if value} == {"jobs": 1, "kinds": "gridloom.testing.kinds:SLOW"}
    (run / "how.json").write_text(json.dumps({**how, "jobs": 2, "kinds": "gridloom.testing.kinds:TINY"}))
    resumed = gridloom(Path("/"), "resume", str(run), "--runs", str(home / "runs"))
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == f"Report: {run.relative_to('/')}/report/index.html\n"
    assert "[10/10] report done" in resumed.stderr
    again = gridloom(home, "resume", run.name, "--detach")
    assert again.returncode == 0
    assert "goes on in the background" in again.stdout
    until(lambda: "Nothing to do" in (run / "driver.log").read_text())


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_whose_files_have_changed_says_so(home: Path) -> None:
    begun = gridloom(home, "run", "project/toy.yaml", "--kinds", "gridloom.testing.kinds:BROKEN")
    assert begun.returncode == 55
    (run,) = home.glob("runs/toy-*")
    write_sample(home / "project" / "background.root", events=50, seed=3, first_event=1000)
    failed = gridloom(home, "resume", run.name)
    assert failed.returncode == 52
    assert "cannot go on as it was planned" in failed.stderr
    assert f"`gridloom run {home / 'project' / 'toy.yaml'}` makes a new run" in failed.stderr


# --- a site with an installed engine ----------------------------------------------------------------------------------
_ENGINE = """
from pydantic import BaseModel, ConfigDict
from gridloom.engines import EngineKind
from gridloom.testing.kinds import TINY
from gridloom.testing.pool import ToyPool
from gridloom.worker.tasks import Hooks, perform

class Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    queue: str

def work(job):
    with open("done.txt", "a") as stream:
        stream.write(f"{job.task.label}|{job.task.resources.memory_mb}|{job.task.folder}\\n")
    perform(job, Hooks(stop=lambda: False, progress=lambda progress: None), kinds=TINY)

def make(site, options, folder, kinds):
    assert options.queue == "fast" and kinds.endswith(":TINY") and folder.name == "logs"
    return ToyPool(work=work)

KIND = EngineKind(options=Options, shared_folder=True, make=make)
"""
_SITES = """\
gridloom: 1
sites:
  toys: {engine: toy, options: {queue: fast}, resources: {train: {memory: 3 GB}}, limits: {jobs: 4}}
  wrong: {engine: toy, options: {queue: fast, queu: fast}}
"""


@pytest.fixture
def toys(home: Path) -> dict[str, str]:
    """An installed package with an engine, sites that use it, and an analysis with code of its own."""
    package = home / "installed"
    (package / "toy_engine-1.dist-info").mkdir(parents=True)
    (package / "toy_engine-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-engine\nVersion: 1\n"
    )
    (package / "toy_engine-1.dist-info" / "entry_points.txt").write_text("[gridloom.engines]\ntoy = toy_engine:KIND\n")
    (package / "toy_engine.py").write_text(_ENGINE)
    (home / "project" / "sites.yaml").write_text(_SITES)
    (home / "project" / "my_network.py").write_text("import my_layers\ndef build(inputs): ...\n")
    (home / "project" / "my_layers.py").write_text("SIZE = 3\n")
    (home / "project" / "toy.yaml").write_text(ANALYSIS + "model: {function: my_network:build}\n")
    return {"PYTHONPATH": str(package)}


def test_a_whole_run_at_a_site_of_an_installed_engine(home: Path, toys: dict[str, str]) -> None:
    """Found beside the analysis, with what the site asks for, and on a copy of the user's code."""
    command = ("run", "project/toy.yaml", "--kinds", "gridloom.testing.kinds:TINY", "--site", "toys")
    done = gridloom(home, *command, **toys)
    assert done.returncode == 0, done.stderr
    (run,) = home.glob("runs/toy-*")
    assert "[11/11] report done" in done.stderr
    jobs = dict(line.split("|", 1) for line in (home / "done.txt").read_text().splitlines())
    assert len(jobs) == 11
    memory, folder = jobs["train fold 0"].split("|")
    assert memory == "3000"
    assert Path(folder).parent == run / "code"
    assert sorted(path.name for path in Path(folder).iterdir()) == ["my_layers.py", "my_network.py"]
    assert jobs["prepare signal"].split("|")[0] != "3000"
    assert json.loads((run / "how.json").read_text())["site"] == "toys"
    assert "site: toys" in gridloom(home, "status", "toy").stdout
    assert gridloom(home, "resume", "toy", **toys).stdout.startswith("Nothing to do: runs/toy-")


@pytest.mark.parametrize(
    ("site", "code", "words"),
    [
        ("toy", 58, "error[SiteProblem] no site `toy`"),
        ("wrong", 11, "error[UnknownKey] project/sites.yaml:4:47: the engine `toy` has no option `queu`"),
    ],
)
def test_what_is_wrong_with_a_site_is_told_with_its_place(
    site: str, code: int, words: str, home: Path, toys: dict[str, str]
) -> None:
    done = gridloom(home, "run", "project/toy.yaml", "--site", site, **toys)
    assert done.returncode == code
    assert words in done.stderr
    assert not (home / "done.txt").exists()
