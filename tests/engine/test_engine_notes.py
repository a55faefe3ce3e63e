"""What a job says of itself, folded: how often it began, where, how far it is, how it left, what a restart cost."""

from __future__ import annotations

from pathlib import Path

import pytest

from gridloom.engines.notes import Heard, NotesReader, parse_note
from gridloom.messages import Note, Step


def began(at: float, *, saved: float | None = None, host: str = "node1") -> Note:
    return Note(kind="began", at=at, host=host, job="7_1", saved=saved)


def progress(at: float, done: float = 1) -> Note:
    return Note(kind="progress", at=at, step=Step(done=done, total=10))


def left(at: float, reason: str, code: int, host: str = "") -> Note:
    return Note(kind="left", at=at, reason=reason, exit_code=code, host=host)


def heard(*notes: Note) -> Heard:
    found = Heard()
    for note in notes:
        found.hear(note)
    return found


def test_a_job_that_has_said_nothing() -> None:
    found = heard()
    assert (found.began, found.host, found.progress, found.left, found.restarts) == (None, "", None, None, 0)


def test_where_a_job_is_and_how_far() -> None:
    found = heard(began(100), progress(101, 3), progress(102, 4))
    assert (found.began, found.host, found.job, found.last) == (100, "node1", "7_1", 102)
    assert found.progress is not None
    assert (found.progress.done, found.progress.total) == (4, 10)
    assert found.restarts == 0
    assert found.left is None


@pytest.mark.parametrize(
    ("notes", "restarts", "lost"),
    [
        # It saved at 150 and was ended at 160.
        ((began(100), progress(155), left(160, "preempted", 143), began(200, saved=150)), 1, 10),
        # It was killed without a word: what it did since it saved is lost.
        ((began(100), progress(155), began(200, saved=150)), 1, 5),
        # It had saved nothing: all is done anew.
        ((began(100), progress(155), began(200)), 1, 55),
        # It saved when it was asked to: nothing is lost.
        ((began(100), left(160, "preempted", 143), began(200, saved=160.5)), 1, 0),
        # Twice, the second time from the same state: the work of the second start is lost, and not the time it waited.
        ((began(100), progress(155), began(200, saved=150), progress(210), began(300, saved=150)), 2, 10),
        # It went on from what another job had saved long before.
        ((began(1000, saved=100), progress(1007), began(1100, saved=100)), 1, 7),
        # A planned save is part of the plan.
        ((began(100), left(160, "planned", 85), began(161, saved=160)), 0, None),
        ((began(100), left(160, "planned", 85), began(161, saved=160), progress(170), began(200, saved=165)), 1, 5),
    ],
)
def test_restarts_and_what_they_cost(notes: tuple[Note, ...], restarts: int, lost: float | None) -> None:
    found = heard(*notes)
    assert (found.restarts, found.lost_seconds) == (restarts, lost)
    assert found.left is None


@pytest.mark.parametrize(
    ("notes", "lost"),
    [
        ((), None),
        ((began(100), progress(150)), None),
        ((left(10, "a wrong environment", 60),), None),
        ((began(100), left(160, "preempted", 143)), 60),
        ((began(100), Note(kind="left", at=160, saved=160, exit_code=143)), 0),
        ((began(100), Note(kind="left", at=160, saved=150, exit_code=143)), 10),
        ((began(100, saved=20), Note(kind="left", at=160, saved=20, exit_code=137)), 60),
        # A restart that was told of already is not counted again.
        ((began(100), progress(155), began(200), Note(kind="left", at=260, saved=255, exit_code=143)), 5),
    ],
)
def test_what_the_end_of_a_job_cost(notes: tuple[Note, ...], lost: float | None) -> None:
    assert heard(*notes).lost_at_end == lost


def test_a_restart_elsewhere_is_seen() -> None:
    assert heard(began(100), began(200, host="node2")).host == "node2"


def test_how_it_left() -> None:
    found = heard(began(100), left(160, "wall time", 143))
    assert found.left is not None
    assert (found.left.reason, found.left.exit_code, found.host) == ("wall time", 143, "node1")
    assert heard(left(10, "a wrong environment", 60, host="node3")).host == "node3"


def test_lines_that_are_none() -> None:
    assert parse_note(began(1).line()) == began(1)
    for line in (b"", b"{", b"[]", b'{"kind": "sang", "at": 1}', b'{"kind": "began"}', b"\xff\xfe", "words"):
        assert parse_note(line) is None


@pytest.mark.parametrize("cut", [1, 2, 10, 40])
def test_a_torn_line_waits_for_its_rest(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "notes.jsonl"
    reader = NotesReader(path)
    assert reader.look().began is None
    first, second = began(100).line(), progress(101, 5).line()
    path.write_bytes(first + second[:-cut])
    assert reader.look().began == 100
    assert reader.look().progress is None
    path.write_bytes(first + second)
    found = reader.look().progress
    assert found is not None
    assert found.done == 5


def test_lines_are_heard_once_and_bad_ones_passed_over(tmp_path: Path) -> None:
    """A full disk cuts lines short: what comes after them counts."""
    path = tmp_path / "notes.jsonl"
    reader = NotesReader(path)
    for number in range(3):
        with path.open("ab") as stream:
            stream.write(b'{"kind": "beg\n' + began(number, saved=0).line())
        assert reader.look().restarts == number
    assert reader.look().restarts == 2
