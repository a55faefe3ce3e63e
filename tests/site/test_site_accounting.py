"""Slurm with accounting: what the controller has forgotten is learnt from sacct."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from site_runs import make_site, say, until

from gridloom.engines import make_engine
from gridloom.engines.base import Cause, State
from gridloom.engines.slurm.commands import Commands
from gridloom.testing.engine import KINDS, Bench

pytestmark = [pytest.mark.site, pytest.mark.accounting]


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has the controller forget all jobs from a moment on, as it does some minutes after their end."""
    return lambda: monkeypatch.setattr(Commands, "queue", lambda self, name="": [])


def accounted(job: str, state: str) -> Callable[[], bool]:
    return lambda: state in say("sacct", "--noheader", "--allocations", "--jobs", job, "--format=State")


def test_there_is_accounting(bench_of: Callable[..., Bench]) -> None:
    facts = {fact.name: fact.value for fact in bench_of("slurm").engine.describe()}
    assert facts["accounting"] == "there is"


def test_a_job_that_only_the_accounting_remembers(
    bench_of: Callable[..., Bench], forgetful: Callable[[], None]
) -> None:
    bench = bench_of("slurm")
    done, failed = bench.engine.submit([bench.job("aa"), bench.job("bb", do="fail")])
    until(accounted(done, "COMPLETED"))
    until(accounted(failed, "FAILED"))
    forgetful()
    found = bench.engine.poll([done, failed])
    assert found[done].state is State.DONE
    assert (found[failed].state, found[failed].exit_code) == (State.FAILED, 32)


def test_a_job_that_never_said_a_word(bench_of: Callable[..., Bench], forgetful: Callable[[], None]) -> None:
    """Cancelled before it began, or without a working Python: no note tells."""
    bench = bench_of("slurm", python="/no/python")
    (job,) = bench.engine.submit([bench.job("aa")])
    until(accounted(job, "FAILED"))
    forgetful()
    found = bench.engine.poll([job])[job]
    assert (found.state, found.cause, found.exit_code) == (State.EVICTED, Cause.NODE, 60)
    assert found.host.startswith("node")


def test_a_batch_is_found_by_its_name(bench_of: Callable[..., Bench], forgetful: Callable[[], None]) -> None:
    bench = bench_of("slurm")
    (job,) = bench.engine.submit([bench.job("aa")])
    until(accounted(job, "COMPLETED"))
    for path in bench.engine.folder.glob("batch-*/scheduler-id.txt"):  # type: ignore[attr-defined]
        path.unlink()
    forgetful()
    other = make_engine(make_site("slurm"), folder=bench.engine.folder, kinds=KINDS)  # type: ignore[attr-defined]
    assert other.find(["aa"]) == {"aa": job}
