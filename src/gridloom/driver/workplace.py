"""What a driver works with: store, engine, journal, whoever listens, and the site's pace and limits."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gridloom.driver.events import Listener
from gridloom.engines.base import Engine
from gridloom.journal import Journal
from gridloom.results import Store
from gridloom.sites.models import Site
from gridloom.task import Kind, Resources

CANCEL_FILE = "cancel.request"


class StopRequest:
    """How often the user asked to stop: once to save and leave, twice to leave at once; or to cancel the jobs, too."""

    def __init__(self, watched: Path | None = None) -> None:
        self.times = 0
        self.left = False  # jobs go on without this process
        self.watched = watched  # a run's folder, in which another process may ask to cancel
        self._cancel = False

    def ask(self) -> None:
        self.times += 1

    def cancel(self) -> None:
        """Ask to end all jobs, softly."""
        self._cancel = True

    @property
    def cancelled(self) -> bool:
        """Whether jobs are to be ended, even where they could go on without a driver."""
        if not self._cancel and self.watched is not None and (self.watched / CANCEL_FILE).exists():
            self._cancel = True
        return self._cancel


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds: between two polls; that a job may be unknown before it counts as lost; that a result may take to show.

    On shared file systems a file may be seen by others only a minute after it was written.
    """

    wait: float = 0.2
    unknown: float = 4.0
    settle: float = 0.0

    @classmethod
    def of(cls, site: Site) -> Pace:
        """The pace of a site with a batch system."""
        return cls(wait=min(1.0, site.poll), unknown=max(120.0, 10.0 * site.poll), settle=60.0)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the site says of jobs: what they ask for, how many at a time, how much memory at most."""

    needs: Callable[[Kind, Resources], Resources] = field(default=lambda _, resources: resources)
    most_jobs: int = 1_000_000
    most_memory_mb: int = 64_000
    versions: Mapping[str, str] = field(default_factory=dict)
    code: str = ""  # where a snapshot of the user's own modules lies
    contained: bool = False  # jobs run in containers, which must be told what to show them

    @classmethod
    def of(cls, site: Site, versions: Mapping[str, str], code: str = "") -> Terms:
        return cls(
            needs=site.needs,
            most_jobs=site.limits.jobs,
            most_memory_mb=site.limits.memory,
            versions=versions,
            code=code,
            contained=site.container is not None,
        )


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """What a driver works with."""

    store: Store
    engine: Engine
    journal: Journal
    listener: Listener
    stop: StopRequest
    pace: Pace = Pace()
    terms: Terms = field(default_factory=Terms)
    tick: Callable[[], None] = field(default=lambda: None)  # called in every round
    new_token: Callable[[], str] = field(default=lambda: secrets.token_hex(4))
