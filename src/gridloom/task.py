"""A task: one piece of work as pure data, named by the digest of everything that changes its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gridloom.files import digest_json

Kind = Literal["prepare", "tune", "train", "reference", "evaluate", "report", "predict", "export", "probe"]

# Raised when a kind of task computes something else from the same parameters: old results are then not reused.
CONTRACT_VERSIONS: dict[Kind, int] = {
    "prepare": 2,
    "tune": 1,
    "train": 2,  # 2: the steps of a call, the optimiser's operations and the rule for XLA are others
    "reference": 1,
    "evaluate": 1,
    "report": 1,
    "predict": 1,
    "export": 1,
    "probe": 1,  # looks at a worker node for `gridloom site check`; part of no plan
}


# Kinds that run the user's own model, and so depend on the packages that it needs.
OWN_CODE: frozenset[Kind] = frozenset({"tune", "train", "evaluate", "predict", "export"})

# Kinds that save their state when asked to stop and go on from there; the others begin again.
SAVES: frozenset[Kind] = frozenset({"train", "predict"})


TENSORFLOW = "tensorflow"
_BACKEND_PACKAGES = {"jax": ("jax", "jaxlib")}


def backend_packages(kind: Kind, backend: str) -> tuple[str, ...]:
    """The packages that a kind of task needs where `training.backend` is not TensorFlow."""
    return _BACKEND_PACKAGES.get(backend, ()) if kind == "train" else ()


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class InputFile(_Data):
    """A ROOT file as a task sees it; `uuid` and `size` identify the content, the path only says where it is.

    `copies` says where a worker finds files that were brought to it: path, of the file or a friend, to copy.
    """

    path: str
    uuid: str
    size: int
    entries: int
    friends: tuple[str, ...] = ()
    friend_uuids: tuple[str, ...] = ()
    copies: dict[str, str] = {}


class Resources(_Data):
    """What a task needs of a machine; not a part of its identity."""

    cores: int = 1
    memory_mb: int = 2000
    disk_mb: int = 1000
    gpus: int = 0
    wall_seconds: int = 86_400


class Task(_Data):
    """One piece of work: what to do, on which files, after which tasks.

    `parameters` holds all that changes the result and nothing else: usually an `analysis` reduced to the keys that
    this kind of task depends on, plus a sample or a fold. `folder` is where the user's own modules are found (beside
    the analysis file); their content is in `code`.
    """

    kind: Kind
    label: str
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    files: tuple[InputFile, ...] = ()
    lost_files: tuple[str, ...] = ()
    code: str = ""
    environment: str = ""
    folder: str = ""
    resources: Resources = Resources()

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of packages beside those of the kind: the user's own model's, if it runs, and the back end's."""
        analysis = self.parameters.get("analysis")
        names = analysis.get("packages") if isinstance(analysis, dict) and self.kind in OWN_CODE else None
        own = tuple(str(name) for name in names) if isinstance(names, list) else ()
        return (*own, *backend_packages(self.kind, self.backend))

    @property
    def backend(self) -> str:
        """What Keras must run on in the process that does this task: all but training is TensorFlow's."""
        analysis = self.parameters.get("analysis")
        training = analysis.get("training") if isinstance(analysis, dict) and self.kind == "train" else None
        return str(training.get("backend", TENSORFLOW)) if isinstance(training, dict) else TENSORFLOW

    @property
    def id(self) -> str:
        """`kind-` and 20 hexadecimal digits; label, folder, paths and resources do not enter."""
        identity: dict[str, object] = {
            "kind": self.kind,
            "version": CONTRACT_VERSIONS[self.kind],
            "parameters": self.parameters,
            "inputs": list(self.inputs),
            "files": [[file.uuid, file.size, list(file.friend_uuids)] for file in self.files],
            "lost_files": len(self.lost_files),
            "code": self.code,
            "environment": self.environment,
        }
        return f"{self.kind}-{digest_json(identity)[:20]}"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a task is: for progress bars and `status`."""

    done: float
    total: float
    text: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a worker gives to the function that does a task.

    `output` is this attempt's own empty folder; `scratch` outlives attempts (checkpoints). A long function calls
    `stop()` at least once a second and, when it is true, saves into `scratch` and raises Interrupted. `donor`: a result
    from which events may be taken instead of reading them; nobody has verified it.
    """

    task: Task
    inputs: Mapping[str, Path]
    output: Path
    scratch: Path
    stop: Callable[[], bool]
    progress: Callable[[Progress], None]
    donor: Path | None = None
