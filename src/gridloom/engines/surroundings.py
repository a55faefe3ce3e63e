"""How workers of this machine are started: in this environment, or in a container."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gridloom.containers.enclosure import Enclosure
from gridloom.containers.here import Found, start
from gridloom.environment import fixed_variables, worker_variables
from gridloom.sites.models import Container
from gridloom.task import TENSORFLOW

_KILL_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """The container of this machine's workers: its image and runtime, and what it shows of this machine."""

    found: Found
    container: Container
    folder: str
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    network: bool = False

    def showing(self, *, writes: tuple[str, ...], reads: tuple[str, ...], network: bool) -> Surroundings:
        """The same with these folders: the first of them is where workers start."""
        return replace(self, folder=(*writes, *reads)[0], writes=writes, reads=reads, network=network)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A worker's command line and environment, and the command that surely ends it, where killing is not enough."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    kill: tuple[str, ...] = ()

    def end(self) -> None:
        """End what killing the started process leaves behind."""
        if self.kill:
            # It may be gone already, and the daemon with it: nothing more can be done from here.
            subprocess.run(self.kill, env=self.environment, capture_output=True, timeout=_KILL_SECONDS, check=False)


def launch(
    arguments: Sequence[str],
    *,
    cores: int,
    surroundings: Surroundings | None,
    temporary: str = "",
    backend: str = TENSORFLOW,
) -> Launch:
    """How to start Python with these arguments here; `temporary` is the folder that is /tmp in a container."""
    variables = {**worker_variables(cores, backend), **os.environ, **fixed_variables(cores, backend)}
    if surroundings is None:
        return Launch(argv=(sys.executable, *arguments), environment=variables)
    enclosure = Enclosure(
        image=surroundings.found.image,
        command=(surroundings.container.python, *arguments),
        folder=surroundings.folder,
        writes=surroundings.writes,
        reads=(*surroundings.reads, *surroundings.container.reads),
        temporary=temporary,
        network={"on": True, "off": False}.get(surroundings.container.network, surroundings.network),
        name=f"gridloom-{os.getpid()}-{secrets.token_hex(4)}",
        options=surroundings.container.options,
    )
    begun = start(surroundings.found, enclosure, variables, {})
    return Launch(argv=begun.argv, environment=begun.environment, kill=begun.kill)
