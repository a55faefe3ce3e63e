"""What a result depends on besides its task: library versions, Python, architecture, the user's own code.

Nothing heavy is imported: versions come from the installed packages' metadata, code from its files.
"""

from __future__ import annotations

import ast
import importlib.metadata
import os
import platform
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from gridloom.errors import EnvironmentProblem, Problems, UserModelError
from gridloom.files import digest_bytes, digest_json
from gridloom.task import OWN_CODE, TENSORFLOW, Kind, backend_packages

if TYPE_CHECKING:  # a job's small parent process should not wait for it
    from gridloom.analysis.models import Analysis

# Distributions whose version can change a result of each kind; alternatives (one of which must be there) by "|"; with
# "?" those that may be missing: each serves one format.
_NUMBERS = ("numpy",)
_TENSORFLOW = ("tensorflow|tensorflow-cpu", "keras")
DISTRIBUTIONS: dict[Kind, tuple[str, ...]] = {
    "prepare": (*_NUMBERS, "uproot", "awkward", "vector"),
    "tune": (*_NUMBERS, *_TENSORFLOW),
    "train": (*_NUMBERS, *_TENSORFLOW),
    "reference": (*_NUMBERS, "scipy", "scikit-learn"),
    "evaluate": (*_NUMBERS, "scipy", "scikit-learn", *_TENSORFLOW),
    "report": (*_NUMBERS, "matplotlib", "mplhep", "jinja2"),
    "predict": (*_NUMBERS, *_TENSORFLOW, "uproot", "awkward", "vector"),
    "export": (*_NUMBERS, *_TENSORFLOW, "scipy", "?onnx", "?onnxruntime", "?tf2onnx", "?ai-edge-litert"),
}

# Those that may be missing: what they serve is not done there.
OPTIONAL = frozenset(name.removeprefix("?") for group in DISTRIBUTIONS.values() for name in group if name[0] == "?")


class Environment(BaseModel):
    """Digests of what each kind of task runs in, the digest of the user's code, and what people want to know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: dict[Kind, str]
    code: str = ""
    code_files: dict[str, str] = {}
    versions: dict[str, str] = {}
    machine: dict[str, str] = {}


def describe_environment(analysis: Analysis, folder: Path) -> Environment:
    """What this process runs in. Raises EnvironmentProblem for a missing library, Problems for the user's own packages.

    UserModelError for the user's code: missing, no Python, or without the function. It is read, never run: importing
    it is for the workers that train.
    """
    from gridloom.analysis.packages import package_name

    missing = tuple(package_problems(analysis))
    if missing:
        raise Problems(missing)
    packages = tuple(package_name(text) for text in analysis.packages)
    files = code_files(analysis.model.function, folder) if analysis.model.function else {}
    if analysis.model.function:
        check_source(analysis.model.function, files)
    backend = backend_packages("train", analysis.training.backend)
    return Environment(
        kinds={
            kind: environment_digest(kind, (*packages, *backend_packages(kind, analysis.training.backend)))
            for kind in DISTRIBUTIONS
        },
        code=_digest_code(files),
        code_files={name: digest_bytes(path.read_bytes()) for name, path in files.items()},
        versions=versions((*packages, *backend)),
        machine=machine(),
    )


def package_problems(analysis: Analysis) -> Iterator[EnvironmentProblem]:
    """Packages of the user's own model, or of the training's back end, that are not here or in another version."""
    from gridloom.analysis.packages import package_name, satisfies

    for index, requirement in enumerate(analysis.packages):
        found = _installed(package_name(requirement))
        if found and satisfies(requirement, found):
            continue
        name = package_name(requirement)
        yield EnvironmentProblem(
            f"{name} is here in version {found}" if found else f"{name} is not installed",
            where=sys.prefix,
            fix=f"Install `{requirement}` into this environment, or put it into an image by `gridloom image build` of "
            "the analysis file, and run in that.",
            key=("packages", index),
        )
    for name in backend_packages("train", analysis.training.backend):
        if not _installed(name):
            backend = analysis.training.backend
            yield EnvironmentProblem(
                f"`backend: {backend}` needs {name}, which is not installed",
                where=sys.prefix,
                fix=f"Install Gridloom with its `{backend}` extra into this environment; for an image, name "
                f"`{backend}` in `packages`. Or train with `backend: tensorflow`.",
                key=("training", "backend"),
            )


def environment_digest(kind: Kind, packages: Iterable[str] = ()) -> str:
    """Digest of the versions a kind of task depends on, Python's minor version and the architecture.

    `packages` are the names of those that the user's own model needs.
    """
    own = {name: _installed(name) for name in packages} if kind in OWN_CODE else {}
    return digest_json(
        {
            "versions": dict(_version(name) for name in DISTRIBUTIONS[kind]),
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
            "architecture": platform.machine(),
            **({"packages": own} if own else {}),
        }
    )


def versions(packages: Iterable[str] = ()) -> dict[str, str]:
    """Versions of everything a result can depend on, of Gridloom and of Python; what is not installed is left out.

    `packages` are further names: those of packages that the user's own model needs.
    """
    names = sorted({name for group in DISTRIBUTIONS.values() for name in group} | set(packages))
    found = {
        "python": platform.python_version(),
        "gridloom": importlib.metadata.version("gridloom"),
    }
    for name in names:
        with suppress(EnvironmentProblem):
            found |= dict([_version(name)])
    return {name: version for name, version in found.items() if not name.startswith("?")}


def machine() -> dict[str, str]:
    """What kind of machine this is, for provenance."""
    return {
        "host": socket.gethostname(),
        "system": platform.platform(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": str(available_cores()),
    }


def available_cores() -> int:
    """Cores this process may use (batch systems and containers give fewer than the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_variables(cores: int) -> dict[str, str]:
    """Environment variables that hold numerical libraries to so many threads; read when they are first imported."""
    names = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    )
    return dict.fromkeys(names, str(cores)) | {"TF_NUM_INTEROP_THREADS": "1"}


def worker_variables(cores: int, backend: str = TENSORFLOW) -> dict[str, str]:
    """What a worker's environment says to its libraries: no greetings in the logs of physicists, and what must be."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2"} | fixed_variables(cores, backend)


def fixed_variables(cores: int, backend: str = TENSORFLOW) -> dict[str, str]:
    """What no other setting may change: threads, and what Keras runs on."""
    own = {"NPROC": str(cores)} if backend == "jax" else {}  # the threads of XLA in JAX
    return {"KERAS_BACKEND": backend} | own | thread_variables(cores)


def code_digest(function: str, folder: Path) -> str:
    """Digest of the user's code behind `module:function`. Raises UserModelError when the module is not found."""
    return _digest_code(code_files(function, folder))


def code_files(function: str, folder: Path) -> dict[str, Path]:
    """Source files of the user's module and of all modules beside the analysis file that these import.

    A package counts with all its Python files. The module is found without importing it.
    """
    module = function.partition(":")[0]
    top = module.partition(".")[0]
    spec = PathFinder.find_spec(top, [str(folder), *sys.path])
    if spec is None:
        raise UserModelError(
            f"there is no module `{top}`",
            where=str(folder),
            fix=f"Put {top}.py beside the analysis file, or install it into Gridloom's environment.",
            key=("model", "function"),
        )
    files: dict[str, Path] = {}
    waiting = [(top, spec)]
    while waiting:
        name, found = waiting.pop()
        new = {key: path for key, path in _sources(name, found).items() if key not in files}
        files |= new
        for path in new.values():
            waiting += [pair for pair in _imported_beside(path, folder) if pair[0] not in files]
    return dict(sorted(files.items()))


def check_source(function: str, files: Mapping[str, Path]) -> None:
    """Read the module behind `module:function`, one of `files`, if it is Python source. Raises UserModelError."""
    module, _, name = function.partition(":")
    stem = module.replace(".", "/")
    path = next((files[key] for key in (module, f"{stem}.py", f"{stem}/__init__.py") if key in files), None)
    if path is None or path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}:{error.offset}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise UserModelError(
            f"`{module}` is no valid Python: {error.msg if isinstance(error, SyntaxError) else error}",
            where=f"{path}{line}",
            fix="Correct this line and run again.",
            key=("model", "function"),
        ) from error
    if not _may_define(tree, name):
        functions = ", ".join(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
        raise UserModelError(
            f"module `{module}` has no function `{name}`",
            where=str(path),
            fix=f"It has: {functions or 'no functions'}.",
            key=("model", "function"),
        )


def _may_define(tree: ast.Module, name: str) -> bool:
    """Whether a module may have this name; only a name that is written nowhere in it is surely not there."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in (name, "__getattr__"):
            return True
        if isinstance(node, ast.Name) and node.id == name:
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) in (name, "*"):
            return True
    return False


def _digest_code(files: dict[str, Path]) -> str:
    return digest_json({name: digest_bytes(path.read_bytes()) for name, path in files.items()}) if files else ""


def _sources(name: str, spec: ModuleSpec) -> dict[str, Path]:
    """Source files of a top-level module or package, by a name that does not depend on where it lies."""
    if spec.submodule_search_locations is not None:
        roots = [Path(location) for location in spec.submodule_search_locations]
        return {
            f"{name}/{path.relative_to(root).as_posix()}": path for root in roots for path in sorted(root.rglob("*.py"))
        }
    return {name: Path(spec.origin)} if spec.origin and Path(spec.origin).is_file() else {}


def _imported_beside(path: Path, folder: Path) -> Iterator[tuple[str, ModuleSpec]]:
    """Top-level modules beside the analysis file that a source file imports."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        # Not for us to report: importing it in a worker says what is wrong, with the user's own line.
        return
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [node.module]
        for name in names:
            top = name.partition(".")[0]
            spec = PathFinder.find_spec(top, [str(folder)])
            if spec is not None:
                yield top, spec


def _installed(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _version(names: str) -> tuple[str, str]:
    for name in names.removeprefix("?").split("|"):
        if found := _installed(name):
            return name, found
    if names.startswith("?"):
        return names, "not installed"
    raise EnvironmentProblem(
        f"{names.replace('|', ' or ')} is not installed",
        where=sys.prefix,
        fix="Install Gridloom with its `cpu` extra (or `cuda`), as the README says.",
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
