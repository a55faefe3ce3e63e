"""Limits and processors are read from whatever the system has, and missing files are no error."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from gridloom.environment import available_cores
from gridloom.sites.machine import memory, processor

CPUINFO = "processor: 0\nmodel name\t: A fast one\nflags\t\t: fpu avx fma avx2 sse\n"
MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\n"


def write(root: Path, files: dict[str, str]) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "proc", root / "cgroup"


@pytest.fixture(autouse=True)
def no_ulimit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize(
    ("files", "limit", "set_by"),
    [
        ({}, None, ""),
        ({"proc/meminfo": MEMINFO}, 16384, "the machine"),
        ({"proc/meminfo": "MemTotal: many kB\n"}, None, ""),
        (
            {
                "proc/meminfo": MEMINFO,
                "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
                "cgroup/slurm/job_7/step_0/memory.max": "max\n",
                "cgroup/slurm/job_7/memory.max": "2000000000\n",
                "cgroup/slurm/memory.max": "9000000000\n",
            },
            2000,
            "the job's control group",
        ),
        (
            {"proc/self/cgroup": "0::/seen/elsewhere\n", "cgroup/memory.max": "3000000000\n"},
            3000,
            "the job's control group",
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/htcondor/slot1\n3:cpu,cpuacct:/x\n",
                "cgroup/memory/htcondor/slot1/memory.limit_in_bytes": "1000000000\n",
                "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            1000,
            "the job's control group",
        ),
        ({"proc/self/cgroup": "nonsense\n", "proc/meminfo": MEMINFO}, 16384, "the machine"),
    ],
)
def test_memory_limits(tmp_path: Path, files: dict[str, str], limit: int | None, set_by: str) -> None:
    found = memory(*write(tmp_path, files))
    assert (found.limit_mb, found.set_by) == (limit, set_by)


def test_the_limit_of_the_shell_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10**9, 10**9))
    assert memory(*write(tmp_path, {"proc/meminfo": MEMINFO})).set_by == "`ulimit -v`"


def test_processors(tmp_path: Path) -> None:
    found = processor(*write(tmp_path, {"proc/cpuinfo": CPUINFO}))
    assert (found.name, found.sets, found.cores) == ("A fast one", ("avx", "avx2", "fma"), available_cores())
    arm = processor(*write(tmp_path, {"proc/cpuinfo": "Features : fp asimd sve\n"}))
    assert arm.sets == ("asimd", "sve")
    assert processor(tmp_path / "nowhere", tmp_path).sets == ()


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/job\n", "cgroup/job/cpu.max": "150000 100000\n"},
        {
            "proc/self/cgroup": "3:cpu,cpuacct:/job\n",
            "cgroup/cpu/job/cpu.cfs_quota_us": "100000\n",
            "cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
        },
    ],
)
def test_cores_that_a_control_group_allows(tmp_path: Path, files: dict[str, str]) -> None:
    assert processor(*write(tmp_path, files)).cores == 1


def test_no_quota(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "3:cpu:/a\n0::/b\n",
        "cgroup/cpu/a/cpu.cfs_quota_us": "-1\n",
        "cgroup/b/cpu.max": "max 100000\n",
    }
    assert processor(*write(tmp_path, files)).cores == available_cores()


def test_this_machine() -> None:
    assert memory().limit_mb
    assert processor().cores >= 1
