"""The events of one input file with its friends: which branch is where, and chunks of columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import uproot

from gridloom.analysis.models import Analysis
from gridloom.analysis.queries import sample_tree
from gridloom.data.events import Place, event_ids
from gridloom.data.friends import FriendByEntry, FriendById, friend_by_entry, friend_by_id
from gridloom.data.recipe import Recipe
from gridloom.data.rootfile import is_remote, open_file, open_tree
from gridloom.data.trees import Chunk, Tree, keyed, missing_branch, require, sum_branch
from gridloom.errors import DamagedFile, GridloomError, KeyPath, Problems
from gridloom.task import InputFile

_AS_NAMED: Mapping[str, str] = MappingProxyType({})
_EVENT_ID_FIX = "`event_id` needs it: give branches that identify an event there, or `event_id: entry`."


@dataclass(frozen=True, kw_only=True)
class Ntuple:
    """An open file: the events tree with the branches to read, and the friends with theirs.

    `sum_generator_weights` is what the tree of `sum_of_weights` says, None without one.
    """

    file: InputFile
    tree: Tree
    branches: tuple[str, ...]
    friends: tuple[FriendByEntry | FriendById, ...]
    recipe: Recipe
    sum_generator_weights: float | None

    def chunks(self, step: int | None = None, start: int = 0) -> Iterator[Chunk]:
        """Events from `start` on in order, with all columns that the recipe needs; raises DamagedFile, InvalidValue."""
        with keyed(self._key):
            for chunk in self.tree.chunks(self.branches, step, start):
                yield self._with_friends(chunk)

    def first(self, events: int) -> Chunk:
        """The first events, without reading the rest."""
        stop = min(events, self.tree.entries)
        with keyed(self._key):
            return self._with_friends(Chunk(start=0, stop=stop, columns=self.tree.read(self.branches, 0, stop)))

    @property
    def _key(self) -> KeyPath:
        return ("samples", self.recipe.sample, "files")

    def place(self, chunk: Chunk) -> Place:
        """Where the events of a chunk are from."""
        return Place(path=self.file.path, uuid=self.file.uuid, entries=np.arange(chunk.start, chunk.stop))

    def _with_friends(self, chunk: Chunk) -> Chunk:
        columns = dict(chunk.columns)
        for friend in self.friends:
            if isinstance(friend, FriendByEntry):
                columns |= friend.columns(chunk.start, chunk.stop)
            else:
                place = self.place(chunk)
                columns |= friend.columns(event_ids(self.recipe, columns, place), place)
        return Chunk(start=chunk.start, stop=chunk.stop, columns=columns)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the branches of an open file are: the trees, and which branches are taken from each."""

    uuid: str
    tree: Tree
    branches: tuple[str, ...]
    friends: tuple[Tree, ...]
    taken: tuple[Mapping[str, str], ...]  # for each friend: branch as an expression says it -> in the friend
    friend_uuids: tuple[str, ...]
    sum_generator_weights: float | None


@contextmanager
def open_layout(
    analysis: Analysis, recipe: Recipe, path: str, friends: tuple[str, ...], copies: Mapping[str, str] = _AS_NAMED
) -> Iterator[Layout]:
    """Open a file of a sample with its friends (one path for each) and find every branch of the recipe.

    `copies` leads from a path to where the file was brought to. Raises Problems (MissingBranch, BranchType: all at
    once), MissingTree, DamagedFile, NoFiles.
    """
    key: KeyPath = ("samples", recipe.sample)
    with ExitStack() as stack:
        with keyed((*key, "files")):
            opened = stack.enter_context(open_file(path, copy=copies.get(path)))
        with keyed(_tree_key(analysis, recipe.sample)):
            tree = open_tree(opened, sample_tree(analysis, recipe.sample), path)
        trees: list[Tree] = []
        uuids: list[str] = []
        for index, (friend, place) in enumerate(zip(analysis.samples[recipe.sample].friends, friends, strict=True)):
            with keyed((*key, "friends", index, "files")):
                source = opened if place == path else stack.enter_context(open_file(place, copy=copies.get(place)))
            with keyed((*key, "friends", index, "tree")):
                trees.append(open_tree(source, friend.tree, place))
            uuids.append(str(source.file.uuid))
        own, taken = _locate(recipe, tree, tuple(trees))
        yield Layout(
            uuid=str(opened.file.uuid),
            tree=tree,
            branches=own,
            friends=tuple(trees),
            taken=taken,
            friend_uuids=tuple(uuids),
            sum_generator_weights=_generator_weights(analysis, recipe, opened, path),
        )


def _tree_key(analysis: Analysis, sample: str) -> KeyPath:
    """Where the analysis file says the tree's name; the files themselves where it relies on the default."""
    if analysis.samples[sample].tree:
        return ("samples", sample, "tree")
    default: object = Analysis.model_fields["tree"].default
    return ("samples", sample, "files") if analysis.tree == default else ("tree",)


@contextmanager
def open_ntuple(analysis: Analysis, recipe: Recipe, file: InputFile) -> Iterator[Ntuple]:
    """Open a file for reading its events; raises what `open_layout` raises, and DamagedFile if the file changed."""
    with open_layout(analysis, recipe, file.path, file.friends, file.copies) as layout:
        _check_identity(layout, file)
        yield Ntuple(
            file=file,
            tree=layout.tree,
            branches=layout.branches,
            friends=_matched(analysis, recipe, layout),
            recipe=recipe,
            sum_generator_weights=layout.sum_generator_weights,
        )


def _check_identity(layout: Layout, file: InputFile) -> None:
    if (layout.uuid, layout.tree.entries, layout.friend_uuids) != (file.uuid, file.entries, file.friend_uuids):
        raise DamagedFile(
            "the file, or a friend of it, is not the one that was scanned",
            where=file.path,
            fix="It changed in between: run again when the files are complete.",
        )


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """A file as a scan sees it, and the needed branches that hold a list per event in it."""

    file: InputFile
    lists: frozenset[str]


def inspect(analysis: Analysis, recipe: Recipe, path: str, friends: tuple[str, ...]) -> Inspected:
    """What a scan knows of a file: identity, entries, friends; raises what `open_layout` raises, and InvalidValue."""
    with open_layout(analysis, recipe, path, friends) as layout:
        for index, tree in enumerate(layout.friends):
            if analysis.samples[recipe.sample].friends[index].match == "entry":
                friend_by_entry(tree, {}, layout.tree.entries, ("samples", recipe.sample, "friends", index))
        file = InputFile(
            path=path,
            uuid=layout.uuid,
            size=0 if is_remote(path) else Path(path).stat().st_size,
            entries=layout.tree.entries,
            friends=friends,
            friend_uuids=layout.friend_uuids,
        )
        lists = {branch for branch in layout.branches if layout.tree.lists(branch)}
        for tree, taken in zip(layout.friends, layout.taken, strict=True):
            lists |= {said for said, stored in taken.items() if tree.lists(stored)}
        return Inspected(file=file, lists=frozenset(lists))


def _locate(
    recipe: Recipe, tree: Tree, friends: tuple[Tree, ...]
) -> tuple[tuple[str, ...], tuple[Mapping[str, str], ...]]:
    """The branches of the events tree, and for each friend: branch as an expression says it -> in its tree.

    The events tree comes first, then the friends in order; `friend.branch` says which. Raises Problems.
    """
    own: list[str] = []
    taken: tuple[dict[str, str], ...] = tuple({} for _ in friends)
    problems: list[GridloomError] = []
    for branch in recipe.branches:
        source, stored = _source(branch, tree, friends)
        try:
            if source is None:
                known = [*tree.names, *(name for friend in friends for name in friend.names)]
                raise missing_branch(branch, tree.path, tree.name, known)
            require(source, (stored,))
        except GridloomError as error:
            users = recipe.users(branch)
            if not users:  # what a variation reads in the place of another branch
                problems.append(error)
                continue
            key = users[0].key
            # A default event id stands nowhere in the analysis file: say who asks for the branch.
            fix = f"{_EVENT_ID_FIX}\n{error.fix}" if key[0] == "event_id" else error.fix
            problems.append(type(error)(error.what, where=error.where, fix=fix, key=key))
            continue
        if source is tree:
            own.append(branch)
        else:
            taken[friends.index(source)][branch] = stored
    if problems:
        raise Problems(problems)
    return tuple(own), taken


def _source(branch: str, tree: Tree, friends: tuple[Tree, ...]) -> tuple[Tree | None, str]:
    for source in (tree, *friends):
        if source.find(branch) is not None:
            return source, branch
    for friend in friends:
        stored = branch.removeprefix(f"{friend.name.rpartition('/')[2]}.")
        if stored != branch and friend.find(stored) is not None:
            return friend, stored
    return None, branch


def _matched(analysis: Analysis, recipe: Recipe, layout: Layout) -> tuple[FriendByEntry | FriendById, ...]:
    found: list[FriendByEntry | FriendById] = []
    for index, (friend, branches) in enumerate(zip(layout.friends, layout.taken, strict=True)):
        key: KeyPath = ("samples", recipe.sample, "friends", index)
        if analysis.samples[recipe.sample].friends[index].match == "entry":
            found.append(friend_by_entry(friend, branches, layout.tree.entries, key))
        elif branches:
            found.append(friend_by_id(friend, branches, recipe, key))
    return tuple(found)


def _generator_weights(analysis: Analysis, recipe: Recipe, opened: uproot.ReadOnlyDirectory, path: str) -> float | None:
    part = analysis.samples[recipe.sample].normalisation
    if part is None or part.sum_of_weights == "events":
        return None
    with keyed(("samples", recipe.sample, "normalisation", "sum_of_weights")):
        return sum_branch(open_tree(opened, part.sum_of_weights.tree, path), part.sum_of_weights.branch)
