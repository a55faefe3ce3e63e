"""From the files and globs of an analysis file to sorted paths."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from gridloom.analysis.models import Sample
from gridloom.analysis.problems import nearest
from gridloom.data.rootfile import is_remote
from gridloom.errors import GridloomError, InvalidValue, KeyPath, NoFiles, Problems

ANALYSIS_FOLDER = "the analysis file's folder"


def expand(patterns: Sequence[str], folder: Path, key: KeyPath, start: str = ANALYSIS_FOLDER) -> tuple[str, ...]:
    """Absolute paths of files and globs, sorted, each once; `folder` is where relative ones start, `start` its name.

    A pattern that names an existing file is taken literally, so brackets in file names need no escape. URLs stay as
    they are. Raises Problems with a NoFiles for every pattern that matches nothing.
    """
    found: set[str] = set()
    problems: list[GridloomError] = []
    for index, pattern in enumerate(patterns):
        try:
            found.update(_matches(pattern, folder, start))
        except NoFiles as error:
            problems.append(NoFiles(error.what, where=error.where, fix=error.fix, key=(*key, index)))
    if problems:
        raise Problems(problems)
    return tuple(sorted(found))


def _matches(pattern: str, folder: Path, start: str) -> list[str]:
    if is_remote(pattern):
        return [pattern]
    # Not resolved: a link is named as the user knows it.
    whole = Path(folder.absolute(), Path(pattern).expanduser())
    if whole.is_file():
        return [_readable(str(whole))]
    if whole.is_dir():
        raise NoFiles(
            f"`{pattern}` is a folder", where=str(whole), fix=f"Name its files: `{pattern.rstrip('/')}/*.root`."
        )
    matches = [path for path in glob.glob(str(whole), recursive=True) if Path(path).is_file()]  # noqa: PTH207
    if not matches:
        raise _nothing(pattern, whole, start)
    return [_readable(path) for path in matches]


def _readable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise NoFiles(
            f"the file name {path!r} is not UTF-8", fix="Rename the file: its name cannot be written down."
        ) from None
    return path


def _nothing(pattern: str, whole: Path, start: str) -> NoFiles:
    fix = f"Relative paths start at {start}."
    if glob.has_magic(pattern):
        what = f"`{pattern}` matches no file"
    else:
        what = f"there is no file `{pattern}`"
        siblings = [path.name for path in whole.parent.iterdir()] if whole.parent.is_dir() else []
        near = nearest(whole.name, siblings)
        fix = f"Did you mean `{near}`? " * bool(near) + fix
    existing = next(parent for parent in whole.parents if parent.is_dir())
    if existing != whole.parent and not glob.has_magic(str(whole.parent)):
        fix = f"The folder `{whole.parent}` does not exist, only `{existing}`. " + fix
    return NoFiles(what, where=str(whole), fix=fix)


def friend_paths(sample: Sample, files: tuple[str, ...], folder: Path, key: KeyPath) -> tuple[tuple[str, ...], ...]:
    """For each file the paths of its friends, the file's own where the friend tree is inside.

    Raises Problems with NoFiles, and InvalidValue if there is not one friend file for each file.
    """
    columns: list[tuple[str, ...]] = []
    problems: list[GridloomError] = []
    for index, friend in enumerate(sample.friends):
        if friend.files is None:
            columns.append(files)
            continue
        own: KeyPath = (*key, "friends", index, "files")
        try:
            paths = expand(friend.files, folder, own)
        except Problems as error:
            problems += error.errors
            continue
        if len(paths) != len(files):
            problems.append(
                InvalidValue(
                    f"{len(paths)} friend files for {len(files)} files",
                    fix="Give one friend file for each file of the sample; both are paired in sorted order.",
                    key=own,
                )
            )
        columns.append(paths)
    if problems:
        raise Problems(problems)
    return tuple(zip(*columns, strict=True)) if columns else tuple(() for _ in files)
