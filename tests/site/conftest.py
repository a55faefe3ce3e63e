"""Sites on the testbed: `make test-site` brings it up; its folder is GRIDLOOM_TESTBED."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from site_runs import make_site

from gridloom.assignment import Assignment
from gridloom.engines import make_engine
from gridloom.engines.base import Engine, State
from gridloom.results import Store
from gridloom.testing.engine import KINDS, Bench

_GOING = (State.PENDING, State.RUNNING, State.HELD)


@pytest.fixture(scope="session", autouse=True)
def testbed() -> Path:
    """The folder of the testbed; its environment is this process's from here on."""
    folder = Path(os.environ["GRIDLOOM_TESTBED"])
    for line in (folder / "env").read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if line.startswith("export "):
            os.environ[name] = value.replace("$PATH", os.environ["PATH"])
    return folder


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Makes benches; whatever they leave in a queue is removed."""
    made: list[tuple[Engine, list[str]]] = []

    def make(name: str, *, kinds: str = KINDS, **changes: Any) -> Bench:
        engine = make_engine(make_site(name, **changes), folder=tmp_path / "jobs", kinds=kinds)
        ids: list[str] = []
        submit = engine.submit

        def remembering(jobs: Sequence[Assignment]) -> tuple[str, ...]:
            found = submit(jobs)
            ids.extend(found)
            return found

        engine.submit = remembering  # type: ignore[method-assign]
        made.append((engine, ids))
        return Bench(engine, Store(tmp_path / "store"))

    yield make
    for engine, ids in made:
        engine.cancel([job for job, found in engine.poll(ids).items() if found.state in _GOING], at_once=True)
        engine.close()
