"""Jobs, sites and bundles for tests of batch engines, from the simplest to the most hostile."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gridloom.assignment import Assignment
from gridloom.sites.models import Site
from gridloom.task import InputFile, Resources, Task

PYTHON = "/opt/gridloom/bin/python"
# Names that a shell, a submit description, a macro processor or a list of files could read something into.
HOSTILE_NAMES = (
    "plain",
    "two words",
    'it\'s "quoted"',
    "a, b",
    "new\nline",
    "$(x) $HOME `id`",
    "%a %j %%",
    "ünï côdé 素粒子",
    "back\\slash",
    "-n",
    "#SBATCH --exclusive",
    "tab\tand * ? [a-z] {b,c} ; & | < > ! ~",
)
# Any name of a file, and any text: no NUL, no separator, and what UTF-8 can write.
names = st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=40).filter(
    lambda name: name not in (".", "..")
)
values = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=60)

HOSTILE_FOLDER = 'it\'s "here", $(x) %a\nqueue 1 ü'


def site(engine: str = "htcondor", **changes: Any) -> Site:
    """A site whose Python is named, so that rendered files do not depend on this machine."""
    return Site.model_validate({"engine": engine, "python": PYTHON, **changes})


def job(
    token: str = "aa",
    *,
    do: str = "write",
    label: str = "",
    store: str = "/runs/.store",
    steps: int = 10,
    kind: str = "train",
    avoid: tuple[str, ...] = (),
    goes_on: bool = False,
    **task: Any,
) -> Assignment:
    """An assignment that a worker with the tiny kinds can do; tokens make its task another one."""
    content = {
        "kind": kind,
        "label": label or f"test {do}",
        "parameters": {"do": do, "steps": steps, "name": token},
        **task,
    }
    return Assignment(task=Task.model_validate(content), token=token, store=store, avoid=avoid, goes_on=goes_on)


def minimal_jobs() -> list[Assignment]:
    return [job("0123abcd", kind="prepare", label="prepare signal")]


def full_jobs() -> list[Assignment]:
    """Two jobs that ask for the same and use all there is, and one that asks for something else."""
    files = tuple(
        InputFile(
            path=f"/data/{name}.root",
            uuid=f"00000000-0000-0000-0000-00000000000{number}",
            size=1000 + number,
            entries=10,
            friends=(f"/friends/{name}.root", "root://eos.example//friend.root") if number % 2 else (),
            friend_uuids=("f" * 8, "e" * 8) if number % 2 else (),
        )
        for number, name in enumerate(HOSTILE_NAMES)
    )
    remote = InputFile(path="root://eos.example//store/a.root", uuid="b" * 8, size=7, entries=3)
    needs = Resources(cores=4, memory_mb=6000, disk_mb=3000, gpus=1, wall_seconds=7201)
    common: dict[str, Any] = {
        "inputs": ("prepare-0123456789abcdef0123", "prepare-fedcba98765432100123"),
        "code": "c0de" * 16,
        "folder": f"/home/me/{HOSTILE_FOLDER}",
        "resources": needs,
        "avoid": ("node7.cern.ch", "node8"),
    }
    return [
        job("0000aaaa", label='train fold 0 of "a, b"\n$(x) ü', files=(*files, remote), goes_on=True, **common),
        job("1111bbbb", label="train fold 1", **common),
        job("2222cccc", label="prepare data", kind="prepare", files=files[:1]),
    ]


def hostile_variables() -> dict[str, str]:
    return {f"HOSTILE_{number:02d}": name for number, name in enumerate(HOSTILE_NAMES)} | {"EMPTY": ""}


# --- a Python that tells how it was started --------------------------------------------------------------------------
_FAKE = """\
#!{python} -ISE
import json, os, sys
told = [os.fsencode(word).decode("latin-1") for word in sys.argv]
variables = {{name.decode("latin-1"): value.decode("latin-1") for name, value in os.environb.items()}}
with open(os.environ["DUMP"], "w") as stream:
    json.dump([told, variables, os.getcwdb().decode("latin-1")], stream)
"""


@dataclass(frozen=True, kw_only=True)
class Started:
    """How a rendered script has started Python."""

    arguments: list[str]
    variables: dict[str, str]
    folder: str


def fake_python(path: Path) -> Path:
    """An executable in place of a site's Python that writes down how it is started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_FAKE.format(python=sys.executable))
    path.chmod(0o755)
    return path


def run_script(
    script: Path, *arguments: str, folder: Path, dump: Path, stdin: str | None = None, **variables: str
) -> tuple[subprocess.CompletedProcess[str], Started | None]:
    """Run a rendered script in bash as a batch system does; how it started the fake Python, if it came so far."""
    done = subprocess.run(
        ["/bin/bash", str(script), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        input=stdin,
        env={"PATH": "/usr/bin:/bin", "DUMP": str(dump), "LC_ALL": "C.UTF-8", **variables},
    )
    if not dump.exists():
        return done, None
    arguments_, variables_, folder_ = json.loads(dump.read_text())
    return done, Started(
        arguments=[_text(word) for word in arguments_],
        variables={_text(name): _text(value) for name, value in variables_.items()},
        folder=_text(folder_),
    )


def _text(word: str) -> str:
    return word.encode("latin-1").decode()
