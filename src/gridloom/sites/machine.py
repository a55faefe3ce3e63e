"""What Linux says of the machine this process is on: instruction sets, cores, memory limits."""

from __future__ import annotations

import platform
import resource
from collections.abc import Iterator
from pathlib import Path

from gridloom.environment import available_cores
from gridloom.sites.probe import Memory, Processor

# Those for which numerical libraries have code of their own, so that the last bits of sums may differ.
SETS = ("avx", "avx2", "avx512f", "fma", "asimd", "sve")
_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_MB = 1_000_000
_NO_LIMIT = 1 << 60  # cgroup v1 says "none" by a very large number


def processor(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Processor:
    """The processor, and the cores that this process may use."""
    lines = _text(proc / "cpuinfo").splitlines()
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    quota = min(_quotas(proc, cgroups), default=None)
    cores = available_cores()
    return Processor(
        architecture=platform.machine(),
        name=fields.get("model name", "") or platform.processor() or "unknown",
        sets=tuple(name for name in SETS if name in flags),
        cores=cores if quota is None else max(1, min(cores, int(quota))),
    )


def memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> Memory:
    """The least of the limits on this process' memory."""
    groups = min(_memory_limits(proc, cgroups), default=None)
    limits = {} if groups is None else {"the job's control group": groups}
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits["`ulimit -v`"] = soft
    total = [line.split()[1] for line in _text(proc / "meminfo").splitlines() if line.startswith("MemTotal:")]
    if total and total[0].isdecimal():
        limits["the machine"] = int(total[0]) * 1024
    if not limits:
        return Memory()
    name = min(limits, key=lambda key: limits[key])
    return Memory(limit_mb=limits[name] // _MB, set_by=name)


def _memory_limits(proc: Path, cgroups: Path) -> Iterator[int]:
    for controller, path in _groups(proc):
        name = "memory.max" if not controller else "memory.limit_in_bytes"
        root = cgroups / controller if controller in ("", "memory") else None
        for folder in _upwards(root, path) if root is not None else ():
            text = _text(folder / name).strip()
            if text.isdecimal() and int(text) < _NO_LIMIT:
                yield int(text)


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """Cores that control groups allow."""
    for controller, path in _groups(proc):
        for folder in _upwards(cgroups / controller, path) if controller in ("", "cpu") else ():
            v1 = f"{_text(folder / 'cpu.cfs_quota_us')} {_text(folder / 'cpu.cfs_period_us')}"
            quota, _, period = (_text(folder / "cpu.max") or v1).partition(" ")
            if quota.strip().isdecimal() and period.strip().isdecimal() and int(period):
                yield int(quota) / int(period)


def _groups(proc: Path) -> Iterator[tuple[str, str]]:
    """The control groups of this process: (controller, path); the controller of version 2 has no name."""
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for controller in controllers.split(","):
            yield controller, path


def _upwards(root: Path, path: str) -> Iterator[Path]:
    """A group and those around it: each of their limits holds. In a container the path may not be seen."""
    folder = root / path.lstrip("/")
    while folder != root and root in folder.parents:
        yield folder
        folder = folder.parent
    yield root


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
