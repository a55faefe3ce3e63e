"""What goes wrong at a site ends as a user would hope, with a sentence that says what happened."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from site_runs import SiteRun, driver_script, independent, make_site, python_path, queued, say, service, until

from gridloom.driver.events import Event, TaskChanged
from gridloom.errors import NodeProblem, RunLocked, SubmissionRefused, TaskFailed
from gridloom.journal import JOURNAL, read_journal

pytestmark = pytest.mark.site
BOTH = pytest.mark.parametrize("site", ["htcondor", "slurm"])


def after(seconds: float, *deeds: Callable[[], object]) -> threading.Thread:
    """Do something after a while, then the next thing after as long again."""

    def do() -> None:
        for deed in deeds:
            time.sleep(seconds)
            deed()

    thread = threading.Thread(target=do)
    thread.start()
    return thread


@BOTH
def test_two_drivers_on_one_run(site: str, tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site(site))
    with subprocess.Popen(driver_script(run.folder, site, 2, 300), env=python_path()) as first:
        until(lambda: any(record.event == "submitted" for record in read_journal(run.folder / JOURNAL)))
        with pytest.raises(RunLocked, match=rf"driven by process {first.pid} on "):
            run.drive(independent("steps", 2, steps=300))
        assert first.wait(60) == 0
    run.check_all_done(independent("steps", 2, steps=300))
    assert queued(run.folder) == 2


def test_the_schedd_is_stopped_for_half_a_minute(tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site("htcondor"))
    plan = independent("steps", 4, steps=200)
    second = independent("steps", 8, steps=200)
    thread = after(1.5, lambda: service("schedd", "stop"))
    restart = after(31.5, lambda: service("schedd", "start"))
    try:
        run.drive(plan)
        run.drive(second)
    finally:
        thread.join()
        restart.join()
    run.check_all_done(second)
    assert all(record.state == "done" for record in run.history().tasks.values())
    assert queued(run.folder) == 8


def test_a_schedd_that_is_away_at_submission(tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site("htcondor"))
    plan = independent("write", 3)
    service("schedd", "stop")
    restart = after(12, lambda: service("schedd", "start"))
    try:
        run.drive(plan)
    finally:
        restart.join()
    run.check_all_done(plan)
    assert run.silences() == [False, True]
    assert queued(run.folder) == 3


def test_slurmctld_is_restarted(tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site("slurm"))
    plan = independent("steps", 4, steps=300)
    stop, start = after(2, lambda: service("slurmctld", "stop")), after(14, lambda: service("slurmctld", "start"))
    try:
        run.drive(plan)
    finally:
        stop.join()
        start.join()
    run.check_all_done(plan)
    # A command of Slurm may outwait a short absence by itself.
    assert run.silences() in ([], [False, True])
    assert queued(run.folder) == 4
    assert all(record.attempts == 1 for record in run.history().tasks.values())


# Fails on node1, however the scheduler tells a job where it is.
_REFUSE = (
    'node=$(sed -n \'s/^Machine = "\\(.*\\)"/\\1/p\' "$_CONDOR_MACHINE_AD" 2>/dev/null); '
    '[ "${node:-$SLURMD_NODENAME}" != node1 ]'
)


@BOTH
def test_a_node_that_fails_every_job(site: str, tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site(site, setup=[_REFUSE]))
    plan = independent("steps", 6, steps=20)
    run.drive(plan)
    run.check_all_done(plan)
    records = run.records()
    failed = [record for record in records if record.event == "evicted"]
    assert failed, "no job came to node1"
    assert all("setup command 1 of the site failed" in record.reason for record in failed)
    assert all("goes elsewhere than" in reason for reason in run.reasons("retried"))
    # Jobs that were under way already may still come to it; none is sent there twice.
    assert all(record.attempts <= 2 for record in run.history().tasks.values())


@BOTH
def test_nodes_that_all_fail_the_same_way_end_the_run(site: str, tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site(site, python="/no/such/python"))
    with pytest.raises(NodeProblem, match="there is no Python where the site says") as caught:
        run.drive(independent("write", 1))
    assert "node1" in caught.value.what
    assert "node2" in caught.value.what
    assert "Correct python: of the site." in caught.value.fix


@BOTH
def test_a_job_that_needs_more_memory(site: str, tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site(site, resources={"default": {"memory": 200, "wall": 3600}}))
    plan = independent("grow", 1)
    run.drive(plan)
    run.check_all_done(plan)
    said = [*run.reasons("held"), *run.reasons("retried")]
    assert any("it is given 400 MB instead of 200 MB" in reason for reason in said), said
    assert (run.store.folder(plan.ids[0]) / "value.txt").exists()


@BOTH
def test_memory_has_an_end(site: str, tmp_path: Path) -> None:
    limits = {"memory": 200, "jobs": 10}
    run = SiteRun(tmp_path / "run", make_site(site, limits=limits, resources={"default": {"memory": 200}}))
    with pytest.raises(TaskFailed, match="needs more than 200 MB of memory") as caught:
        run.drive(independent("grow", 1))
    assert "limits: memory" in caught.value.fix


def test_a_full_disk_on_the_node(tmp_path: Path) -> None:
    """The first node's disk is full for the task: it goes elsewhere."""
    run = SiteRun(tmp_path / "run", make_site("htcondor"))
    plan = independent("full once", 1)
    run.drive(plan)
    run.check_all_done(plan)
    (reason,) = run.reasons("retried")
    assert "no space left on the disk on node" in reason
    assert "it goes elsewhere than node" in reason


@pytest.mark.parametrize("how", ["corrupt", "truncate", "missing"])
def test_an_output_that_is_damaged_on_its_way(how: str, tmp_path: Path) -> None:
    """What comes back disagrees with its digests: it is set aside, and the task is done again."""
    run = SiteRun(tmp_path / "run", make_site("htcondor"))
    engine = run.engine()
    collect = engine.collect
    done: list[str] = []

    def damaging(ids: Sequence[str]) -> object:
        for path in run.folder.glob("logs/*/state/result/value.txt"):
            if not done:
                done.append(str(path))
                content = path.read_bytes()
                if how == "missing":
                    path.unlink()
                else:
                    path.write_bytes(content[:-3] if how == "truncate" else content[:-1] + b"?")
        return collect(ids)

    engine.collect = damaging  # type: ignore[method-assign,assignment]
    plan = independent("write", 1)
    run.drive(plan, engine)
    run.check_all_done(plan)
    assert done
    assert len(run.damages()) == 1
    (reason,) = run.reasons("retried")
    assert reason.startswith("its result is damaged: ")
    assert list(run.folder.glob("logs/*/damaged-*/value.txt")) or how == "missing"


@BOTH
def test_a_job_that_somebody_removes(site: str, tmp_path: Path) -> None:
    run = SiteRun(tmp_path / "run", make_site(site))

    def remove(event: Event) -> None:
        if isinstance(event, TaskChanged) and event.state == "running" and event.progress is not None:
            run.on_event = lambda event: None
            say(*(["scancel", event.job] if site == "slurm" else ["condor_rm", event.job]))

    run.on_event = remove
    with pytest.raises(TaskFailed, match="was removed from the queue by somebody else"):
        run.drive(independent("steps", 1, steps=1000))


@BOTH
def test_what_the_scheduler_refuses(site: str, tmp_path: Path) -> None:
    options = {"partition": "nowhere"} if site == "slurm" else {"submit": {"request_cpus": "many of them"}}
    run = SiteRun(tmp_path / "run", make_site(site, options=options))
    with pytest.raises(SubmissionRefused, match=r"(Slurm|HTCondor) refused the jobs: ") as caught:
        run.drive(independent("write", 2))
    assert "site's options" in caught.value.fix
    assert queued(run.folder) == 0


@BOTH
def test_hostile_names(site: str, tmp_path: Path) -> None:
    folder = tmp_path / "a b,c'd\"e\nf$(touch x)%j; ü" / "run"
    run = SiteRun(folder, make_site(site, variables={"HOSTILE": "a'b\"c $(touch x) `touch y` \n%d"}))
    plan = independent("write", 2)
    run.drive(plan)
    run.check_all_done(plan)
    assert not list(tmp_path.rglob("x"))
    assert not list(Path.cwd().glob("[xy]"))


@BOTH
def test_a_clean_environment(site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BEARER_TOKEN", "not-for-the-nodes")
    monkeypatch.setenv("SBATCH_EXPORT", "ALL")
    run = SiteRun(tmp_path / "run", make_site(site))
    plan = independent("environment", 1)
    run.drive(plan)
    said = (run.store.folder(plan.ids[0]) / "environment.txt").read_text()
    assert "BEARER_TOKEN" not in said
    assert "OMP_NUM_THREADS=1" in said
    every = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not [path for path in every if b"not-for-the-nodes" in path.read_bytes()]
