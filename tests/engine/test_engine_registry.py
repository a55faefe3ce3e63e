"""Engines by name: the built-in ones, installed ones, and what is said of wrong names and options."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import job, site
from fake_htcondor import FakeCondor
from pydantic import BaseModel, ConfigDict

from gridloom.engines import ENGINES, EngineKind, make_engine
from gridloom.engines.base import Engine
from gridloom.engines.htcondor.engine import HTCondorEngine
from gridloom.engines.local import LocalEngine
from gridloom.engines.registry import engine_kind, read_options
from gridloom.engines.slurm.engine import SlurmEngine
from gridloom.errors import GridloomError, InvalidValue, Problems, SiteProblem, UnknownKey
from gridloom.sites.models import Site
from gridloom.testing.pool import ToyPool


class PoolOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str


def make_pool(where: Site, options: BaseModel, folder: Path, kinds: str) -> Engine:
    assert isinstance(options, PoolOptions)
    assert where.shared_folder
    return ToyPool(work=lambda job: None, hosts=frozenset({options.queue, folder.name, kinds}))


POOL = EngineKind(options=PoolOptions, shared_folder=True, make=make_pool)
NOT_ONE = {"options": PoolOptions}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two installed packages that offer engines, one of which is none."""
    points = [
        importlib.metadata.EntryPoint(name=name, group="gridloom.engines", value=f"{__name__}:{value}")
        for name, value in (("pool", "POOL"), ("odd", "NOT_ONE"))
    ]

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        assert group == "gridloom.engines"
        return points

    def load(point: importlib.metadata.EntryPoint) -> object:
        return globals()[point.attr]

    monkeypatch.setattr("gridloom.engines.registry.entry_points", entry_points)
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", load)


@pytest.mark.parametrize(
    ("name", "kind"), [("local", LocalEngine), ("htcondor", HTCondorEngine), ("slurm", SlurmEngine)]
)
def test_built_in_engines(name: str, kind: type, condor: FakeCondor, tmp_path: Path) -> None:
    engine = make_engine(site(name), folder=tmp_path, kinds="module:KINDS")
    assert isinstance(engine, kind)
    engine.close()


def test_each_engine_has_its_own_way_with_files(condor: FakeCondor, tmp_path: Path) -> None:
    """Unless the site says otherwise, Slurm's nodes share a folder and HTCondor's do not."""
    shared = {
        (name, said): make_engine(site(name, shared_folder=said), folder=tmp_path).capabilities.shared_file_system
        for name, said in (
            ("htcondor", None),
            ("htcondor", True),
            ("htcondor", False),
            ("slurm", None),
            ("local", None),
        )
    }
    assert shared == {
        ("htcondor", None): False,
        ("htcondor", True): True,
        ("htcondor", False): False,
        ("slurm", None): True,
        ("local", None): True,
    }


def test_the_local_engine_takes_its_options(tmp_path: Path) -> None:
    engine = make_engine(site("local", options={"jobs": 3}, grace=7), folder=tmp_path, kinds="module:KINDS")
    assert isinstance(engine, LocalEngine)
    assert (engine.settings.jobs, engine.settings.kinds, engine.settings.grace) == (3, "module:KINDS", 7)


@pytest.mark.usefixtures("installed")
def test_an_installed_engine_is_as_good_as_a_built_in_one(tmp_path: Path) -> None:
    engine = make_engine(site("pool", options={"queue": "fast"}), folder=tmp_path / "logs", kinds="k")
    assert engine.nodes() == {"fast", "logs", "k"}
    assert engine.submit([job()]) == ("0",)


@pytest.mark.usefixtures("installed")
def test_what_is_installed_and_no_engine() -> None:
    with pytest.raises(SiteProblem, match="the installed engine `odd` is no EngineKind") as caught:
        engine_kind("odd")
    assert caught.value.where == f"{__name__}:NOT_ONE"


@pytest.mark.usefixtures("installed")
def test_a_name_that_no_engine_has() -> None:
    with pytest.raises(SiteProblem, match="there is no engine `condor`") as caught:
        engine_kind("condor")
    assert caught.value.fix == "There are: htcondor, local, odd, pool, slurm."


@pytest.mark.parametrize(
    ("engine", "options", "errors"),
    [
        ("slurm", {"partitoin": "short"}, [(UnknownKey, ("options", "partitoin"), "no option `partitoin`")]),
        ("slurm", {"array": 0, "qos": "a b"},
         [(InvalidValue, ("options", "qos"), "option `qos` of engine `slurm`"),
          (InvalidValue, ("options", "array"), "option `array` of engine `slurm`")]),
        ("slurm", {"sbatch": ["--nice=1", "nice"]},
         [(InvalidValue, ("options", "sbatch", 1), "option `sbatch.1` of engine `slurm`")]),
        ("htcondor", {"submit": {"a b": "1"}, "wall_attribute": "a b"},
         [(InvalidValue, ("options", "submit", "a b", "[key]"), "`submit.a b.[key]`"),
          (InvalidValue, ("options", "wall_attribute"), "`wall_attribute`")]),
        ("htcondor", {"requirements": "a\nqueue 100"}, [(InvalidValue, ("options", "requirements"), "`requirements`")]),
        ("local", {"jobs": "x"}, [(InvalidValue, ("options", "jobs"), "`jobs`")]),
    ],
)  # fmt: skip
def test_wrong_options_are_all_told_with_their_keys(
    engine: str, options: dict[str, Any], errors: list[tuple[type[GridloomError], tuple[str | int, ...], str]]
) -> None:
    with pytest.raises(Problems) as caught:
        read_options(site(engine, options=options), ENGINES[engine])
    assert [(type(error), error.key) for error in caught.value.errors] == [(kind, key) for kind, key, _ in errors]
    for error, (_, _, words) in zip(caught.value.errors, errors, strict=True):
        assert words in error.what
        assert error.fix


def test_an_unknown_option_names_those_there_are() -> None:
    with pytest.raises(Problems) as caught:
        read_options(site("local", options={"cores": 3}), ENGINES["local"])
    assert caught.value.errors[0].fix == "It has: jobs."


@pytest.mark.parametrize(
    "submit", [{"+JobFlavour": '"espresso"'}, {"My.X": "1"}, {"notify_user": "me"}, {"+a.b_C1": "1"}]
)
def test_further_lines_of_a_description(submit: Mapping[str, str]) -> None:
    assert read_options(site(options={"submit": submit}), ENGINES["htcondor"]).model_dump()["submit"] == submit


@pytest.mark.parametrize("submit", [{"queue 3": "1"}, {"a\n": "1"}, {"": "1"}, {"a": "1\nqueue"}, {"#": "1"}])
def test_lines_that_would_be_something_else(submit: Mapping[str, str]) -> None:
    with pytest.raises(Problems):
        read_options(site(options={"submit": submit}), ENGINES["htcondor"])
