"""A copy of the user's own modules, named by its digest: jobs use it, so she may go on editing while they wait."""

from __future__ import annotations

import shutil
from pathlib import Path

from gridloom.environment import code_files
from gridloom.files import writing

FOLDER = "code"


def snapshot(function: str, source: Path, run: Path, digest: str) -> Path:
    """Copy what `module:function` needs from the folder of the analysis file, below the run's; the copy's folder.

    Modules that are installed in the environment stay there: the nodes have the same environment.
    """
    target = run / FOLDER / digest[:12]
    if target.is_dir():
        return target
    fresh = target.with_name(f".{target.name}")
    with writing(run):
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, path in code_files(function, source).items():
            if not path.is_relative_to(source):  # not where a link leads: it is found here
                continue
            place = fresh / (name if name.endswith(".py") else f"{name}{path.suffix}")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        fresh.rename(target)
    return target
