"""Look into every input file before anything runs: what is there, and everything that is wrong at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gridloom.analysis.models import Analysis
from gridloom.catalogue import Catalogue, LostFile, SampleFiles
from gridloom.data.ntuple import inspect
from gridloom.data.paths import expand, friend_paths
from gridloom.data.recipe import Recipe, make_recipe
from gridloom.data.weights import too_many_lost
from gridloom.errors import DamagedFile, DuplicateEvents, EmptyTree, GridloomError, KeyPath, Problems
from gridloom.task import InputFile

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
    return Survey(samples=samples, problems=tuple(_merged(problems)))


def _sample(analysis: Analysis, name: str, folder: Path, pool: ThreadPoolExecutor) -> SampleFiles:
    key: KeyPath = ("samples", name)
    sample = analysis.samples[name]
    recipe = make_recipe(analysis, name)
    paths = expand(sample.files, folder, (*key, "files"))
    friends = friend_paths(sample, paths, folder, key)

    def look(path: str, beside: tuple[str, ...]) -> InputFile | tuple[GridloomError, ...]:
        return _look(analysis, recipe, path, beside)

    found = list(pool.map(look, paths, friends))
    files = tuple(item for item in found if isinstance(item, InputFile))
    lost, problems = _sorted_out(analysis, name, paths, found)
    if problems:
        raise Problems(problems)
    if not sum(file.entries for file in files):
        tree = sample.tree or analysis.tree
        raise EmptyTree(
            f"tree `{tree}` has no entries in any of the {len(files)} files of sample `{name}`",
            where=paths[0],
            fix="List files with events, or remove the sample.",
            key=(*key, "files"),
        )
    return SampleFiles(files=files, lost=lost)


def _look(
    analysis: Analysis, recipe: Recipe, path: str, friends: tuple[str, ...]
) -> InputFile | tuple[GridloomError, ...]:
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
    found: list[InputFile | tuple[GridloomError, ...]],
) -> tuple[tuple[LostFile, ...], list[GridloomError]]:
    """Damaged files that may be lost, and the errors that remain."""
    lost: list[LostFile] = []
    damaged: list[GridloomError] = []
    problems: list[GridloomError] = []
    for path, item in zip(paths, found, strict=True):
        if isinstance(item, InputFile):
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


def _merged(problems: Iterable[GridloomError]) -> Iterable[GridloomError]:
    """The same error in many files becomes one, which names the first file and counts the others."""
    groups: dict[tuple[type[GridloomError], str, KeyPath], list[GridloomError]] = {}
    for error in problems:
        groups.setdefault((type(error), error.what, error.key), []).append(error)
    for first, *others in groups.values():
        places = {error.where for error in others} - {first.where}
        if not places:
            yield first
            continue
        number = len(places)
        where = f"{first.where} (and {number} more file{'s' * (number > 1)})"
        yield type(first)(first.what, where=where, fix=first.fix, key=first.key)
