"""What ROOT files hold, for `gridloom new`: trees and the types of their branches, without reading any events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gridloom.analysis.write import BranchInfo, FileInfo, TreeInfo
from gridloom.data.rntuple import RNTuple
from gridloom.data.rootfile import open_file, open_tree, trees_in
from gridloom.data.trees import Tree, not_numbers


def describe_file(path: str) -> FileInfo:
    """The trees of a file with their branches. Raises NoFiles and DamagedFile."""
    with open_file(path) as file:
        names = dict.fromkeys(name.partition(";")[0] for name in trees_in(file))
        return FileInfo(path=path, trees=tuple(_describe_tree(open_tree(file, name, path)) for name in names))


def _describe_tree(tree: Tree) -> TreeInfo:
    branches = tuple(_describe_branch(tree, name) for name in tree.names)
    return TreeInfo(name=tree.name, entries=tree.entries, branches=branches)


def _describe_branch(tree: Tree, name: str) -> BranchInfo:
    if tree.unusable(name) is not None:
        return BranchInfo(name=name, type="other")
    form = _form(tree, name)
    if form.is_numpy and not form.inner_shape:
        return BranchInfo(name=name, type="number", dtype=form.primitive)
    content = form.content if form.is_list else form
    if content.is_numpy and not_numbers(content) is None:
        return BranchInfo(name=name, type="jagged", dtype=content.primitive)
    return BranchInfo(name=name, type="other")


def _form(tree: Tree, name: str) -> Any:
    found: Any = tree.find(name)
    if isinstance(tree, RNTuple):
        return found.to_akform()[0].contents[0]
    return found.interpretation.awkward_form(found.file)


def describe_files(paths: list[str]) -> list[FileInfo]:
    return [describe_file(str(Path(path)) if "://" not in path else path) for path in paths]
