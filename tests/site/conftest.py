"""Sites on the testbed: `make test-site` brings it up; its folder is GRIDLOOM_TESTBED."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gridloom.engines import make_engine
from gridloom.engines.base import Engine, State
from gridloom.results import Store
from gridloom.sites.models import Site
from gridloom.testing.engine import KINDS, Bench

SITES: dict[str, dict[str, Any]] = {
    "htcondor": {"engine": "htcondor", "shared_folder": False},
    "htcondor shared": {"engine": "htcondor", "shared_folder": True},
    "slurm": {"engine": "slurm"},
}


def make_site(name: str, **changes: Any) -> Site:
    """A site of the testbed, quick and small."""
    needs = {"default": {"memory": 1000, "wall": 3600}}
    settings = {"grace": 10, "poll": 1, "network": "127.0.0.1:1", "resources": needs}
    return Site.model_validate({**settings, **SITES[name], **changes})


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches; whatever they leave in a queue is removed."""
    made: list[tuple[Engine, list[str]]] = []

    def make(name: str, *, kinds: str = KINDS, folder: Path | None = None, **changes: Any) -> Bench:
        root = folder or tmp_path
        engine = make_engine(make_site(name, **changes), folder=root / "jobs", kinds=kinds)
        ids: list[str] = []
        submit = engine.submit

        def remembering(jobs: Any) -> tuple[str, ...]:
            found = submit(jobs)
            ids.extend(found)
            return found

        engine.submit = remembering  # type: ignore[method-assign]
        made.append((engine, ids))
        return Bench(engine, Store(root / "store"))

    yield make
    for engine, ids in made:
        going = (State.PENDING, State.RUNNING, State.HELD)
        engine.cancel([job for job, found in engine.poll(ids).items() if found.state in going], at_once=True)
        engine.close()


@pytest.fixture(scope="session", autouse=True)
def testbed() -> Path:
    """The folder of the testbed; its environment is this process's from here on."""
    folder = Path(os.environ["GRIDLOOM_TESTBED"])
    for line in (folder / "env").read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            os.environ[name] = value.replace("$PATH", os.environ["PATH"])
    return folder
