"""A parent and its one child, as real processes: signals in, a request to save passed on, the end within the grace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gridloom.worker.parent import Family, Limits

# A child that does what its first argument says; the parent prints how it ended and which steps it heard.
_FAMILY = """
import json, os, signal, sys, time
from gridloom.messages import Step
from gridloom.worker.parent import Family, Limits

deed, grace, wall, planned = sys.argv[1], *map(float, sys.argv[2:])
asked = []

def listen():
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: asked.append(1))

def step(pipe, done):
    os.write(pipe, Step(done=done, total=10).line())

def child(pipe):
    if deed == "late":
        os.write(1, b"begun\\n")
        time.sleep(0.6)
    listen()
    if deed != "late":
        os.write(1, b"begun\\n")
    if deed.isdigit():
        os._exit(int(deed))
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "steps":
        for number in range(5):
            step(pipe, number)
        os.write(pipe, b'{"done": 9, "tot')
        time.sleep(0.25)
        os.write(pipe, b'al": 10}\\nnonsense\\n')
        time.sleep(0.25)
        step(pipe, 10)
        os.close(pipe)
        time.sleep(0.25)
        os._exit(0)
    if deed == "flood":
        for number in range(2000):
            try:
                step(pipe, number)
            except BlockingIOError:
                time.sleep(0.001)
        os._exit(0)
    if deed == "deaf":
        time.sleep(60)
    while not asked:
        time.sleep(0.02)
    if deed == "slow":
        time.sleep(0.8)
    os._exit(130)

heard = []
ending = Family(child, Limits(grace=grace, wall=wall, planned=planned), lambda step: heard.append(step.done)).live()
print(json.dumps([ending.code, ending.asked, ending.reason, ending.memory_mb, heard]))
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    asked: bool
    reason: str
    memory_mb: float
    heard: list[float]
    seconds: float


def family(
    deed: str, *signals: int, grace: float = 60, wall: float = 0, planned: float = 0, pauses: Sequence[float] = ()
) -> Ended:
    """Run a family, and send the parent signals once the child has begun."""
    command = [sys.executable, "-c", _FAMILY, deed, str(grace), str(wall), str(planned)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        started = time.monotonic()
        for number, pause in zip(signals, pauses or (0.0,) * len(signals), strict=True):
            time.sleep(pause)
            os.kill(process.pid, number)
        told = process.stdout.read()
        seconds = time.monotonic() - started
    assert process.returncode == 0
    code, asked, reason, memory, heard = json.loads(told)
    return Ended(code=code, asked=asked, reason=reason, memory_mb=memory, heard=heard, seconds=seconds)


@pytest.mark.parametrize(("deed", "code"), [("0", 0), ("52", 52), ("die", -9)])
def test_a_child_that_ends_by_itself(deed: str, code: int) -> None:
    ended = family(deed)
    assert (ended.code, ended.asked, ended.reason) == (code, False, "")
    assert ended.memory_mb > 5


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (signal.SIGTERM, "preempted"),
        (signal.SIGINT, "preempted"),
        (signal.SIGUSR1, "removed"),
        (signal.SIGUSR2, "wall time"),
    ],
)
def test_a_signal_is_passed_on_with_its_reason(number: int, reason: str) -> None:
    ended = family("wait", number)
    assert (ended.code, ended.asked, ended.reason) == (130, True, reason)


def test_the_first_reason_counts() -> None:
    ended = family("slow", signal.SIGUSR2, signal.SIGTERM, pauses=(0, 0.3))
    assert (ended.code, ended.reason) == (130, "wall time")


def test_a_child_that_does_not_listen_is_ended_within_the_grace() -> None:
    ended = family("deaf", signal.SIGTERM, grace=1)
    assert (ended.code, ended.asked, ended.reason) == (-9, True, "preempted")
    assert ended.seconds < 30  # it would have slept for a minute


class Clock:
    """Time as a test says."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_part_of_the_grace_is_kept_for_what_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state is still to be brought to safety when the child is ended; a second signal does not put that off."""
    clock, sent = Clock(), list[tuple[float, int]]()
    monkeypatch.setattr("gridloom.worker.parent.time", clock)
    monkeypatch.setattr("gridloom.worker.parent.os.kill", lambda pid, number: sent.append((clock.now, number)))
    family = Family(lambda pipe: os._exit(0), Limits(grace=20), lambda step: None)
    family._heed(1, bytes([signal.SIGCHLD, signal.SIGTERM]))
    for clock.now in range(101, 117):
        if clock.now == 110:
            family._heed(1, bytes([signal.SIGTERM]))
        family._look_at_the_clock(1)
    kills = [at for at, number in sent if number == signal.SIGKILL]
    assert kills[0] == 116
    # Asked at once, and again now and then.
    asked = [at for at, number in sent if number == signal.SIGTERM]
    assert asked[0] == 100
    assert len(asked) > 3


def test_a_child_that_does_not_listen_yet_is_asked_again() -> None:
    """Between the fork and its first line a child has its parent's handlers: a signal then would be lost."""
    ended = family("late", signal.SIGTERM)
    assert (ended.code, ended.reason) == (130, "preempted")


def test_a_planned_save_has_no_deadline() -> None:
    ended = family("slow", grace=0.4, planned=0.2)
    assert (ended.code, ended.asked, ended.reason) == (130, True, "planned")


def test_a_signal_during_a_planned_save_counts_more() -> None:
    ended = family("slow", signal.SIGTERM, planned=0.2, pauses=(0.9,))
    assert (ended.code, ended.reason) == (130, "preempted")


def test_the_wall_time_is_watched() -> None:
    ended = family("wait", wall=1.0)
    assert (ended.code, ended.reason) == (130, "wall time")
    assert ended.seconds > 0.5


def test_the_newest_step_is_heard() -> None:
    """Of several at once only the last; a line that is not whole waits, and one that is none is passed over."""
    ended = family("steps")
    assert ended.code == 0
    assert sorted(ended.heard) == ended.heard
    assert ended.heard[-2:] == [4, 10]
    assert set(ended.heard) <= {0, 1, 2, 3, 4, 10}


def test_a_flood_of_steps_stops_nobody() -> None:
    ended = family("flood")
    assert ended.code == 0
    assert ended.heard[-1] > 1900


@pytest.mark.parametrize(
    ("limits", "running", "due"),
    [
        (Limits(grace=10), 1e9, ""),
        # Twice the grace before the end, but never more than a tenth of the time is given up.
        (Limits(grace=10, wall=1000), 979, ""),
        (Limits(grace=10, wall=1000), 981, "wall time"),
        (Limits(grace=100, wall=1000), 899, ""),
        (Limits(grace=100, wall=1000), 901, "wall time"),
        (Limits(grace=10, planned=60), 59, ""),
        (Limits(grace=10, planned=60), 61, "planned"),
        (Limits(grace=10, wall=50, planned=60), 61, "wall time"),
    ],
)
def test_when_to_leave(limits: Limits, running: float, due: str) -> None:
    assert limits.due(running) == due
