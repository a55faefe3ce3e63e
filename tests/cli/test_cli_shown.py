"""What the command line draws: errors, sizes, progress on a terminal and in a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress

from gridloom.analysis.models import Analysis
from gridloom.cli.check import branches_read
from gridloom.cli.console import new_table, output, print_error, short_id, shown_path, size_text
from gridloom.cli.progress import Bars, Lines, progress, step_text
from gridloom.cli.status import _task_state
from gridloom.crash import write_crash_log
from gridloom.driver.events import Event, Listener, ResultDamaged, RunStarted, Stopping, TaskChanged
from gridloom.driver.live import LiveTask
from gridloom.driver.runs import Shown
from gridloom.errors import DamagedResult, Problems, UnknownKey
from gridloom.journal import TaskRecord, TaskState
from gridloom.task import Progress


def test_errors_are_shown_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    first = UnknownKey("unknown key `a[b]`", where="x.yaml:3:5", fix="Did you mean `c`?\nOr `d`?")
    print_error(Problems([first, UnknownKey("unknown key `e`")]))
    assert capsys.readouterr().err == (
        "error[UnknownKey] x.yaml:3:5: unknown key `a[b]`\n  Did you mean `c`?\n  Or `d`?\n"
        "error[UnknownKey] unknown key `e`\n"
    )


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2e9, "2.0 GB"), (3e15, "3000.0 TB")]
)
def test_sizes_are_for_people(size: float, text: str) -> None:
    assert size_text(size) == text


def test_paths_are_shown_as_they_would_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(Path("runs") / "a") == "runs/a"
    assert shown_path(tmp_path.parent) == str(tmp_path.parent)
    assert short_id("prepare-0123456789abcdef") == "prepare-01234567"


def test_tables_are_not_cut_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    table = new_table("name", "value")
    table.add_row("x" * 90, "y" * 90)
    output().print(table)
    assert "x" * 90 in capsys.readouterr().out


State = Literal["waiting", "running", "done", "failed", "retried", "saved"]


def changed(state: State, *, progress: Progress | None = None, reason: str = "") -> TaskChanged:
    return TaskChanged(task="a", kind="train", label="train fold 0", state=state, progress=progress, reason=reason)


STEP = Progress(done=3, total=10, text="epoch 3/10", values={"loss": 0.123456})
EVENTS: tuple[Event, ...] = (
    RunStarted(name="toy-0123", folder=Path("runs/toy-0123"), tasks=4, done=1),
    changed("running"),
    changed("running", progress=STEP),
    changed("retried", reason="the worker was lost"),
    changed("waiting"),
    changed("running", progress=STEP),
    changed("done"),
    ResultDamaged(task="b", label="prepare", error=DamagedResult("bad digest", where="f"), aside=Path("g")),
    Stopping(reason="train failed", running=1),
    Stopping(reason="asked to stop", running=2, at_once=True),
)


def tell(listener: Listener) -> None:
    for event in EVENTS:
        listener(event)


def test_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gridloom.cli.progress._EVERY", 0.0)
    text = io.StringIO()
    tell(Lines(Console(file=text, width=200)))
    assert text.getvalue().splitlines() == [
        "run toy-0123: 4 tasks, 1 done already",
        "[1/4] train fold 0 begins",
        "[1/4] train fold 0 30% epoch 3/10  loss 0.1235",
        "[1/4] train fold 0 retried: the worker was lost",
        "[1/4] train fold 0 begins",
        "[2/4] train fold 0 done",
        "prepare: bad digest (f); set aside, computed again",
        "train failed: 1 running task is asked to save or let finish",
        "asked to stop: 2 running tasks are ended",
    ]


def test_bars_on_a_terminal() -> None:
    text = io.StringIO()
    console = Console(file=text, width=120, force_terminal=True, color_system=None)
    with RichProgress(console=console, auto_refresh=False) as bars:
        bars.add_task("looking at the files", total=None, text="")
        listener = Bars(bars)
        for event in EVENTS[:3]:
            listener(event)
        whole, row = bars.tasks
        assert (whole.description, whole.total, whole.completed) == ("toy-0123", 4, 1)
        assert (row.description, row.completed, row.fields["text"]) == ("train fold 0", 3, "epoch 3/10  loss 0.1235")
        for event in EVENTS[3:]:
            listener(event)
        (whole,) = bars.tasks
        assert whole.completed == 2
    shown = text.getvalue()
    assert "train fold 0 retried: the worker was lost" in shown
    assert "asked to stop: 2 running tasks are ended" in shown


@pytest.mark.parametrize("terminal", [True, False])
def test_the_listener_fits_the_output(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal)
    monkeypatch.setattr("gridloom.cli.progress.errors", lambda: console)
    with progress() as listener:
        assert isinstance(listener, Bars if terminal else Lines)
        tell(listener)


def test_a_step_without_values() -> None:
    assert step_text(Progress(done=0, total=1)) == ""


@pytest.mark.parametrize(
    ("record", "live", "there", "run", "text"),
    [
        (None, None, True, "finished", "done"),
        (None, None, False, "running", "waiting"),
        ("submitted", "running", False, "running", "running"),
        ("submitted", "held", False, "running", "held"),
        ("submitted", None, False, "running", "queued"),
        ("submitted", "running", False, "left", "at the site"),
        ("submitted", "running", False, "lost", "lost"),
        ("done", None, False, "running", "removed"),
        ("failed", None, False, "failed", "failed"),
    ],
)
def test_states_of_tasks(record: TaskState | None, live: str | None, there: bool, run: Shown, text: str) -> None:
    known = None if record is None else TaskRecord(state=record)
    going = None if live is None else LiveTask(state=live, since=0)
    assert _task_state(known, going, there=there, run=run) == text


def test_branches_of_definitions_count() -> None:
    analysis = Analysis.model_validate(
        {
            "gridloom": 1,
            "name": "a",
            "samples": {"s": {"files": "a.root", "class": "s", "weight": "w * ht"}},
            "definitions": {"ht": "Sum$(Jet_pt)"},
            "features": ["ht", "x"],
            "target": {"signal": "s"},
            "event_id": "entry",
        }
    )
    assert branches_read(analysis, "s") == {"w", "Jet_pt", "x"}


def test_a_crash_log_holds_the_traceback() -> None:
    try:
        raise ValueError("the unforeseen")
    except ValueError as error:
        path = write_crash_log(error)
    assert "Traceback" in path.read_text()
    path.unlink()
