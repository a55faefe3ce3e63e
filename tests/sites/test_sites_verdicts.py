"""What is said of a site, rule by rule."""

from __future__ import annotations

from typing import Any

import pytest

from gridloom.driver.site_verdicts import Attempt, Findings, Here, longest_wall, time_text, verdicts
from gridloom.engines.base import Fact
from gridloom.sites.credentials import Credential
from gridloom.sites.models import Site
from gridloom.sites.probe import Gpu, Memory, Network, Probe, Processor, Scratch, TensorFlow
from gridloom.task import Resources

VERSIONS = {"python": "3.12.3", "gridloom": "0.1.0", "numpy": "2.4.6"}
PROCESSOR = Processor(architecture="x86_64", name="A fast one", sets=("avx", "avx2"), cores=4)
SCRATCH = Scratch(
    folder="/scratch", free_mb=50_000, write_mb_per_second=400.0, state_mb=64, save_seconds=0.8, problem=""
)
PROBE = Probe(
    host="node17",
    user="jo",
    time=1010.0,
    python="/venv/bin/python",
    versions=VERSIONS,
    processor=PROCESSOR,
    memory=Memory(limit_mb=2097, set_by="the job's control group"),
    scratch=SCRATCH,
    tensorflow=TensorFlow(version="2.21.0", seconds=10.2, devices=("CPU:0",)),
    gpus=(),
    network=Network(address="cern.ch:443", seconds=0.0123),
)
ATTEMPT = Attempt(asked=Resources(), submitted=1000.0, started=1004.1, seconds=14.0, ended=1020.0)
GPU = Gpu(name="A100", driver="570.1", memory_mb=40_000)
ON_GPU = TensorFlow(version="2.21.0", seconds=10.2, devices=("CPU:0", "GPU:0"))


def facts(
    *,
    site: dict[str, Any] | None = None,
    asked: Resources | None = None,
    credentials: tuple[Credential, ...] = (),
    **probe: Any,
) -> list[Fact]:
    findings = Findings(
        site=Site.model_validate({"engine": "slurm", **(site or {})}),
        here=Here(versions=VERSIONS, processor=PROCESSOR),
        probe=PROBE.model_copy(update=probe),
        attempt=ATTEMPT if asked is None else Attempt(**{**vars(ATTEMPT), "asked": asked}),
        credentials=credentials,
    )
    return list(verdicts(findings))


def test_a_site_that_is_fine() -> None:
    found = facts()
    assert {fact.verdict for fact in found} == {"ok"}
    assert [f"{fact.name}: {fact.value}" for fact in found] == [
        "queue: the job waited 4.1 s and ran 14 s",
        "node: node17, as user jo: A fast one",
        "Python: 3.12.3 at /venv/bin/python",
        "libraries: all 2 versions are those of this side",
        "TensorFlow: 2.21.0 computes on CPU:0; imported in 10 s",
        "instruction set: x86_64 with avx, avx2, as here",
        "cores: 4 usable, 1 asked for",
        "memory: 2.1 GB (the job's control group), 2.0 GB asked for",
        "scratch: 50.0 GB free, written with 400 MB/s (/scratch)",
        "time to save: 2.8 s for a state of 64 MB, 30 s of grace",
        "GPU: not asked for",
        "network: cern.ch:443 answers in 12 ms",
        "clock: agrees with the one here",
        "credential: no credential is needed by this site's engine; none found",
    ]


CHANGED = [
    ({"versions": {**VERSIONS, "python": "3.12.9"}}, "Python", "ok", "3.12.9 at"),
    ({"versions": {**VERSIONS, "python": "3.11.2"}}, "Python", "bad", "3.11.2 there, 3.12.3 here: results would not"),
    # What serves exports alone may be missing there.
    ({"versions": {**VERSIONS, "onnx": "1.23.2"}}, "libraries", "ok", "all 2 versions are those of this side"),
    ({"versions": {**VERSIONS, "numpy": "2.1.0"}}, "libraries", "bad", "numpy 2.1.0 there, 2.4.6 here: results would"),
    (
        {"versions": {"python": "3.12.3", "gridloom": "0.1.0", "keras": "3"}},
        *("libraries", "bad", "keras 3 there, missing here; numpy missing there, 2.4.6 here: results would not agree"),
    ),
    ({"tensorflow": TensorFlow(problem="its process crashed (SIGSEGV)")}, "TensorFlow", "bad", "its process crashed"),
    (
        {"processor": PROCESSOR.model_copy(update={"architecture": "aarch64"})},
        *("instruction set", "bad", "aarch64 there, x86_64 here: results would not agree"),
    ),
    (
        {"processor": PROCESSOR.model_copy(update={"sets": ("avx", "avx512f", "fma")})},
        *("instruction set", "look", "avx512f and fma only there; avx2 only here: last bits may differ"),
    ),
    (
        {"asked": Resources(cores=8)},
        *("cores", "bad", "only 4 usable, 8 asked for"),
    ),
    ({"memory": Memory()}, "memory", "look", "no limit can be read"),
    (
        {"memory": Memory(limit_mb=1500, set_by="`ulimit -v`")},
        *("memory", "bad", "2.0 GB asked for, but `ulimit -v` allows 1.5 GB"),
    ),
    ({"scratch": Scratch(folder="/s", problem="Permission denied")}, "scratch", "bad", "/s: Permission denied"),
    ({"scratch": Scratch(folder="/s", problem="full")}, "time to save", "look", "no state could be saved"),
    (
        {"scratch": SCRATCH.model_copy(update={"free_mb": 900})},
        *("scratch", "bad", "900 MB free, written with 400 MB/s (/scratch); 1.0 GB asked for"),
    ),
    ({"scratch": SCRATCH.model_copy(update={"write_mb_per_second": 3.0})}, "scratch", "look", "(/scratch): slow"),
    (
        {"scratch": SCRATCH.model_copy(update={"save_seconds": 3.1}), "site": {"grace": 5}},
        *("time to save", "bad", "5.1 s for a state of 64 MB, 5 s of grace"),
    ),
    (
        {"scratch": SCRATCH.model_copy(update={"save_seconds": 3.0}), "site": {"grace": 5}},
        "time to save",
        "ok",
        "5.0 s",
    ),
    ({"asked": Resources(gpus=1)}, "GPU", "bad", "1 asked for, none found"),
    ({"asked": Resources(gpus=1), "gpus": (GPU,)}, "GPU", "bad", "A100 (driver 570.1), but TensorFlow sees none"),
    ({"asked": Resources(gpus=1), "gpus": (GPU,), "tensorflow": ON_GPU}, "GPU", "ok", "A100 (driver 570.1)"),
    ({"gpus": (GPU,)}, "GPU", "ok", "not asked for; the node has A100 (driver 570.1)"),
    (
        {"network": Network(address="h:1", problem="no answer")},
        *("network", "look", "h:1 is not reached: no answer"),
    ),
    ({"time": 996.0}, "clock", "ok", "agrees"),
    ({"time": 990.0}, "clock", "look", "10 s behind the one here"),
    ({"time": 1320.0}, "clock", "look", "5 min ahead of the one here"),
    ({"time": 9000.0}, "clock", "bad", "2 h ahead of the one here"),
    (
        {"credentials": (Credential(kind="proxy", place="/tmp/p", ends=1020.0 + 86_400),)},
        *("credential", "ok", "proxy /tmp/p lasts 24 h, jobs up to 24 h"),
    ),
    (
        {"credentials": (Credential(kind="proxy", place="/tmp/p", ends=1020.0 + 7200),)},
        *("credential", "look", "proxy /tmp/p lasts 2 h, jobs up to 24 h"),
    ),
    (
        {"credentials": (Credential(kind="token", place="$BEARER_TOKEN", ends=420.0),)},
        *("credential", "look", "token $BEARER_TOKEN ended 10 min ago"),
    ),
    (
        {"credentials": (Credential(kind="token", place="/t", ends=None),)},
        *("credential", "look", "token /t: its end cannot be read"),
    ),
    ({"odd": ("jobs run as root on the node",)}, "odd", "look", "jobs run as root"),
]


@pytest.mark.parametrize(("changes", "name", "verdict", "text"), CHANGED)
def test_what_is_said(changes: dict[str, Any], name: str, verdict: str, text: str) -> None:
    (fact,) = (fact for fact in facts(**changes) if fact.name == name)
    assert fact.verdict == verdict
    assert text in fact.value
    assert fact.fix or verdict == "ok" or name in ("odd", "memory", "time to save")


def test_whatever_is_bad_says_what_to_do() -> None:
    for changes, *_ in CHANGED:
        assert all(fact.fix for fact in facts(**changes) if fact.verdict == "bad")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (1e5, "28 h"), (1e7, "2778 h")],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_the_longest_job_of_a_site() -> None:
    site = Site.model_validate({"engine": "x", "resources": {"default": {"wall": "1 h"}, "train": {"wall": "3 h"}}})
    assert longest_wall(site) == 3 * 3600
