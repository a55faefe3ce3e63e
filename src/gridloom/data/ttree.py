"""A TTree read as columns: flat numbers of local files by `gridloom.data.baskets`, everything else by uproot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import uproot

from gridloom.data.baskets import BasketReader, Baskets, LocalBytes, baskets_of
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
        wanted = tuple(branches)
        if not wanted:
            yield from empty_chunks(start, stop, step)
            return
        with ExitStack() as stack:
            with damage_named(self.path, f"the baskets of tree `{self.name}` cannot be found"):
                plans = self._plans(wanted)
                reader = BasketReader(stack.enter_context(LocalBytes(self._local)), plans) if plans else None
            rest = self._others({name: self._branches[name] for name in wanted if name not in plans}, start, stop, step)
            for begin in range(start, stop, step):
                end = min(begin + step, stop)
                with damage_named(self.path, range_text(self.name, begin, end)):
                    columns: Columns = next(rest)
                    if reader is not None:
                        columns |= {name: reader.column(name, begin, end) for name in plans}
                columns = {name: columns[name] for name in wanted}
                check_lengths(self, columns, begin, end)
                yield Chunk(start=begin, stop=end, columns=columns)

    @property
    def _local(self) -> str:
        return str(self._tree.file.file_path)

    def _plans(self, branches: Iterable[str]) -> dict[str, Baskets]:
        """The branches that are read directly."""
        if "://" in self._local:
            return {}
        found = {name: baskets_of(self._branches[name]) for name in branches}
        return {name: plan for name, plan in found.items() if plan is not None and plan.entries == self.entries}

    def _others(self, wanted: Mapping[str, Any], start: int, stop: int, step: int) -> Iterator[Columns]:
        """Columns that uproot reads, for the same ranges of entries."""
        if not wanted:
            yield from ({} for _ in range(start, stop, step))
            return
        keys = {branch.cache_key for branch in wanted.values()}
        for found in self._tree.iterate(
            filter_branch=lambda branch: branch.cache_key in keys,
            entry_start=start,
            entry_stop=stop,
            step_size=step,
            library="ak",
            how=dict,
        ):
            by_key = {self._tree[name].cache_key: array for name, array in found.items()}
            yield {name: as_column(by_key[branch.cache_key]) for name, branch in wanted.items()}


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
