"""Look into the files to score before anything runs: whose trees they have, and everything that is wrong at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gridloom.analysis.models import Analysis, Sample
from gridloom.analysis.problems import nearest
from gridloom.catalogue import Catalogue
from gridloom.data.ntuple import inspect
from gridloom.data.paths import expand
from gridloom.data.recipe import Recipe
from gridloom.data.trees import COPY_AGAIN
from gridloom.errors import DamagedFile, GridloomError, InvalidValue, NotFound, Problems, merged
from gridloom.prediction.recipe import application_recipe
from gridloom.scoring import Group, Wanted, application_analysis
from gridloom.task import InputFile

_THREADS = 8


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A file with its friends, and the sample whose trees it has."""

    path: str
    friends: tuple[str, ...]
    sample: Sample
    known: InputFile | None


def look(analysis: Analysis, catalogue: Catalogue, wanted: Wanted, folder: Path) -> tuple[Group, ...]:
    """The files to score, grouped by the trees they have; relative paths start at `folder`.

    Raises Problems with all that is wrong: NoFiles, DamagedFile, MissingTree, MissingBranch, BranchType, and
    InvalidValue (friends, unknown samples, a file that is not the one which the run has read).
    """
    asked = _asked(analysis, catalogue, wanted, folder)
    groups: list[Group] = []
    problems: list[GridloomError] = []
    for sample in _distinct(item.sample for item in asked):
        reduced = application_analysis(analysis, sample, nominal=bool(wanted.nominal))
        look_into = partial(_look_into, reduced, application_recipe(reduced, wanted.request), wanted.fresh)
        with ThreadPoolExecutor(_THREADS) as pool:
            found = list(pool.map(look_into, [item for item in asked if item.sample == sample]))
        groups.append(Group(analysis=reduced, files=tuple(file for file in found if isinstance(file, InputFile))))
        problems += (error for errors in found if not isinstance(errors, InputFile) for error in errors)
    if problems:
        raise Problems(merged(problems, "file"))
    return tuple(groups)


def _look_into(analysis: Analysis, recipe: Recipe, fresh: bool, item: _Asked) -> InputFile | tuple[GridloomError, ...]:
    try:
        found = inspect(analysis, recipe, item.path, item.friends).file
    except Problems as error:
        return tuple(map(_outside, error.errors))
    except GridloomError as error:
        return (_outside(error),)
    changed = None if fresh else _changed(found, item.known)
    return found if changed is None else (changed,)


def _distinct(samples: Iterable[Sample]) -> list[Sample]:
    found: list[Sample] = []
    for sample in samples:
        if sample not in found:
            found.append(sample)
    return found


def _outside(error: GridloomError) -> GridloomError:
    """The sample that is scored stands in no file: an error about it has no place there."""
    key = () if error.key[:1] == ("samples",) else error.key
    fix = "Copy the file again, or leave it out." if error.fix == COPY_AGAIN else error.fix
    return type(error)(error.what, where=error.where, fix=fix, key=key)


def _changed(found: InputFile, known: InputFile | None) -> GridloomError | None:
    if known is None or (found.uuid, found.entries) == (known.uuid, known.entries):
        return None
    what = (
        f"the file has {found.entries:,} entries; the run has read {known.entries:,} of a file of this name"
        if found.entries != known.entries
        else "the file is not the one that the run has read under this name"
    )
    return DamagedFile(
        what,
        where=found.path,
        fix="If it was made anew, train again with it; `--fresh` scores it as it is (its events may be in other folds "
        "than in the training if they are identified by entry number).",
    )


def _asked(analysis: Analysis, catalogue: Catalogue, wanted: Wanted, folder: Path) -> tuple[_Asked, ...]:
    paths = _expanded(wanted.files, folder)
    known = {file.path: (name, file) for name, sample in catalogue.samples.items() for file in sample.files}
    others = [_expanded(patterns, folder) for patterns in wanted.friends]
    nominal = _expanded(wanted.nominal, folder) if wanted.nominal else ()
    for found, what in (*((found, "friend") for found in others), *([(nominal, "nominal")] if nominal else [])):
        if len(found) != len(paths):
            raise InvalidValue(
                f"{len(found)} {what} files for {len(paths)} files",
                fix="Give one for each file to score; both are paired in sorted order.",
            )
    result = []
    for index, path in enumerate(paths):
        sample, friends = _like(analysis, known, wanted, path)
        given = tuple(found[index] for found in others)
        friends = _friends(sample, path, given) if given or friends is None else friends
        extra = (nominal[index],) if nominal else ()
        result.append(
            _Asked(
                path=path, friends=(*friends, *extra), sample=sample, known=known[path][1] if path in known else None
            )
        )
    return tuple(result)


def _expanded(patterns: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    try:
        return expand(patterns, folder, (), "the current folder")
    except Problems as error:
        raise Problems(type(one)(one.what, where=one.where, fix=one.fix) for one in error.errors) from error


def _like(
    analysis: Analysis, known: Mapping[str, tuple[str, InputFile]], wanted: Wanted, path: str
) -> tuple[Sample, tuple[str, ...] | None]:
    """The sample whose trees a file has, and its friends if the run knows them."""
    friends: tuple[str, ...] | None = None
    if wanted.like:
        sample = _named(analysis, wanted.like)
    elif path in known:
        name, file = known[path]
        sample, friends = analysis.samples[name], file.friends
    else:
        sample = _common(analysis, path)
    tree = wanted.tree or sample.tree or analysis.tree
    # Reduced to what matters here, so that samples with the same trees are scored together.
    bare = [friend.model_copy(update={"files": None if friend.files is None else ("*",)}) for friend in sample.friends]
    return Sample(files=("*",), tree=tree, friends=tuple(bare), data=True), friends


def _named(analysis: Analysis, name: str) -> Sample:
    if name in analysis.samples:
        return analysis.samples[name]
    near = nearest(name, analysis.samples)
    raise NotFound(
        f"the analysis has no sample `{name}`",
        fix=f"Did you mean `{near}`?" if near else f"It has: {', '.join(f'`{known}`' for known in analysis.samples)}.",
    )


def _common(analysis: Analysis, path: str) -> Sample:
    """Any sample, if all have the same trees."""
    first, *others = analysis.samples.values()

    def shape(sample: Sample) -> tuple[object, ...]:
        return (
            sample.tree or analysis.tree,
            *((friend.tree, friend.match, friend.files is None) for friend in sample.friends),
        )

    if any(shape(other) != shape(first) for other in others):
        raise InvalidValue(
            "the samples of the analysis have different trees, and the run has not read this file",
            where=path,
            fix=f"Say whose trees it has: `--like` {' or '.join(f'`{name}`' for name in analysis.samples)}.",
        )
    return first


def _friends(sample: Sample, path: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """The paths of a file's friends: its own where the tree is inside, else those given, in order."""
    apart = sum(friend.files is not None for friend in sample.friends)
    if apart != len(given):
        raise InvalidValue(
            f"{len(given)} friend files were given; the analysis reads {apart} friend trees from files of their own",
            where=path,
            fix="Give the files of each of these friend trees with an option `--friend`, in the analysis' order.",
        )
    rest = iter(given)
    return tuple(path if friend.files is None else next(rest) for friend in sample.friends)
