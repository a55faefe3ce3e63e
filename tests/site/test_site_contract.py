"""HTCondor, with and without a shared file system, and Slurm keep the contract of engines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gridloom.testing.engine import CONTRACT, Bench

pytestmark = pytest.mark.site


@pytest.mark.parametrize("site", ["htcondor", "htcondor shared", "slurm"])
@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Bench], None], site: str, bench_of: Callable[..., Bench]) -> None:
    check(bench_of(site))
