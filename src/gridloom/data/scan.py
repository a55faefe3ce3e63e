"""Look into every input file before anything runs: what is there, and everything that is wrong at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gridloom.analysis.models import Analysis
from gridloom.catalogue import Catalogue, LostFile, SampleFiles
from gridloom.data.ntuple import Inspected, inspect
from gridloom.data.paths import expand, friend_paths
from gridloom.data.recipe import Recipe, make_recipe
from gridloom.data.weights import too_many_lost
from gridloom.errors import (
    BranchType,
    DamagedFile,
    DuplicateEvents,
    EmptyTree,
    GridloomError,
    KeyPath,
    Problems,
    merged,
)

THREADS = 8


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a scan found: the samples whose files are usable, and all errors."""

    samples: dict[str, SampleFiles]
    problems: tuple[GridloomError, ...]


def scan(analysis: Analysis, folder: Path) -> Catalogue:
    """The files of every sample, relative paths starting at `folder`; raises Problems with all that is wrong.

    NoFiles, DamagedFile, MissingTree, MissingBranch, BranchType, EmptyTree, DuplicateEvents (a file twice in a
    sample), InvalidValue (friends). Damaged files within `damaged_files.skip_at_most` are recorded as lost.
    """
    found = survey(analysis, folder)
    if found.problems:
        raise Problems(found.problems)
    return Catalogue(samples=found.samples)


def survey(analysis: Analysis, folder: Path) -> Survey:
    """As `scan`, with the errors as values beside the samples that are in order."""
    samples: dict[str, SampleFiles] = {}
    problems: list[GridloomError] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for name in analysis.samples:
            try:
                samples[name] = _sample(analysis, name, folder, pool)
            except Problems as error:
                problems += error.errors
            except GridloomError as error:
                problems.append(error)
    problems += _repeated_files(analysis, samples)
    return Survey(samples=samples, problems=merged(problems, "file"))


def _sample(analysis: Analysis, name: str, folder: Path, pool: ThreadPoolExecutor) -> SampleFiles:
    key: KeyPath = ("samples", name)
    sample = analysis.samples[name]
    recipe = make_recipe(analysis, name)
    paths = expand(sample.files, folder, (*key, "files"))
    friends = friend_paths(sample, paths, folder, key)

    def look(path: str, beside: tuple[str, ...]) -> Inspected | tuple[GridloomError, ...]:
        return _look(analysis, recipe, path, beside)

    found = list(pool.map(look, paths, friends))
    usable = [item for item in found if isinstance(item, Inspected)]
    files = tuple(item.file for item in usable)
    lost, problems = _sorted_out(analysis, name, paths, found)
    problems += _unlike(recipe, usable)
    if problems:
        raise Problems(problems)
    if not sum(file.entries for file in files):
        tree = sample.tree or analysis.tree
        raise EmptyTree(
            f"tree `{tree}` has no entries in {_all_of(len(files))} of sample `{name}`",
            where=paths[0],
            fix="List files with events, or remove the sample.",
            key=(*key, "files"),
        )
    return SampleFiles(files=files, lost=lost)


def _all_of(files: int) -> str:
    return "the only file" if files == 1 else f"any of the {files} files"


def _look(
    analysis: Analysis, recipe: Recipe, path: str, friends: tuple[str, ...]
) -> Inspected | tuple[GridloomError, ...]:
    try:
        return inspect(analysis, recipe, path, friends)
    except Problems as error:
        return error.errors
    except GridloomError as error:
        return (error,)


def _sorted_out(
    analysis: Analysis,
    name: str,
    paths: tuple[str, ...],
    found: list[Inspected | tuple[GridloomError, ...]],
) -> tuple[tuple[LostFile, ...], list[GridloomError]]:
    """Damaged files that may be lost, and the errors that remain."""
    lost: list[LostFile] = []
    damaged: list[GridloomError] = []
    problems: list[GridloomError] = []
    for path, item in zip(paths, found, strict=True):
        if isinstance(item, Inspected):
            continue
        if all(isinstance(error, DamagedFile) for error in item):
            lost.append(LostFile(path=path, reason=item[0].what))
            damaged += item
        else:
            problems += item
    sample = analysis.samples[name]
    allowed = analysis.damaged_files.skip_at_most > 0 and not sample.data
    if not allowed:
        return (), damaged + problems
    texts = [f"{file.path} ({file.reason})" for file in lost]
    too_many = too_many_lost(analysis, name, total=len(paths), lost=texts)
    return tuple(lost), [too_many, *problems] if too_many is not None else problems


def _unlike(recipe: Recipe, files: Sequence[Inspected]) -> Iterator[GridloomError]:
    """Branches that hold lists in some files of a sample and numbers in others: the fewer files are to blame."""
    for branch in recipe.branches:
        lists = [item for item in files if branch in item.lists]
        numbers = [item for item in files if branch not in item.lists]
        if lists and numbers:
            fewer, holds = (lists, "lists") if len(lists) <= len(numbers) else (numbers, "one number per event")
            other = (numbers if fewer is lists else lists)[0]
            for item in fewer:
                yield BranchType(
                    f"branch `{branch}` holds {holds}, unlike in {other.file.path}",
                    where=item.file.path,
                    fix="The files of a sample must be alike: make two samples, or take the other files out.",
                    key=recipe.users(branch)[0].key,
                )


def _repeated_files(analysis: Analysis, samples: dict[str, SampleFiles]) -> Iterable[GridloomError]:
    """The same file under two names within a simulated sample, or anywhere in the collision data."""
    groups: list[tuple[str, ...]] = [(name,) for name in samples if not analysis.samples[name].data]
    groups.append(tuple(name for name in samples if analysis.samples[name].data))
    for names in groups:
        files = [(name, file) for name in names for file in samples[name].files if file.entries]
        times = Counter((file.uuid, file.size) for _, file in files)
        for identity in (identity for identity, count in times.items() if count > 1):
            same = [(name, file.path) for name, file in files if (file.uuid, file.size) == identity]
            yield DuplicateEvents(
                "the same ROOT file is there more than once: " + ", ".join(path for _, path in same[:5]),
                fix="List it once (these are copies of or links to one file).",
                key=("samples", same[-1][0], "files"),
            )
