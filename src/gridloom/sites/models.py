"""What a site is: frozen models of `sites.yaml` and of one of its entries."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, WithJsonSchema, model_validator

from gridloom.analysis.models import IDENTIFIER_PATTERN, NAME_PATTERN, Flag, Text, whole
from gridloom.task import Kind, Resources

FORMAT_VERSION = 1
SITE_NAME_PATTERN = NAME_PATTERN
VARIABLE_PATTERN = IDENTIFIER_PATTERN

_SIZES = {"MB": 1, "MiB": 1, "GB": 1000, "GiB": 1024, "TB": 1_000_000, "TiB": 1_048_576}
_TIMES = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
_NUMBER = r"^ *([0-9]{1,12}(?:\.[0-9]{1,6})?) *"


def _pattern(units: dict[str, int]) -> str:
    return f"{_NUMBER}({'|'.join(units)}) *$"


def _quantity(value: object, units: dict[str, int], example: str) -> object:
    """A number with a unit, as text, in the smallest unit, at least one of it; a plain number stays as it is."""
    if not isinstance(value, str):
        return value
    match = re.match(_pattern(units), value)
    if match is None or "\n" in value:
        raise ValueError(f'write a number with one of the units {", ".join(units)}, as `{example}`, not "{value[:60]}"')
    return max(1, round(float(match[1]) * units[match[2]]))


def _megabytes(value: object) -> object:
    return _quantity(value, _SIZES, "4 GB")


def _seconds(value: object) -> object:
    return _quantity(value, _TIMES, "8 h")


def seconds_of(text: str) -> int:
    """A time as `10 min` in seconds. Raises ValueError, which says how to write one."""
    found = _seconds(text)
    assert isinstance(found, int)
    return found


def _schema(units: dict[str, int], words: str) -> WithJsonSchema:
    return WithJsonSchema({"title": words, "type": ["integer", "string"], "minimum": 1, "pattern": _pattern(units)})


def _as_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Number = Annotated[int, Field(strict=True, ge=0), BeforeValidator(whole)]
Count = Annotated[int, Field(strict=True, ge=1), BeforeValidator(whole)]
Megabytes = Annotated[
    Count, BeforeValidator(_megabytes), _schema(_SIZES, "a size as `4 GB`, or a whole number of MB of at least 1")
]
Seconds = Annotated[
    Count, BeforeValidator(_seconds), _schema(_TIMES, "a time as `8 h`, or a whole number of seconds of at least 1")
]
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00\n]*$", title="an absolute path")]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-]+:[0-9]{1,5}$", title="`host:port`")]
KindOrDefault = Literal["default", Kind]
Commands = Annotated[tuple[Text, ...], BeforeValidator(_as_many, json_schema_input_type=Text | tuple[Text, ...])]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Needs(_Part):
    """What a kind of task asks of a node at this site; what is left out stays as the plan has it."""

    cores: Count | None = Field(default=None, description="Cores; at least `training.threads`.")
    memory: Megabytes | None = Field(default=None, description="Memory, as `4 GB`; a plain number is in MB.")
    disk: Megabytes | None = Field(default=None, description="Scratch disk, as `10 GB`; a plain number is in MB.")
    gpus: Number | None = Field(default=None, description="GPUs.")
    wall: Seconds | None = Field(default=None, description="Wall time, as `8 h`; a plain number is in seconds.")

    def applied(self, resources: Resources) -> Resources:
        """The resources of a task with what is asked for here."""
        asked = {
            "cores": self.cores,
            "memory_mb": self.memory,
            "disk_mb": self.disk,
            "gpus": self.gpus,
            "wall_seconds": self.wall,
        }
        known = {name: value for name, value in asked.items() if value is not None}
        return resources.model_copy(update=known)


class Container(_Part):
    """In which image tasks run, and what they may see of the node."""

    image: Commands = Field(
        min_length=1,
        description="A SIF file, an unpacked directory (as on CVMFS), an address such as `oras://...`, or a name that "
        "docker or podman knows. Of several the first that a node can use.",
    )
    runtime: Literal["auto", "apptainer", "podman", "docker", "none"] = Field(
        default="auto", description="`auto`: the first of these that the node has; `none`: no container after all."
    )
    python: AbsolutePath = Field(
        default="/opt/gridloom/bin/python", description="Python of Gridloom's environment inside the image."
    )
    reads: tuple[AbsolutePath, ...] = Field(
        default=(), description="Further folders that tasks may read, such as `/cvmfs`; input files are seen anyway."
    )
    network: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="`auto`: only for inputs behind URLs, and where the batch system's messages need it.",
    )
    options: tuple[Text, ...] = Field(
        default=(), description="Further options of the runtime's `exec` or `run`, such as `--userns`."
    )

    @model_validator(mode="after")
    def _absolute(self) -> Container:
        for image in self.image:
            if image.startswith((".", "~")) or ("/" in image and image.endswith(".sif") and not image.startswith("/")):
                raise ValueError(f"`{image}` is a relative path; the nodes need an absolute one")
        return self


class Limits(_Part):
    """How much of a site a run may take."""

    jobs: Count = Field(
        default=1000, description="Jobs in the queue or running at a time; with HTCondor: of one submission."
    )
    memory: Megabytes = Field(default=64_000, description="The most memory that a job is given after it ran out of it.")


class Site(_Part):
    """One entry of `sites.yaml`."""

    engine: Text = Field(description="`htcondor`, `slurm`, `local` or an installed engine's name.")
    options: dict[str, JsonValue] = Field(default={}, description="Options of the engine, such as its partition.")
    shared_folder: Flag | None = Field(
        default=None,
        description="Whether the nodes see the folder of runs under the same path; otherwise files are transferred. "
        "Default: true for Slurm, false for HTCondor.",
    )
    inputs: Literal["transfer", "read"] = Field(
        default="transfer",
        description="Without a shared folder: whether ROOT files are transferred, or read by the nodes under the same "
        "paths (EOS, CVMFS). Files behind URLs are always read by the nodes.",
    )
    python: AbsolutePath = Field(
        default_factory=lambda: sys.executable,
        description="Python of Gridloom's environment as the nodes see it; default: this one.",
    )
    container: Container | None = Field(
        default=None, description="The image that tasks run in; without one they run in the environment of `python`."
    )
    setup: Commands = Field(
        default=(), description="Shell commands before Python starts, such as sourcing a CVMFS view."
    )
    variables: dict[Annotated[str, Field(pattern=VARIABLE_PATTERN)], Annotated[str, Field(pattern=r"^[^\x00]*$")]] = (
        Field(default={}, description="Environment variables on the node. Never put a secret here.")
    )
    resources: dict[KindOrDefault, Needs] = Field(
        default={}, description="What each kind of task asks for; `default` is for all kinds."
    )
    limits: Limits = Field(default_factory=Limits, description="How much of the site a run may take.")
    grace: Seconds = Field(
        default=30, description="Seconds between the scheduler's signal and the end of a job that is evicted."
    )
    checkpoint: Seconds = Field(
        default=3600, description="Without a shared folder: how often a training's state is brought to safety."
    )
    poll: Seconds = Field(default=10, description="Seconds between two questions to the batch system, at most.")
    network: Address = Field(
        default="cern.ch:443", description="Host and port that `gridloom site check` tries to reach from a node."
    )

    def needs(self, kind: Kind, resources: Resources) -> Resources:
        """The resources of a task of this kind at this site."""
        for name in ("default", kind):
            if name in self.resources:
                resources = self.resources[name].applied(resources)
        return resources


class SitesFile(_Part):
    """A file of sites."""

    gridloom: Annotated[Literal[1], BeforeValidator(whole)] = Field(description="Version of the file format.")
    sites: dict[Annotated[str, Field(pattern=SITE_NAME_PATTERN)], Site] = Field(
        description="The sites, by the names that `--site` takes."
    )
