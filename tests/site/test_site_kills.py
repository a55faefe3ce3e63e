"""A driver killed at random moments, also between submission and journal: the same result, and no job twice."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from site_runs import SiteRun, driver_script, independent, make_site, python_path, queued

pytestmark = pytest.mark.site
COUNT, STEPS = 6, 100


def start(folder: Path, site: str, *, die: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen(driver_script(folder, site, COUNT, STEPS, die=die), env=python_path())


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_between_submission_and_journal(site: str, tmp_path: Path) -> None:
    assert start(tmp_path / "run", site, die="submit").wait(120) == -signal.SIGKILL
    run = SiteRun(tmp_path / "run", make_site(site))
    assert not [record for record in run.records() if record.event == "submitted"]
    plan = independent("steps", COUNT, steps=STEPS)
    run.drive(plan)
    run.check_all_done(plan)
    assert queued(run.folder) == COUNT
    assert all(record.attempts == 1 for record in run.history().tasks.values())


@pytest.mark.parametrize("site", ["htcondor", "slurm"])
def test_ten_times_at_random_moments(site: str, tmp_path: Path) -> None:
    moments = random.Random(20)
    kills = 0
    for _ in range(10):
        driver = start(tmp_path / "run", site)
        try:
            driver.wait(moments.uniform(0.2, 1.6))
        except subprocess.TimeoutExpired:
            driver.kill()
            kills += 1
        driver.wait()
        time.sleep(moments.uniform(0, 0.5))
    run = SiteRun(tmp_path / "run", make_site(site))
    plan = independent("steps", COUNT, steps=STEPS)
    run.drive(plan)
    run.check_all_done(plan)
    assert kills >= 4
    assert queued(run.folder) == COUNT
    assert all(record.evictions == 0 for record in run.history().tasks.values())
