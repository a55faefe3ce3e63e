"""A TTree read as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import awkward as ak
import uproot

from gridloom.data.trees import (
    COPY_AGAIN,
    Chunk,
    Columns,
    as_column,
    check_lengths,
    damage_named,
    empty_chunks,
    entries_per_chunk,
    holds_lists,
    not_numbers,
    range_text,
)
from gridloom.errors import DamagedFile


class TTree:
    """A TTree; `branches` by full path, by path with dots, and by short name where that is unique."""

    def __init__(self, tree: uproot.TTree, name: str, path: str) -> None:
        self.path = path
        self.name = name
        self.entries = int(tree.num_entries)
        self._tree = tree
        self._branches, self._names = _branch_names(tree)

    @property
    def names(self) -> Sequence[str]:
        return self._names

    def find(self, branch: str) -> object | None:
        return self._branches.get(branch)

    def unusable(self, branch: str) -> str | None:
        found = self._branches[branch]
        if int(found.num_entries) != self.entries and len(found.branches) == 0:
            raise DamagedFile(
                f"branch `{branch}` has {int(found.num_entries):,} entries, its tree `{self.name}` {self.entries:,}",
                where=self.path,
                fix=COPY_AGAIN,
            )
        with damage_named(self.path, f"branch `{branch}` of tree `{self.name}` cannot be read"):
            return _unusable(found)

    def lists(self, branch: str) -> bool:
        found = self._branches[branch]
        with damage_named(self.path, f"branch `{branch}` of tree `{self.name}` cannot be read"):
            return holds_lists(found.interpretation.awkward_form(found.file))

    def read(self, branches: Iterable[str], start: int, stop: int) -> Columns:
        if start < stop:
            return next(self._iterate(branches, start, stop, stop - start)).columns
        with damage_named(self.path, range_text(self.name, start, stop)):
            return {name: as_column(self._branches[name].array(entry_stop=0, library="ak")) for name in branches}

    def chunks(self, branches: Iterable[str], step: int | None = None, start: int = 0) -> Iterator[Chunk]:
        wanted = tuple(branches)
        size = sum(int(self._branches[name].uncompressed_bytes) for name in wanted)
        yield from self._iterate(wanted, start, self.entries, step or entries_per_chunk(size, self.entries))

    def _iterate(self, branches: Iterable[str], start: int, stop: int, step: int) -> Iterator[Chunk]:
        wanted = {name: self._branches[name] for name in branches}
        if not wanted:
            yield from empty_chunks(start, stop, step)
            return
        keys = {branch.cache_key for branch in wanted.values()}
        arrays: Iterator[dict[str, ak.Array]] = self._tree.iterate(
            filter_branch=lambda branch: branch.cache_key in keys,
            entry_start=start,
            entry_stop=stop,
            step_size=step,
            library="ak",
            how=dict,
        )
        for begin in range(start, stop, step):
            end = min(begin + step, stop)
            with damage_named(self.path, range_text(self.name, begin, end)):
                found = next(arrays)
                by_key = {self._tree[name].cache_key: array for name, array in found.items()}
                columns = {name: as_column(by_key[branch.cache_key]) for name, branch in wanted.items()}
            check_lengths(self, columns, begin, end)
            yield Chunk(start=begin, stop=end, columns=columns)


def _unusable(branch: uproot.TBranch) -> str | None:
    interpretation = branch.interpretation
    unreadable = f"C++ objects of type {branch.typename}, which cannot be read"
    if isinstance(interpretation, uproot.interpretation.identify.UnknownInterpretation):
        return unreadable
    if isinstance(interpretation, uproot.interpretation.grouped.AsGrouped):
        parts = ", ".join(f"`{part.name}`" for part in branch.branches[:8])
        return f"no values of its own but the branches {parts}"
    try:
        form = interpretation.awkward_form(branch.file)
    except uproot.interpretation.objects.CannotBeAwkward:
        return unreadable
    return not_numbers(form)


def _branch_names(tree: uproot.TTree) -> tuple[dict[str, Any], tuple[str, ...]]:
    """name -> branch, and the names to suggest."""
    paths = list(tree.iteritems(recursive=True, full_paths=True))
    short: dict[str, list[Any]] = {}
    for _, branch in paths:
        short.setdefault(branch.name, []).append(branch)
    names = {name: found[0] for name, found in short.items() if len(found) == 1}
    for path, branch in paths:
        names.setdefault(path, branch)
        names.setdefault(path.replace("/", "."), branch)
    suggested = tuple(
        branch.name if len(short[branch.name]) == 1 else path.replace("/", ".")
        for path, branch in paths
        if not branch.branches
    )
    return names, suggested
