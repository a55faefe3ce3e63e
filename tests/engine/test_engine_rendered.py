"""Every file that a batch engine renders is the golden one, and says the same to bash and to HTCondor's own parser."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import HOSTILE_FOLDER, full_jobs, hostile_variables, minimal_jobs, site
from golden import compare_files

from gridloom.assignment import Assignment, read_assignment
from gridloom.engines import batches
from gridloom.engines.base import Engine
from gridloom.engines.batches import bundled
from gridloom.engines.htcondor import render as htcondor
from gridloom.engines.htcondor.options import HTCondorOptions
from gridloom.engines.htcondor.render import Places
from gridloom.engines.registry import make_engine
from gridloom.engines.slurm import render as slurm
from gridloom.engines.slurm.options import SlurmOptions
from gridloom.sites.models import Site

GOLDEN = Path(__file__).parent / "golden"
KINDS = "gridloom.testing.kinds:TINY"
ROOT = Path("/work/runs/toy-0123/logs")
ALL_OF_A_SITE: dict[str, Any] = {
    "setup": ("source /cvmfs/view/setup.sh # the view", "module load cuda && module list"),
    "variables": hostile_variables(),
    "grace": 45,
    "checkpoint": 1200,
    "limits": {"jobs": 7},
    "python": "/opt/it's mine/bin/python",
}
CONTAINER: dict[str, Any] = {
    "image": ["/cvmfs/it's here/gridloom.sif", "registry.example.org/gridloom:0.1"],
    "reads": ["/eos"],
    "options": ["--userns"],
}
ALL_OF_HTCONDOR = HTCondorOptions(
    accounting_group="group_u_ATLAS.u_me",
    requirements='(OpSysAndVer == "AlmaLinux9") || Fast',
    submit={"+JobFlavour": '"tomorrow"', "My.Extra": "1", "notify_user": "me@example.org"},
    wall_attribute="MaxWallTime",
)
ALL_OF_SLURM = SlurmOptions(
    partition="short,long",
    account="physics",
    qos="normal",
    reservation="day",
    constraint="avx2&ib",
    gpu_type="a100",
    sbatch=("--nice=100", '--comment="a b"'),
    array=5,
)


def places(*, hostile: bool, kinds: str) -> Places:
    """A hostile root is told to HTCondor by links alone."""
    root = Path("/home/me/.local/state/gridloom/links/0123456789abcdef") if hostile else ROOT
    return Places(root=root, store=Path("/work/runs/.store"), run="feedfeedfeed", kinds=kinds)


def of_htcondor(jobs: Sequence[Assignment], where: Site, options: HTCondorOptions, kinds: str) -> Mapping[str, bytes]:
    files: dict[str, bytes] = {}
    for bundle in bundled(jobs, at_most=20_000, engine="htcondor"):
        files |= htcondor.files_of(bundle, where, options, places(hostile=bool(kinds), kinds=kinds))
    return files


def of_slurm(jobs: Sequence[Assignment], where: Site, options: SlurmOptions, kinds: str) -> Mapping[str, bytes]:
    root = ROOT.with_name(HOSTILE_FOLDER) if kinds else ROOT
    files: dict[str, bytes] = {}
    for bundle in bundled(jobs, at_most=options.array, engine="slurm"):
        files |= slurm.files_of(bundle, where, options, root, kinds)
    return files


def transferred(**changes: Any) -> Site:
    return site(shared_folder=False, **changes)


def shared(**changes: Any) -> Site:
    return site(shared_folder=True, **changes)


def seeing(jobs: Sequence[Assignment]) -> list[Assignment]:
    return [job.model_copy(update={"reads": ("/data", f"/friends/{HOSTILE_FOLDER}")}) for job in jobs]


CASES: dict[str, Mapping[str, bytes]] = {
    "htcondor-transfer": of_htcondor(minimal_jobs(), transferred(), HTCondorOptions(), ""),
    "htcondor-transfer-all": of_htcondor(full_jobs(), transferred(**ALL_OF_A_SITE), ALL_OF_HTCONDOR, KINDS),
    "htcondor-transfer-read": of_htcondor(full_jobs()[:1], transferred(inputs="read"), HTCondorOptions(), ""),
    "htcondor-shared": of_htcondor(minimal_jobs(), shared(), HTCondorOptions(), ""),
    "htcondor-shared-all": of_htcondor(full_jobs(), shared(**ALL_OF_A_SITE), ALL_OF_HTCONDOR, KINDS),
    "htcondor-transfer-container": of_htcondor(
        full_jobs()[:1], transferred(container=CONTAINER, inputs="read"), HTCondorOptions(), ""
    ),
    "slurm-container": of_slurm(seeing(full_jobs()[:1]), site("slurm", container=CONTAINER), SlurmOptions(), ""),
    "slurm-container-all": of_slurm(
        seeing(full_jobs()[2:]),
        site("slurm", **ALL_OF_A_SITE, container={**CONTAINER, "runtime": "docker", "network": "on"}),
        ALL_OF_SLURM,
        KINDS,
    ),
    "slurm": of_slurm(minimal_jobs(), site("slurm"), SlurmOptions(), ""),
    "slurm-all": of_slurm(full_jobs(), site("slurm", **ALL_OF_A_SITE), ALL_OF_SLURM, KINDS),
    "slurm-no-memory": of_slurm(full_jobs()[1:2], site("slurm"), SlurmOptions(memory=False), ""),
}


@pytest.mark.parametrize("case", CASES)
def test_rendered_files_are_the_golden_ones(case: str) -> None:
    compare_files(GOLDEN / case, CASES[case])


def test_a_missing_or_left_over_golden_file_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRIDLOOM_WRITE_GOLDEN", raising=False)
    (tmp_path / "a").write_bytes(b"1")
    compare_files(tmp_path, {"a": b"1"})
    for files in ({}, {"a": b"1", "b": b"1"}, {"a": b"2"}):
        with pytest.raises(AssertionError):
            compare_files(tmp_path, files)


@pytest.mark.parametrize("case", CASES)
def test_scripts_are_bash(case: str, tmp_path: Path) -> None:
    scripts = [content for name, content in CASES[case].items() if name.endswith(".sh")]
    assert scripts
    for content in scripts:
        done = subprocess.run(["/bin/bash", "-n"], input=content, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("case", CASES)
def test_tasks_are_read_as_they_were_given(case: str, tmp_path: Path) -> None:
    """All but what is meant to differ on a node without a shared folder: its store, and where the ROOT files lie."""
    given = {job.folder: job for job in (*full_jobs(), *minimal_jobs())}
    tasks = {name: content for name, content in CASES[case].items() if name.endswith("task.json")}
    assert tasks
    for name, content in tasks.items():
        (tmp_path / "task.json").write_bytes(content)
        found, wanted = read_assignment(tmp_path / "task.json"), given[name.partition("/")[0]]
        assert found.task.id == wanted.task.id
        if "transfer" not in case:
            assert found.model_copy(update={"reads": wanted.reads}) == wanted
            continue
        assert found.store == "store"
        plain = found.task.model_copy(
            update={"files": tuple(file.model_copy(update={"copies": {}}) for file in found.task.files)}
        )
        assert found.model_copy(update={"store": wanted.store, "task": plain}) == wanted


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A submit description as HTCondor's own bindings read it."""

    commands: dict[str, str]
    rows: list[str]


# In a process of its own: the bindings read the configuration of a pool when they are imported.
_PARSE = """
import json, sys
import htcondor2
told = []
for text in json.load(sys.stdin):
    found = htcondor2.Submit(text)
    told.append([{name.lower(): value for name, value in found.items()}, list(found.itemdata())])
print(json.dumps(told))
"""


def parsed(texts: Sequence[str], folder: Path) -> list[Parsed]:
    config = folder / "condor_config"
    config.write_text("")
    done = subprocess.run(
        [sys.executable, "-c", _PARSE],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env={"CONDOR_CONFIG": str(config), "PATH": "/usr/bin:/bin"},
    )
    return [Parsed(commands=commands, rows=rows) for commands, rows in json.loads(done.stdout)]


def test_htcondor_reads_every_description_as_it_is_meant(tmp_path: Path) -> None:
    names = [(case, name) for case, files in CASES.items() for name in files if name.endswith(".sub")]
    found = parsed([CASES[case][name].decode() for case, name in names], tmp_path)
    assert len(found) == 8
    for (case, name), one in zip(names, found, strict=True):
        batch = json.loads(CASES[case][name.replace(htcondor.SUBMIT, batches.FILE)])
        assert [row.partition(",")[0] for row in one.rows] == [job["folder"] for job in batch["jobs"]]
        assert one.commands["checkpoint_exit_code" if "transfer" in case else "kill_sig"] in ("85", "SIGTERM")
        assert one.commands["my.gridloombatch"] == f'"{batch["token"]}"'
    (whole,) = (
        one
        for (case, name), one in zip(names, found, strict=True)
        if case == "htcondor-transfer-all" and "0000aaaa" in name
    )
    assert whole.commands["requirements"] == (
        '((OpSysAndVer == "AlmaLinux9") || Fast) && (TARGET.Machine =!= "node7.cern.ch")'
        ' && (TARGET.Machine =!= "node8")'
    )
    assert whole.commands["my.jobflavour"] == '"tomorrow"'
    assert (whole.commands["request_gpus"], whole.commands["request_disk"]) == ("1", "3072000")
    rows = [[part.strip() for part in row.split(",")] for row in whole.rows]
    # Two results, twelve files and six friends on mounted file systems, the state, the code; the other job has less.
    assert [len(row) - 1 for row in rows] == [2 + 12 + 6 + 1 + 1, 2 + 1]
    assert rows[0][-2:] == [f"/work/runs/.store/{full_jobs()[0].task.id}.scratch", "code"]


def engines(folder: Path) -> Mapping[str, Engine]:
    sites = {"htcondor": transferred(), "htcondor shared": shared(), "slurm": site("slurm")}
    return {name: make_engine(where, folder=folder, kinds=KINDS) for name, where in sites.items()}


@pytest.mark.parametrize("name", ["htcondor", "htcondor shared", "slurm"])
def test_engines_render_what_they_submit(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condor: object
) -> None:
    """In a folder with a hostile name the engines' own rendering is that of the golden files, and repeats itself."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / HOSTILE_FOLDER / "logs"
    folder.mkdir(parents=True)
    engine = engines(folder)[name]
    files = engine.render(full_jobs())
    assert files == engine.render(full_jobs())
    case = {"htcondor": "htcondor-transfer-all", "htcondor shared": "htcondor-shared-all", "slurm": "slurm-all"}[name]
    assert set(files) == set(CASES[case])
    text = b"\n".join(content for path, content in files.items() if path.endswith(".sub")).decode()
    assert HOSTILE_FOLDER.partition("\n")[0] not in text
    assert not list(folder.iterdir())


def test_a_long_name_of_a_file_still_makes_a_name() -> None:
    """A file's name may have 255 bytes; that of the link to it, which is longer, too."""
    first = full_jobs()[0]
    (file, *_) = first.task.files
    path = f"/data/{'x' * 250}.root"
    long = first.model_copy(
        update={"task": first.task.model_copy(update={"files": (file.model_copy(update={"path": path}),)})}
    )
    ((name, target),) = htcondor.links(long, transferred())
    assert target == path
    assert len(name) <= 255
    assert name.endswith(".root")


def test_the_same_file_is_sent_once_and_found_by_all_that_use_it() -> None:
    first = full_jobs()[0]
    (file, *_) = first.task.files
    again = file.model_copy(update={"uuid": "again", "friends": (file.path, "/other.root")})
    task = first.task.model_copy(update={"files": (file, again)})
    job = first.model_copy(update={"task": task})
    assert list(htcondor.links(job, transferred())) == [
        ("input-0-plain.root", "/data/plain.root"),
        ("input-1-other.root", "/other.root"),
    ]
    assert [found.copies for found in htcondor.as_transferred(job, transferred()).task.files] == [
        {"/data/plain.root": "input-0-plain.root"},
        {"/data/plain.root": "input-0-plain.root", "/other.root": "input-1-other.root"},
    ]
