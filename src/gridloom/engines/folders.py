"""The folders of jobs and batches below a run's logs/, and paths that schedulers can be told."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from gridloom.errors import NotWritable
from gridloom.files import digest_bytes, writing

_PLAIN = re.compile(r"[A-Za-z0-9._/+=@~-]+")


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of new jobs; not forced to the disk, since a job whose files are lost is made anew."""
    with writing(root):
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def is_plain(path: Path) -> bool:
    """Whether a path has only characters that no scheduler reads anything into."""
    return _PLAIN.fullmatch(str(path)) is not None


def plain_path(folder: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """The folder, or a link to it with a plain name: commas, quotes and line ends mean something to schedulers.

    Raises NotWritable when there is no place for the link.
    """
    whole = folder.absolute()
    if is_plain(whole):
        return whole
    name = digest_bytes(os.fsencode(whole))[:16]
    tried = []
    for base in _link_folders(environ):
        link = base / name
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            if base.stat().st_uid != os.getuid():
                tried.append(f"{base} belongs to somebody else")
                continue
            with suppress(FileExistsError):  # another process may make it at the same moment
                link.symlink_to(whole, target_is_directory=True)
            if link.readlink() == whole:
                return link
        except OSError as error:
            tried.append(f"{base}: {error.strerror}")
            continue
        tried.append(f"{link} leads elsewhere")
    raise NotWritable(
        "the folder's name has characters that a batch system cannot be told, and no link to it can be made "
        f"({'; '.join(tried)})",
        where=str(folder),
        fix="Choose a folder of runs without such characters by `--runs`.",
    )


def _link_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    state = environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    for base in (Path(state) / "gridloom" / "links", Path(tempfile.gettempdir()) / f"gridloom-links-{os.getuid()}"):
        if base.is_absolute() and is_plain(base):
            yield base
