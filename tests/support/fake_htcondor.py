"""A pool of HTCondor in this process: what of the bindings `htcondor2` Gridloom uses, with a queue that tests write."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Ad = dict[str, Any]


class CondorError(Exception):
    """`htcondor2.HTCondorException`."""


class Action(enum.Enum):
    Remove = "Remove"
    Hold = "Hold"
    Release = "Release"
    VacateFast = "VacateFast"


@dataclass
class FakeCondor:
    """A schedd, a collector and event logs; `errors` says which calls raise what."""

    queue: list[Ad] = field(default_factory=list)
    past: list[Ad] = field(default_factory=list)
    machines: list[Ad] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)
    acted: list[tuple[str, Any]] = field(default_factory=list)
    edited: list[tuple[Any, str, str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    locations: list[Any] = field(default_factory=list)
    pools: list[str] = field(default_factory=list)
    version: str = "$CondorVersion: 23.10.29 2025-09-23 BuildID: 1 $"
    first: int = 7

    @property
    def module(self) -> ModuleType:
        """What `import htcondor2` gives."""
        made = ModuleType("htcondor2")
        module: Any = made
        module.HTCondorException = CondorError
        module.JobAction = Action
        module.QueryOpt = SimpleNamespace(Default="default", IncludeClusterAd="with clusters")
        module.DaemonType = SimpleNamespace(Schedd="schedd")
        module.AdType = SimpleNamespace(Startd="startd")
        module.Submit = str
        module.Schedd = lambda *location: _Schedd(self, location)
        module.Collector = lambda *pool: _Collector(self, pool)
        module.JobEventLog = lambda path: _Log(self, Path(path))
        module.version = lambda: self.version
        return made

    def call(self, name: str) -> None:
        self.asked.append(name)
        if name in self.errors:
            raise self.errors[name]

    def tell(self, log: Path, cluster: int, proc: int, kind: str, **attributes: Any) -> None:
        """The next event of a job in the log of its batch."""
        line = json.dumps({"cluster": cluster, "proc": proc, "kind": kind, "attributes": attributes})
        with log.open("a") as stream:
            stream.write(line + "\n")


class _Event(dict[str, Any]):
    def __init__(self, line: str) -> None:
        found = json.loads(line)
        super().__init__(found["attributes"])
        self.cluster, self.proc = found["cluster"], found["proc"]
        self.type = SimpleNamespace(name=found["kind"])


@dataclass
class _Log:
    condor: FakeCondor
    path: Path
    read: int = 0

    def events(self, *, stop_after: int) -> Iterator[_Event]:
        assert stop_after == 0  # to wait for events would hold up the driver
        self.condor.call("events")
        lines = self.path.read_text().splitlines()[self.read :]
        for line in lines:
            self.read += 1
            yield _Event(line)


@dataclass
class _Submitted:
    number: int

    def cluster(self) -> int:
        return self.number


@dataclass
class _Schedd:
    condor: FakeCondor
    location: Sequence[Any]

    def __post_init__(self) -> None:
        self.condor.locations.append(self.location[0] if self.location else None)
        self.condor.call("schedd")

    def submit(self, text: str) -> _Submitted:
        self.condor.call("submit")
        self.condor.submitted.append(text)
        return _Submitted(self.condor.first - 1 + len(self.condor.submitted))

    def query(self, constraint: str, projection: Sequence[str], *, opts: str) -> list[Ad]:
        self.condor.call("query")
        found = [ad for ad in self.condor.queue if matches(constraint, ad)]
        return [ad for ad in found if "ProcId" in ad or opts == "with clusters"]

    def history(self, constraint: str, projection: Sequence[str], match: int) -> Iterator[Ad]:
        self.condor.call("history")
        yield from [ad for ad in self.condor.past if matches(constraint, ad)][:match]

    def act(self, action: Action, target: list[str] | str, reason: str) -> None:
        self.condor.call("act")
        assert isinstance(action, Action)
        assert reason
        self.condor.acted.append((action.value, target))

    def edit(self, jobs: list[str], attribute: str, expression: str) -> None:
        self.condor.call("edit")
        self.condor.edited.append((jobs, attribute, expression))


@dataclass
class _Collector:
    condor: FakeCondor
    pool: Sequence[str]

    def __post_init__(self) -> None:
        self.condor.pools += self.pool

    def locate(self, kind: str, name: str | None) -> Ad:
        self.condor.call("locate")
        assert kind == "schedd"
        return {"Name": name or "here", "CondorVersion": "$CondorVersion: 23.9.6 2024-08-08 BuildID: 2 $"}

    def query(self, kind: str, constraint: str, projection: Sequence[str]) -> list[Ad]:
        self.condor.call("collector")
        assert (kind, constraint) == ("startd", "true")
        return [{name: ad[name] for name in projection if name in ad} for ad in self.condor.machines]


def matches(constraint: str, ad: Mapping[str, Any]) -> bool:
    """Whether an ad fulfils `A == 1 && B == "text"`."""
    for part in constraint.split(" && "):
        match = re.fullmatch(r"(\w+) == (.+)", part)
        assert match is not None, constraint
        if ad.get(match[1]) != json.loads(match[2]):
            return False
    return True
