"""Open ROOT files and find trees in them; what is broken or missing is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uproot

from gridloom.analysis.problems import nearest
from gridloom.data.rntuple import RNTuple
from gridloom.data.trees import COPY_AGAIN, Tree, damage_named
from gridloom.data.ttree import TTree
from gridloom.errors import DamagedFile, MissingTree


@contextmanager
def open_file(path: str, *, copy: str | None = None) -> Iterator[uproot.ReadOnlyDirectory]:
    """Open a ROOT file, or a copy of it that was brought here: messages name the original.

    Raises NoFiles, or DamagedFile if it is empty, truncated or no ROOT file.
    """
    here = path if copy is None else copy
    _check_start(path, here)
    with damage_named(path, "the file cannot be opened as a ROOT file"):
        # A mapping, since uproot takes `:` in a plain path for the border to a tree's name.
        file = uproot.open({here: None}, object_cache=None, array_cache=None)
    with file:
        _check_length(path, here, file)
        yield file


def is_remote(path: str) -> bool:
    return "://" in path


def _check_start(path: str, here: str) -> None:
    if is_remote(here):
        return
    with damage_named(path, "the file cannot be read"), Path(here).open("rb") as stream:
        start = stream.read(4)
    if not start:
        raise DamagedFile("the file is empty (0 bytes)", where=path, fix=COPY_AGAIN)
    if start != b"root":
        raise DamagedFile("not a ROOT file", where=path, fix="List only ROOT files, or copy the file again.")


def _check_length(path: str, here: str, file: uproot.ReadOnlyDirectory) -> None:
    """A file shorter than its header says was cut off, even where its list of keys survived."""
    if is_remote(here):
        return
    size = Path(here).stat().st_size
    end = int(file.file.fEND)
    if not end:
        raise DamagedFile("the header of the file is broken", where=path, fix=COPY_AGAIN)
    if size < end:
        raise DamagedFile(f"the file is truncated: {size:,} of {end:,} bytes", where=path, fix=COPY_AGAIN)


def open_tree(file: uproot.ReadOnlyDirectory, name: str, path: str) -> Tree:
    """The tree `name` of an open file; raises MissingTree (with the trees there are) or DamagedFile."""
    try:
        with damage_named(path, f"tree `{name}` cannot be read"):
            found = file[name]
            return _as_tree(found, name, path)
    except DamagedFile as error:
        if isinstance(error.__cause__, uproot.KeyInFileError):
            raise _missing_tree(file, name, path) from None
        raise


def _as_tree(found: object, name: str, path: str) -> Tree:
    if isinstance(found, uproot.behaviors.TTree.TTree):
        return TTree(found, name, path)
    if isinstance(found, uproot.behaviors.RNTuple.RNTuple):
        return RNTuple(found, name, path)
    raise MissingTree(
        f"`{name}` is a {getattr(found, 'classname', type(found).__name__)}, not a TTree or an RNTuple",
        where=path,
        fix="Give the name of a tree in `tree`.",
    )


def trees_in(file: uproot.ReadOnlyDirectory) -> tuple[str, ...]:
    """Names of all trees of a file, directories included, without cycles."""
    classes: Mapping[str, str] = file.classnames(recursive=True, cycle=False)
    return tuple(
        name for name, kind in classes.items() if "RNTuple" in kind or kind in ("TTree", "TNtuple", "TNtupleD")
    )


def _missing_tree(file: uproot.ReadOnlyDirectory, name: str, path: str) -> MissingTree:
    with damage_named(path, "the list of objects cannot be read"):
        known = trees_in(file)
    listed = ", ".join(f"`{tree}`" for tree in known[:10]) + (", ..." if len(known) > 10 else "")
    near = nearest(name, known)
    hint = f"Did you mean `{near}`? " if near else ""
    fix = f"{hint}Set `tree` of the sample or of the analysis to the tree of the events."
    if not known:
        fix = "It was left before its tree was written: make it again, or take it out of the sample's `files`."
    return MissingTree(f"there is no tree `{name}`; the file has " + (listed or "no tree at all"), where=path, fix=fix)
