"""What a probe job finds on a worker node: the content of its `probe.json`, read where it was submitted."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

FILE = "probe.json"


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Processor(_Found):
    """What computes, and how much of it a job may use."""

    architecture: str
    name: str
    sets: tuple[str, ...]
    cores: int


class Memory(_Found):
    """The least of all limits, in MB, and what sets it; None where no limit can be read."""

    limit_mb: int | None = None
    set_by: str = ""


class Scratch(_Found):
    """The folder that a job writes to. Speeds are None where writing failed, which `problem` then tells."""

    folder: str
    free_mb: int | None = None
    write_mb_per_second: float | None = None
    state_mb: int = 0
    save_seconds: float | None = None
    problem: str = ""


class TensorFlow(_Found):
    """Whether TensorFlow can be imported and computes; `problem` says in words what went wrong."""

    version: str = ""
    seconds: float = 0.0
    devices: tuple[str, ...] = ()
    problem: str = ""


class Gpu(_Found):
    """A GPU as the driver knows it."""

    name: str
    driver: str
    memory_mb: int | None = None


class Network(_Found):
    """A connection to the outside."""

    address: str
    seconds: float | None = None
    problem: str = ""


class Inside(_Found):
    """The container that the job ran in. `start_seconds` is from the job's script to its Python."""

    runtime: str
    image: str
    digest: str = ""
    start_seconds: float | None = None


class Outside(_Found):
    """What the node has for containers, seen from outside of any.

    `runtimes` are their names and versions; `helpers` are programs that they need for SIF files and user namespaces.
    """

    runtimes: dict[str, str] = {}
    helpers: tuple[str, ...] = ()
    user_namespaces: bool = False
    fuse: bool = False
    docker_daemon: bool = False
    gpu_devices: int = 0
    user: str = ""


class Probe(_Found):
    """All that was found. `time` is the node's clock; `odd` holds whatever else may be worth a look."""

    host: str
    user: str
    time: float
    python: str
    versions: dict[str, str]
    processor: Processor
    memory: Memory
    scratch: Scratch
    tensorflow: TensorFlow
    gpus: tuple[Gpu, ...]
    network: Network
    odd: tuple[str, ...] = ()
    inside: Inside | None = None
    outside: Outside | None = None
