"""Friend trees: more branches for the same events, matched by entry number or by event id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from gridloom.data.events import Place, event_ids
from gridloom.data.folds import Ids, hash_of
from gridloom.data.recipe import Recipe
from gridloom.data.trees import Columns, Tree, require
from gridloom.errors import DuplicateEvents, GridloomError, InvalidValue, KeyPath


@dataclass(frozen=True, kw_only=True)
class FriendByEntry:
    """Event i of the main tree is entry i of the friend."""

    tree: Tree
    branches: Mapping[str, str]  # as an expression says it -> in the friend

    def columns(self, start: int, stop: int) -> Columns:
        values = self.tree.read(sorted(set(self.branches.values())), start, stop)
        return {said: values[stored] for said, stored in self.branches.items()}


@dataclass(frozen=True, kw_only=True)
class FriendById:
    """Entries of the friend are found by event id; its needed branches are held in memory."""

    tree: Tree
    values: Columns
    hashes: NDArray[np.uint64]  # sorted
    order: NDArray[np.intp]
    ids: Ids
    key: KeyPath

    def columns(self, ids: Ids, place: Place) -> Columns:
        """The friend's values for these events; raises InvalidValue if one is not there."""
        wanted = hash_of(ids)
        position = np.minimum(np.searchsorted(self.hashes, wanted), max(len(self.hashes) - 1, 0))
        if not len(self.hashes):
            missing = np.arange(len(ids))
        else:
            missing = np.flatnonzero(np.any(self.ids[self.order[position]] != ids, axis=1))
        if len(missing):
            words = ", ".join(str(int(word)) for word in ids[missing[0]])
            raise InvalidValue(
                f"friend tree `{self.tree.name}` lacks {len(missing):,} of {len(ids):,} events, first ({words})",
                where=f"{place.text(int(missing[0]))}; friend {self.tree.path}",
                fix="Make the friend tree for all events of the file, or take events without it out of the file.",
                key=self.key,
            )
        rows = self.order[position]
        return {name: values[rows] for name, values in self.values.items()}


def friend_by_entry(tree: Tree, branches: Mapping[str, str], entries: int, key: KeyPath) -> FriendByEntry:
    """Match by entry number; raises InvalidValue if the numbers of entries differ."""
    if tree.entries != entries:
        raise InvalidValue(
            f"friend tree `{tree.name}` has {tree.entries:,} entries, the events tree {entries:,}",
            where=tree.path,
            fix="Use `match: event_id` if the friend holds the event id, or make the friend tree again.",
            key=key,
        )
    return FriendByEntry(tree=tree, branches=branches)


def friend_by_id(tree: Tree, branches: Mapping[str, str], recipe: Recipe, key: KeyPath) -> FriendById:
    """Match by event id: reads ids and branches of the whole friend; raises DuplicateEvents, MissingBranch, ..."""
    id_branches = sorted(frozenset[str]().union(*(formula.branches for formula in recipe.event_id)))
    try:
        require(tree, id_branches)
        columns = _whole(tree, tuple(sorted({*branches.values(), *id_branches})))
        ids = event_ids(recipe, columns, Place(path=tree.path, uuid="", entries=np.arange(tree.entries)))
    except GridloomError as error:
        raise type(error)(error.what, where=error.where or tree.path, fix=error.fix, key=key) from error
    hashes = hash_of(ids)
    order = np.argsort(hashes, kind="stable")
    repeated = np.flatnonzero(hashes[order][1:] == hashes[order][:-1])
    if len(repeated):
        words = ", ".join(str(int(word)) for word in ids[order[repeated[0]]])
        raise DuplicateEvents(
            f"friend tree `{tree.name}` holds {len(repeated):,} events twice, first ({words})",
            where=tree.path,
            fix="Make the friend tree with every event once.",
            key=key,
        )
    values = {said: columns[stored] for said, stored in branches.items()}
    return FriendById(tree=tree, values=values, hashes=hashes[order], order=order, ids=ids, key=key)


def _whole(tree: Tree, branches: tuple[str, ...]) -> Columns:
    parts = [chunk.columns for chunk in tree.chunks(branches)] or [tree.read(branches, 0, 0)]
    return {name: _joined([part[name] for part in parts]) for name in branches}


def _joined(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else ak.concatenate(parts)
