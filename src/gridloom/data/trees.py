"""What a tree of a ROOT file looks like to the rest: columns in ranges of entries, and the errors on the way.

Flat branches become NumPy arrays, all others awkward arrays. What uproot raises while it reads becomes DamagedFile
with the file, the tree and the range of entries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import awkward as ak
import numpy as np

from gridloom.analysis.problems import nearest
from gridloom.errors import (
    BranchType,
    DamagedFile,
    EnvironmentProblem,
    GridloomError,
    KeyPath,
    MissingBranch,
    NoFiles,
    Problems,
)

Columns = dict[str, Any]  # NumPy array (flat) or awkward array (jagged), all of one length

CHUNK_ENTRIES = 100_000
CHUNK_BYTES = 64 * 2**20
COPY_AGAIN = "Copy the file again; or let the analysis go on without such files: `damaged_files: {skip_at_most: 0.05}`."


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Columns of the entries from `start` up to, not including, `stop`."""

    start: int
    stop: int
    columns: Columns


class Tree(Protocol):
    """A readable tree."""

    path: str
    name: str
    entries: int

    @property
    def names(self) -> Sequence[str]:
        """Names of all branches, as expressions use them."""

    def find(self, branch: str) -> object | None:
        """The branch of this name, if there is one."""

    def unusable(self, branch: str) -> str | None:
        """Why the values of a branch cannot be used as numbers; None if they can."""

    def lists(self, branch: str) -> bool:
        """Whether a branch holds a list per event, not one number."""

    def read(self, branches: Iterable[str], start: int, stop: int) -> Columns:
        """Columns of a range of entries; raises DamagedFile."""

    def chunks(self, branches: Iterable[str], step: int | None = None, start: int = 0) -> Iterator[Chunk]:
        """Entries from `start` on, `step` (by default: what suits the memory) at a time; raises DamagedFile."""


@contextmanager
def damage_named(path: str, what: str) -> Iterator[None]:
    """Turn whatever uproot and its decompressors raise on broken content into DamagedFile.

    They raise nearly every type of exception there is, so all are caught; errors of our own pass.
    """
    try:
        yield
    except GridloomError:
        raise
    except FileNotFoundError as error:
        raise NoFiles("the file does not exist", where=path, fix="Look for typing errors in `files`.") from error
    except PermissionError as error:
        raise DamagedFile("the file may not be read", where=path, fix="Change its permissions.") from error
    except ImportError as error:  # a protocol or a compression: the file is not to blame
        raise EnvironmentProblem(
            f"a library for this file is missing: {_short(error)}", where=path, fix="Install it, or copy the file here."
        ) from error
    except Exception as error:
        raise DamagedFile(f"{what}: {_short(error)}", where=path, fix=COPY_AGAIN) from error


def _short(error: Exception) -> str:
    """The first line of the text; uproot appends pages about the file, or puts them in front of its `message`."""
    message = getattr(error, "message", None)
    if isinstance(message, str):
        return f"{type(error).__name__}: {' '.join(message.split())[:200]}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else "no further text"
    return f"{type(error).__name__}: {text[:200]}"


@contextmanager
def keyed(key: KeyPath) -> Iterator[None]:
    """Give errors that do not say their place in the analysis file this one."""
    try:
        yield
    except GridloomError as error:
        if error.key or isinstance(error, Problems):
            raise
        raise type(error)(error.what, where=error.where, fix=error.fix, key=key) from error


def require(tree: Tree, branches: Iterable[str]) -> None:
    """Raise MissingBranch or BranchType for the first branch that is not there or holds no numbers."""
    for branch in branches:
        if tree.find(branch) is None:
            raise missing_branch(branch, tree.path, tree.name, tree.names)
        reason = tree.unusable(branch)
        if reason is not None:
            raise BranchType(
                f"branch `{branch}` holds {reason}",
                where=f"{tree.path}: {tree.name}",
                fix="Use a branch of numbers, or of lists of numbers.",
            )


def missing_branch(branch: str, path: str, tree: str, known: Sequence[str]) -> MissingBranch:
    """The error for a branch that is not there, with the nearest names."""
    near = _nearest_names(branch, known)
    fix = "Did you mean " + " or ".join(f"`{name}`" for name in near) + "?" if near else ""
    if not near:
        shown = ", ".join(f"`{name}`" for name in known[:12]) + (", ..." if len(known) > 12 else "")
        fix = f"The tree has {len(known)} branches: {shown}."
    return MissingBranch(f"there is no branch `{branch}` in tree `{tree}`", where=path, fix=fix)


def _nearest_names(branch: str, known: Sequence[str]) -> list[str]:
    """Up to three names: the nearest spelling, then names that contain it or that it contains."""
    first = nearest(branch, known)
    word = branch.lower()
    inside = sorted((name for name in known if word in name.lower()), key=len)
    return list(dict.fromkeys(([first] if first else []) + inside))[:3]


def not_numbers(form: ak.forms.Form) -> str | None:
    """What a column holds that is not numbers or (nested) lists of numbers."""
    if form.parameter("__array__") in ("string", "bytestring", "char", "byte"):
        return "text"
    if form.is_record:
        return "objects with the parts " + ", ".join(f"`{name}`" for name in form.fields[:8])
    if form.is_list:
        return not_numbers(form.content)
    if form.is_numpy:
        return (
            None if form.primitive.startswith(("bool", "int", "uint", "float")) else f"values of type {form.primitive}"
        )
    return f"values of type {form.type}"


def holds_lists(form: ak.forms.Form) -> bool:
    """Whether a column is a list per event, of variable or fixed length."""
    return bool(form.is_list or getattr(form, "inner_shape", ()))


def as_column(array: ak.Array) -> Any:
    flat = array.ndim == 1 and array.layout.is_numpy
    return ak.to_numpy(array) if flat else array


def entries_per_chunk(size: int, entries: int) -> int:
    """So many entries that a chunk has at most CHUNK_BYTES and CHUNK_ENTRIES."""
    per_entry = size / max(entries, 1)
    return max(min(CHUNK_ENTRIES, math.floor(CHUNK_BYTES / max(per_entry, 1))), 1)


def range_text(tree: str, start: int, stop: int) -> str:
    return f"tree `{tree}`, entries {start:,} to {stop:,} cannot be read"


def empty_chunks(start: int, stop: int, step: int) -> Iterator[Chunk]:
    for begin in range(start, stop, step):
        yield Chunk(start=begin, stop=min(begin + step, stop), columns={})


def check_lengths(tree: Tree, columns: Columns, start: int, stop: int) -> None:
    short = [name for name, column in columns.items() if len(column) != stop - start]
    if short:
        raise DamagedFile(
            f"{range_text(tree.name, start, stop)}: `{short[0]}` has {len(columns[short[0]]):,} values",
            where=tree.path,
            fix=COPY_AGAIN,
        )


def sum_branch(tree: Tree, branch: str) -> float:
    """The sum of a flat branch over all entries, in float64."""
    require(tree, (branch,))
    total = 0.0
    for chunk in tree.chunks((branch,)):
        column = chunk.columns[branch]
        if not isinstance(column, np.ndarray):
            raise BranchType(
                f"branch `{branch}` of tree `{tree.name}` holds lists, not one number per entry",
                where=tree.path,
                fix="Name a branch with one number per entry, e.g. `genEventSumw`.",
            )
        total += float(column.sum(dtype=np.float64))
    return total
