"""Sites on the testbed: `make test-site` brings it up; its folder is GRIDLOOM_TESTBED."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from site_runs import ROOT, make_site, trained_bits, write_sites
from whole_runs import run_analysis

from gridloom.assignment import Assignment
from gridloom.engines import make_engine
from gridloom.engines.base import Engine, State
from gridloom.results import Store
from gridloom.testing.engine import KINDS, Bench

_EVENTS = 6000
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


@pytest.fixture(scope="session")
def tth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`examples/tth` with its five folds on few events, in a folder whose name is no trouble."""
    folder = tmp_path_factory.mktemp("t t,H") / "tth"
    folder.mkdir()
    shutil.copy(ROOT / "examples" / "tth" / "analysis.yaml", folder)
    simulate = [sys.executable, str(ROOT / "examples" / "tth" / "simulate.py")]
    subprocess.run(
        [*simulate, "--events", str(_EVENTS), "--out", str(folder / "data"), "--jobs", "2"], check=True, timeout=600
    )
    write_sites(folder)
    return folder / "analysis.yaml"


@pytest.fixture(scope="session")
def here(tth: Path) -> dict[str, Any]:
    run_analysis(tth, tth.parent / "here")
    return trained_bits(tth.parent / "here")


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
