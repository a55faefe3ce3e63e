"""What is right and wrong with a site, from what a probe found on one of its nodes: one sentence for each thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from gridloom.engines.base import Fact
from gridloom.environment import OPTIONAL
from gridloom.sites.credentials import Credential
from gridloom.sites.models import Site
from gridloom.sites.probe import Probe, Processor
from gridloom.task import Kind, Resources

_SKEW_LOOK, _SKEW_BAD = 5.0, 300.0  # seconds; tokens and proxies are refused beyond minutes
_SLOW_START = 10.0  # seconds
_SLOW_DISK = 20.0  # MB/s
_CALL = 2.0  # seconds: a compiled call ends before anything is saved
_LOCKED = "Install the same locked environment on the nodes and name its Python with `python:`."


@dataclass(frozen=True, kw_only=True)
class Here:
    """What the submitting side is."""

    versions: Mapping[str, str]
    processor: Processor


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """The probe job as the submitting side saw it, by its own clock; `asked` is what it asked for."""

    asked: Resources
    submitted: float
    started: float
    seconds: float
    ended: float


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that the verdicts rest on."""

    site: Site
    here: Here
    probe: Probe
    attempt: Attempt
    credentials: tuple[Credential, ...] = ()


def verdicts(findings: Findings) -> Iterator[Fact]:
    """One fact for each thing that is looked at, in the order in which they are shown."""
    for rule in RULES:
        yield from rule(findings)


def time_text(seconds: float) -> str:
    """A time for people."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.0f} h"


def _megabytes(size: float) -> str:
    return f"{size / 1000:.1f} GB" if size >= 1000 else f"{size:.0f} MB"


def _queue(findings: Findings) -> Iterator[Fact]:
    attempt = findings.attempt
    waited = max(0.0, attempt.started - attempt.submitted)
    yield Fact(name="queue", value=f"the job waited {time_text(waited)} and ran {time_text(attempt.seconds)}")


def _node(findings: Findings) -> Iterator[Fact]:
    probe = findings.probe
    yield Fact(name="node", value=f"{probe.host}, as user {probe.user}: {probe.processor.name}")


def _container(findings: Findings) -> Iterator[Fact]:
    """The container that the job ran in: which one, how fast, and whether it shows the node's GPUs."""
    inside, outside = findings.probe.inside, findings.probe.outside
    if inside is None:
        return
    version = outside.runtimes.get(inside.runtime, "") if outside is not None else ""
    version = version or (outside.runtimes.get("singularity", "") if outside is not None else "")
    yield Fact(name="container", value=f"{version or inside.runtime}, without root's rights: {inside.image}")
    if inside.digest:
        yield Fact(name="image", value=inside.digest)
    else:
        value = "it does not say which image it is: the results' provenance has its name only"
        fix = "Build it with `gridloom image build`, which labels it."
        yield Fact(name="image", value=value, verdict="look", fix=fix)
    if inside.start_seconds is not None:
        slow = inside.start_seconds > _SLOW_START
        yield Fact(
            name="start",
            value=f"{time_text(inside.start_seconds)} from the job's script to Python in the container",
            verdict="look" if slow else "ok",
            fix="A SIF compressed with zstd, or an unpacked directory on CVMFS, starts faster." if slow else "",
        )
    if outside is not None and outside.gpu_devices and not findings.probe.gpus:
        value = f"the node has {outside.gpu_devices} GPUs, but none is seen in the container"
        fix = "apptainer needs the driver's libraries (`--nv`), docker and podman the NVIDIA container toolkit."
        yield Fact(name="GPUs inside", value=value, verdict="bad", fix=fix)


def _runtimes(findings: Findings) -> Iterator[Fact]:
    """What the node has for containers."""
    found = findings.probe.outside
    if found is None:
        return
    names = [text for name, text in found.runtimes.items() if name != "docker" or found.docker_daemon]
    wanted = findings.site.container is not None
    if names:
        spaces = "allowed" if found.user_namespaces else "not allowed"
        value = f"{', '.join(dict.fromkeys(names))}; user namespaces are {spaces}"
        yield Fact(name="runtimes", value=value)
    else:
        yield Fact(name="runtimes", value="no container runtime on the node")
    sif = wanted and findings.probe.inside is not None and findings.probe.inside.image.endswith(".sif")
    if sif and not found.fuse and found.user != "root":
        value = "/dev/fuse may not be used: SIF files are unpacked at each start, or mounted by a setuid program"
        yield Fact(name="SIF", value=value, verdict="look", fix="Use an unpacked directory as the image.")


def _python(findings: Findings) -> Iterator[Fact]:
    there, here = findings.probe.versions.get("python", ""), findings.here.versions.get("python", "")
    if there.split(".")[:2] == here.split(".")[:2]:
        yield Fact(name="Python", value=f"{there} at {findings.probe.python}")
        return
    value = f"{there} there, {here} here: results would not agree"
    yield Fact(name="Python", value=value, verdict="bad", fix=_LOCKED)


def _libraries(findings: Findings) -> Iterator[Fact]:
    there, here = findings.probe.versions, findings.here.versions
    known = {*there, *here} - {"python"}
    names = sorted(name for name in known if name not in OPTIONAL or (name in there and name in here))
    differing = [
        f"{name} {there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
        for name in names
        if there.get(name) != here.get(name)
    ]
    if not differing:
        yield Fact(name="libraries", value=f"all {len(names)} versions are those of this side")
        return
    value = f"{'; '.join(differing)}: results would not agree"
    yield Fact(name="libraries", value=value, verdict="bad", fix=_LOCKED)


def _instructions(findings: Findings) -> Iterator[Fact]:
    there, here = findings.probe.processor, findings.here.processor
    name = "instruction set"
    if there.architecture != here.architecture:
        value = f"{there.architecture} there, {here.architecture} here: results would not agree"
        yield Fact(name=name, value=value, verdict="bad", fix="Ask for nodes of this architecture in `options:`.")
        return
    only_there = sorted(set(there.sets) - set(here.sets))
    only_here = sorted(set(here.sets) - set(there.sets))
    sides = ((only_there, "there"), (only_here, "here"))
    parts = [f"{_joined(names)} only {side}" for names, side in sides if names]
    if not parts:
        value = f"{there.architecture} with {', '.join(there.sets) or 'no extension'}, as here"
        yield Fact(name=name, value=value)
        return
    fix = "For the same bits everywhere, ask for one kind of node in `options:`."
    yield Fact(name=name, value=f"{'; '.join(parts)}: last bits may differ", verdict="look", fix=fix)


def _cores(findings: Findings) -> Iterator[Fact]:
    usable, asked = findings.probe.processor.cores, findings.attempt.asked.cores
    if usable >= asked:
        yield Fact(name="cores", value=f"{usable} usable, {asked} asked for")
        return
    fix = "Ask for fewer with `resources:`, or say in `options:` how the batch system gives more."
    yield Fact(name="cores", value=f"only {usable} usable, {asked} asked for", verdict="bad", fix=fix)


def _memory(findings: Findings) -> Iterator[Fact]:
    found, asked = findings.probe.memory, findings.attempt.asked.memory_mb
    if found.limit_mb is None:
        yield Fact(name="memory", value="no limit can be read", verdict="look")
    elif found.limit_mb < asked * 0.98:  # a machine's own part is not worth a word
        value = f"{_megabytes(asked)} asked for, but {found.set_by} allows {_megabytes(found.limit_mb)}"
        yield Fact(name="memory", value=value, verdict="bad", fix="Ask for less with `resources:`, or ask the site.")
    else:
        value = f"{_megabytes(found.limit_mb)} ({found.set_by}), {_megabytes(asked)} asked for"
        yield Fact(name="memory", value=value)


def _scratch(findings: Findings) -> Iterator[Fact]:
    found, asked = findings.probe.scratch, findings.attempt.asked.disk_mb
    if found.problem:
        fix = "Jobs must be able to write there: free space, or have the site give another folder."
        yield Fact(name="scratch", value=f"{found.folder}: {found.problem}", verdict="bad", fix=fix)
        return
    speed, free = found.write_mb_per_second or 0.0, found.free_mb or 0
    value = f"{_megabytes(free)} free, written with {speed:.0f} MB/s ({found.folder})"
    if free < asked:
        fix = "Ask for less disk with `resources:`, or free some."
        yield Fact(name="scratch", value=f"{value}; {_megabytes(asked)} asked for", verdict="bad", fix=fix)
    elif speed < _SLOW_DISK:
        fix = "Trainings save their state there: a local disk would be better."
        yield Fact(name="scratch", value=f"{value}: slow", verdict="look", fix=fix)
    else:
        yield Fact(name="scratch", value=value)


def _grace(findings: Findings) -> Iterator[Fact]:
    scratch, grace = findings.probe.scratch, findings.site.grace
    if scratch.save_seconds is None:
        yield Fact(name="time to save", value="no state could be saved, so the grace is not judged", verdict="look")
        return
    needed = scratch.save_seconds + _CALL
    value = f"{needed:.1f} s for a state of {scratch.state_mb} MB, {grace} s of grace"
    if needed <= grace:
        yield Fact(name="time to save", value=value)
        return
    fix = "Set `grace:` to what the batch system gives, or have it give more: an evicted training would lose work."
    yield Fact(name="time to save", value=value, verdict="bad", fix=fix)


def _clock(findings: Findings) -> Iterator[Fact]:
    clock, attempt = findings.probe.time, findings.attempt
    # The probe looked at its clock somewhere between submission and end: beyond that it is surely wrong.
    skew = max(attempt.submitted - clock, clock - attempt.ended, 0.0)
    if skew <= _SKEW_LOOK:
        yield Fact(name="clock", value="agrees with the one here")
        return
    value = f"{time_text(skew)} {'behind' if clock < attempt.submitted else 'ahead of'} the one here"
    fix = "Tell the site: credentials and time stamps rest on it."
    yield Fact(name="clock", value=value, verdict="look" if skew <= _SKEW_BAD else "bad", fix=fix)


def _tensorflow(findings: Findings) -> Iterator[Fact]:
    found = findings.probe.tensorflow
    if found.problem:
        fix = "Try `python -c 'import tensorflow'` on such a node; other nodes or another build may be needed."
        yield Fact(name="TensorFlow", value=found.problem, verdict="bad", fix=fix)
        return
    devices = ", ".join(found.devices) or "no device"
    yield Fact(name="TensorFlow", value=f"{found.version} computes on {devices}; imported in {found.seconds:.0f} s")


def _gpus(findings: Findings) -> Iterator[Fact]:
    found, asked = findings.probe.gpus, findings.attempt.asked.gpus
    shown = ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in found)
    if not asked:
        yield Fact(name="GPU", value=f"not asked for; the node has {shown}" if found else "not asked for")
    elif not found:
        fix = "Ask for nodes with GPUs in `options:`; nvidia-smi must run there."
        yield Fact(name="GPU", value=f"{asked} asked for, none found", verdict="bad", fix=fix)
    elif not any(device.startswith("GPU") for device in findings.probe.tensorflow.devices):
        fix = "Install Gridloom's `cuda` extra on the nodes, for a driver that is new enough."
        yield Fact(name="GPU", value=f"{shown}, but TensorFlow sees none", verdict="bad", fix=fix)
    else:
        yield Fact(name="GPU", value=shown)


def _network(findings: Findings) -> Iterator[Fact]:
    found = findings.probe.network
    if found.seconds is not None:
        yield Fact(name="network", value=f"{found.address} answers in {found.seconds * 1000:.0f} ms")
        return
    fix = "Files behind URLs cannot be read there. If they need not be, all is well; `network:` names what is tried."
    yield Fact(name="network", value=f"{found.address} is not reached: {found.problem}", verdict="look", fix=fix)


def longest_wall(site: Site) -> int:
    """Seconds of the longest job that the site is asked for."""
    return max(site.needs(kind, Resources()).wall_seconds for kind in get_args(Kind) if kind != "probe")


def _credentials(findings: Findings) -> Iterator[Fact]:
    if not findings.credentials:
        yield Fact(name="credential", value="no credential is needed by this site's engine; none found")
    wall, now = longest_wall(findings.site), findings.attempt.ended
    for credential in findings.credentials:
        yield _credential(credential, wall, now)


def _credential(credential: Credential, wall: int, now: float) -> Fact:
    renew = "Renew it (`voms-proxy-init`)." if credential.kind == "proxy" else "Renew it (`oidc-token`, `htgettoken`)."
    where = f"{credential.kind} {credential.place}"
    if credential.ends is None:
        return Fact(name="credential", value=f"{where}: its end cannot be read", verdict="look", fix=renew)
    left = credential.ends - now
    if left <= 0:
        return Fact(name="credential", value=f"{where} ended {time_text(-left)} ago", verdict="look", fix=renew)
    value = f"{where} lasts {time_text(left)}, jobs up to {time_text(wall)}"
    if left < wall:
        fix = f"{renew[:-1]} before long jobs, or ask for less time with `resources:`."
        return Fact(name="credential", value=value, verdict="look", fix=fix)
    return Fact(name="credential", value=value)


def _odd(findings: Findings) -> Iterator[Fact]:
    for text in findings.probe.odd:
        yield Fact(name="odd", value=text, verdict="look")


def _joined(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


RULES: tuple[Callable[[Findings], Iterator[Fact]], ...] = (
    _queue,
    _node,
    _container,
    _runtimes,
    _python,
    _libraries,
    _tensorflow,
    _instructions,
    _cores,
    _memory,
    _scratch,
    _grace,
    _gpus,
    _network,
    _clock,
    _credentials,
    _odd,
)
