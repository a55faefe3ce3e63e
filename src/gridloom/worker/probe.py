"""A probe: looks at the node it runs on, for `gridloom site check`. Whatever is missing there is told, not fatal."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from gridloom.containers.variables import NODE, STARTED
from gridloom.environment import versions
from gridloom.errors import GridloomError, Interrupted
from gridloom.files import write_text
from gridloom.sites.machine import memory, processor
from gridloom.sites.probe import FILE, Gpu, Inside, Network, Outside, Probe, Scratch, TensorFlow
from gridloom.task import Context, Progress
from gridloom.worker.inside import image
from gridloom.worker.node import host
from gridloom.worker.tasks import user_name

_T = TypeVar("_T")

_WRITTEN_MB = 64
_MB = 1_000_000
_PATIENCE = 300.0  # seconds for TensorFlow, from a slow shared file system
_CONNECT = 5.0  # seconds
_CODE = ("-m", "gridloom.worker.try_tensorflow")
_APPTAINER = "/.singularity.d/"  # set by apptainer itself, for the driver's libraries
_VERSION = " version"
_HELPERS = ("squashfuse", "squashfuse_ll", "fusermount3", "newuidmap")
# Set by batch systems to say which GPUs a job has.
_DEVICES = "CUDA_VISIBLE_DEVICES"


def run(context: Context) -> None:
    """Look at this node and write probe.json. Parameters: `network` (host:port), `state_mb` (of a state to save)."""
    parameters = context.task.parameters
    told = Steps(context)
    found = Probe(
        host=host(),
        user=user_name(),
        time=time.time(),
        python=sys.executable,
        versions=versions(),
        processor=processor(),
        memory=memory(),
        scratch=told("writing", lambda: scratch(context.scratch, _number(parameters, "state_mb", _WRITTEN_MB))),
        network=told("connecting", lambda: network(str(parameters.get("network", "")))),
        gpus=told("looking for GPUs", gpus),
        tensorflow=told("importing TensorFlow", lambda: tensorflow(context.stop)),
        odd=odd(os.environ),
        inside=inside(os.environ),
        outside=outside(os.environ.get(NODE, "")),
    )
    write_text(context.output / FILE, found.model_dump_json(indent=1) + "\n")


def inside(environ: Mapping[str, str]) -> Inside | None:
    """The container around this job."""
    found = image(environ)
    if found is None:
        return None
    try:
        # This process was forked from the one that the runtime started.
        seconds = started(os.getppid()) - float(environ[STARTED])
    except (KeyError, ValueError, OSError):
        return Inside(runtime=found.runtime, image=found.name, digest=found.digest)
    return Inside(runtime=found.runtime, image=found.name, digest=found.digest, start_seconds=max(0.0, seconds))


def started(pid: int) -> float:
    """When a process began, in seconds since the epoch. Raises OSError, ValueError."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # the 22nd of all fields
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot)


def outside(lines: str) -> Outside | None:
    """What the job's script has seen of the node, as lines of `name=value`; None where it did not look."""
    pairs = [(name, value) for name, _, value in (line.partition("=") for line in lines.splitlines())]
    if not pairs:
        return None
    known = dict(pairs)
    versions = {name.removesuffix(_VERSION): value for name, value in pairs if name.endswith(_VERSION)}
    return Outside(
        runtimes=versions,
        helpers=tuple(name for name, _ in pairs if name in _HELPERS),
        user_namespaces=known.get("user namespaces") == "yes",
        fuse=known.get("fuse") == "yes",
        docker_daemon=known.get("docker daemon") == "yes",
        gpu_devices=sum(name == "gpu device" for name, _ in pairs),
        user=known.get("user", ""),
    )


class Steps:
    """Tells how far the probe is, and stops between two steps."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._done = 0

    def __call__(self, text: str, step: Callable[[], _T]) -> _T:
        if self._context.stop():
            raise Interrupted("the probe was stopped", where=self._context.task.label)
        self._context.progress(Progress(done=self._done, total=4, text=text))
        self._done += 1
        return step()


def _number(parameters: Mapping[str, JsonValue], name: str, default: int) -> int:
    value = parameters.get(name)
    return value if isinstance(value, int) else default


def scratch(folder: Path, state_mb: int) -> Scratch:
    """Free space, speed of writing, and seconds to save a state as a training does."""
    found = Scratch(folder=str(folder), state_mb=state_mb)
    try:
        free = shutil.disk_usage(folder).free // _MB
        found = found.model_copy(update={"free_mb": free})
        with tempfile.TemporaryDirectory(dir=folder, prefix="probe-") as name:
            speed = _WRITTEN_MB / _timed(lambda: _write(Path(name) / "written"))
            found = found.model_copy(update={"write_mb_per_second": speed})
            seconds = _timed(lambda: _save(Path(name), state_mb))
        return found.model_copy(update={"save_seconds": seconds})
    except (OSError, GridloomError, ImportError) as error:
        return found.model_copy(update={"problem": error.what if isinstance(error, GridloomError) else str(error)})


def _timed(action: Callable[[], None]) -> float:
    begun = time.perf_counter()
    action()
    return max(time.perf_counter() - begun, 1e-6)


def _write(path: Path) -> None:
    block = os.urandom(_MB)
    with path.open("wb") as stream:
        for _ in range(_WRITTEN_MB):
            stream.write(block)
        stream.flush()
        os.fsync(stream.fileno())
    path.unlink()


def _save(folder: Path, megabytes: int) -> None:
    import numpy as np

    from gridloom.training.checkpoint import Checkpoint, save

    state = np.arange(megabytes * _MB // 4, dtype="float32")
    save(folder, Checkpoint(arrays={"weights": (state,)}, state={}))


def network(address: str) -> Network:
    """Whether a connection to the outside can be opened."""
    name, _, port = address.rpartition(":")
    begun = time.perf_counter()
    try:
        with socket.create_connection((name, int(port)), timeout=_CONNECT):
            return Network(address=address, seconds=time.perf_counter() - begun)
    except (OSError, ValueError, OverflowError) as error:
        # A name that is too long for the resolver is a UnicodeError, which is a ValueError.
        text = "no answer" if isinstance(error, TimeoutError) else str(getattr(error, "strerror", None) or error)
        return Network(address=address, problem=text)


def gpus() -> tuple[Gpu, ...]:
    """The GPUs that nvidia-smi tells of; none where there is no such command, or no driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (tuple(cell.strip() for cell in line.split(",")) for line in done.stdout.splitlines())
    return tuple(_gpu(*row) for row in rows if len(row) == 3)


def _gpu(name: str, driver: str, megabytes: str) -> Gpu:
    return Gpu(name=name, driver=driver, memory_mb=int(megabytes) if megabytes.isdecimal() else None)


def tensorflow(stop: Callable[[], bool], code: tuple[str, ...] = _CODE) -> TensorFlow:
    """Import TensorFlow in a process of its own, since it may end that process."""
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as words:
        process = subprocess.Popen([sys.executable, *code], stdin=subprocess.DEVNULL, stdout=answer, stderr=words)
        ended = _wait(process, stop)
        answer.seek(0)
        words.seek(0)
        lines = answer.read().decode(errors="replace").splitlines()
        last = words.read().decode(errors="replace").strip().splitlines()[-1:]
    if not ended:
        return TensorFlow(problem=f"it was not imported within {_PATIENCE:.0f} s")
    if process.returncode:
        return TensorFlow(problem=ended_in_words(process.returncode, "".join(last)))
    try:
        return TensorFlow.model_validate_json("".join(lines[-1:]))
    except ValidationError:
        return TensorFlow(problem="its process said nothing")


def _wait(process: subprocess.Popen[bytes], stop: Callable[[], bool]) -> bool:
    """Whether a process ended by itself."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            if stop() or time.monotonic() > deadline:
                process.kill()
                process.wait()
                if stop():
                    raise Interrupted("the probe was stopped", where="importing TensorFlow") from None
                return False
        else:
            return True


def ended_in_words(code: int, last_line: str) -> str:
    """How importing TensorFlow ended, when it failed."""
    if code == -signal.SIGILL:
        return "the processor lacks instructions that TensorFlow was built for (SIGILL)"
    if code == -signal.SIGKILL:
        return "its process was killed; the system does so when memory runs out (SIGKILL)"
    if code < 0:
        known = -code in set(signal.Signals)
        return f"its process crashed ({signal.Signals(-code).name if known else f'signal {-code}'})"
    return last_line or f"its process ended with exit code {code}"


def odd(environ: Mapping[str, str]) -> tuple[str, ...]:
    """What may surprise."""
    found = [
        f"{name} is set on the node ({environ[name]}): other libraries may come first"
        for name in ("PYTHONPATH", "LD_LIBRARY_PATH")
        if environ.get(name) and not environ[name].startswith(_APPTAINER)
    ]
    if os.geteuid() == 0:
        found.append("jobs run as root on the node")
    if environ.get(_DEVICES) == "":
        found.append(f"{_DEVICES} is empty on the node: no GPU is visible")
    return tuple(found)
