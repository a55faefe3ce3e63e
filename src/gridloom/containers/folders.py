"""What a container must see of the file system for a task or an analysis: folders, under their real paths."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from gridloom.analysis.models import Analysis
from gridloom.task import Task

# Mounting one of these would hide the image's own, or show the whole machine: files in them are shown one by one.
_SYSTEM = frozenset(
    Path(path) for path in ("/", "/bin", "/dev", "/etc", "/lib", "/lib64", "/opt", "/proc", "/run", "/sbin", "/sys")
) | {Path("/tmp"), Path("/usr"), Path("/var"), Path("/var/tmp")}  # noqa: S108


def of_files(paths: Iterable[str]) -> tuple[str, ...]:
    """The folders of some files, and the folders that links to files lead to; URLs have none."""
    found: set[str] = set()
    for text in paths:
        if "://" in text:
            continue
        path = Path(text)
        found |= {_seen(path.parent, path), _seen(path.resolve().parent, path.resolve())}
    return without_inner(found)


def of_task(task: Task, *, code: str) -> tuple[str, ...]:
    """The folders of a task's files, and of the user's own modules."""
    paths = [path for file in task.files for path in (file.path, *file.friends)]
    own = [str(Path(code or task.folder).resolve())] if task.code else []
    return without_inner({*of_files(paths), *own})


def of_analysis(analysis: Analysis, folder: Path) -> tuple[str, ...]:
    """The folder of an analysis file and those of its ROOT files; also where files are named that are not there."""
    patterns = [pattern for sample in analysis.samples.values() for pattern in sample.files]
    patterns += [
        pattern for sample in analysis.samples.values() for friend in sample.friends for pattern in friend.files or ()
    ]
    return without_inner((str(folder.resolve()), *of_patterns(patterns, folder)))


def of_patterns(patterns: Iterable[str], folder: Path) -> tuple[str, ...]:
    """The folders of files and globs; relative ones start at `folder`."""
    found: set[str] = set()
    for pattern in patterns:
        if "://" in pattern:
            continue
        whole = Path(folder.absolute(), Path(pattern).expanduser())
        found |= set(of_files(glob.glob(str(whole), recursive=True)))  # noqa: PTH207
        place = _fixed_part(whole)
        if place.is_dir() and place not in _SYSTEM:
            found |= {str(place), str(place.resolve())}
    return without_inner(found)


def reads_urls(analysis: Analysis) -> bool:
    """Whether any file of an analysis is behind a URL."""
    return any("://" in pattern for sample in analysis.samples.values() for pattern in sample.files)


def _fixed_part(pattern: Path) -> Path:
    """The folder that a pattern starts from."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def _seen(folder: Path, file: Path) -> str:
    return str(file if folder in _SYSTEM else folder)


def without_inner(folders: Iterable[str]) -> tuple[str, ...]:
    """Sorted, without those that are inside another one."""
    kept: list[str] = []
    for folder in sorted(set(folders), key=lambda name: Path(name).parts):
        if not any(Path(folder).is_relative_to(outer) for outer in kept):
            kept.append(folder)
    return tuple(kept)
