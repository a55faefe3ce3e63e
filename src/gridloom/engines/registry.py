"""The engines there are, and how one is made from a site; others are entry points of the group `gridloom.engines`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gridloom.engines.base import Engine
from gridloom.engines.htcondor.engine import HTCondorEngine
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.local import LocalEngine, LocalSettings
from gridloom.engines.slurm.engine import SlurmEngine
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.errors import InvalidValue, Problems, SiteProblem, UnknownKey
from gridloom.sites.models import Site

GROUP = "gridloom.engines"


class LocalOptions(BaseModel):
    """Options of this machine as a site."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int = 0


@dataclass(frozen=True, kw_only=True)
class EngineKind:
    """An engine's options, whether its nodes usually share a file system with the submitting side, and its maker.

    `make(site, options, folder, kinds)` gives a new engine; `folder` is a run's folder of logs.
    """

    options: type[BaseModel]
    shared_folder: bool
    make: Callable[[Site, BaseModel, Path, str], Engine]


def _local(site: Site, options: BaseModel, folder: Path, kinds: str) -> Engine:
    assert isinstance(options, LocalOptions)
    return LocalEngine(LocalSettings(jobs=options.jobs, kinds=kinds, grace=site.grace), folder)


def _htcondor(site: Site, options: BaseModel, folder: Path, kinds: str) -> Engine:
    assert isinstance(options, HTCondorOptions)
    return HTCondorEngine(site, options, folder, kinds=kinds)


def _slurm(site: Site, options: BaseModel, folder: Path, kinds: str) -> Engine:
    assert isinstance(options, SlurmOptions)
    return SlurmEngine(site, options, folder, kinds=kinds)


ENGINES: Mapping[str, EngineKind] = {
    "local": EngineKind(options=LocalOptions, shared_folder=True, make=_local),
    "htcondor": EngineKind(options=HTCondorOptions, shared_folder=False, make=_htcondor),
    "slurm": EngineKind(options=SlurmOptions, shared_folder=True, make=_slurm),
}


def engine_kind(name: str) -> EngineKind:
    """A built-in engine, or an installed one. Raises SiteProblem."""
    if name in ENGINES:
        return ENGINES[name]
    others = {point.name: point for point in entry_points(group=GROUP)}
    if name in others:
        found: object = others[name].load()
        if isinstance(found, EngineKind):
            return found
        raise SiteProblem(f"the installed engine `{name}` is no EngineKind", where=others[name].value)
    known = ", ".join(sorted({*ENGINES, *others}))
    raise SiteProblem(f"there is no engine `{name}`", fix=f"There are: {known}.")


def make_engine(site: Site, *, folder: Path, kinds: str = "") -> Engine:
    """A new engine for a site; `folder` takes its jobs' files.

    Raises SiteProblem when the engine cannot be used here, Problems with the places (below the site's `options`) of
    all wrong options.
    """
    kind = engine_kind(site.engine)
    shared = kind.shared_folder if site.shared_folder is None else site.shared_folder
    return kind.make(site.model_copy(update={"shared_folder": shared}), read_options(site, kind), folder, kinds)


def read_options(site: Site, kind: EngineKind) -> BaseModel:
    """The options of a site as its engine's model. Raises Problems."""
    try:
        return kind.options.model_validate(site.options)
    except ValidationError as error:
        raise Problems(
            _problem(tuple(found["loc"]), found["type"], found["msg"], site.engine, kind) for found in error.errors()
        ) from error


def _problem(
    path: tuple[int | str, ...], what: str, message: str, engine: str, kind: EngineKind
) -> UnknownKey | InvalidValue:
    key = ("options", *path)
    name = ".".join(str(part) for part in path)
    if what == "extra_forbidden":
        known = ", ".join(kind.options.model_fields)
        return UnknownKey(f"the engine `{engine}` has no option `{name}`", fix=f"It has: {known}.", key=key)
    return InvalidValue(f"option `{name}` of engine `{engine}`: {message}", fix="Correct it.", key=key)
