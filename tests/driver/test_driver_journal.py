"""The journal survives torn lines, and one driver at a time holds a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gridloom.errors import DamagedResult, RunLocked
from gridloom.journal import JOURNAL, LEASE, Journal, Record, TaskRecord, history, holder, lease, read_journal


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with lease(tmp_path) as journal:
        journal.write("started")
        journal.write("submitting", task="a", token="t1")
        journal.write("submitted", task="a", token="t1", job="7")
        journal.write("evicted", task="a", token="t1", reason="killed")
        journal.write("submitting", task="a", token="t2")
        journal.write("failed", task="b", reason="no", error={"kind": "EmptyClass"})
    found = history(read_journal(tmp_path / JOURNAL))
    assert found.state == "failed"
    assert found.tasks["a"] == TaskRecord(state="submitted", attempts=2, token="t2", job="7", evictions=1)
    assert found.tasks["b"].reason == "no"
    assert found.fence == 1
    assert found.last > 0


def test_a_run_without_a_journal_is_new(tmp_path: Path) -> None:
    assert history(read_journal(tmp_path / JOURNAL)).state == "new"
    assert holder(tmp_path) is None


@pytest.mark.parametrize("cut", range(1, 30))
def test_a_torn_last_line_is_left_out_and_then_removed(tmp_path: Path, cut: int) -> None:
    path = tmp_path / JOURNAL
    journal = Journal(path, 1)
    journal.write("started")
    journal.write("done", task="a")
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [record.event for record in read_journal(path)] == ["started"]
    journal = Journal(path, 2)
    journal.write("finished")
    journal.close()
    assert [record.event for record in read_journal(path)] == ["started", "finished"]


def test_a_bad_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text('{"at": 1}\n')
    with pytest.raises(DamagedResult, match="line"):
        read_journal(tmp_path / JOURNAL)


def test_lines_of_a_driver_that_lost_its_lease_count_no_more() -> None:
    records = [
        Record(at=1, fence=1, event="started"),
        Record(at=2, fence=2, event="started"),
        Record(at=3, fence=1, event="failed", task="a"),
        Record(at=4, fence=2, event="finished"),
    ]
    found = history(records)
    assert (found.state, found.tasks, found.last) == ("finished", {}, 4)


def test_each_driver_has_a_higher_fence(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with lease(tmp_path) as journal:
            journal.write("started")
            assert journal.fence == number


def test_the_second_driver_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with lease(tmp_path):
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == os.getpid()
        with pytest.raises(RunLocked, match=f"process {os.getpid()} on "), lease(tmp_path):
            raise AssertionError
        (tmp_path / LEASE).write_text("")
        with pytest.raises(RunLocked, match="another process"), lease(tmp_path):
            raise AssertionError
        unnamed = holder(tmp_path)
        assert unnamed is not None
        assert unnamed.pid == 0
    assert holder(tmp_path) is None


def test_a_killed_driver_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from gridloom.journal import lease\n"
        "with lease(Path(sys.argv[1])) as journal: journal.write('started'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        found = holder(tmp_path)
        assert found is not None
        assert found.pid == process.pid
        process.kill()
    assert holder(tmp_path) is None
    with lease(tmp_path) as journal:
        assert journal.fence == 2
